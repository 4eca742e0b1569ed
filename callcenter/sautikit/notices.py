"""Event webhooks, in any of their envelopes (contract 6), and the key that tells a repeat."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from callcenter.sautikit import bodies, supervision, voice
from callcenter.sautikit.bodies import Fields, pick
from callcenter.sautikit.outcomes import Outcome, bare, normalise_status, unreached
from callcenter.sautikit.phone import party

KINDS = (
    "call.started", "call.answered", "call.completed", "call.failed", "call.recording.ready",
    "wallet.low_balance", "wallet.top_up", "number.provisioned", "number.released",
    "storage.tier_changed",
)  # fmt: skip
KIND_HEADERS = ("x-sautikit-event-kind", "x-sautikit-event")
KIND_FIELDS = ("kind", "event_kind", "event_type", "event", "type")  # contract 6.2
ID_HEADERS = ("x-sautikit-event-id", "x-sautikit-idempotency-key")
ID_FIELDS = ("event_id", "eventId")
OCCURRED = ("occurred_at", "occurredAt", "timestamp", "created_at")
FROM = ("from", "From", "callerNumber", "caller_number", "CallerNumber")
TO = ("to", "To", "destinationNumber", "clientDialedNumber", "destination_number")
REASON = ("failure_reason", "failureReason", "failure_code", "reason", *voice.HANGUP_CAUSE)
DURATION = (*voice.DURATION, "recording_duration_seconds")

_SUPERVISION = bare(supervision.KIND)
_KIND_OF = {bare(kind): kind for kind in KINDS}
_OUTCOME_OF = {
    "call.started": Outcome.STARTED,
    "call.answered": Outcome.ANSWERED,
    "call.completed": Outcome.COMPLETED,
    "call.failed": Outcome.FAILED,
}


@dataclass(frozen=True)
class CallNotice:
    """One event, in our words; what is particular to its kind stays in `data`.

    `kind` is spelt as in contract 6.3, an unknown one as it came, "" if none can be told.
    `outcome` is UNKNOWN where the event says nothing of the call's state. `answered_at` of a
    completed call is None where the sender left it out: no proof of no answer.
    """

    kind: str = ""
    event_id: str = ""
    occurred_at: datetime | None = None
    handles: tuple[str, ...] = ()
    session_id: str | None = None
    call_id: str | None = None
    direction: str = ""
    from_: str = ""
    to: str = ""
    outcome: Outcome = Outcome.UNKNOWN
    failure_reason: str = ""
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: int | None = None
    client_request_id: str = ""
    data: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


def parse_notice(headers: Mapping[str, str], fields: Fields) -> CallNotice:
    """Return the event in `fields`: an envelope of contract 6.2 (A, B, C) or a plain status.

    An event of a room that strayed here has the kind `conference.<event>` and no outcome.
    """
    where = bodies.layers(fields)
    found = bodies.handles(fields)
    reason = pick(where, REASON, 64)
    answered_at = bodies.pick_instant(where, ("answered_at", "answeredAt"))
    duration = bodies.pick_whole(where, DURATION)
    kind = _kind(headers, where)
    outcome = _outcome(kind, voice.state_word(where), reason)
    if outcome is Outcome.COMPLETED and answered_at is None and not duration:
        # A hang-up edge says Completed of a leg that nobody took, and why in its cause.
        outcome = unreached(reason) or outcome
    return CallNotice(
        kind=kind or _kind_for(outcome),
        event_id=_event_id(headers, fields),
        occurred_at=bodies.pick_instant(where, OCCURRED),
        handles=found,
        session_id=bodies.session_of(found),
        call_id=bodies.uuid_of(found),
        direction=bodies.direction_of(pick(where, voice.DIRECTION)),
        from_=_party(where, FROM),
        to=_party(where, TO),
        outcome=outcome,
        failure_reason=reason,
        answered_at=answered_at,
        ended_at=bodies.pick_instant(where, ("ended_at", "endedAt")),
        duration_seconds=duration,
        client_request_id=pick(where, voice.LABEL),
        data=dict(next((layer for layer in where[1:]), fields)),
        raw=dict(fields),
    )


def event_key(headers: Mapping[str, str], fields: Fields, url_kind: str) -> str:
    """Return the key under which an inbox keeps this request once; at most 160 characters.

    The event's own id, else the id headers (contract 6.5), else a hash of what identifies it:
    handles, label, state and kind, room, participant, caller, digits, dial status, recording.
    Times, durations and head counts are left out, so a repeat that was stamped anew is still a
    repeat; a body with none of these is hashed whole. Two of the same are told apart only by
    `url_kind`: put the step of a menu, or the token, into it where the same keys may be pressed
    twice or a participant may come back.
    """
    shown = url_kind if len(url_kind) <= 48 else _hash(url_kind)[:48]
    if event_id := _event_id(headers, fields):
        return f"{shown}:id:{event_id if len(event_id) <= 64 else _hash(event_id)}"
    said = voice.parse_voice(fields)
    event = voice.parse_conference(fields)
    where = bodies.layers(fields)
    who = [*said.handles, said.client_request_id, event.participant_id, event.room]
    what: list[object] = [
        bare(voice.state_word(where)),
        bare(_kind_word(headers, where)),
        event.event,
        said.caller or event.caller,
        said.digits,
        said.dial_status,
        pick(where, ("recording_id", "recordingId", "RecordingSid")),
    ]
    identity: object = [who, what] if any(who) else fields
    return f"{shown}:sha256:{_hash(json.dumps([url_kind, identity], sort_keys=True, default=str))}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _event_id(headers: Mapping[str, str], fields: Fields) -> str:
    """Return the event's id: of the body, of an envelope's own `id`, else of the headers."""
    where = bodies.layers(fields)
    if event_id := pick(where, ID_FIELDS):
        return event_id
    own = pick([fields], ["id"]) if len(where) > 1 else ""
    if own and own not in bodies.handles(fields):
        return own
    return _header(headers, ID_HEADERS)


def _kind_word(headers: Mapping[str, str], where: tuple[Fields, ...]) -> str:
    return _header(headers, KIND_HEADERS) or pick(where, KIND_FIELDS, 64)


def _kind(headers: Mapping[str, str], where: tuple[Fields, ...]) -> str:
    word = _kind_word(headers, where)
    if pick(where, voice.ROOM_ONLY):
        room = voice.parse_conference(where[0]).event
        if room != "other":
            return f"conference.{room}"
    if bare(word).startswith(_SUPERVISION):
        return supervision.KIND + bare(word).removeprefix(_SUPERVISION)
    known = _KIND_OF.get(bare(word))
    return known or _kind_for(normalise_status(word)) or word.lower()


def _kind_for(outcome: Outcome) -> str:
    """Return the kind that tells of `outcome`, "" for UNKNOWN."""
    if outcome in (Outcome.RINGING, Outcome.STARTED):
        return "call.started"
    if outcome is Outcome.UNKNOWN:
        return ""
    known = {Outcome.ANSWERED: "call.answered", Outcome.COMPLETED: "call.completed"}
    return known.get(outcome, "call.failed")


def _outcome(kind: str, word: str, reason: str) -> Outcome:
    """Return one outcome from kind, status and reason; a final kind beats a status that is not."""
    said = normalise_status(word, reason)
    if not kind:
        return said
    meant = _OUTCOME_OF.get(kind, Outcome.UNKNOWN)
    if meant is Outcome.UNKNOWN:
        return meant  # a status in there is a recording's, or a supervisor's
    if meant is Outcome.FAILED and said in (Outcome.UNKNOWN, Outcome.COMPLETED):
        return normalise_status("failed", reason)
    if said is Outcome.UNKNOWN or (meant.is_final and not said.is_final):
        return normalise_status(meant, reason)
    return said


def _header(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    lowered = {name.lower(): value for name, value in headers.items()}
    return pick([lowered], names)


def _party(where: tuple[Fields, ...], names: tuple[str, ...]) -> str:
    said = pick(where, names)
    return party(said) if said else ""
