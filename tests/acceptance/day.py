"""A compressed day: waves of callers of all sorts, as a seed has them, with a lull between two.

All that the test does itself (who is signed in, whom it calls) is noted in the `House`, because no
ledger of the provider can know it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from tests.acceptance.centre import FINAL, NEVER, Agent, Centre, Queue, phone
from tests.acceptance.ledger_book import Book, Click, House, Rules

SHORT, LEVEL = 1, 2  # seconds
LUNCH, SOLD, ASKED = "Lunch of the day", "Sold in the day", "Asked in the day"
WAYS = [
    ("patient", 52), ("gives up", 10), ("leaves soon", 8), ("while it rings", 8),
    ("by the menu", 14), ("lost in the menu", 2), ("leaves the menu", 6),
]  # fmt: skip
REFUSALS = ["no_answer", "busy", "reject", "fail"]


@dataclass
class Day:
    """So many waves of so many calls, the clicks to call among them."""

    centre: Centre
    waves: int = 3
    calls: int = 20
    clicks: int = 2  # of each wave
    seconds: float = 7.0  # in which the calls of a wave come in
    teams: int = 1
    seed: int = 1
    house: House = field(default_factory=House, init=False)
    handles: list[str] = field(default_factory=list, init=False)
    lulls: list[float] = field(default_factory=list, init=False)  # nothing goes on at these
    dispositions: dict[str, str] = field(default_factory=dict, init=False)  # handle: label

    def live(self) -> None:
        """Open the house, let all of it happen, and close it again."""
        self.draw = random.Random(f"day-{self.seed}")
        # Without the dial's own word, an end that is told before the record is a guess.
        self.centre.switch(inbound_rate_minor=120, max_ring=6, dial_status_fields=True)
        self._write_words()
        self._set_up()
        for wave in range(self.waves):
            self._play(self._plan(wave))
            self._limits()
            self._until_quiet()
            if wave == 0:
                self._have_lunch()
            self.lulls.append(time.time())
            time.sleep(0.5)
        for agent in self.centre.agents:
            self._present(agent, "offline")
        self.house.closed_at = time.time()
        self._dispose()

    # --- the house

    def _write_words(self) -> None:
        """A break that is not paid, and two dispositions; they are made in the admin only."""
        with psycopg.connect(self.centre.stack.database_url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO agents_breakreason (name, is_paid, position, is_active) "
                "VALUES (%s, false, 9, true) ON CONFLICT (name) DO NOTHING", [LUNCH],
            )  # fmt: skip
            for label in (SOLD, ASKED):
                connection.execute(
                    "INSERT INTO queues_disposition (label, position, is_active) "
                    "SELECT %s, 9, true WHERE NOT EXISTS "
                    "(SELECT FROM queues_disposition WHERE label = %s)", [label, label],
                )  # fmt: skip

    def _set_up(self) -> None:
        self.front = self._queue(ring_timeout=2, wrap_up_seconds=1)
        self.back = self._queue(ring_timeout=2, wrap_up_seconds=0, direct_dial=False)
        self.slow = self._queue(ring_timeout=4, wrap_up_seconds=1, direct_dial=False)
        self.limit = self._queue(wrap_up_seconds=0, max_wait_seconds=2)
        both = [("1", self.front), ("2", self.back)]
        self.menu = self.centre.menu(*both, tries=self.house.tries)
        self.house.menus[self.menu] = [(digit, queue.slug) for digit, queue in both]
        for _ in range(self.teams):
            self._agent(self.front, answers=self._phone("no_answer"))
            self._agent(self.front, answers=self._phone("busy"))
            self._agent(self.front, self.back, answers=self._phone("reject"))
            self._agent(self.back, sip=True, answers=self._phone("no_answer"))
            self._agent(self.back, confirm_key=True, answers=self._phone("2"))
            self._agent(self.slow, answers=phone(ring=1.8))
            self._agent(self.slow, answers=phone(ring=1.8, talk=0.8))
        self._agent(self.limit, answers=phone(ring=0.2))

    def _queue(self, **values: Any) -> Queue:
        rules = {"service_level_seconds": LEVEL, "short_abandon_seconds": SHORT, **values}
        queue = self.centre.queue(**rules)
        wrap_up = values["wrap_up_seconds"]
        self.house.queues[queue.slug] = Rules(queue.number, wrap_up, LEVEL, SHORT)
        return queue

    def _agent(self, *queues: Queue, **values: Any) -> None:
        agent = self.centre.agent(*queues, presence="offline", **values)
        self.house.agents[agent.destination] = agent.username
        self.house.members[agent.destination] = {queue.slug for queue in queues}
        self._present(agent, "available")

    def _present(self, agent: Agent, presence: str, reason: str = "") -> None:
        asked = time.time()
        body = {"presence": presence, **({"reason": reason} if reason else {})}
        self.centre.api("POST", f"/api/agents/{agent.username}/presence/", body)
        what = "unpaid" if reason == LUNCH else presence
        self.house.presence.append(((asked + time.time()) / 2, agent.username, what))

    def _phone(self, first: str) -> list[dict[str, Any]]:
        """What an agent's phone does, call by call: never two refusals in a row."""
        presses = first == "2"
        return [self._refuse(first)] + [
            self._refuse("" if presses else self.draw.choice(REFUSALS))
            if n % 2 and self.draw.random() < 0.4
            else self._answer(presses=presses)
            for n in range(400)
        ]

    def _refuse(self, way: str) -> dict[str, Any]:
        ring = self.draw.uniform(0.15, 0.6)
        if way in {"2", ""}:  # picked up, and declined or not asked for
            return phone(ring=ring, digits=[{"after": 0.3, "keys": way} if way else None])
        return NEVER if way == "no_answer" else phone(action=way, ring=ring)

    def _answer(self, *, presses: bool) -> dict[str, Any]:
        draw = self.draw
        digits = [{"after": draw.uniform(0.1, 0.4), "keys": "1"}] if presses else None
        talk = draw.uniform(0.6, 1.2) if draw.random() < 0.2 else None  # hangs up first
        return phone(ring=draw.uniform(0.15, 0.6), talk=talk, digits=digits)

    # --- a wave

    def _plan(self, wave: int) -> list[tuple[float, Any]]:
        """Who calls when, and how they behave; every fifth has called before."""
        plan = list[tuple[float, Any]]()
        for n in range(self.calls - self.clicks - 5):  # five are those of `_limits`
            caller = f"+25471{self.seed % 10}{wave:02}{n:04}"
            if wave and n % 5 == 0:
                caller = f"+25471{self.seed % 10}{wave - 1:02}{n:04}"
            plan.append((self.draw.uniform(0, self.seconds), self._caller(caller)))
        for n in range(self.clicks):
            contact = f"+25473{self.seed % 10}{wave:02}{n:04}"
            action = ["answer", "busy", "answer", "no_answer", "fail"][(wave + n) % 5]
            ring = None if action == "no_answer" else self.draw.uniform(0.2, 0.6)
            answers = phone(action=action, ring=ring, talk=self.draw.uniform(0.5, 1.5))
            plan.append((self.draw.uniform(0, self.seconds), (contact, answers)))
        return sorted(plan, key=lambda step: step[0])

    def _caller(self, caller: str) -> tuple[Any, dict[str, Any]]:
        draw = self.draw
        way = draw.choices([way for way, _ in WAYS], [weight for _, weight in WAYS])[0]
        how: dict[str, Any] = {"caller": caller, "talk": draw.uniform(0.7, 1.6)}
        if way == "by the menu":
            how["digits"] = draw.choice([["1"], ["2"], ["7", "2"], [None, "1"]])
            return self.menu, how
        if way == "lost in the menu":
            return self.menu, how | {"digits": ["8", "9"]}
        if way == "leaves the menu":
            return self.menu, how | {"hangup_after": draw.uniform(0.3, 0.6)}
        if way == "while it rings":
            return self.slow, how | {"patience": draw.uniform(1.0, 1.15)}
        if way == "gives up":
            how["patience"] = draw.uniform(1.6, 2.6)
        if way == "leaves soon":
            how["hangup_after"] = draw.uniform(0.6, 0.7)
        queues = [self.front, self.front, self.back, self.back, self.slow]
        return draw.choice(queues), how

    def _play(self, plan: list[tuple[float, Any]]) -> None:
        began = time.monotonic()
        for due, (to, how) in plan:
            while (left := began + due - time.monotonic()) > 0:
                time.sleep(min(left, 0.5))
                self._rouse()
            if "caller" in how:
                self.handles.append(self.centre.call_in(to, **how))
            else:
                self._click(to, how)

    def _limits(self) -> None:
        """The one agent of a queue is taken: two wait for as long as they may, and two leave."""
        self.handles.append(self.centre.call_in(self.limit, talk=3.5))
        self.centre.until_status(self.handles[-1], "connected")
        leaves: tuple[dict[str, Any], ...] = ({"patience": 1.2}, {"hangup_after": 0.7}, {}, {})
        for how in leaves:
            self.handles.append(self.centre.call_in(self.limit, talk=0.7, **how))

    def _click(self, contact: str, answers: dict[str, Any]) -> None:
        """Some agent of the front calls a contact, as soon as one is free."""
        self.centre.set_phone(contact, answers)
        self.centre.until(lambda: self._is_clicked(contact), "an agent is free", 20)

    def _is_clicked(self, contact: str) -> bool:
        for agent in self.centre.agents:
            if self.front.slug not in self.house.members[agent.destination]:
                continue
            body = {"agent": agent.username, "to": contact, "queue": self.front.slug}
            url = f"{self.centre.stack.url}/api/calls/"
            asked = time.time()
            answer = self.centre.http.post(url, json=body, timeout=10)
            if answer.ok:
                call = str(answer.json()["id"])
                self.house.clicked[contact] = Click(asked, call, agent.username, self.front.slug)
                self.handles.append(call)
                return True
            assert answer.status_code == 409, answer.text[:300]
        return False

    def _rouse(self) -> None:
        """A supervisor has the agents who are held off take calls again."""
        for state in self._states():
            held = state["hold_off_reason"] not in {"", "hanging_up"}
            if state["engagement"] == "idle" and held:
                [agent] = [one for one in self.centre.agents if one.username == state["username"]]
                self._present(agent, "break")
                self._present(agent, "available")

    def _states(self) -> Iterator[dict[str, Any]]:
        mine = set(self.house.agents.values())
        page = self.centre.api("GET", "/api/agents/?limit=200")
        yield from (one for one in page["results"] if one["username"] in mine)

    def _until_quiet(self) -> None:
        """Until everybody has hung up and every agent is done."""
        limit = time.monotonic() + 60
        while not self._is_quiet():
            assert time.monotonic() < limit, self.centre._picture()
            self._rouse()
            time.sleep(0.3)

    def _is_quiet(self) -> bool:
        if self.centre.sim("GET", "/health")["live"] or self.centre.live():
            return False
        return all(one["engagement"] == "idle" for one in self._states())

    def _have_lunch(self) -> None:
        """One takes an unpaid break, another one of which nothing is known."""
        first, second = self.centre.agents[:2]
        self._present(first, "break", LUNCH)
        self._present(second, "break")
        time.sleep(1.2)
        self._present(first, "available")
        self._present(second, "available")

    def draw_the_line(self, book: Book) -> None:
        """Set each queue's service level to where no wait is near, and some are on either side.

        Settings count as they are now, so this may come after the day.
        """
        for slug, rules in self.house.queues.items():
            calls = [
                one for one in book.calls
                if one.queue == slug and one.queued is not None and one.end != "expired"
            ]  # fmt: skip
            waits = [(one.connected or one.ended) - (one.queued or 0) for one in calls]

            def fits(level: int, waits: list[float] = waits) -> tuple[float, int]:
                distance = min(abs(wait - level) for wait in waits)
                below = sum(wait < level for wait in waits)
                return min(distance, 0.3), min(below, len(waits) - below)

            level = max(range(LEVEL, 7), key=fits)
            body = {"service_level_seconds": level}
            self.centre.api("PATCH", f"/api/queues/{slug}/", body)
            self.house.queues[slug] = replace(rules, level=level)

    def _dispose(self) -> None:
        """Two of three talks come to something."""
        words = self.centre.api("GET", "/api/dispositions/?limit=200")["results"]
        keys = {word["label"]: word["id"] for word in words}
        for n, handle in enumerate(self.handles):
            call = self.centre.call(handle)
            assert call["status"] in FINAL, call
            if call["status"] == "completed" and n % 3:
                label = (SOLD, ASKED)[n % 2]
                body = {"disposition": keys[label]}
                self.centre.api("PATCH", f"/api/calls/{handle}/wrap-up/", body)
                self.dispositions[handle] = label
