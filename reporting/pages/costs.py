"""What the calls cost: what the provider charged, by queue, party and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from reporting.figures import definitions, report
from reporting.pages import frame, rows

WHOSE = {
    "customer": _("customer's leg"),
    "agent": _("agent's leg"),
    "": _("of no call of ours"),
}
KINDS = {"pstn": _("telephone network"), "sip": _("SIP")}


@require_GET
def costs(request: HttpRequest) -> HttpResponse:
    """The costs by interval, and where they come from."""
    at = timezone.now()
    asked = frame.ask(request, at=at)
    whole = replace(asked, interval=None)
    fitted = rows.fitting(asked)
    found = report.costs(whole, at=at)
    everything = report.totals(whole, at=at)
    context = {
        "costs": [
            {
                **row,
                "charged": row["minor"] if row["currency"] or row["minor"] else None,
                "whose": WHOSE.get(row["role"], row["role"]),
                "kind_in_words": KINDS.get(row["kind"], row["kind"]),
            }
            for row in found
        ],
        "sums": sums(found),
        "all": everything,
        "per_call": cost_per_call(everything),
        "not_in_yet": sum(row["not_in_yet"] for row in found),
        "rows": rows.by_interval(fitted, at=at),
        "interval": fitted.interval,
        "intervals": " ".join(frame.INTERVALS),
    }
    return frame.show(request, "reports/costs.html", asked, context)


def sums(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up by currency; money of different currencies is never added."""
    totals: dict[str, dict[str, Any]] = {}
    for row in found:
        total = totals.setdefault(row["currency"], {"minor": 0, "legs": 0, "not_in_yet": 0})
        for key in total:
            total[key] += row[key]
    return [{"currency": key, **total} for key, total in sorted(totals.items())]


def cost_per_call(totals: Mapping[str, Any]) -> float | None:
    """Return the mean cost of an inbound call in minor units, where any has a cost."""
    if totals.get("cost") is None:
        return None
    return definitions.value(definitions.ALL["cost_per_call"], totals)
