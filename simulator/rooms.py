"""Conference rooms (contract 5.5) and their status events (contract 6.6)."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.calls import Leg
    from simulator.exchange import Exchange

_participants = itertools.count(1)


@dataclass(eq=False, slots=True)
class Member:
    """One leg's stay in a room, as its own document asked for it."""

    leg: Leg
    room: Room
    start_on_enter: bool
    end_on_exit: bool
    muted: bool
    events_url: str
    events: frozenset[str]
    stay: dict[str, Any]  # the ledger's line: name, entered_at, left_at
    participant_id: str = field(default_factory=lambda: f"p-{next(_participants)}")
    released: asyncio.Event = field(default_factory=asyncio.Event)  # the room let the leg go


@dataclass(eq=False, slots=True)
class Room:
    """A named room: its members wait until somebody with startOnEnter comes in."""

    name: str
    members: dict[Leg, Member] = field(default_factory=dict)
    started: bool = False
    first: tuple[str, frozenset[str]] = ("", frozenset())  # first callback URL and its events
    urls: dict[str, frozenset[str]] = field(default_factory=dict)  # all that were ever given


Send = Callable[["Leg", str, dict[str, Any]], None]


class Rooms:
    """All open rooms of the workspace."""

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self._exchange = exchange
        self._send = send
        self.open: dict[str, Room] = {}

    def enter(self, leg: Leg, fields: dict[str, Any]) -> Member | None:
        """Put a leg into a room; None when the room is full, where the leg stalls."""
        name = fields["name"]
        room = self.open.get(name) or Room(name)
        limit = fields.get("maxParticipants", 0)
        if limit and len(room.members) >= limit:
            return None
        self.open[name] = room
        stay: dict[str, Any] = {"name": name, "entered_at": time.time(), "left_at": None}
        member = Member(
            leg=leg,
            room=room,
            start_on_enter=fields.get("startOnEnter", True),
            end_on_exit=fields.get("endOnExit", False),
            muted=fields.get("muted", False),
            events_url=fields.get("statusEventsCallbackUrl", ""),
            events=frozenset(fields.get("statusEvents", "").split()),
            stay=stay,
        )
        leg.rooms.append(stay)
        leg.member = member
        room.members[leg] = member
        if member.events_url and not room.first[0]:
            room.first = (member.events_url, member.events)
        if member.events_url:
            room.urls[member.events_url] = member.events
        self._exchange.ledger.note(
            leg, "room_entered", room=name, participant_id=member.participant_id
        )
        self._tell(room, "join", member)
        if member.start_on_enter and not room.started:
            room.started = True
            self._tell(room, "start", member)
            if len(room.members) > 1:
                self._bridge_all(room)
        elif room.started:
            self._bridge_all(room)
        return member

    def _bridge_all(self, room: Room) -> None:
        legs = list(room.members)
        for one, other in itertools.combinations(legs, 2):
            self._exchange.bridge(one, other, via="room", place=room.name)

    def leave(self, leg: Leg, reason: str) -> None:
        """Take a leg out of its room; with endOnExit that ends the room for all."""
        member = leg.member
        if member is None:
            return
        room = member.room
        self._remove(member, reason)
        if member.end_on_exit:
            for other in list(room.members.values()):
                self._remove(other, "room_ended")
                other.released.set()
        if not room.members:
            self.open.pop(room.name, None)
            self._tell(room, "end", member)

    def _remove(self, member: Member, reason: str) -> None:
        leg, room = member.leg, member.room
        del room.members[leg]
        leg.member = None
        member.stay["left_at"] = time.time()
        self._exchange.ledger.note(leg, "room_left", room=room.name, reason=reason)
        for other in list(leg.bridges):
            self._exchange.unbridge(leg, other)
        self._tell(room, "leave", member)

    def _tell(self, room: Room, event: str, member: Member) -> None:
        """Post a status event to whoever asked for it.

        Which URL gets what when the documents of two legs differ is open (contract 6.6); the
        switch `conference_events_to` chooses: the participant's own URL, and the room's first
        where it gave none; always the first; or every URL in the room.
        """
        policy = self._exchange.config.switches.conference_events_to
        own = (member.events_url, member.events)
        targets: dict[str, frozenset[str]] = {}
        if policy == "all":
            everyone = [(one.events_url, one.events) for one in room.members.values()]
            for url, events in (room.first, own, *everyone):
                targets[url] = targets.get(url, frozenset()) | events
        else:
            url, events = own if policy == "own" and own[0] else room.first
            targets[url] = events
        others = [one for one in room.urls if one not in targets]
        if others and self._exchange.faults.strikes("astray", f"{event} {member.leg.name}"):
            self._exchange.ledger.fault(member.leg, "astray", event=event)
            targets = {others[0]: room.urls[others[0]]}
        body = {
            "event": event,
            "conference_name": room.name,
            "caller": member.leg.remote,
            "participant_id": member.participant_id,
            "participants": len(room.members),
            "sessionId": member.leg.session_id,
        }
        for url, events in targets.items():
            if url and event in events:
                self._send(member.leg, url, body)
