"""How a day is going, beside the same weekday before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.http import require_GET

from reporting.figures import report
from reporting.figures.asked import Asked, quarter_of
from reporting.pages import frame, rows

# What is compared, in reading order: the figure, how it is written, and whether more is better.
COMPARED = (
    ("offered", "count", None),
    ("answered", "count", None),
    ("abandoned", "count", False),
    ("service_level", "share", True),
    ("abandon_rate", "share", False),
    ("asa", "seconds", False),
    ("asa_median", "seconds", False),
    ("asa_p90", "seconds", False),
    ("longest_wait", "seconds", False),
    ("aht", "seconds", None),
)
WEEK = 7


@require_GET
def today(request: HttpRequest) -> HttpResponse:
    """The present day, or the days asked for, against the same weekdays before."""
    at = timezone.now()
    asked = frame.ask(request, at=at)
    now, then = sides(asked, at=at)
    one, other = report.totals(now, at=at), report.totals(then, at=at)
    first, last = now.days()
    interval = "hour" if asked.until - asked.since <= timedelta(days=2) else "day"
    context = {
        "now": now,
        "then": then,
        "is_partial": now.until < asked.until,
        "is_one_day": first == last,
        "is_empty": not (one["offered"] or other["offered"]),
        "now_words": in_words(now),
        "then_words": in_words(then),
        "compared": compared(one, other),
        "rows": side_by_side(
            replace(now, interval=interval), replace(then, interval=interval), at=at
        ),
        "interval": interval,
        "queues": by_queue(now, then, at=at),
    }
    return frame.show(request, "reports/today.html", asked, context)


def sides(asked: Asked, *, at: datetime) -> tuple[Asked, Asked]:
    """Return the range so far, and the same weekdays before it up to the same time of day.

    So far: to the last full quarter of an hour, so that both sides are of the same length.
    """
    until = min(asked.until, quarter_of(at))
    if until <= asked.since:
        until = asked.until
    now = replace(asked, until=until, interval=None, notes=(), wrong=())
    first, last = asked.days()
    weeks = (last - first).days // WEEK + 1
    return now, frame.moved(now, by=-timedelta(days=WEEK * weeks))


def in_words(asked: Asked) -> str:
    """Name a side shortly: a day with its weekday, or the first and the last."""
    first, last = asked.days()
    if first == last:
        return date_format(first, "D j N")
    return f"{date_format(first, 'j N')} – {date_format(last, 'j N')}"


def compared(now: dict[str, Any], then: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row per figure: this side, the other, what has changed."""
    found = []
    for key, kind, is_more_better in COMPARED:
        one, other = now.get(key), then.get(key)
        change = None if one is None or other is None else one - other
        is_better = None
        if change and is_more_better is not None:
            is_better = (change > 0) == is_more_better
        found.append(
            {
                "key": key,
                "kind": kind,
                "now": one,
                "then": other,
                "change": change,
                "is_better": is_better,
            }
        )
    return found


def side_by_side(now: Asked, then: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return the intervals of both sides next to each other, by their place in the range."""
    ours, others = rows.by_interval(now, at=at), rows.by_interval(then, at=at)
    by_clock = {_place(row["start"], then): row for row in others}
    return [
        {"start": row["start"], "now": row, "then": by_clock.get(_place(row["start"], now))}
        for row in ours
    ]


def _place(start: datetime, asked: Asked) -> tuple[int, int, int]:
    """Return where an interval lies in its range, by the clock on the wall."""
    return (start.date() - asked.days()[0]).days, start.hour, start.fold


def by_queue(now: Asked, then: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return each queue of either side with both."""
    others = {row["queue"]: row for row in report.queues(then, at=at)}
    return [
        {
            "queue": row["queue"],
            "asked": rows.of_queue(now, row["queue"]),
            "asked_then": rows.of_queue(then, row["queue"]),
            "now": row,
            "then": others.get(row["queue"]),
        }
        for row in report.queues(now, at=at)
    ]
