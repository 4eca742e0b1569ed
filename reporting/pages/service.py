"""How many callers were answered in time, and how many gave up: over time, by every definition."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from reporting.figures import report
from reporting.pages import frame, rows


@require_GET
def service(request: HttpRequest) -> HttpResponse:
    """The service level and who gave up, by interval, by definition and by queue."""
    at = timezone.now()
    asked = frame.ask(request, at=at)
    fitted = rows.fitting(asked)
    whole = replace(asked, interval=None)
    context = {
        "all": report.totals(whole, at=at),
        "levels": [
            {**row, "width": round((row["value"] or 0) * 100, 1)}
            for row in report.service_levels(whole, at=at)
        ],
        "rows": rows.by_interval(fitted, at=at),
        "queues": rows.by_queue(whole, at=at),
        "again": report.repeats(whole, at=at),
        "offers": [
            {**row, "missed": [row["rona"][state] for state in report.RONA]}
            for row in report.offers(whole, at=at)
        ],
        "failed": report.RONA,
        "dispositions": report.dispositions(whole, at=at),
        "target": rows.target(asked),
        "interval": fitted.interval,
        "intervals": " ".join(frame.INTERVALS),
    }
    return frame.show(request, "reports/service.html", asked, context)
