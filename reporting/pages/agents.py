"""What each agent did: time by state, offers and talks, and the day as a strip of states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from reporting.figures import report
from reporting.figures.asked import Asked
from reporting.pages import frame

# A state's word, and the height of its stretch of the strip, in parts of 24.
STATES = {
    "on_call": (_("On a call"), 24),
    "wrap_up": (_("Wrap-up"), 18),
    "ringing": (_("Ringing"), 24),
    "available_idle": (_("Free"), 12),
    "break_paid": (_("Break, paid"), 8),
    "break_unpaid": (_("Break, unpaid"), 5),
    "offline": (_("Offline"), 2),
}
DOWN = 24  # the height of a strip
THINNEST = 0.05  # per cent of a strip's length, so that the shortest can be seen
MOST = timedelta(days=2)  # that strips are drawn of
TICKS = ((3, 0.25), (8, 1), (26, 2), (50, 6))  # hours at the most, and hours between ticks


@require_GET
def agents(request: HttpRequest) -> HttpResponse:
    """The table of agents; strips where the range is short enough to be seen."""
    at = timezone.now()
    asked = replace(frame.ask(request, at=at), interval=None)
    is_short = asked.until - asked.since <= MOST
    strips = report.strips(asked, at=at) if is_short else []
    busy = busy_hours(strips, asked)
    context = {
        "rows": [ready(row, asked) for row in report.agents(asked, at=at)],
        "failed": report.RONA,
        "strips": [drawn(strip, busy, asked) for strip in strips],
        "is_short": is_short,
        "legend": [
            {"state": key, "word": word, "height": height, "y": DOWN - height}
            for key, (word, height) in STATES.items()
        ],
        "ticks": ticks(busy),
        "everybody": replace(asked, agents=()).address(),
    }
    return frame.show(request, "reports/agents.html", asked, context)


def ready(row: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """Add to an agent's row what asks for it alone, and for its calls in the call log."""
    first, last = asked.days()
    days = [("from", first.isoformat()), ("to", last.isoformat())]
    queues = [("queue", queue.slug) for queue in asked.queues]
    query = urlencode([("agent", row["agent"].user.get_username()), *days, *queues])
    return {
        **row,
        "asked": replace(asked, agents=(row["agent"],)),
        "missed": [row["rona"][state] for state in report.RONA],
        "calls": f"{reverse('call-log')}?{query}",
    }


def busy_hours(strips: Iterable[Mapping[str, Any]], asked: Asked) -> Asked:
    """Ask for the full hours in which anybody was signed in; for all where nobody was."""
    there = [[part for part in strip["parts"] if part["state"] != "offline"] for strip in strips]
    if not any(there):
        return asked
    hour = timedelta(hours=1)
    since = min(parts[0]["start"].astimezone(UTC) for parts in there if parts)  # they are in order
    until = max(parts[-1]["end"].astimezone(UTC) for parts in there if parts)
    since = asked.since + (since - asked.since) // hour * hour
    until = asked.since - (asked.since - until) // hour * hour
    return replace(asked, since=since, until=min(until, asked.until))


def drawn(strip: Mapping[str, Any], busy: Asked, asked: Asked) -> dict[str, Any]:
    """Return an agent's strip: each stretch with its place in per cent of the range."""
    parts = [
        placed(part, busy)
        for part in strip["parts"]
        if part["end"] > busy.since and part["start"] < busy.until
    ]
    return {
        "agent": strip["agent"],
        "parts": parts,
        "stretches": stretches(parts),
        "sums": sums(parts),
        "address": replace(asked, agents=(strip["agent"],)).address(),
    }


def placed(part: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """Add to a stretch where it lies in the range, and how it is drawn."""
    word, height = STATES[part["state"]]
    length = _length(part)
    return {
        **part,
        "word": word,
        "x": _percent(part["start"] - asked.since, asked),  # what lies outside is cut off
        "width": max(_percent(length, asked), THINNEST),
        "height": height,
        "y": DOWN - height,
        "length": length.total_seconds(),
    }


def stretches(parts: Iterable[Mapping[str, Any]]) -> SafeString:
    """Return the stretches of a strip as they are drawn: thousands a day, so not by a template."""
    words = {state: str(escape(word)) for state, (word, _height) in STATES.items()}
    return mark_safe(  # noqa: S308 - numbers, times, and words that are escaped
        "".join(
            f'<rect class="st-{part["state"]}" x="{part["x"]}%" y="{part["y"]}" '
            f'width="{part["width"]}%" height="{part["height"]}"><title>'
            f"{part['start']:%H:%M:%S} – {part['end']:%H:%M:%S} {words[part['state']]}"
            "</title></rect>"
            for part in parts
        )
    )


def _length(part: Mapping[str, Any]) -> timedelta:
    start, end = (part[name].astimezone(UTC) for name in ("start", "end"))
    length: timedelta = end - start
    return length


def _percent(span: timedelta, asked: Asked) -> float:
    return round(span / (asked.until - asked.since) * 100, 4)


def sums(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say how long each state lasted in all, in the order of the legend."""
    found: dict[str, float] = {}
    for part in parts:
        found[part["state"]] = found.get(part["state"], 0) + part["length"]
    return [
        {"state": state, "word": STATES[state][0], "seconds": found[state]}
        for state in STATES
        if state in found
    ]


def ticks(asked: Asked) -> list[dict[str, Any]]:
    """Return the full hours to be written over the strips, some of them with words."""
    hours = (asked.until - asked.since) / timedelta(hours=1)
    every = timedelta(hours=next((step for most, step in TICKS if hours <= most), 6))
    made, moment = [], asked.since
    while moment < asked.until:
        x = _percent(moment - asked.since, asked)
        made.append({"x": x, "at": moment.astimezone(asked.zone)})
        moment += every
    return made
