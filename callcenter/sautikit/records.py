"""The provider's own record of one leg (contract 3.2)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from callcenter.sautikit import bodies
from callcenter.sautikit.bodies import Unreadable, pick
from callcenter.sautikit.outcomes import Outcome, normalise_status
from callcenter.sautikit.phone import party

SESSION = ("session_id", "sessionId", "SessionId", "pbx_call_id", "pbxCallId")
ROW = ("id", "call_id", "callId", "CallId", "call_sid", "callSid", "CallSid")
STATUS = ("status", "call_status", "callStatus", "callSessionState")
DIRECTION = ("direction", "Direction")
FAILURE = ("failure_code", "failure_reason", "hangup_cause")


def _pick_signed(where: Iterable[bodies.Fields], names: Sequence[str]) -> int | None:
    found = (bodies.signed(layer.get(name)) for layer in where for name in names)
    return next((number for number in found if number is not None), None)


# Each field of a Record that is no text: how it is read, and under which names.
_READ: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "started_at": (bodies.pick_instant, ("started_at", "startedAt", "created_at")),
    "answered_at": (bodies.pick_instant, ("answered_at", "answeredAt")),
    "ended_at": (bodies.pick_instant, ("ended_at", "endedAt")),
    "updated_at": (bodies.pick_instant, ("updated_at", "updatedAt")),
    "duration_seconds": (bodies.pick_whole, ("duration_seconds", "durationInSeconds")),
    "cost_minor": (_pick_signed, ("cost_minor",)),
    "rate_per_minute_minor": (_pick_signed, ("rate_per_minute_minor",)),
}


@dataclass(frozen=True)
class Record:
    """One leg as the provider has it.

    `local` is our number, `remote` the other party, for either direction, or "" if not told.
    Money is in minor units (100 is KES 1), None while the bill is not made.
    """

    call_id: str | None = None
    session_id: str | None = None
    direction: str = ""
    local: str = ""
    remote: str = ""
    status: Outcome = Outcome.UNKNOWN
    started_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: int | None = None
    cost_minor: int | None = None
    cost_currency: str = ""
    rate_per_minute_minor: int | None = None
    failure_code: str = ""
    updated_at: datetime | None = None
    flaws: tuple[str, ...] = field(default=(), compare=False)  # fields that could not be read
    events: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def handles(self) -> tuple[str, ...]:
        """Both handles, the session's first, as voice callbacks carry that one."""
        return tuple(filter(None, (self.session_id, self.call_id)))

    @property
    def is_over(self) -> bool:
        """Whether the leg is gone: a final status, or an end time under a word we do not know."""
        ended = self.status is Outcome.UNKNOWN and self.ended_at is not None
        return self.status.is_final or ended


def parse_record(obj: object) -> Record:
    """Return the record in `obj`, wrapped in `call` or `data` or flat. Raises Unreadable."""
    row = _unwrapped(obj)
    call_id, session_id = pick([row], ROW) or None, pick([row], SESSION) or None
    if call_id and not session_id and bodies.session_of([call_id]):
        call_id, session_id = None, call_id
    if not call_id and not session_id:
        raise Unreadable("a call record without a handle")
    direction = bodies.direction_of(pick([row], DIRECTION))
    caller, called = pick([row], ("from", "From")), pick([row], ("to", "To"))
    ours, theirs = (called, caller) if direction == "inbound" else (caller, called)
    local = pick([row], ("local_e164", "local")) or ours
    remote = pick([row], ("remote_e164", "remote")) or theirs
    failure = pick([row], FAILURE, 64)
    events = row.get("events")
    read = {name: reader([row], names) for name, (reader, names) in _READ.items()}
    flaws = [_flaw(row, _READ[name][1]) for name, value in read.items() if value is None]
    return Record(
        call_id=call_id,
        session_id=session_id,
        direction=direction,
        local=party(local) if local else "",
        remote=party(remote) if remote else "",
        status=normalise_status(pick([row], STATUS, 64), failure),
        cost_currency=pick([row], ("cost_currency", "currency"), 8).upper(),
        failure_code=failure,
        flaws=tuple(filter(None, flaws)),
        events=tuple(e for e in events if isinstance(e, dict)) if isinstance(events, list) else (),
        raw=row,
        **read,
    )


def _flaw(row: dict[str, Any], names: Sequence[str]) -> str:
    """Say what stands in a field that could not be read; "" where nothing does."""
    told = ((name, row[name]) for name in names if not bodies.is_nothing(row.get(name)))
    return next((f"{name}: {bodies.brief(value)}" for name, value in told), "")


def _unwrapped(obj: object) -> dict[str, Any]:
    for _ in range(4):
        if not isinstance(obj, dict):
            break
        inner = next(
            (obj[name] for name in ("call", "data") if isinstance(obj.get(name), dict)), None
        )
        if inner is None:
            return obj
        obj = inner
    raise Unreadable("not a call record")
