"""What each figure means: formulas with their versions and sources, and what they count."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from queues.models import Queue
from reporting.figures import counts
from reporting.figures.definitions import OTHERS, SERVICE_LEVELS
from reporting.views import supervisors_only


@require_GET
def definitions(request: HttpRequest) -> HttpResponse:
    """All definitions and counts; each has an address of its own (#key)."""
    supervisors_only(request)
    context = {
        "asked": None,
        "levels": SERVICE_LEVELS,
        "others": OTHERS,
        "counts": counts.COUNTS.values(),
        "queues": Queue.objects.filter(retired_at=None).order_by("name"),
    }
    return render(request, "reports/definitions.html", context)
