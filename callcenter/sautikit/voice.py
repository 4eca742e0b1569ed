"""What the provider posts while a call runs: voice callbacks and conference events."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from callcenter.sautikit import bodies
from callcenter.sautikit.bodies import Fields, pick
from callcenter.sautikit.outcomes import Outcome, bare, normalise_status
from callcenter.sautikit.phone import party

# Contract 4.2, each in its order; the names after those of the table are plausible siblings (1.4).
CALLER = ("callerNumber", "From", "from", "caller_number", "CallerNumber", "caller", "Caller")
DIALLED = (
    "destinationNumber", "clientDialedNumber", "To", "to", "destination_number",
    "DestinationNumber", "dialedNumber", "Called", "called",
)  # fmt: skip
STATE = (
    "callSessionState", "CallSessionState", "call_session_state", "streamEvent", "streamStatus",
    "callStatus", "CallStatus", "call_status", "callState", "status", "Status",
)  # fmt: skip
STATE_IN_EVENT = ("event", "Event", "event_type", "type", "kind")
DIGITS = ("Digits", "digits", "dtmfDigits", "dtmf_digits")
DURATION = (
    "durationInSeconds", "duration_seconds", "durationSeconds", "DurationInSeconds", "Duration",
    "duration", "call_duration", "callDuration", "CallDuration",
)  # fmt: skip
DIAL_STATUS = ("dialCallStatus", "DialCallStatus", "dial_call_status", "dialStatus", "DialStatus",
               "dial_status")  # fmt: skip
DIAL_DURATION = (
    "dialDurationInSeconds", "DialDurationInSeconds", "dial_duration_in_seconds",
    "dialDurationSeconds", "dial_duration_seconds", "dialCallDuration", "DialCallDuration",
    "dial_call_duration", "dialDuration", "dial_duration",
)  # fmt: skip
ACTIVE = ("isActive", "is_active", "IsActive")
HANGUP_CAUSE = ("hangupCause", "hangup_cause", "HangupCause")
DIRECTION = ("direction", "Direction", "callDirection", "call_direction")
LABEL = ("clientRequestId", "client_request_id", "ClientRequestId", "clientRequestID")
# Contract 6.6.
CONFERENCE_EVENT = (
    "event", "Event", "conferenceEvent", "conference_event", "status", "statusEvent",
    "StatusCallbackEvent", "kind", "type",
)  # fmt: skip
ROOM_ONLY = ("conference_name", "conferenceRoomName", "conferenceName", "ConferenceName")
ROOM = (*ROOM_ONLY, "room", "roomName", "room_name", "conference", "name")
PARTICIPANT_CALLER = (
    "caller", "callerNumber", "Caller", "participantNumber", "participant_number", "From", "from",
    "caller_number",
)  # fmt: skip
PARTICIPANT = (
    "participant_id", "participantId", "conferenceParticipantId", "ParticipantId", "member_id",
    "memberId",
)  # fmt: skip
PARTICIPANTS = ("participants", "Participants", "participantCount", "participant_count")

_LABEL_IN_QUERY = re.compile(r"[?&]clientRequestId=([^?&]*)")
_EVENT_WORDS = {
    word: event
    for event, words in {
        "start": "start started begin",
        "end": "end ended finish finished destroyed",
        "join": "join joined enter entered",
        "leave": "leave left exit exited",
        "mute": "mute muted",
        "unmute": "unmute unmuted",
    }.items()
    for word in words.split()
}
# Outcome words that only the parties of a dial use.
_DIAL_WORDS = {"success": "answered", "normal": "answered", "chanunavail": "failed"}


class State(StrEnum):
    """The word of a voice callback (contract 1.4)."""

    RINGING = "ringing"
    ANSWERED = "answered"
    COMPLETED = "completed"  # the leg has hung up
    FAILED = "failed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    CANCELED = "canceled"
    DIAL_COMPLETED = "dial_completed"  # a dial is over; the leg is still there
    OTHER = "other"  # a word we do not know, as those of streams
    NONE = "none"  # no word at all, which a first POST may be


_STATES = {
    Outcome.RINGING: State.RINGING,
    Outcome.STARTED: State.RINGING,
    Outcome.ANSWERED: State.ANSWERED,
    Outcome.COMPLETED: State.COMPLETED,
    Outcome.FAILED: State.FAILED,
    Outcome.NO_ANSWER: State.NO_ANSWER,
    Outcome.BUSY: State.BUSY,
    Outcome.CANCELED: State.CANCELED,
}
_ENDS = {State.COMPLETED, State.FAILED, State.BUSY, State.NO_ANSWER, State.CANCELED}


@dataclass(frozen=True)
class VoiceCallback:
    """One POST at a voice URL, in our words; the raw fields ride along.

    `caller` and `dialled` are as `phone.party` says, "" when absent. `digits` is None when the
    field is absent and "" when it is empty: no key was pressed. Durations are None when absent.
    `dial_status` is an Outcome's word, or "".
    """

    handles: tuple[str, ...] = ()
    session_id: str | None = None
    call_id: str | None = None
    caller: str = ""
    dialled: str = ""
    state: State = State.NONE
    is_active: bool | None = None
    digits: str | None = None
    duration_seconds: int | None = None
    dial_status: str = ""
    dial_duration_seconds: int | None = None
    hangup_cause: str = ""
    client_request_id: str = ""
    direction: str = ""
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def handle(self) -> str | None:
        """The first handle, None if the body names none."""
        return self.handles[0] if self.handles else None

    @property
    def is_end(self) -> bool:
        """Whether the leg is gone: a terminal word, or not active any more and says how it ended.

        After DialCompleted the leg lives on, whatever `isActive` means there.
        """
        if self.state in _ENDS:
            return True
        ended = self.duration_seconds is not None or bool(self.hangup_cause)
        open_word = self.state in (State.NONE, State.OTHER, State.ANSWERED)
        return self.is_active is False and ended and open_word


@dataclass(frozen=True)
class ConferenceEvent:
    """One POST at a `statusEventsCallbackUrl` (contract 6.6).

    `event` is start, end, join, leave, mute, unmute or other; `participants` is how many are in
    the room, None if not told. Which leg it is, is better known from the token in the URL.
    """

    event: str = "other"
    room: str = ""
    caller: str = ""
    participant_id: str = ""
    participants: int | None = None
    handles: tuple[str, ...] = ()
    client_request_id: str = ""
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


def parse_voice(fields: Fields, query: Mapping[str, Any] | None = None) -> VoiceCallback:
    """Return what `fields` say (contract 4.2); `query` is the URL's, where our label may ride."""
    where = bodies.layers(fields)
    found = bodies.handles(fields)
    return VoiceCallback(
        handles=found,
        session_id=bodies.session_of(found),
        call_id=bodies.uuid_of(found),
        caller=_caller(where, CALLER),
        dialled=_called(where, DIALLED),
        state=_state(where),
        is_active=bodies.truth(pick(where, ACTIVE)),
        digits=_digits(where),
        duration_seconds=bodies.pick_whole(where, DURATION),
        dial_status=_dial_status(pick(where, DIAL_STATUS)),
        dial_duration_seconds=bodies.pick_whole(where, DIAL_DURATION),
        hangup_cause=pick(where, HANGUP_CAUSE, 64),
        client_request_id=pick(where, LABEL) or _label_in(query or {}),
        direction=bodies.direction_of(pick(where, DIRECTION)),
        raw=dict(fields),
    )


