"""Twelve made-up weeks of a queue, in the interval tables only, to look at the planning page."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from queues.models import Queue
from reporting.models import AgentQuarter, QueueQuarter

QUARTER = timedelta(minutes=15)
BY_WEEKDAY = (1.3, 1.0, 0.95, 1.0, 1.1, 0.45, 0.0)


def weeks(slug: str = "support", count: int = 12) -> None:
    """Calls from 7 to 19 with a morning and an afternoon peak, and agents on their shifts."""
    chance = random.Random(11)
    queue = Queue.objects.get(slug=slug)
    today = timezone.localdate()
    calls, work = [], []
    for back in range(7 * count, 0, -1):
        day = today - timedelta(days=back)
        for quarter in range(7 * 4, 19 * 4):
            start = datetime(
                day.year, day.month, day.day, quarter // 4, quarter % 4 * 15,
                tzinfo=ZoneInfo(settings.TIME_ZONE),
            )  # fmt: skip
            hour = quarter / 4
            shape = math.exp(-((hour - 10) ** 2) / 6) + 0.7 * math.exp(-((hour - 15) ** 2) / 5)
            mean = 14 * BY_WEEKDAY[day.weekday()] * shape * (1 + 0.01 * (count - back / 7))
            many = max(0, round(chance.gauss(mean, math.sqrt(mean + 0.01))))
            gone = sum(chance.random() < 0.08 for _ in range(many))
            micro = 1_000_000
            talks = [round(chance.expovariate(1 / 210) * micro) for _ in range(many - gone)]
            calls.append(QueueQuarter(
                queue=queue, start=start, direction="inbound", arrived=many, offered=many,
                answered=many - gone, completed=many - gone, abandoned_queue=gone,
                answered_waits=[round(chance.expovariate(1 / 12) * micro) for _ in talks],
                abandoned_waits=[round(chance.expovariate(1 / 40) * micro) for _ in range(gone)],
                handle_times=talks,
            ))  # fmt: skip
            for agent in queue.members.all() if day.weekday() < 6 and 8 <= hour < 17 else ():
                work.append(AgentQuarter(
                    start=start, agent=agent, presence="available", is_paid=True,
                    engagement="idle", time=QUARTER,
                ))  # fmt: skip
    QueueQuarter.objects.bulk_create(calls, ignore_conflicts=True)
    AgentQuarter.objects.bulk_create(work, ignore_conflicts=True)
