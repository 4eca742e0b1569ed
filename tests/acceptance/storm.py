"""A storm: many callers of all sorts at once, and the reckoning of every one of them afterwards.

All that people do is drawn from a seed beforehand. The reckoning holds the product's book against
the simulator's, call by call, and collects every disagreement instead of stopping at the first.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.centre import CLOSE, FINAL, Centre, Queue, at, phone

RING = 4  # seconds that an agent's phone rings
AGENT_WAYS = [
    ("answer", 74), ("leaves first", 12), ("no_answer", 6), ("busy", 4), ("reject", 2), ("fail", 2),
]  # fmt: skip
CALLER_WAYS = [("patient", 60), ("impatient", 25), ("at once", 8), ("in the menu", 7)]


@dataclass(frozen=True)
class Tolerance:
    """By how many seconds our book may differ from the provider's, under these faults."""

    news: float = 0.0  # by which a webhook comes late
    brief: float = 0.0  # so short a talk in a room may be unknown where the room's news is missing
    click: float = 0.0  # the same in a click to call, whose end no record corrects
    settled: float = 30.0  # after the last hang-up
    too_long: float = 3.0  # a phone rings for a caller who has gone


@dataclass
class Storm:
    """N callers within some seconds, seeded."""

    centre: Centre
    seed: int
    callers: int = 12
    seconds: float = 5.0
    clicks: int = 2
    teams: int = 1  # of four agents each
    tolerance: Tolerance = Tolerance()
    wrong: list[str] = field(default_factory=list, init=False)
    lost: list[str] = field(default_factory=list, init=False)
    ends: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(f"storm-{self.seed}")
        self.handles: dict[str, str] = {}  # session id of an inbound call: the number it dialled
        self.clicked: dict[str, str] = {}  # our id of an outbound call: the contact

    def rage(self, *faults: dict[str, Any], **switches: Any) -> None:
        """Set up, let all of it happen, wait for the end, and reckon; fails with the whole list."""
        queues, menu = self._set_up()
        self.centre.switch(faults=list(faults), seed=self.seed, **switches)
        self._play(self._plan(queues, menu))
        self._wait_for_the_end()
        self._settle()
        told = "\n".join(self.wrong)
        injected = Counter(one["kind"] for one in self._ledger["injected"])
        assert not self.wrong, f"seed {self.seed}, {dict(injected)}, {dict(self.ends)}:\n{told}"
        assert self.lost == [], f"seed {self.seed}: callers lost: {self.lost}"
        assert not faults or injected, "no fault has happened: nothing is proven"
        assert len(self.ends) > 1, f"seed {self.seed}: all calls ended alike: {self.ends}"

    # --- who takes part

    def _set_up(self) -> tuple[list[Queue], str]:
        centre = self.centre
        direct = centre.queue(ring_timeout=RING)
        held = centre.queue(ring_timeout=RING, direct_dial=False, wrap_up_seconds=0)
        menu = centre.menu(("1", direct), ("2", held), tries=2)
        for _ in range(self.teams):
            centre.agent(direct, answers=self._phone())
            centre.agent(direct, held, answers=self._phone())
            centre.agent(held, direct, sip=True, answers=self._phone())
            centre.agent(held, confirm_key=True, answers=self._phone(presses=True))
        return [direct, held], menu

    def _phone(self, *, presses: bool = False) -> list[dict[str, Any]]:
        """What an agent's phone does, call by call."""
        return [self._answer(presses=presses) for _ in range(200)]

    def _answer(self, *, presses: bool) -> dict[str, Any]:
        draw = self.draw
        way = _one_of(draw, AGENT_WAYS)
        ring = draw.uniform(0.1, 0.8)
        if way in {"no_answer", "busy", "reject", "fail"}:
            return phone(action=way, ring=None if way == "no_answer" else ring)
        keys = draw.choice(["1"] * 8 + ["2", None]) if presses else None
        digits = [{"after": draw.uniform(0.1, 0.5), "keys": keys}] if keys else None
        talk = draw.uniform(0.3, 2) if way == "leaves first" else None
        return phone(ring=ring, talk=talk, digits=digits)

    def _plan(self, queues: list[Queue], menu: str) -> list[tuple[float, Any]]:
        """Who calls when, and how they behave."""
        draw, plan = self.draw, list[tuple[float, Any]]()
        numbers = [queue.number for queue in queues]
        for n in range(self.callers):
            way = _one_of(draw, CALLER_WAYS)
            to = menu if way == "in the menu" else draw.choice([*numbers, *numbers, menu])
            how: dict[str, Any] = {
                "caller": f"+25471{self.seed % 100:02}{n:05}",
                "talk": draw.uniform(0.4, 3),
                "patience": draw.uniform(0.5, 3) if way == "impatient" else draw.uniform(6, 9),
            }
            if way == "at once" or way == "in the menu":
                how["hangup_after"] = draw.uniform(0.1, 0.8)
            if to == menu:
                how["digits"] = [draw.choice(["1", "2", "2", "9", None]) for _ in range(3)]
            plan.append((draw.uniform(0, self.seconds), (to, how)))
        for n in range(self.clicks):
            contact = f"+25473{self.seed % 100:02}{n:05}"
            way = _one_of(draw, [("answer", 70), ("no_answer", 10), ("busy", 10), ("fail", 10)])
            ring = draw.uniform(0.1, 0.8)
            answers = phone(action=way, ring=ring, talk=draw.uniform(0.5, 2))
            plan.append((draw.uniform(0, self.seconds), (contact, answers)))
        return sorted(plan, key=lambda step: step[0])

    def _play(self, plan: list[tuple[float, Any]]) -> None:
        began = time.monotonic()
        for due, (number, how) in plan:
            while (left := began + due - time.monotonic()) > 0:
                time.sleep(min(left, 0.5))
                self._rouse()
            if "caller" in how:
                self.handles[self.centre.call_in(number, **how)] = number
            else:
                self._click(number, how)

    def _click(self, contact: str, answers: dict[str, Any]) -> None:
        """The first agent who is free calls a contact."""
        for agent in self.centre.agents:
            body = {"agent": agent.username, "to": contact}
            self.centre.set_phone(contact, answers)
            answer = self.centre.http.post(
                f"{self.centre.stack.url}/api/calls/", json=body, timeout=10
            )
            if answer.ok:
                self.clicked[str(answer.json()["id"])] = contact
                return
            assert answer.status_code == 409, answer.text[:300]

    def _rouse(self) -> None:
        """A supervisor has the agents who are held off or on a break take calls again."""
        for agent in self.centre.agents:
            state = self.centre.state(agent)
            if state["engagement"] != "idle" or not (
                state["hold_off_reason"] or state["presence"] == "break"
            ):
                continue
            self.centre.present(agent, "break")
            self.centre.present(agent)

    def _wait_for_the_end(self) -> None:
        """Until everybody has hung up."""
        limit = time.monotonic() + 60
        while self.centre.sim("GET", "/health")["live"]:
            if time.monotonic() > limit:
                raise AssertionError(f"seed {self.seed}: legs live a minute after the last call")
            self._rouse()
            time.sleep(0.3)

    def _settle(self) -> None:
        """Reckon until both books agree, or the time for that is over."""
        limit = time.monotonic() + self.tolerance.settled
        while True:
            self.wrong, self.lost, self.ends = self._open_still(), [], Counter()
            self._reckon()
            if not self.wrong or time.monotonic() > limit:
                return
            time.sleep(1)

    def _open_still(self) -> list[str]:
        """What is not over in our book."""
        told = [
            f"{agent.username} is {state['engagement']}"
            for agent in self.centre.agents
            if (state := self.centre.state(agent))["engagement"] not in {"idle", "wrap_up"}
        ]
        for call_id in (*self.handles, *self.clicked):
            if self.centre.status(call_id) not in {*FINAL, ""}:
                told.append(f"call {call_id} is {self.centre.status(call_id)}")
                continue
            call = self.centre.call(call_id) if self.centre.status(call_id) else {"legs": []}
            told += [
                f"call {call_id}: the leg to {leg['party']} is open"
                for leg in call["legs"]
                if not leg["ended_at"]
            ]
        return told

    # --- the reckoning

    def _reckon(self) -> None:
        self._ledger = self.centre.sim("GET", "/ledger")
        self._legs = {leg["session_id"]: leg for leg in self._ledger["legs"]}
        self.wrong += [f"problem: {one}" for one in self._ledger["problems"]]
        for handle in self.handles:
            leg = self._legs[handle]
            if not self.centre.status(handle):
                if any(one["what"] == "post" and one["status"] == 200 for one in leg["entries"]):
                    self.wrong.append(f"{handle} is not in our book: {_story(leg)}")
                continue
            self._compare(self.centre.call(handle), leg)
            if leg["ended_by"] == "exchange" and not leg["bridges"]:
                self.lost.append(f"{handle} {leg['end_cause']}: {_story(leg)}")
        for call_id, contact in self.clicked.items():
            placed = [leg for leg in self._legs.values() if leg["to"] == contact]
            if len(placed) > 1:
                self.wrong.append(f"contact {contact} was rung {len(placed)} times")
            self._compare(self.centre.call(call_id), placed[0] if placed else None)
        self._check_phones()

    def _compare(self, call: dict[str, Any], leg: dict[str, Any] | None) -> None:
        """One call: its one end, whom it reached, where it was given up, and when."""
        self.ends[call["status"]] += 1
        wrong: list[str] = []
        ends = [one["kind"] for one in call["timeline"] if one["kind"] in FINAL]
        corrected = [one for one in call["timeline"] if one["kind"] == "corrected"]
        if corrected and not ends:  # while it waited: the correction is the end
            ends = [call["status"]]
        if len(ends) != 1:
            wrong.append(f"ended {len(ends)} times: {ends}")
        elif not corrected and ends != [call["status"]]:
            wrong.append(f"is {call['status']} and ended as {ends}")
        if any(offer["ended_at"] is None for offer in call["offers"]):
            wrong.append("has an open offer")
        wrong += self._outcome(call, leg) + self._times(call, leg) + self._ringing_in_vain(call)
        if wrong:
            legs = [self._legs[one["session_id"]] for one in call["legs"] if one["session_id"]]
            told = "\n".join(
                [f"  {one['at']} {one['kind']} {one['source']} {one['detail']}"
                 for one in call["timeline"]]
                + [f"  {_story(one)}" for one in legs]
            )  # fmt: skip
            self.wrong.append(f"call {call['id']} {'; '.join(wrong)}\n{told}")

    def _outcome(self, call: dict[str, Any], leg: dict[str, Any] | None) -> list[str]:
        told = leg["bridges"] if leg else []
        least = self.tolerance.brief if call["direction"] == "inbound" else self.tolerance.click
        talks = [talk for talk in told if talk["ended_at"] - talk["began_at"] > least]
        if call["status"] == "completed" and not talks:
            talks = told[-1:]
        if len(talks) > 1:
            return [f"talked to {len(talks)} people"]
        if talks:
            if call["status"] != "completed":
                lasted = talks[0]["ended_at"] - talks[0]["began_at"]
                return [f"is {call['status']}, and talked for {lasted:.2f} s"]
            if self._destination(call["agent"]) != talks[0]["with"]:
                return [f"talked to {talks[0]['with']}, not to {call['agent']}"]
            return []
        if call["status"] == "completed":
            missed = least and self._just_missed(call, leg, least)
            return [] if missed else ["is completed, and never talked"]
        if call["direction"] == "outbound":
            return self._outbound_outcome(call, leg)
        if call["status"] != "abandoned":
            return [f"is {call['status']}"]
        return self._given_up_in(call, leg) if leg else []

    def _just_missed(self, call: dict[str, Any], leg: dict[str, Any] | None, least: float) -> bool:
        """Whether the agent came into the room as the customer left it."""
        left = [one["at"] for one in leg["entries"] if one["what"] == "room_left"] if leg else []
        came = [
            one["at"]
            for agent in self._agent_legs(call)
            for one in agent["entries"]
            if one["what"] == "room_entered"
        ]
        return any(abs(here - there) < least for here in left for there in came)

    def _given_up_in(self, call: dict[str, Any], leg: dict[str, Any]) -> list[str]:
        done = {next(iter(one["action"])) for one in leg["entries"] if one["what"] == "action"}
        where, gone_at = call["abandoned_in"], leg["ended_at"]
        in_line = "conference" in done or "dial" in done
        if where == "menu" and in_line:
            return ["was given up in the menu, and had come to the queue"]
        ringing = [
            one
            for one in self._agent_legs(call)
            if one["started_at"] < gone_at - CLOSE - self.tolerance.news < one["ended_at"]
            and one["ended_at"] >= gone_at + CLOSE
            and not _was_told_to_stop(one, gone_at)
        ]
        if where == "queue" and ringing:
            return ["was given up in the queue, and a phone rang for it"]
        if where == "ringing" and not any(
            one["ended_at"] > gone_at - CLOSE - self.tolerance.news - RING
            for one in self._agent_legs(call)
        ):
            unplaced = any(one["kind"] == "offered" for one in call["timeline"])
            return [] if unplaced else ["was given up while ringing, and no phone rang"]
        return []

    def _outbound_outcome(self, call: dict[str, Any], leg: dict[str, Any] | None) -> list[str]:
        if leg is None:
            right = {"failed"}
        elif leg["answered_at"]:
            right = {"abandoned"} if leg["ended_by"] == "phone" else {"failed"}
        else:
            right = {"canceled": {"no_answer"}, "failed": {"failed"}}.get(
                leg["status"], {leg["status"]}
            )
        return [] if call["status"] in right else [f"is {call['status']}, not {right}"]

    def _times(self, call: dict[str, Any], leg: dict[str, Any] | None) -> list[str]:
        if leg is None or not call["ended_at"]:
            return []
        wrong, most = [], CLOSE + self.tolerance.news + self._slowness(call)
        over_at = leg["ended_at"]
        if call["status"] == "completed":
            over_at = leg["bridges"][-1]["ended_at"] if leg["bridges"] else over_at
        late = at(call["ended_at"]) - over_at
        if call["status"] in {"completed", "abandoned"} and not -CLOSE < late < most:
            wrong.append(f"ended {late:+.1f} s late")
        if call["connected_at"] and leg["bridges"]:
            late = at(call["connected_at"]) - leg["bridges"][-1]["began_at"]
            if not -CLOSE < late < most:
                wrong.append(f"connected {late:+.1f} s late")
        for known in call["legs"]:
            true = self._legs.get(known["session_id"] or "")
            if true and known["ended_at"] and true["ended_at"]:
                late = at(known["ended_at"]) - true["ended_at"]
                if not -CLOSE < late < most:
                    wrong.append(f"leg to {known['party']} ended {late:+.1f} s late")
        return wrong

    def _ringing_in_vain(self, call: dict[str, Any]) -> list[str]:
        leg = self._legs.get(_customer(call)["session_id"] or "")
        if leg is None or leg["ended_at"] is None:
            return []
        return [
            f"the phone of {one['to']} rang for {rang:.1f} s after the caller had gone"
            for one in self._agent_legs(call)
            if (rang := (one["answered_at"] or one["ended_at"] or time.time()) - leg["ended_at"])
            > self.tolerance.too_long + self._slowness(call)
        ]

    def _slowness(self, call: dict[str, Any]) -> float:
        """The longest that any webhook about this call was answered in, in seconds."""
        known = {leg["session_id"] for leg in call["legs"]}
        took = [
            entry["ms"]
            for leg in self._legs.values()
            if leg["session_id"] in known or leg["parent"] in known
            for entry in leg["entries"]
            if entry["what"] == "post"
        ]
        return max(took, default=0) / 1000

    def _agent_legs(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        """The provider's legs to agents on this call, whether we know of them or not."""
        customer = _customer(call)["session_id"]
        known = {one["session_id"] for one in call["legs"] if one["role"] == "agent"}
        return [
            leg
            for leg in self._legs.values()
            if leg["session_id"] in known or (customer and leg["parent"] == customer)
        ]

    def _check_phones(self) -> None:
        """No phone rang while in use; nobody was connected to two."""
        for leg in self._legs.values():
            if any(one["what"] == "line_in_use" for one in leg["entries"]):
                others = [
                    f"  {_story(one)}"
                    for one in self._legs.values()
                    if one["to"] == leg["to"]
                    and one["started_at"] <= leg["started_at"] <= (one["ended_at"] or time.time())
                ]
                self.wrong.append("\n".join([f"{leg['to']} was rung while in use:", *others]))
        for agent in self.centre.agents:
            talks = sorted(
                (one["began_at"], one["ended_at"] or time.time())
                for one in self._ledger["interactions"]
                if agent.destination in {one["agent"], one["caller"]}
            )
            self.wrong += [
                f"{agent.username} talked to two at a time"
                for (_, ended_at), (began_at, _) in itertools.pairwise(talks)
                if began_at < ended_at
            ]

    def _destination(self, username: str | None) -> str:
        named = {agent.username: agent.destination for agent in self.centre.agents}
        return named.get(username or "", "")


def _one_of(draw: random.Random, ways: list[tuple[str, int]]) -> str:
    return draw.choices([way for way, _ in ways], [weight for _, weight in ways])[0]


def _customer(call: dict[str, Any]) -> dict[str, Any]:
    return next(leg for leg in call["legs"] if leg["role"] == "customer")


def _was_told_to_stop(leg: dict[str, Any], by: float) -> bool:
    """Whether we had asked for its end by then, even if that request was made to fail."""
    return any(
        (one["what"] == "hangup_asked" or str(one.get("route", "")).endswith("/hangup"))
        and one["at"] < by
        for one in leg["entries"]
    )


def _story(leg: dict[str, Any]) -> str:
    """A leg in one line, in seconds from its start (UTC)."""
    began = time.strftime("%H:%M:%S", time.gmtime(leg["started_at"]))
    told = []
    for one in leg["entries"]:
        after = one["at"] - leg["started_at"]
        if one["what"] == "post":
            word = f"post:{one['edge']}:{one['status']}"
        elif one["what"] == "action":
            word = f"do:{next(iter(one['action']))}"
        elif one["what"] == "fault":
            about = one.get("edge") or one.get("route") or one.get("event") or ""
            word = f"FAULT:{one['kind']}:{about}"
        else:
            word = str(one["what"])
        told.append(f"{after:.2f} {word}")
    return (
        f"{leg['kind']} {leg['from']} -> {leg['to']} {leg['session_id']}, {leg['status']} "
        f"({leg['end_cause']} by {leg['ended_by']}), from {began}: " + ", ".join(told)
    )