def parse_conference(fields: Fields) -> ConferenceEvent:
    """Return what `fields` say of a room (contract 6.6)."""
    where = bodies.layers(fields)
    return ConferenceEvent(
        event=_conference_event(where),
        # FreeSWITCH names a room with its profile; ours are made without "@".
        room=pick(where, ROOM).partition("@")[0],
        caller=_called(where, PARTICIPANT_CALLER),
        participant_id=pick(where, PARTICIPANT),
        participants=_participants(where),
        handles=bodies.handles(fields),
        client_request_id=pick(where, LABEL),
        raw=dict(fields),
    )


def state_word(where: tuple[Fields, ...]) -> str:
    """Return the provider's own word for the state, "" if there is none.

    A general `event` or `type` is a state only where it says one, and not of a room.
    """
    word = pick(where, STATE, 64)
    if word or pick(where, ROOM_ONLY):
        return word
    word = pick(where, STATE_IN_EVENT, 64)
    known = "dialcompleted" in bare(word) or normalise_status(word) is not Outcome.UNKNOWN
    return word if known else ""


def _state(where: tuple[Fields, ...]) -> State:
    word = state_word(where)
    if not word:
        return State.NONE
    if "dialcompleted" in bare(word):
        return State.DIAL_COMPLETED
    return _STATES.get(normalise_status(word), State.OTHER)


def _caller(where: tuple[Fields, ...], names: tuple[str, ...]) -> str:
    """Return the caller; a field that is there but empty is a withheld number."""
    said = _called(where, names)
    return party("") if not said and bodies.has(where, names) else said


def _called(where: tuple[Fields, ...], names: tuple[str, ...]) -> str:
    said = pick(where, names)
    return party(said) if said else ""


def _digits(where: tuple[Fields, ...]) -> str | None:
    said = pick(where, DIGITS, 64)
    if not said and not bodies.has(where, DIGITS):
        return None
    return "".join(key for key in said.upper() if key in "0123456789*#ABCD")


def _dial_status(said: str) -> str:
    word = _DIAL_WORDS.get(bare(said)) or normalise_status(said)
    return "" if word in (Outcome.UNKNOWN, Outcome.RINGING, Outcome.STARTED) else str(word)


def _label_in(query: Mapping[str, Any]) -> str:
    """Return `clientRequestId` of the query, also where it hangs on another value by a `?`."""
    if said := pick([query], LABEL):
        return said.partition("?")[0]
    for value in query.values():
        if stray := _LABEL_IN_QUERY.search(bodies.text(value, 2048)):
            return bodies.text(unquote(stray[1]))
    return ""


def _conference_event(where: tuple[Fields, ...]) -> str:
    for layer in where:
        for name in CONFERENCE_EVENT:
            word = re.sub("^(conference|participant|member)", "", bare(pick([layer], [name], 64)))
            if word in _EVENT_WORDS:
                return _EVENT_WORDS[word]
    return "other"


def _participants(where: tuple[Fields, ...]) -> int | None:
    for layer in where:
        for name in PARTICIPANTS:
            value = layer.get(name)
            if isinstance(value, list):
                return len(value)
            if (number := bodies.whole(value)) is not None:
                return number
    return None
