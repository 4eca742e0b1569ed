"""Bringing history into the database: day by day, each in one transaction, by COPY.

The constraints and deferred triggers of the database hold as for any other writer. Only the marks
for the interval tables are left out (`callcenter.bulk`): they are counted once at the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from queues import provider
from reporting.figures import upkeep
from reporting.history import people
from reporting.history.chain import Chains
from reporting.history.day import play, shifts
from reporting.history.rows import Rows
from reporting.history.wish import OVER, Wish
from reporting.replay import TIMELINES_FROM

CALLS_OF_A_CUSTOMER = 4


def make(wish: Wish, *, at: datetime, told: Callable[[str], None]) -> int:
    """Make the history that is wanted, and count it; `told` hears how far it is. Returns calls.

    What is there stays. A run that is cut off leaves whole days behind, in which everything agrees.
    """
    since = wish.midnight(wish.first)
    with transaction.atomic():
        centre = people.set_up(wish.queues, wish.agents, seed=wish.seed, since=since)
    chains = Chains(centre.workers)
    customers = max(10, wish.calls // CALLS_OF_A_CUSTOMER)
    events_from = wish.last - timedelta(days=wish.events_days - 1)
    webhooks_from = wish.last - timedelta(days=settings.WEBHOOK_KEEP_DAYS - 1)
    if events_from > wish.first:
        _without_timelines(wish.midnight(events_from), at=at)
    made = 0
    for n, count in enumerate(wish.calls_by_day()):
        day = wish.first + timedelta(days=n)
        rng = random.Random(f"{wish.seed} {day}")  # noqa: S311 - no secret
        rows = Rows(centre, rng)
        shifts(centre, wish.midnight(day), day.weekday(), rng)
        for past in play(centre, count, wish.midnight(day), rng, customers):
            rows.call(past, events=day >= events_from, webhooks=day >= webhooks_from)
        with transaction.atomic():
            _bulk()
            chains.write(centre.workers, rows)
            _copy(rows)
        made += count
        if n % 10 == 9 or n == wish.days - 1:
            told(f"{day}: {made:,} calls")
    with transaction.atomic():
        chains.finish(centre.workers)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    end = wish.midnight(wish.last + timedelta(days=1)) + OVER
    upkeep.rebuild(since, end, at=at, told=_counted(told))
    return made


def _counted(told: Callable[[str], None]) -> Callable[[datetime], None]:
    """Tell now and then from where on the interval tables are counted."""
    return lambda start: told(f"{start:%Y-%m-%d}: counted from here") if start.day == 1 else None


def _bulk() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL callcenter.bulk = 'on'")


def _copy(rows: Rows) -> None:
    with connection.cursor() as cursor:
        for table, columns, text in rows.take():
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                copy.write(text)


def _without_timelines(since: datetime, *, at: datetime) -> None:
    """Remember that calls before this instant have no timeline, so that the audit knows it."""
    before = provider.recall(TIMELINES_FROM)
    if before is None or datetime.fromisoformat(before) < since:
        provider.learn(TIMELINES_FROM, since.isoformat(), at=at)
