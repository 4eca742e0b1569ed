"""Rows of the interval tables for planning: weeks of made-up days."""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from queues.models import Queue
from reporting.models import QueueQuarter

NAIROBI = ZoneInfo("Africa/Nairobi")
SECOND = 1_000_000  # microseconds


def make_quarter(
    queue: Queue, start: datetime, offered: int, *, waits: Iterable[float] = (),
    left: Iterable[float] = (), handled: Iterable[float] = (), direction: str = "inbound",
) -> QueueQuarter:  # fmt: skip
    waits, left, handled = (
        [int(one * SECOND) for one in times] for times in (waits, left, handled)
    )
    return QueueQuarter(
        queue=queue, start=start, direction=direction, arrived=offered, offered=offered,
        answered=len(waits), completed=len(waits), abandoned_queue=len(left),
        answered_waits=waits, abandoned_waits=left, handle_times=handled,
    )  # fmt: skip


def make_days(
    queue: Queue, first: date, count: int, calls: Callable[[date, int], int],
    zone: ZoneInfo = NAIROBI,
) -> None:  # fmt: skip
    """Calls at each whole and half hour from 8 to 18; `calls` tells how many by day and hour.

    Each call takes 3 minutes; one in ten leaves after 50 s, the others wait 10 s.
    """
    rows = []
    for day in (first + timedelta(days=n) for n in range(count)):
        for hour in range(8, 18):
            for minute in (0, 30):
                many = calls(day, hour)
                gone = many // 10
                start = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                rows.append(
                    make_quarter(queue, start, many, waits=[10] * (many - gone),
                                 left=[50] * gone, handled=[180] * (many - gone))
                )  # fmt: skip
    QueueQuarter.objects.bulk_create(rows)
