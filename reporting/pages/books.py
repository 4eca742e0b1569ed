"""Whether every call that entered a queue has one end: the books of each queue and day."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from reporting.figures import books as figures
from reporting.figures import upkeep
from reporting.figures.asked import Asked, midnight
from reporting.pages import frame, rows

GOOD_FOR = 300.0  # seconds for which the mark of the room holds
MOST_DAYS = timedelta(days=92)


@require_GET
def books(request: HttpRequest) -> HttpResponse:
    """What was offered against every end, and the calls that break the sum."""
    at = timezone.now()
    asked = replace(frame.ask(request, at=at), interval=None)
    shown = asked
    if asked.until - asked.since > MOST_DAYS:
        first = asked.days()[1] - MOST_DAYS + timedelta(days=1)
        shown = replace(asked, since=midnight(first, asked.zone))
    found = [ready(row, shown) for row in figures.days(shown, at=at)]
    context = {
        "is_cut": shown != asked,
        "days": found,
        "ends": [name for name in figures.ENDS if any(row[name] for row in found)],
        "broken": [row for row in found if row["difference"] or row["breaks"]],
    }
    return frame.show(request, "reports/books.html", shown, context)


def ready(row: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """Add to a queue's day what asks for its calls."""
    day = row["start"].date()
    alone = frame.days(rows.of_queue(asked, row["queue"]), day, day)
    since, until = max(alone.since, asked.since), min(alone.until, asked.until)
    return {**row, "asked": replace(alone, since=since, until=until) if row["queue"] else None}


# --- The mark in the room ------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """How many queue's days of yesterday and today do not balance; None: still being counted."""

    broken: int | None


_kept: tuple[float, Mark] | None = None
_looking = threading.Lock()


def mark(at: datetime) -> Mark:
    """Return the books of yesterday and today in one number; looked up every few minutes."""
    global _kept
    with _looking:
        if _kept is None or time.monotonic() - _kept[0] > GOOD_FOR:
            _kept = (time.monotonic(), _look(at))
        return _kept[1]


def forget() -> None:
    """Look anew the next time."""
    global _kept
    _kept = None


def _look(at: datetime) -> Mark:
    zone = ZoneInfo(timezone.get_default_timezone_name())
    today = at.astimezone(zone).date()
    since = midnight(today - timedelta(days=1), zone)
    until = midnight(today + timedelta(days=1), zone)
    if upkeep.is_behind(since, until):
        return Mark(None)
    asked = Asked(since=since, until=until, zone=zone)
    return Mark(sum(1 for row in figures.days(asked, at=at) if row["difference"]))
