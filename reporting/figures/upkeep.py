"""Keeping the interval tables up: what triggers have marked is counted again from the rows.

A mark is written in the transaction that changes a row, and taken away in the one that counts
after it: no change is missed. One process counts at a time (an advisory lock).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import F

from queues import provider
from reporting.figures import counting
from reporting.figures.asked import QUARTER, quarter_after, quarter_of
from reporting.figures.counting import COUNT_COLUMNS, TABLES
from reporting.models import StaleQuarter

__all__ = [
    "COUNT_COLUMNS", "compare", "end_of_all", "first_quarter", "freshen", "is_behind", "is_stale",
    "raw_kept_from", "rebuild",
]  # fmt: skip

Stretch = tuple[datetime, datetime]  # quarters from the one that begins, to before the other
DAY = timedelta(days=1)
KINDS = StaleQuarter.Kind.values
RAW_KEPT_FROM = "raw_kept_from"  # set by what removes old rows
_LOCK = 7_301_004


def raw_kept_from() -> datetime | None:
    """Return the quarter from which on all rows are still there; None: from the first."""
    told = provider.recall(RAW_KEPT_FROM)
    return quarter_after(datetime.fromisoformat(told)) if told else None


def is_behind(since: datetime, until: datetime) -> bool:
    """Whether a day or more of [since, until) is still to be counted, as after an upgrade."""
    marks = StaleQuarter.objects.filter(since__lt=until, until__gte=quarter_of(since))
    return marks.filter(until__gte=F("since") + DAY - QUARTER).exists()


def keep_raw_from(moment: datetime, *, at: datetime) -> None:
    """Say that rows before `moment` are about to be removed: their quarters stay as they are.

    They are counted a last time first. Nobody who counts now still believes the earlier mark.
    """
    freshen(at=at, until=moment)
    with _alone():
        provider.learn(RAW_KEPT_FROM, quarter_after(moment).isoformat(), at=at)


def is_stale(since: datetime, until: datetime) -> bool:
    """Whether something in [since, until) is still to be counted again."""
    return StaleQuarter.objects.filter(since__lt=until, until__gte=quarter_of(since)).exists()


def freshen(
    *,
    at: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    patience: timedelta | None = None,
) -> int:
    """Count marked quarters again, the newest first; return how many.

    Only those in [since, until) where given, else all up to a day after `at`. `patience` ends it
    earlier; the marks that are left stay.
    """
    wanted = (
        quarter_of(since) if since else datetime(2000, 1, 1, tzinfo=UTC),
        quarter_after(until or at + DAY),
    )
    began, done = time.monotonic(), 0
    while is_stale(*wanted):
        with _alone():
            count, is_left = _step(wanted)
        done += count
        is_over = patience is not None and time.monotonic() - began >= patience.total_seconds()
        if is_over or not is_left:
            break
    return done


def _step(wanted: Stretch) -> tuple[int, bool]:
    """Count at most a day of marked quarters of each kind; say how many, and if more are left."""
    taken = _take(wanted)
    kept_from = raw_kept_from()
    done, is_left = 0, False
    for kind, stretches in taken.items():
        later: list[Stretch] = []
        room = DAY
        for start, end in reversed(_merged(stretches)):
            inside = (max(start, wanted[0], kept_from or start), min(end, wanted[1]))
            later += _outside((start, end), wanted)
            if inside[0] >= inside[1]:
                continue
            now = (max(inside[0], inside[1] - room), inside[1])
            if room:
                _count(kind, now)
                done += (now[1] - now[0]) // QUARTER
                room -= now[1] - now[0]
            else:
                now = (inside[1], inside[1])
            if inside[0] < now[0]:
                later.append((inside[0], now[0]))
                is_left = True
        _mark(kind, later)
    return done, is_left


def _mark(kind: str, stretches: Iterable[Stretch]) -> None:
    StaleQuarter.objects.bulk_create(
        StaleQuarter(kind=kind, since=start, until=end - QUARTER) for start, end in stretches
    )


def _take(wanted: Stretch) -> dict[str, list[Stretch]]:
    """Take the marks away that reach into a stretch; return theirs by kind."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM reporting_stalequarter WHERE since < %s AND until >= %s "
            "RETURNING kind, since, until",
            [wanted[1], wanted[0]],
        )
        rows = cursor.fetchall()
    found: dict[str, list[Stretch]] = {}
    for kind, first, last in rows:
        found.setdefault(kind, []).append((quarter_of(first), quarter_of(last) + QUARTER))
    return found


