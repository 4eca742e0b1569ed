"""The call centre as its users see it, and the provider's book to hold it against.

Everything goes through public URLs: `/api/` of the product, `/_sim/` of the simulator. All times
here are seconds of the clock; the simulator's phones are told theirs in their own.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
import requests

from tests.acceptance.stack import NUMBERS, SPEED, WholeStack

FINAL = {
    "completed", "abandoned", "no_answer", "busy", "voicemail", "callback", "overflowed",
    "expired", "closed_hours", "rejected", "failed",
}  # fmt: skip
PHONE_TIME = {"ring", "talk", "hangup_after", "patience"}
CLOSE = 1.5  # seconds by which the product's book may differ from the provider's
_numbers, _people = iter(NUMBERS), itertools.count(1)


def phone(**behaviour: Any) -> dict[str, Any]:
    """How a phone behaves, from seconds of the clock."""
    return {
        name: value * SPEED if name in PHONE_TIME and value is not None else value
        for name, value in behaviour.items()
    }


NEVER = phone(action="no_answer")
BUSY = phone(action="busy")


@dataclass(frozen=True)
class Queue:
    """A queue of this test."""

    slug: str
    number: str


@dataclass(frozen=True)
class Agent:
    """An agent of this test."""

    username: str
    destination: str


@dataclass
class Centre:
    """One test's own part of the running product."""

    stack: WholeStack
    agents: list[Agent] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    http: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.http.headers["Authorization"] = f"Token {self.stack.token}"
        self.http.trust_env = False
        self.simulator = requests.Session()
        self.simulator.trust_env = False
        self.began = time.time()

    # --- the two sides

    def api(self, method: str, path: str, body: Any = None, *, status: int | None = None) -> Any:
        """One request to the product; any 2xx will do unless a status is named."""
        answer = self.http.request(method, self.stack.url + path, json=body, timeout=10)
        right = answer.ok if status is None else answer.status_code == status
        assert right, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def sim(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the simulator's control."""
        answer = self.simulator.request(
            method, f"{self.stack.simulator_url}/_sim{path}", json=body, timeout=10
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def switch(self, **switches: Any) -> None:
        """Choose how the provider reads what its contract leaves open."""
        self.sim("PATCH", "/config", switches)

    # --- setting up

    def number(self) -> str:
        """A number that no other test uses."""
        number = next(_numbers)
        self.lines.append(number)
        return number

    def queue(self, **values: Any) -> Queue:
        """A new queue with quick times."""
        number = self.number()
        slug = f"queue-{number[-5:]}"
        quick = {
            "name": f"Queue {number[-5:]}", "ring_timeout": 2, "wrap_up_seconds": 1,
            "greeting": "Hello.", "hold_message": "Please hold.",
        }  # fmt: skip
        body = {"slug": slug, "numbers": [number], **quick, **values}
        self.api("POST", "/api/queues/", body, status=201)
        return Queue(slug, number)

    def agent(
        self,
        *queues: Queue,
        presence: str = "available",
        sip: bool = False,
        answers: Any = None,
        **values: Any,
    ) -> Agent:
        """A new agent in these queues, whose phone `answers` so (quickly unless told)."""
        n = next(_people)
        destination = f"sip:agent{n}@pbx.example.com" if sip else f"+25472200{n:04}"
        agent = Agent(f"agent-{n}", destination)
        body = {
            "username": agent.username, "name": f"Agent {n}", "destination": destination,
            "queues": [queue.slug for queue in queues], **values,
        }  # fmt: skip
        self.api("POST", "/api/agents/", body, status=201)
        self.agents.append(agent)
        self.set_phone(destination, phone(ring=0.3) if answers is None else answers)
        if presence != "offline":
            self.present(agent, presence)
        return agent

    def set_phone(self, destination: str, behaviour: Any) -> None:
        self.sim("PUT", f"/phones/{destination}", behaviour)

    def present(self, agent: Agent, presence: str = "available") -> None:
        """Say that an agent is available, on break or offline."""
        self.api("POST", f"/api/agents/{agent.username}/presence/", {"presence": presence})

    def menu(self, *options: tuple[str, Queue], **values: Any) -> str:
        """A new menu; returns its number."""
        number = self.number()
        body = {
            "slug": f"menu-{number[-5:]}", "numbers": [number], "prompt": "Press.", "timeout": 1,
            "options": [{"digit": digit, "queue": queue.slug} for digit, queue in options],
            **values,
        }  # fmt: skip
        self.api("POST", "/api/menus/", body, status=201)
        return number

    def forget_facts(self) -> None:
        """Let the product know nothing of its provider; there is no public way to that."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            connection.execute(
                "DELETE FROM queues_providerfact WHERE name <> %s", ["records_polled_until"]
            )

    # --- what happens

    def call_in(self, to: Queue | str, *, caller: str = "", **behaviour: Any) -> str:
        """Somebody calls; returns the handle of the call, the same on both sides."""
        line = to if isinstance(to, str) else to.number
        caller = caller or f"+25471100{next(_people):04}"
        body = {"from": caller, "to": line, **phone(**behaviour)}
        return str(self.sim("POST", "/calls", body)["session_id"])

    def hang_up(self, handle: str) -> None:
        """The party at the other end hangs up."""
        self.sim("POST", f"/calls/{handle}/hangup")

    def call(self, handle: str) -> dict[str, Any]:
        """A call as the product tells it."""
        return dict(self.api("GET", f"/api/calls/{handle}/"))

    def status(self, handle: str) -> str:
        """The state of a call; empty while the product has not heard of it."""
        answer = self.http.get(f"{self.stack.url}/api/calls/{handle}/", timeout=10)
        return str(answer.json()["status"]) if answer.ok else ""

    def state(self, agent: Agent) -> dict[str, Any]:
        """An agent as the product tells it."""
        return dict(self.api("GET", f"/api/agents/{agent.username}/"))

    def live(self) -> list[dict[str, Any]]:
        """The calls of this test that the wallboard shows."""
        calls = self.api("GET", "/api/live/")["calls"]
        return [call for call in calls if call["line"] in self.lines]

    def story(self, handle: str) -> dict[str, Any]:
        """A leg as the provider tells it."""
        return dict(self.sim("GET", f"/calls/{handle}"))

    def heard(self, handle: str) -> list[str]:
        """What was said and played to a leg."""
        return [one["text"] for one in self.story(handle)["entries"] if one["what"] == "heard"]

    def legs_to(self, destination: str) -> list[dict[str, Any]]:
        """The provider's legs to a destination, oldest first."""
        legs = self.sim("GET", "/ledger")["legs"]
        return [leg for leg in legs if leg["kind"] != "inbound" and leg["to"] == destination]

    # --- waiting

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 10) -> Any:
        """Wait until something is true, and return it."""
        limit = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > limit:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self._picture()}")
            time.sleep(0.1)
        return value

    def until_status(self, handle: str, *wanted: str, seconds: float = 10) -> None:
        """Wait until the product has brought a call there."""
        self.until(lambda: self.status(handle) in wanted, f"call {' or '.join(wanted)}", seconds)

    def until_engaged(self, agent: Agent, engagement: str, seconds: float = 10) -> None:
        """Wait until an agent does this."""
        self.until(
            lambda: self.state(agent)["engagement"] == engagement,
            f"{agent.username} {engagement}",
            seconds,
        )

    def until_offerable(self, handle: str) -> None:
        """Wait until nothing but an agent is missing for a waiting call."""
        self.until_status(handle, "waiting")
        self.until(
            lambda: (self.call(handle)["why_waiting"] or "").startswith("No agent is free"),
            "the caller may be offered",
        )

    def until_rings(self, destination: str, seconds: float = 10) -> dict[str, Any]:
        """Wait until a phone rings; return the leg."""
        return dict(
            self.until(
                lambda: [leg for leg in self.legs_to(destination) if leg["status"] == "ringing"],
                f"{destination} rings",
                seconds,
            )[-1]
        )

    def _picture(self, *calls: dict[str, Any]) -> str:
        """How things stand, for the reader of a failure."""
        told = [str(call) for call in calls]
        for call in self.live():
            told.append(f"live: {call}")
            told += [f"  {event}" for event in self.call(call["id"])["timeline"]]
        told += [f"agent: {self.state(agent)}" for agent in self.agents]
        ledger = self.sim("GET", "/ledger")
        told += [
            f"leg {leg['kind']} {leg['from']} -> {leg['to']}: {leg['status']} {leg['end_cause']} "
            + " ".join(_entry(one) for one in leg["entries"])
            for leg in ledger["legs"]
        ]
        told.append(f"problems: {ledger['problems']}")
        return "\n".join(told)

    # --- the reckoning

    def over(self, *handles: str, seconds: float = 15, legs: bool = True) -> list[dict[str, Any]]:
        """Wait until calls are over on both sides, and hold the two books against each other.

        Returns the calls as the product tells them. `legs`: their legs have to agree as well.
        """
        self.until(
            lambda: all(self.status(handle) in FINAL for handle in handles), "all over", seconds
        )
        self.until(lambda: self.sim("GET", "/health")["live"] == 0, "all hung up", 10)
        self.until(lambda: not self.live(), "an empty wallboard", 5)
        if legs:
            self.until(lambda: all(self._is_settled(one) for one in handles), "all told", 10)
        calls = [self.call(handle) for handle in handles]
        for call in calls:
            self.compare(call)
            if legs:
                self._compare_legs(call)
        self.check_provider()
        for agent in self.agents:
            assert self.state(agent)["engagement"] in {"idle", "wrap_up"}, self._picture()
        return calls

    def _is_settled(self, handle: str) -> bool:
        """Every leg of the call is known to have ended."""
        return all(leg["ended_at"] for leg in self.call(handle)["legs"])

    def check_provider(self) -> None:
        """The provider has nothing to complain about, and rang nobody who was talking."""
        ledger = self.sim("GET", "/ledger")
        assert ledger["problems"] == []
        in_use = [
            entry
            for leg in ledger["legs"]
            for entry in leg["entries"]
            if entry["what"] == "line_in_use"
        ]
        assert in_use == []

    def talks(self, handle: str) -> list[dict[str, Any]]:
        """The conversations of a leg, by the provider's book."""
        interactions = self.sim("GET", "/ledger")["interactions"]
        return [one for one in interactions if handle in {one["caller_leg"], one["agent_leg"]}]

    def compare(self, call: dict[str, Any]) -> None:
        """The product's book of one call says what the provider's says."""
        customer = next(leg for leg in call["legs"] if leg["role"] == "customer")
        ends = [one["kind"] for one in call["timeline"] if one["kind"] in FINAL]
        corrected = [one for one in call["timeline"] if one["kind"] == "corrected"]
        assert call["status"] in FINAL, self._picture(call)
        assert len(ends) == 1, self._picture(call)
        assert corrected or ends == [call["status"]], self._picture(call)
        talks = self.talks(customer["session_id"])
        if call["status"] != "completed":
            assert talks == [], self._picture(call)
            assert call["connected_at"] is None, self._picture(call)
        else:
            assert len(talks) == 1, self._picture(call)
            destination = self.state(self._named(call["agent"]))["destination"]
            assert {talks[0]["agent"], talks[0]["caller"]} == {customer["party"], destination}
            tolerance = 60 if call["connected_is_estimated"] else CLOSE
            assert abs(at(call["connected_at"]) - talks[0]["began_at"]) < tolerance, self._picture(
                call
            )
            assert abs(at(call["ended_at"]) - talks[0]["ended_at"]) < CLOSE, self._picture(call)

    def _compare_legs(self, call: dict[str, Any]) -> None:
        """Each leg that has a record ended here when it ended there, as what it was."""
        known = {leg["session_id"]: leg for leg in call["legs"]}
        for handle, leg in known.items():
            if handle is None:
                continue
            true = self.story(handle)
            assert true["ended_at"], self._picture(call)
            late = at(leg["ended_at"]) - true["ended_at"]
            assert -CLOSE < late < CLOSE, (
                f"leg {leg} ended {late:+.1f} s late\n{self._picture(call)}"
            )
            if leg["role"] == "agent" or leg["answered_at"]:
                was_answered = bool(true["answered_at"])
                assert bool(leg["answered_at"]) == was_answered, self._picture(call)

    def _named(self, username: str) -> Agent:
        return next(agent for agent in self.agents if agent.username == username)

    # --- the end

    def leave(self) -> None:
        """End what is still going on, and put the simulator back to its start."""
        for leg in self.sim("GET", "/ledger")["legs"]:
            if leg["ended_at"] is None:
                self.sim("POST", f"/calls/{leg['session_id']}/hangup")
        for agent in self.agents:
            self.present(agent, "offline")
        try:
            self.until(
                lambda: self.sim("GET", "/health")["live"] == 0 and not self.live(),
                "no call is left after the test",
            )
        finally:
            self.sim("POST", "/reset")


def at(instant: str) -> float:
    """An ISO time as seconds since the epoch."""
    return datetime.fromisoformat(instant).timestamp()


def _entry(entry: dict[str, Any]) -> str:
    if entry["what"] == "post":
        return f"post:{entry['edge']}:{entry['status']}"
    if entry["what"] == "action":
        return f"do:{next(iter(entry['action']))}"
    return str(entry["what"])


def in_order(centre: Centre, handles: list[str]) -> Iterator[str]:
    """The calls in the order in which their conversations began."""
    began = {handle: centre.talks(handle)[0]["began_at"] for handle in handles}
    yield from sorted(handles, key=began.__getitem__)
