"""The books: of each queue and day, whether what entered is what has come to an end or goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import reduce
from operator import add
from typing import Any

from django.db.models import Case, F, IntegerField, Q, Value, When

from queues.models import Queue
from reporting.figures import counts, report
from reporting.figures.asked import Asked, midnight

ENDS = (
    "completed", "abandoned_menu", "abandoned_queue", "abandoned_ringing", "overflowed",
    "callback", "voicemail", "expired", "closed_hours", "rejected", "failed", "no_answer", "busy",
)  # fmt: skip
MOST_BREAKS = 50


def days(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return one row per queue and day, inbound: offered, each end, what is open, the difference.

    offered + not_offered_ends = all ends + still_open, to the unit: each is counted by its own
    condition. Where it is not so, `breaks` names the calls that are under none, or under two.
    """
    by_day = replace(asked, interval="day")
    rows = []
    for row in report.queues(by_day, at=at):
        ends = {name: row[name] for name in ENDS}
        difference = row["offered"] + row["not_offered_ends"]
        difference -= sum(ends.values()) + row["still_open"]
        day = row["start"].date()
        rows.append(
            {
                "queue": row["queue"],
                "start": row["start"],
                "offered": row["offered"],
                "not_offered_ends": row["not_offered_ends"],
                **ends,
                "still_open": row["still_open"],
                "difference": difference,
                "breaks": _breaks(row["queue"], day, asked) if difference else [],
            }
        )
    return rows


def _breaks(queue: Queue | None, day: date, asked: Asked) -> list[dict[str, str]]:
    """Return the calls of a queue's day that do not count once on either side, and why."""
    since = max(midnight(day, asked.zone), asked.since)
    until = min(midnight(day + timedelta(days=1), asked.zone), asked.until)
    calls = counts.counted(since, until).filter(direction=counts.INBOUND, queue=queue)
    into = reduce(add, (_one(name) for name in ("offered", "not_offered_ends")))
    out = reduce(add, (_one(name) for name in (*ENDS, "still_open")))
    wrong = calls.alias(into=into, out=out).exclude(into=F("out")).order_by("arrived_at")
    return [{"call": call.public_id, "why": _why(call.pk, calls)} for call in wrong[:MOST_BREAKS]]


def _one(name: str) -> Any:
    condition = counts.COUNTS[name].where or Q()
    return Case(When(condition, then=Value(1)), default=Value(0), output_field=IntegerField())


def _why(pk: Any, calls: Any) -> str:
    """Return under what a call counts, in words."""
    mine = calls.filter(pk=pk)
    names = ("offered", "not_offered_ends", *ENDS, "still_open")
    held = [counts.COUNTS[name] for name in names if mine.filter(counts.COUNTS[name].where)]
    return ", ".join(str(count.label) for count in held) or "–"
