"""Legs, their call records and what they cost."""

from __future__ import annotations

import asyncio
import math
import os
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from simulator.config import Number, Switches
from simulator.ledger import Interaction
from simulator.phones import Behaviour, Press

if TYPE_CHECKING:
    from simulator.rooms import Member

WORKSPACE_ID = "0193c0de-0000-7abc-8def-000000000001"
CURRENCY = "KES"


def new_call_id() -> str:
    """A UUIDv7. Never seeded: a restarted simulator must not hand out old handles again."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def new_session_id() -> str:
    """A PBX session id, `HD_` and twelve hex digits (contract 1.1)."""
    return "HD_" + os.urandom(6).hex()


def rfc3339(at: float | None) -> str | None:
    """An instant as RFC 3339 in UTC (contract 3), None for none."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(eq=False, slots=True)
class Leg:
    """One party's connection, and the call record that Sautikit keeps of it.

    `kind` is `inbound` (somebody dialled our number), `outbound` (placed by POST /v1/calls) or
    `dial` (the callee leg of a `dial` action) or `supervisor`
    (the phone of one who listens in). `local` is our number, `remote` the other party.
    """

    kind: Literal["inbound", "outbound", "dial", "supervisor"]
    number: Number
    local: str
    remote: str
    behaviour: Behaviour
    voice_url: str = ""
    status_url: str = ""
    client_request_id: str = ""
    recorded: bool = True  # has a call record of its own, visible by REST
    parent: Leg | None = None
    sequence: int = 0
    recording_asked: int = 0  # how often somebody asked for its recording
    name: str = ""  # the same in each run: kind, party, and the how-manieth of these
    call_id: str = field(default_factory=new_call_id)
    session_id: str = field(default_factory=new_session_id)
    status: str = "ringing"  # contract 1.3
    started_at: float = field(default_factory=time.time)
    answered_at: float | None = None
    ended_at: float | None = None
    touched_at: float = field(default_factory=time.time)
    listed_at: float = 0.0  # from when on REST lists it, and tells it
    readable_at: float = 0.0
    end_cause: str = ""
    ended_by: str = ""
    rate_minor: int = 0
    cost_minor: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)  # the ledger's story
    events: list[dict[str, Any]] = field(default_factory=list)  # as embedded in the record
    rooms: list[dict[str, Any]] = field(default_factory=list)
    talks: list[Interaction] = field(default_factory=list)
    # What is going on while the leg lives:
    script: asyncio.Task[None] | None = None
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    children: list[Leg] = field(default_factory=list)  # that end with it: dialled, or listening
    bridges: dict[Leg, Interaction] = field(default_factory=dict)
    member: Member | None = None  # its place in a room
    prompts: int = 0  # getDigits prompts heard so far
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # answered or ended
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # ended

    @property
    def direction(self) -> Literal["inbound", "outbound"]:
        return "inbound" if self.kind == "inbound" else "outbound"

    @property
    def caller(self) -> str:
        """The calling party, `from` in events and on the seed page."""
        return self.remote if self.kind == "inbound" else self.local

    @property
    def callee(self) -> str:
        return self.local if self.kind == "inbound" else self.remote

    @property
    def duration_seconds(self) -> int | None:
        """Whole seconds from answer to end, begun seconds counted; None while it lives."""
        if self.ended_at is None:
            return None
        return math.ceil(self.ended_at - self.answered_at) if self.answered_at else 0

    def next_press(self) -> Press | None:
        """What this phone keys at its next getDigits prompt; None is no input."""
        turn, self.prompts = self.prompts, self.prompts + 1
        digits = self.behaviour.digits
        return digits[turn] if turn < len(digits) else None

    def record(self, *, with_events: bool = False) -> dict[str, Any]:
        """The call record, contract 3.2."""
        ended = self.ended_at is not None
        return {
            "id": self.call_id,
            "workspace_id": WORKSPACE_ID,
            "session_id": self.session_id,
            "direction": self.direction,
            "local_e164": self.local,
            "remote_e164": self.remote,
            "country": "KE" if self.remote.startswith("+254") else None,
            "started_at": rfc3339(self.started_at),
            "answered_at": rfc3339(self.answered_at),
            "ended_at": rfc3339(self.ended_at),
            "duration_seconds": self.duration_seconds,
            "status": self.status,
            "cost_minor": self.cost_minor,
            "cost_currency": CURRENCY if ended else None,
            "rate_per_minute_minor": self.rate_minor,
            "failure_code": self.end_cause if ended and self.status != "completed" else None,
            "metadata": None,
            "created_at": rfc3339(self.started_at),
            "updated_at": rfc3339(self.touched_at),
            "events": list(self.events) if with_events else [],
        }

    def story(self) -> dict[str, Any]:
        """Everything the ledger knows about this leg."""
        return {
            "call_id": self.call_id,
            "session_id": self.session_id,
            "kind": self.kind,
            "direction": self.direction,
            "from": self.caller,
            "to": self.callee,
            "client_request_id": self.client_request_id,
            "parent": self.parent.session_id if self.parent else None,
            "status": self.status,
            "started_at": self.started_at,
            "answered_at": self.answered_at,
            "ended_at": self.ended_at,
            "end_cause": self.end_cause,
            "ended_by": self.ended_by,
            "duration_seconds": self.duration_seconds,
            "cost_minor": self.cost_minor,
            "rooms": self.rooms,
            "bridges": [self._talk(one) for one in self.talks],
            "entries": self.entries,
        }

    def _talk(self, talk: Interaction) -> dict[str, Any]:
        is_caller = talk.caller_leg == self.session_id
        return {
            "with": talk.agent if is_caller else talk.caller,
            "with_leg": talk.agent_leg if is_caller else talk.caller_leg,
            "via": talk.via,
            "place": talk.place,
            "began_at": talk.began_at,
            "ended_at": talk.ended_at,
        }


def rate(leg: Leg, switches: Switches) -> int:
    """The price of a leg in minor units per minute (contract 8)."""
    if leg.kind == "inbound":
        return switches.inbound_rate_minor
    is_sip = leg.remote.startswith(("sip:", "sips:"))
    return switches.sip_rate_minor if is_sip else switches.outbound_rate_minor


def cost(leg: Leg, switches: Switches) -> int:
    """What a finished leg costs in minor units; ringing is free (contract 8).

    Per second: rate x seconds / 60, halves rounded up; per minute: rate x begun minutes.
    """
    seconds = leg.duration_seconds or 0
    if switches.per_minute:
        return leg.rate_minor * math.ceil(seconds / 60)
    return (leg.rate_minor * seconds + 30) // 60
