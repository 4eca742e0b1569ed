"""How long callers waited: how many were answered, and how many left, after how long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from reporting.figures import report
from reporting.pages import frame, rows

WIDTH = 100  # of the longest bar, in per cent


@require_GET
def waits(request: HttpRequest) -> HttpResponse:
    """The distribution of waits, and its middle and end per queue."""
    at = timezone.now()
    asked = replace(frame.ask(request, at=at), interval=None)
    context = {
        "all": report.totals(asked, at=at),
        "rows": bars(report.waits(asked, at=at)),
        "queues": rows.by_queue(asked, at=at),
    }
    return frame.show(request, "reports/waits.html", asked, context)


def bars(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add to each part its bars' lengths, and the share of answered calls up to its end."""
    parts = list(found)
    longest = max((row["answered"] + row["abandoned"] for row in parts), default=0) or 1
    answered = sum(row["answered"] for row in parts)
    so_far, drawn = 0, []
    for row in parts:
        so_far += row["answered"]
        drawn.append(
            {
                **row,
                "answered_width": round(row["answered"] / longest * WIDTH, 1),
                "abandoned_width": round(row["abandoned"] / longest * WIDTH, 1),
                "answered_by_then": so_far / answered if answered else None,
            }
        )
    return drawn
