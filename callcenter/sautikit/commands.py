"""What is asked of the provider's REST API, and what it answers, as values."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from callcenter.sautikit import bodies
from callcenter.sautikit.actions import is_web_url
from callcenter.sautikit.outcomes import Outcome, normalise_status
from callcenter.sautikit.phone import is_e164, is_sip
from callcenter.sautikit.records import Record

Shape = Literal["sdk", "use_case"]

# What rides a call for sure, and is short enough for every hop (contract 3.1).
LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class PlaceCall:
    """One call to place: `to` is E.164 or `sip:`, `from_` a number of ours.

    `client_request_id` is ours, a new one for each attempt: the provider also takes it for an
    idempotency hint (contract 2.5). A ValueError names the field that cannot be sent.
    """

    to: str
    from_: str
    answer_url: str
    status_url: str = ""
    client_request_id: str = ""

    def __post_init__(self) -> None:
        if not (is_e164(self.to) or is_sip(self.to)):
            raise ValueError("to: E.164 or a sip: URI")
        if not is_e164(self.from_):
            raise ValueError("from_: E.164")
        if not is_web_url(self.answer_url):
            raise ValueError("answer_url: an absolute http(s) URL")
        if self.status_url and not is_web_url(self.status_url):
            raise ValueError("status_url: an absolute http(s) URL")
        if self.client_request_id and not LABEL.fullmatch(self.client_request_id):
            raise ValueError("client_request_id: 1 to 64 of [A-Za-z0-9._-]")

    def body(self, shape: Shape) -> bytes:
        """Return the JSON body; the same call has the same bytes, so a repeat is a replay."""
        fields: dict[str, Any]
        if shape == "sdk":
            fields = {"from": self.from_, "to": [self.to], "voice_callback_url": self.answer_url}
            if self.client_request_id:
                fields["client_request_id"] = self.client_request_id
        elif shape == "use_case":
            fields = {"to": self.to, "from": self.from_, "action_url": self.answer_url}
            if self.status_url:
                fields["status_url"] = self.status_url
        else:
            raise ValueError("shape: sdk or use_case")
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class PlacedCall:
    """The provider took the call. Either handle may be missing, even both (contract 3.1).

    `replayed` tells that this answer was given before: the call was placed by an earlier try.
    """

    call_id: str | None = None
    session_id: str | None = None
    status: Outcome = Outcome.UNKNOWN
    client_request_id: str = ""
    replayed: bool = False
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def handles(self) -> tuple[str, ...]:
        """The handles that came, the session's first, as voice callbacks carry that one."""
        return tuple(filter(None, (self.session_id, self.call_id)))


@dataclass(frozen=True)
class Page:
    """One page of call records, newest first; `bad` rows could not be read and were left out.

    `strange` shows the first of these. The list may end here although there is more of it, and
    what is older is then to be asked for by its time: `has_more` after so many pages, `cut_off`
    with what is wrong with its cursor.
    """

    records: tuple[Record, ...]
    next_cursor: str | None = None
    bad: int = 0
    strange: tuple[str, ...] = ()
    has_more: bool = False
    cut_off: str = ""


@dataclass(frozen=True)
class Wallet:
    """What is left to call with, in minor units (100 is KES 1)."""

    balance_minor: int
    currency: str = ""
    low_balance_threshold_minor: int | None = None


def placed_call(answer: dict[str, Any], *, replayed: bool) -> PlacedCall:
    """Return what a 2xx on placing a call says, flat or under `call` or `data`."""
    where = bodies.layers(answer)
    rows = ("call_id", "id", "call_sid", "callId", "callSid")
    call_id = bodies.pick(where, rows) or None
    session_id = bodies.pick(where, ("session_id", "sessionId", "pbx_call_id")) or None
    if call_id and not session_id and bodies.session_of([call_id]):
        call_id, session_id = None, call_id
    return PlacedCall(
        call_id=call_id,
        session_id=session_id,
        status=normalise_status(bodies.pick(where, ("status",), 64)),
        client_request_id=bodies.pick(where, ("client_request_id", "clientRequestId")),
        replayed=replayed,
        raw=answer,
    )


def whole_second(at: datetime, *, up: bool = False) -> str:
    """Return `at` as RFC 3339 in UTC, rounded down or up so that a window only widens."""
    if at.tzinfo is None:
        raise ValueError("a time window needs aware times")
    at = at.astimezone(UTC)
    if up and at.microsecond:
        at += timedelta(seconds=1)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
