"""Virtual time: what is due, in order, and a clock that stands still in between."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

import time_machine


class Timeline:
    """Runs what was planned, each thing at its own instant, as fast as it can."""

    def __init__(self, start: datetime) -> None:
        self.start = self.now = start
        self._travel = time_machine.travel(start, tick=False)
        self._clock = self._travel.start()
        self._planned: list[tuple[datetime, int, Callable[[], object]]] = []
        self._order = count()

    def close(self) -> None:
        self._travel.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return (self.now - self.start).total_seconds()

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """Plan `do`; things of one instant run in the order in which they were planned."""
        due = self.now + timedelta(seconds=max(0.0, seconds))
        heapq.heappush(self._planned, (due, next(self._order), do))

    def at(self, when: datetime, do: Callable[[], object]) -> None:
        self.after((when - self.now).total_seconds(), do)

    def step(self) -> bool:
        """Do what comes next; False when nothing is planned."""
        if not self._planned:
            return False
        due, _, do = heapq.heappop(self._planned)
        self.now = max(self.now, due)
        self._clock.move_to(self.now, tick=False)
        do()
        return True

    def pass_(self, seconds: float) -> None:
        """Let time pass, doing all that falls due."""
        until = self.now + timedelta(seconds=seconds)
        while self._planned and self._planned[0][0] <= until:
            self.step()
        self.now = until
        self._clock.move_to(until, tick=False)
