"""A storm in which our own processes die: everybody who reached us is accounted for."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import requests

from simulator.webhooks import VOICE_EDGES
from tests.acceptance.centre import Centre
from tests.acceptance.own_stack import OwnStack
from tests.acceptance.storm import Storm, Tolerance

Blow = Callable[[OwnStack], object]
# Webhooks of the time of an outage are lost, and our book has the times from the records.
SETTLED = 30.0
PATIENT = Tolerance(news=SETTLED, brief=1.1, settled=SETTLED, too_long=SETTLED)


@dataclass
class Outage(Storm):
    """Callers come in all the time, and at certain moments something is killed."""

    blows: list[tuple[float, Blow]] = field(default_factory=list)
    unanswered: bool = False  # the web process itself is killed: requests to it may fail
    tolerance: Tolerance = PATIENT

    def endure(self) -> None:
        """Let it happen, wait until all is up again, and reckon."""
        queues, menu = self._set_up()
        self.centre.switch(seed=self.seed)
        plan = self._plan(queues, menu)
        plan += [(when, blow) for when, blow in self.blows]
        self._play(sorted(plan, key=lambda step: step[0]))
        self.stack.until_up()
        self._wait_for_the_end()
        self._settle()
        told = "\n".join([*self.wrong, *map(self._told_of, self.wrong)])
        print(self.seed, dict(self.ends))
        assert not self.wrong, f"seed {self.seed}, {dict(self.ends)}:\n{told}"
        assert self.lost == [], f"seed {self.seed}: callers lost: {self.lost}"
        assert len(self.ends) > 1, f"seed {self.seed}: {self.ends}"
        assert self._open_offers() == 0

    def _reckon(self) -> None:
        super()._reckon()
        if self.unanswered:
            self._forgive_the_unanswered()

    def _forgive_the_unanswered(self) -> None:
        """A request that nobody could take is the provider's loss; such a caller we never met."""
        never_met = [
            handle
            for handle in self.handles
            if not any(
                one["what"] == "post" and one["edge"] in VOICE_EDGES and one["status"] == 200
                for one in self._legs[handle]["entries"]
            )
        ]
        self.wrong = [
            one
            for one in self.wrong
            if not (one.startswith("problem: ") and ("bad_reply" in one or "bad_wait_url" in one))
            and not (one.split()[0] in never_met and "not in our book" in one)
        ]
        self.lost = [one for one in self.lost if "bad_reply" not in one]

    def _told_of(self, wrong: str) -> str:
        """All that both books have of a call that is not over."""
        words = wrong.replace(":", " ").split()
        if words[0] != "call" or words[1] not in {*self.handles, *self.clicked}:
            return ""
        call = self.centre.call(words[1])
        legs = [leg for leg in call["legs"] if leg["session_id"]]
        return f"{call}\n{[self._legs.get(leg['session_id']) for leg in legs]}"

    @property
    def stack(self) -> OwnStack:
        assert isinstance(self.centre.stack, OwnStack)
        return self.centre.stack

    def _play(self, plan: list[tuple[float, Any]]) -> None:
        began = time.monotonic()
        for due, what in plan:
            while (left := began + due - time.monotonic()) > 0:
                time.sleep(min(left, 0.5))
                if left > 0.5:
                    self._rouse()
            if callable(what):
                what(self.stack)
            elif "caller" in what[1]:
                self.handles[self.centre.call_in(what[0], **what[1])] = what[0]
            else:
                self._click(*what)

    def _click(self, contact: str, answers: dict[str, Any]) -> None:
        try:
            super()._click(contact, answers)
        except (requests.RequestException, AssertionError):
            return  # the page was not to be had; no call was asked for

    def _rouse(self) -> None:
        try:
            super()._rouse()
        except (requests.RequestException, AssertionError):
            return

    def _open_offers(self) -> int:
        with psycopg.connect(self.stack.database_url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM queues_offer WHERE ended_at IS NULL"
            ).fetchone()
            assert row
            return int(row[0])


def killing(*names: str) -> Blow:
    """A blow that kills these parts, and all that they have started."""

    def blow(stack: OwnStack) -> None:
        for name in names:
            stack.kill(name)

    return blow


def moments(seed: int, count: int, *, first: float, last: float) -> list[float]:
    """So many seeded moments, in order."""
    draw = random.Random(f"moments-{seed}")
    return sorted(draw.uniform(first, last) for _ in range(count))


__all__ = ["Blow", "Centre", "Outage", "killing", "moments"]
