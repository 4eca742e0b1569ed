"""When in the week calls come, and when they are not answered: hours by weekdays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from reporting.figures import report
from reporting.figures.asked import Asked
from reporting.pages import frame, rows

STEPS = 5  # of the tint, from 1; 0 is nothing
MAPS = (
    ("offered", _("Calls offered"), _("The stronger the tint, the more calls.")),
    ("abandoned", _("Abandoned"), _("The stronger the tint, the more callers gave up.")),
    (
        "service_level",
        _("Service level"),
        _("The stronger the tint, the fewer were answered in time."),
    ),
)
DAYS = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))


@require_GET
def hours(request: HttpRequest) -> HttpResponse:
    """Three maps of the week: calls, abandons and the service level."""
    at = timezone.now()
    asked = replace(frame.ask(request, at=at), interval=None)
    found = report.heat(asked, at=at)
    context = {"maps": maps(found, asked), "has_calls": bool(found), "weekdays": DAYS}
    return frame.show(request, "reports/hours.html", asked, context)


def maps(found: Iterable[Mapping[str, Any]], asked: Asked) -> list[dict[str, Any]]:
    """Return each map: rows of hours, from the first to the last with calls, of seven cells."""
    cells = {(row["hour"], row["weekday"]): row for row in found}
    if not cells:
        return []
    used = [hour for hour, _weekday in cells]
    days = days_of_week(asked)
    made = []
    for key, title, hint in MAPS:
        most = max((row[key] or 0) for row in cells.values())
        lines = [
            {
                "hour": hour,
                "cells": [
                    cell(cells.get((hour, weekday)), key, most, days.get(weekday), hour, asked)
                    for weekday in range(7)
                ],
            }
            for hour in range(min(used), max(used) + 1)
        ]
        made.append({"key": key, "title": title, "hint": hint, "lines": lines})
    return made


def cell(
    row: Mapping[str, Any] | None, key: str, most: float, day: Any, hour: int, asked: Asked
) -> dict[str, Any]:
    """Return one hour of a weekday: its value, its tint, and what asks for its calls.

    The calls can be listed where the range has that weekday once.
    """
    value = row[key] if row else None
    return {
        "value": value,
        "step": step(key, value, most),
        "asked": _hour(asked, day, hour) if day and value else None,
    }


def step(key: str, value: float | None, most: float) -> int:
    """Return how dark a cell is: 0 for nothing, 1 to 5 from the least to the most that counts."""
    if value is None or (key != "service_level" and not value):
        return 0
    part = 1 - value if key == "service_level" else value / most
    return min(STEPS, 1 + int(part * STEPS))


def days_of_week(asked: Asked) -> dict[int, Any]:
    """Return the date of each weekday, where the range has each once at the most."""
    first, last = asked.days()
    length = (last - first).days + 1
    if length > 7:
        return {}
    return {
        day.weekday(): day for day in (first + timedelta(days=number) for number in range(length))
    }


def _hour(asked: Asked, day: Any, hour: int) -> Asked:
    start = datetime.combine(day, time(hour), asked.zone).astimezone(UTC)
    return rows.part(asked, start, start + timedelta(hours=1))
