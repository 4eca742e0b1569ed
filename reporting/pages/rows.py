"""Rows of reports, made ready for tables: intervals put together, each with what it asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from queues.models import Queue
from reporting.figures import definitions, report
from reporting.figures.asked import Asked
from reporting.figures.counts import COUNTS

FITTING = ((2, "hour"), (62, "day"), (200, "week"))  # days at the most, and the interval for them
_SHARES = [*definitions.SERVICE_LEVELS, definitions.ALL["abandon_rate"]]


def fitting(asked: Asked) -> Asked:
    """Ask by the interval that fits the length, where none was asked for."""
    if asked.interval:
        return asked
    length = asked.until - asked.since
    found = (name for most, name in FITTING if length <= timedelta(days=most))
    return replace(asked, interval=next(found, "month"))


def together(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the counts of several queues, and work out the shares of the sum."""
    counts = dict.fromkeys(COUNTS, 0)
    cost, currency = None, ""
    for row in rows:
        for key in counts:
            counts[key] += row.get(key) or 0
        if row.get("cost") is not None:
            cost = (cost or 0) + row["cost"]
            currency = row["cost_currency"]
    shares = {each.key: definitions.value(each, counts) for each in _SHARES}
    return {**counts, **shares, "cost": cost, "cost_currency": currency}


def by_interval(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return all queues asked for together, one row per interval that has begun.

    `asked` of a row is its own interval, for the calls behind its counts.
    """
    found: dict[datetime, list[dict[str, Any]]] = {}
    for row in report.queues(asked, at=at):
        found.setdefault(row["start"], []).append(row)
    starts = asked.starts()
    ends = [*asked.edges()[1:], asked.until]
    return [
        {
            "start": start,
            "asked": part(asked, max(start, asked.since), end),
            **together(found.get(start, [])),
        }
        for start, end in zip(starts, ends, strict=True)
        if start <= at
    ]


def part(asked: Asked, since: datetime, until: datetime) -> Asked:
    """Ask for a part of the range, as a whole."""
    return replace(
        asked, since=since.astimezone(asked.since.tzinfo), until=until, interval=None, notes=()
    )


def of_queue(asked: Asked, queue: Queue | None) -> Asked:
    """Ask for one queue."""
    return replace(asked, queues=(queue,), interval=None) if queue else asked


def target(asked: Asked) -> float | None:
    """Return the share that all queues asked for aim at, where they aim at the same."""
    queues = asked.queues or Queue.objects.filter(retired_at=None)
    aims = {queue.service_level_target for queue in queues}
    return aims.pop() / 100 if len(aims) == 1 else None


def by_queue(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return each queue by itself, with what asks for it, and whether it is under its target."""
    return [
        {
            **row,
            "asked": of_queue(asked, row["queue"]),
            "is_under_target": row["queue"] is not None
            and row["service_level"] is not None
            and row["service_level"] * 100 < row["queue"].service_level_target,
        }
        for row in report.queues(asked, at=at)
    ]
