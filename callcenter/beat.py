"""Beat's scheduler, made to survive a clock that is set back.

Celery reckons what is due by the wall clock. Set back by an hour, it would start nothing for an
hour, the sweep included. So a clock that has moved makes every entry due anew.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from celery.beat import PersistentScheduler

JUMP = 1.0  # seconds by which the wall clock may run apart from the steady one in one tick


class SteadyScheduler(PersistentScheduler):
    """The usual scheduler; after a jump of the clock it counts from now."""

    max_interval = 5  # asleep no longer than this, so that a jump is seen soon
    _apart: float | None = None

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Run what is due; first look at the clock."""
        apart = time.time() - time.monotonic()
        moved = self._apart is None or abs(apart - self._apart) > JUMP
        self._apart = apart
        if moved:
            self._count_from_now()
        seconds: float = super().tick(*args, **kwargs)
        return seconds

    def _count_from_now(self) -> None:
        """No entry has run in the future (at the start too: its times come from a file)."""
        for entry in self.schedule.values():
            now = entry.default_now()
            if entry.last_run_at is None or entry.last_run_at > now:
                entry.last_run_at = now - timedelta(days=1)
        self._heap = None  # it is sorted by the wall clock
