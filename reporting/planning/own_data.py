"""What a queue's own past says of calls, handling times and patience, by half hours of a day.

Days and half hours are those of a time zone: a day has 48 of them, and 46 or 50 where the clock is
changed. Read from the interval tables; a half hour without a row had no calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import BigIntegerField, F, Func, Min, QuerySet, Sum

from agents.models.agent import Presence
from queues.models import Queue, QueuedCall
from reporting.figures.asked import midnight
from reporting.models import AgentQuarter, QueueQuarter

HALF_HOUR = timedelta(minutes=30)
ENOUGH_TALKS = 50
ENOUGH_ABANDONS = 30  # the patience is then known to within a third or so


@dataclass(frozen=True)
class Half:
    """What came into a queue in one half hour; times in seconds, `at_work` the mean of agents."""

    start: datetime
    offered: int = 0
    abandoned: int = 0
    waited: float = 0.0
    talks: int = 0
    handled: float = 0.0
    at_work: float = 0.0

    @property
    def clock(self) -> int:
        """The minute of the day at which it begins, as a clock shows it."""
        return self.start.hour * 60 + self.start.minute


@dataclass(frozen=True)
class Measured:
    """A mean time in seconds, of how many, and how many it should be of; None without any."""

    value: float | None
    count: int
    enough: int

    @property
    def is_enough(self) -> bool:
        """Whether this may be planned with."""
        return self.count >= self.enough


def halves_of(day: date, zone: ZoneInfo) -> list[datetime]:
    """Return the beginnings of the half hours of a day: 48, or 46 or 50 at a change of clocks."""
    start, end = (midnight(one, zone) for one in (day, day + timedelta(days=1)))
    count = (end - start) // HALF_HOUR
    return [(start + number * HALF_HOUR).astimezone(zone) for number in range(count)]


def first_day(queue: Queue, zone: ZoneInfo) -> date | None:
    """Return the first whole day of which there are figures; None where there are none."""
    found = _quarters(queue).aggregate(first=Min("start"))["first"]
    return found.astimezone(zone).date() + timedelta(days=1) if found else None


def read(queue: Queue, since: date, until: date, zone: ZoneInfo) -> list[Half]:
    """Return every half hour of the days from `since` to the one before `until`."""
    began, ended = midnight(since, zone), midnight(until, zone)
    counted: dict[datetime, list[float]] = defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    rows = (
        _quarters(queue)
        .filter(start__gte=began, start__lt=ended)
        .values_list(
            "start", "offered", "abandoned_waits__len",
            _total("answered_waits") + _total("abandoned_waits") + _total("other_waits"),
            "handle_times__len", _total("handle_times"),
        )
    )  # fmt: skip
    for start, offered, abandoned, waited, talks, handled in rows:
        sums = counted[_half(start, zone)]
        for place, more in enumerate((offered, abandoned, waited / 1e6, talks, handled / 1e6)):
            sums[place] += more
    for start, spent in _at_work(queue, began, ended):
        counted[_half(start, zone)][5] += spent / HALF_HOUR
    days = ((since + timedelta(days=n)) for n in range((until - since).days))
    return [
        _as_half(start, counted.get(start.astimezone(UTC)))
        for day in days
        for start in halves_of(day, zone)
    ]


def handle_time(halves: Iterable[Half]) -> Measured:
    """Return the mean handling time: talk, hold and wrap-up of every talk that is over."""
    talks, handled = 0, 0.0
    for half in halves:
        talks, handled = talks + half.talks, handled + half.handled
    return Measured(handled / talks if talks else None, talks, ENOUGH_TALKS)


def patience(halves: Iterable[Half]) -> Measured:
    """Return for how long callers wait at the most, in the mean, before they leave.

    Who was answered would have waited longer, we do not know how long. If patience is exponential,
    the likeliest mean is the waiting time of all / the number who abandoned.
    """
    abandoned, waited = 0, 0.0
    for half in halves:
        abandoned, waited = abandoned + half.abandoned, waited + half.waited
    mean = waited / abandoned if abandoned and waited > 0 else None
    return Measured(mean, abandoned, ENOUGH_ABANDONS)


def by_weekday_and_clock(halves: Iterable[Half]) -> dict[tuple[int, int], list[Half]]:
    """Return the half hours by weekday (Monday is 0) and minute of the day."""
    found: dict[tuple[int, int], list[Half]] = defaultdict(list)
    for half in halves:
        found[half.start.weekday(), half.clock].append(half)
    return dict(found)


def _quarters(queue: Queue) -> QuerySet[QueueQuarter]:
    return QueueQuarter.objects.filter(queue=queue, direction=QueuedCall.Direction.INBOUND)


def _half(start: datetime, zone: ZoneInfo) -> datetime:
    """Return the beginning of the half hour that a quarter is in, in UTC."""
    return start.astimezone(UTC) - timedelta(minutes=start.astimezone(zone).minute % 30)


def _total(field: str) -> Func:
    """Return the sum of a list of times, in SQL: there may be a million."""
    return Func(
        F(field),
        template="(SELECT coalesce(sum(one), 0)::bigint FROM unnest(%(expressions)s) AS one)",
        output_field=BigIntegerField(),
    )


def _at_work(queue: Queue, began: datetime, ended: datetime) -> list[tuple[datetime, timedelta]]:
    """Return for how long the queue's members were available in each quarter, calls included."""
    return list(
        AgentQuarter.objects.filter(
            agent__queues=queue, presence=Presence.AVAILABLE, start__gte=began, start__lt=ended
        )
        .values("start")
        .annotate(spent=Sum("time"))
        .values_list("start", "spent")
    )


def _as_half(start: datetime, sums: list[float] | None) -> Half:
    if sums is None:
        return Half(start)
    offered, abandoned, waited, talks, handled, at_work = sums
    return Half(start, int(offered), int(abandoned), waited, int(talks), handled, at_work)
