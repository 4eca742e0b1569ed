"""How much history is wanted, and how calls are spread over days and hours."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MOST_CALLS, MOST_DAYS, MOST_QUEUES, MOST_AGENTS = 20_000_000, 3650, 50, 2000
CALLS_OF_A_SHIFT = 90  # that one agent takes on a busy day
WEEK = (1.15, 1.1, 1.05, 1.0, 1.05, 0.45, 0.25)  # Monday to Sunday
HOURS = (
    0.1, 0.05, 0.05, 0.05, 0.05, 0.1, 0.3, 2.0, 5.5, 8.5, 9.5, 9.0, 7.0, 6.5, 8.0, 8.5, 8.0, 6.5,
    4.0, 2.5, 1.5, 0.6, 0.3, 0.2,
)  # fmt: skip
OVER = timedelta(hours=1)  # a day's last talk may end that long after midnight


@dataclass(frozen=True)
class Wish:
    """So many calls over so many whole days of `zone`, the last one ending at `until` or before."""

    calls: int
    days: int
    queues: int
    agents: int
    seed: int
    zone: ZoneInfo
    until: datetime
    events_days: int = 7

    @property
    def first(self) -> date:
        """The first day."""
        return self.last - timedelta(days=self.days - 1)

    @property
    def last(self) -> date:
        """The last day: yesterday, or the day before while talks of it might go on."""
        return (self.until - OVER).astimezone(self.zone).date() - timedelta(days=1)

    def midnight(self, day: date) -> datetime:
        """When a day begins."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def calls_by_day(self) -> list[int]:
        """Return how many calls each day has; together they are exactly `calls`."""
        rng = random.Random(f"{self.seed} days")  # noqa: S311 - no secret
        weights = []
        for n in range(self.days):
            day = self.first + timedelta(days=n)
            season = 1 + 0.15 * math.sin(2 * math.pi * day.timetuple().tm_yday / 365)
            weights.append(WEEK[day.weekday()] * season * rng.uniform(0.9, 1.1))
        total, given, reached = sum(weights), 0, 0.0
        counts = []
        for weight in weights:
            reached += weight
            due = round(self.calls * reached / total)
            counts.append(due - given)
            given = due
        return counts


def agents_for(calls: int, days: int) -> int:
    """Return how many agents so many calls need, five days a week each."""
    busy_day = calls / days * max(WEEK)
    return min(MOST_AGENTS, max(6, math.ceil(busy_day / CALLS_OF_A_SHIFT * 7 / 5)))
