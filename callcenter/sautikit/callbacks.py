"""Everything that arrives from the provider, from bytes to our words.

    fields = parse_body(content_type, raw)
    callback = parse_voice(fields, query)      # a voice URL
    event = parse_conference(fields)           # a room's status events
    notice = parse_notice(headers, fields)     # event and status webhooks
    key = event_key(headers, fields, "voice")  # the same request again has the same key

Nothing here raises but `parse_body` and `parse_record` (Unreadable).
"""

from callcenter.sautikit.bodies import Unreadable, parse_body
from callcenter.sautikit.notices import CallNotice, event_key, parse_notice
from callcenter.sautikit.outcomes import Outcome, normalise_status
from callcenter.sautikit.records import Record, parse_record
from callcenter.sautikit.voice import (
    ConferenceEvent,
    State,
    VoiceCallback,
    parse_conference,
    parse_voice,
)

__all__ = [
    "CallNotice",
    "ConferenceEvent",
    "Outcome",
    "Record",
    "State",
    "Unreadable",
    "VoiceCallback",
    "event_key",
    "normalise_status",
    "parse_body",
    "parse_conference",
    "parse_notice",
    "parse_record",
    "parse_voice",
]
