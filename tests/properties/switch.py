"""The provider in virtual time: plays our documents, keeps true records, and tells the news.

What it knows is the truth of a story: who was rung, who talked with whom and for how long. What
it tells goes through a `Post`, which loses, repeats, delays and disguises it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from .parties import Connection, Person, Ring, Talk
from .post import Copy, Post, Postman
from .timeline import Timeline

INBOUND = "/calls/inbound?token=test-webhook-token"
EVENTS = "/calls/events?token=test-webhook-token"
RINGS_AT_MOST = 60  # seconds; the network gives up then


class Switch:
    """Rings phones, plays documents, runs rooms."""

    def __init__(self, timeline: Timeline, post: Post, phones: dict[str, list[Ring]]) -> None:
        self.time, self.news, self.man = timeline, post, Postman(lambda: timeline.seconds)
        self.phones = phones
        self.agents = set(phones)
        self.people: dict[str, Person] = {}
        self.contacts: dict[str, Ring] = {}
        self.legs: list[Connection] = []
        self.talks: list[Talk] = []
        self.rooms: dict[str, list[Connection]] = defaultdict(list)
        self._handles, self._ids = count(1), count(1)

    # --- Legs ----------------------------------------------------------------------------------

    def connection(self, direction: str, ours: str, theirs: str, **more: Any) -> Connection:
        n = next(self._handles)
        leg = Connection(
            f"HD_{n:012x}", f"0193c0de-1111-7abc-8def-{n:012x}", direction, ours, theirs,
            self.time.now, **more,
        )  # fmt: skip
        self.legs.append(leg)
        return leg

    def call_in(self, customer: str, line: str, person: Person) -> Connection:
        """Somebody dials our number."""
        self.people[customer] = person
        leg = self.connection("inbound", line, customer, voice_url=INBOUND)
        self.time.after(person.patience, lambda: self._loses_patience(leg))
        reply = self.ask("first post", leg, INBOUND, {"callSessionState": "Ringing"})
        if leg.is_live:
            self._answered(leg)
            self.play(leg, reply)
        return leg

    def _loses_patience(self, leg: Connection) -> None:
        if leg.is_live and not self._talk_of(leg):
            self.end(leg)

    def _answered(self, leg: Connection) -> None:
        leg.status, leg.answered_at = "answered", self.time.now
        self._event(f"{leg.who} answered", leg, "call.answered")

    def ring(
        self, leg: Connection, ring: Ring, limit: float, on_answer: Callable[[], None]
    ) -> None:
        leg.ring = ring
        self._event("agent rings" if leg.who == "agent" else "", leg, "call.started")

        def then(status: str | None) -> Callable[[], None]:
            def do() -> None:
                if leg.status != "ringing":
                    return
                if status:
                    self.end(leg, status)
                else:
                    self._answered(leg)
                    on_answer()

            return do

        busy = any(
            other is not leg and other.is_live and other.theirs == leg.theirs for other in self.legs
        )
        if busy or ring.how == "is_busy":
            self.time.after(1, then("busy"))
        elif ring.how == "rejects":
            self.time.after(ring.after, then("failed"))
        elif ring.how == "answers" and ring.after < limit:
            self.time.after(ring.after, then(None))
        self.time.after(limit, then("no_answer"))

    def next_ring(self, party: str) -> Ring:
        if party in self.contacts:
            return self.contacts[party]
        rings = self.phones.get(party, [])
        return rings.pop(0) if rings else Ring("ignores")

    def end(self, leg: Connection, status: str = "") -> None:
        """A leg is over: by a hang-up, or with the status of one that nobody answered."""
        if not leg.is_live:
            return
        was_answered = leg.status == "answered"
        leg.status = "completed" if was_answered else status or "canceled"
        leg.ended_at, leg.turn = self.time.now, leg.turn + 1
        self._end_talk(leg)
        self._leave(leg)
        if leg.dials and leg.dials.is_live:
            self.end(leg.dials)
        self._tell_end(leg, was_answered)
        if leg.parent and leg.parent.is_live:
            self._dial_over(leg)

    def _tell_end(self, leg: Connection, was_answered: bool) -> None:
        seconds = int(((leg.ended_at or self.time.now) - leg.started_at).total_seconds())
        body = {"callSessionState": "Completed", "durationInSeconds": str(seconds), "isActive": "0"}
        if not was_answered:
            body["hangupCause"] = leg.status
        if not leg.parent:  # the callee of a dial has no voice URL
            other = leg.last_url if leg.who == "caller" else INBOUND
            self._edge(f"{leg.who} ended (voice)", leg, leg.voice_url, other or INBOUND, body)
        kind = "call.completed" if was_answered else "call.failed"
        self._event(f"{leg.who} ended (event)", leg, kind)

    # --- Documents -----------------------------------------------------------------------------

    def ask(self, name: str, leg: Connection, url: str, body: dict[str, Any]) -> Any:
        """Ask one of our voice URLs; repeats come later, and what they are told is not played."""
        first, *again = self.news.copies(name) or (Copy(),)
        fields = {**self._who(leg), **body}

        def post(copy: Copy) -> Any:
            as_json = bool(copy.as_json)
            return self.man.send(url, fields, as_json=as_json, names=copy.names)

        reply = post(first)
        for copy in again:
            self.time.after(copy.late, partial(post, copy))
        return reply

    def _who(self, leg: Connection) -> dict[str, Any]:
        caller, called = (
            (leg.theirs, leg.ours) if leg.direction == "inbound" else (leg.ours, leg.theirs)
        )
        return {"sessionId": leg.session, "callerNumber": caller, "destinationNumber": called}

    def play(self, leg: Connection, reply: Any) -> None:
        if reply["Content-Type"].startswith("application/json"):
            leg.actions = json.loads(reply.content)["actions"]
        self._next(leg)

    def _later(self, leg: Connection, seconds: float, do: Callable[[], object]) -> None:
        """Do so unless the leg has moved on by then."""
        leg.turn += 1
        turn = leg.turn
        self.time.after(seconds, lambda: do() if leg.is_live and leg.turn == turn else None)

    def _next(self, leg: Connection) -> None:
        if not leg.is_live:
            return
        if not leg.actions:
            self.end(leg)
            return
        [(verb, told)] = leg.actions.pop(0).items()
        getattr(self, f"_do_{verb}")(leg, told)

    def _do_say(self, leg: Connection, told: dict[str, Any]) -> None:
        self._later(leg, len(told["text"]) / 10, lambda: self._next(leg))

    def _do_play(self, leg: Connection, told: dict[str, Any]) -> None:
        self._later(leg, 14, lambda: self._next(leg))

    def _do_hangup(self, leg: Connection, told: dict[str, Any]) -> None:
        self.end(leg)

    def _do_redirect(self, leg: Connection, told: dict[str, Any]) -> None:
        leg.last_url = told["url"]
        names = {"menu": "menu", "dial-result": "dial-result"}
        name = names.get(urlsplit(told["url"]).path.rsplit("/", 1)[1], "agent-join")
        self._later(leg, 0, lambda: self.play(leg, self.ask(name, leg, told["url"], {})))

    def _do_getDigits(self, leg: Connection, told: dict[str, Any]) -> None:
        prompt = sum(
            len(each["say"]["text"]) / 10 for each in told.get("nested", []) if "say" in each
        )
        if leg.who == "agent":
            key = leg.ring.key
        else:
            person = self.people[leg.theirs]
            key = person.keys[0] if person.keys else None
            self.people[leg.theirs] = Person(
                person.patience, person.keys[1:], person.talk, person.ends_the_talk
            )
        if key is None:
            self._later(leg, prompt + told["timeout"], lambda: self._next(leg))
            return
        name = "agent-join" if leg.who == "agent" else "menu"
        self._later(
            leg, prompt + 2,
            lambda: self.play(leg, self.ask(name, leg, leg.voice_url, {"Digits": key})),
        )  # fmt: skip

    def _do_dial(self, leg: Connection, told: dict[str, Any]) -> None:
        party = told.get("number") or told["sip"]
        callee = self.connection(
            "outbound", told.get("callerId", leg.ours), party, voice_url="", parent=leg
        )
        leg.dials = callee
        leg.turn += 1
        self.ring(
            callee, self.next_ring(party), told.get("timeout", 30), lambda: self._talk(leg, callee)
        )

    def _dial_over(self, callee: Connection) -> None:
        leg = callee.parent
        assert leg
        leg.dials = None
        body = {"callSessionState": "DialCompleted"}
        self._edge("dial over", leg, leg.voice_url, leg.voice_url, body, usually=False)
        self._later(leg, 0, lambda: self._next(leg))

    # --- Rooms ---------------------------------------------------------------------------------

    def _do_conference(self, leg: Connection, told: dict[str, Any]) -> None:
        leg.turn += 1
        leg.room, leg.ends_room = told["name"], told.get("endOnExit", False)
        leg.room_url = told.get("statusEventsCallbackUrl", "")
        self.rooms[leg.room].append(leg)
        self._room_event(f"{leg.who} joins", leg, "join")
        others = [other for other in self.rooms[leg.room] if other is not leg]
        for other in others:
            if {leg.who, other.who} == {"agent", "caller"}:
                caller, agent = (leg, other) if leg.who == "caller" else (other, leg)
                self._talk(caller, agent)
        if leg.who == "agent" and leg.ring.leaves:
            self.time.after(0.5, lambda: self.end(leg))

    def _leave(self, leg: Connection) -> None:
        if not leg.room:
            return
        room, leg.room = leg.room, ""
        self.rooms[room].remove(leg)
        self._room_event(f"{leg.who} leaves", leg, "leave")
        self._end_talk(leg)
        if leg.ends_room:
            for other in list(self.rooms[room]):
                self._leave(other)
                self._later(other, 0, partial(self._next, other))
            if leg.who == "caller":
                self._room_event("room ends", leg, "end")

    # --- Talks ---------------------------------------------------------------------------------

    def _talk(self, caller: Connection, agent: Connection) -> None:
        talk = Talk(agent.theirs, caller.session, self.time.now)
        self.talks.append(talk)
        person = self.people.get(caller.theirs, Person())
        first = caller if person.ends_the_talk else agent
        self.time.after(person.talk, lambda: self.end(first))

    def _talk_of(self, leg: Connection) -> Talk | None:
        return next(
            (
                talk for talk in self.talks
                if talk.until is None and leg.is_live
                and (talk.customer == leg.session or talk.agent == leg.theirs)
            ), None,
        )  # fmt: skip

    def _end_talk(self, leg: Connection) -> None:
        for talk in self.talks:
            mine = talk.customer == leg.session or (leg.who == "agent" and talk.agent == leg.theirs)
            if talk.until is None and mine:
                talk.until = self.time.now

    # --- News ----------------------------------------------------------------------------------

    def _deliver(self, name: str, send: Callable[[Copy], object], *, usually: bool = True) -> None:
        copies = self.news.copies(name) if usually or name in self.news.news else ()
        for copy in copies:
            if copy.late:
                self.time.after(copy.late, partial(send, copy))
            else:
                self.time.after(0, partial(send, copy))

    def _edge(
        self, name: str, leg: Connection, url: str, other: str, body: dict[str, Any], *,
        usually: bool = True,
    ) -> None:  # fmt: skip
        fields = {**self._who(leg), **body}
        self._deliver(
            name,
            lambda copy: self.man.send(
                other if copy.elsewhere else url, fields,
                as_json=bool(copy.as_json), names=copy.names,
            ),
            usually=usually,
        )  # fmt: skip

    def _event(self, name: str, leg: Connection, kind: str) -> None:
        if not name:
            return
        told = {
            "call_id": leg.uuid, "pbx_call_id": leg.session, "direction": leg.direction,
            "from": self._who(leg)["callerNumber"], "to": self._who(leg)["destinationNumber"],
            "status": "failed" if kind == "call.failed" else kind.partition(".")[2],
        }  # fmt: skip
        if kind == "call.failed":
            told["failure_reason"] = leg.status
        for what in ("answered_at", "ended_at"):
            if when := getattr(leg, what):
                told[what] = when.isoformat()
        event_id = f"event-{next(self._ids)}"

        def send(copy: Copy) -> None:
            body: dict[str, Any] = {"kind": kind, "event_id": event_id, "data": told}
            as_json = True
            if copy.envelope == "payload":
                body = {"event_kind": kind, "event_id": event_id, "payload": told}
            elif copy.envelope == "flat":
                body = {"event": kind, **told}
                as_json = bool(copy.as_json)
            url = leg.status_url if copy.elsewhere and leg.status_url else EVENTS
            self.man.send(url, body, as_json=as_json, signed=copy.signed)

        self._deliver(name, send)

    def _room_event(self, name: str, leg: Connection, event: str) -> None:
        url, room = leg.room_url, leg.room or "room"
        others = [other.room_url for other in self.rooms.get(room, []) if other is not leg]
        fields = {
            "event": event, "conference_name": room, "caller": leg.theirs,
            "participant_id": f"p-{leg.session}", "sessionId": leg.session,
        }  # fmt: skip

        def send(copy: Copy) -> None:
            to = others[0] if copy.elsewhere and others else url
            self.man.send(to, fields, as_json=copy.as_json is not False, names=copy.names)

        if url:
            self._deliver(name, send)