def _merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    found: list[Stretch] = []
    for start, end in sorted(set(stretches)):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _outside(stretch: Stretch, wanted: Stretch) -> list[Stretch]:
    start, end = stretch
    parts = [(start, min(end, wanted[0])), (max(start, wanted[1]), end)]
    return [part for part in parts if part[0] < part[1]]


def _count(kind: str, stretch: Stretch) -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            if table.kind == kind:
                sql, params = table.counted(*stretch)
                columns = ", ".join(table.columns)
                cursor.execute(
                    f"DELETE FROM {table.name} WHERE start >= %s AND start < %s", stretch
                )
                cursor.execute(
                    f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM ({sql}) AS n",
                    params,
                )


@contextmanager
def _alone() -> Iterator[None]:
    """One transaction at a time; it sees all that was marked before it began to look."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        yield


def rebuild(
    since: datetime,
    until: datetime,
    *,
    at: datetime,
    told: Callable[[datetime], None] = lambda _day: None,
) -> int:
    """Count all quarters of [since, until) anew, the newest day first; return how many.

    `told` hears from where on each step is done. Rows that were removed keep their figures.
    """
    end = quarter_after(until)
    begin = max(quarter_of(since), raw_kept_from() or quarter_of(since))
    done = 0
    while end > begin:
        start = max(begin, end - DAY)
        with _alone():
            for kind, marks in _take((start, end)).items():
                for mark in _merged(marks):
                    _mark(kind, _outside(mark, (start, end)))
            for kind in KINDS:
                _count(kind, (start, end))
        done += (end - start) // QUARTER
        told(start)
        end = start
    return done


def compare(since: datetime, until: datetime) -> Iterator[str]:
    """Yield each row of [since, until) that is stored otherwise than it is counted now.

    Quarters that are marked are left out: they are to be counted again anyway.
    """
    begin = max(quarter_of(since), raw_kept_from() or quarter_of(since))
    end = quarter_after(until)
    while begin < end:
        stop = min(end, begin + DAY)
        for table in TABLES:
            yield from _differences(table, (begin, stop))
        begin = stop


def _differences(table: counting.Table, stretch: Stretch) -> Iterator[str]:
    sql, params = table.counted(*stretch)
    columns = ", ".join(table.columns)
    key = ", ".join(("start", *table.keys))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH stored AS (SELECT {columns} FROM {table.name} "
            f"WHERE start >= %s AND start < %s), counted AS (SELECT {columns} FROM ({sql}) AS n) "
            f"SELECT DISTINCT {key} FROM ((TABLE stored EXCEPT TABLE counted) UNION ALL "
            "(TABLE counted EXCEPT TABLE stored)) AS d WHERE NOT EXISTS (SELECT FROM "
            "reporting_stalequarter m WHERE m.kind = %s AND d.start >= m.since "
            f"AND d.start <= m.until) ORDER BY {key}",
            [*stretch, *params, table.kind],
        )
        for start, *values in cursor.fetchall():
            named = ", ".join(
                f"{name.removesuffix('_id')} {value}"
                for name, value in zip(table.keys, values, strict=True)
                if value not in (None, "")
            )
            quarter = f"{start.astimezone(UTC):%Y-%m-%d %H:%M}Z"
            yield f"{table.name} of {quarter} ({named}): stored is not what is counted now"


def first_quarter() -> datetime | None:
    """Return the first quarter that there is anything in; None for an empty centre."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT least((SELECT min(arrived_at) FROM queues_queuedcall), "
            "(SELECT min(created_at) FROM queues_offer), "
            "(SELECT min(started_at) FROM agents_agentinterval), "
            "(SELECT min(least(started_at, first_seen_at)) FROM reporting_callrecord))"
        )
        found: datetime | None = cursor.fetchone()[0]
    return quarter_of(found) if found else None


def end_of_all(at: datetime) -> datetime:
    """Return the end of the present quarter."""
    return quarter_of(at) + QUARTER
