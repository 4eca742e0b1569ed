"""What all report pages share: who may look, what was asked, and the words of its time zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from reporting.figures import asked as asking
from reporting.figures import upkeep
from reporting.figures.asked import Asked, midnight
from reporting.views import supervisors_only

PAGES = (
    ("reports", gettext_lazy("Today")),
    ("report-service", gettext_lazy("Service level")),
    ("report-waits", gettext_lazy("Waits")),
    ("report-hours", gettext_lazy("Hours")),
    ("report-agents", gettext_lazy("Agents")),
    ("report-costs", gettext_lazy("Costs")),
    ("report-planning", gettext_lazy("Planning")),
    ("report-books", gettext_lazy("Books")),
    ("report-provider", gettext_lazy("Provider")),
    ("report-files", gettext_lazy("Files")),
    ("report-schedules", gettext_lazy("Schedules")),
    ("report-kept", gettext_lazy("Kept")),
    ("report-definitions", gettext_lazy("Definitions")),
)
INTERVALS = {
    "15m": gettext_lazy("15 minutes"),
    "30m": gettext_lazy("30 minutes"),
    "hour": gettext_lazy("Hour"),
    "day": gettext_lazy("Day"),
    "week": gettext_lazy("Week"),
    "month": gettext_lazy("Month"),
}


def ask(request: HttpRequest, *, at: datetime) -> Asked:
    """Read the address, for supervisors only."""
    supervisors_only(request)
    return asking.read(request.GET, at=at, zone=timezone.get_current_timezone())


def show(
    request: HttpRequest, template: str, asked: Asked, context: Mapping[str, Any]
) -> HttpResponse:  # fmt: skip
    """Render a page with all times in the zone that was asked for."""
    with timezone.override(asked.zone):
        behind = upkeep.is_behind(asked.since, asked.until)
        return render(request, template, {"asked": asked, "is_behind": behind, **context})


# --- Days ----------------------------------------------------------------------------------------


def days(asked: Asked, first: date, last: date) -> Asked:
    """Ask the same of other days, both included."""
    since, until = (
        midnight(first, asked.zone),
        midnight(last + timedelta(days=1), asked.zone),
    )
    return replace(asked, since=since, until=until, notes=(), wrong=())


def moved(asked: Asked, *, by: timedelta) -> Asked:
    """Ask the same of the range that lies `by` whole days away, by the clock on the wall."""
    since, until = (
        datetime.combine(local.date() + by, local.time(), asked.zone).astimezone(UTC)
        for local in (asked.since.astimezone(asked.zone), asked.until.astimezone(asked.zone))
    )
    return replace(asked, since=since, until=until, notes=(), wrong=())


def beside(asked: Asked, *, later: bool) -> Asked:
    """Ask the same of the range before or after: months by months, days by days."""
    if not asked.is_whole_days:
        length = asked.until - asked.since
        step = length if later else -length
        since, until = asked.since + step, asked.until + step
        return replace(asked, since=since, until=until, notes=(), wrong=())
    first, last = asked.days()
    after, before = last + timedelta(days=1), first - timedelta(days=1)
    if first.day == 1 and after.day == 1 and (last - first).days < 31:
        if later:
            return days(asked, after, _last_of_month(after))
        return days(asked, before.replace(day=1), before)
    count = timedelta(days=(last - first).days + 1)
    return moved(asked, by=count if later else -count)


def _last_of_month(day: date) -> date:
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return following - timedelta(days=1)


def presets(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return the ranges that are asked for most, each with its address."""
    today = at.astimezone(asked.zone).date()
    monday = today - timedelta(days=today.weekday())
    one = timedelta(days=1)
    found = [
        (_("Today"), today, today),
        (_("Yesterday"), today - one, today - one),
        (_("This week"), monday, today),
        (_("Last week"), monday - 7 * one, monday - one),
        (_("This month"), today.replace(day=1), today),
        (_("Last month"), (today.replace(day=1) - one).replace(day=1), today.replace(day=1) - one),
    ]
    now = asked.days() if asked.is_whole_days else None
    chosen = next((words for words, *span in found if now == tuple(span)), None)
    return [
        {
            "words": words,
            "address": days(asked, first, last).address(),
            "is_chosen": words == chosen,
        }
        for words, first, last in found
    ]


def span_in_words(asked: Asked) -> str:
    """Write the range as people say it: a day with its weekday, days, or times."""
    first, last = asked.days()
    if not asked.is_whole_days:
        since, until = asked.since.astimezone(asked.zone), asked.until.astimezone(asked.zone)
        if since.date() == until.date():
            return f"{date_format(since, 'D j N Y, H:i')} – {date_format(until, 'H:i')}"
        return f"{date_format(since, 'j N Y, H:i')} – {date_format(until, 'j N Y, H:i')}"
    if first == last:
        return date_format(first, "l j F Y")
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} – {date_format(last, 'j F Y')}"
    if first.year == last.year:
        return f"{date_format(first, 'j N')} – {date_format(last, 'j N Y')}"
    return f"{date_format(first, 'j N Y')} – {date_format(last, 'j N Y')}"
