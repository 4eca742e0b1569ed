"""What is known of whoever calls: how often they called, and what the last calls came to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, OuterRef, Q, Subquery, Window
from django.utils import timezone

from callcenter.sautikit import phone
from queues.models import QueuedCall, WrapUp

SHOWN = 4


def history(call: QueuedCall, *, at: datetime) -> dict[str, Any] | None:
    """Return the last calls of this call's customer, in one query; None for a withheld number.

    `this_month` counts the calls that came from there this month before this one.
    """
    if call.customer == phone.ANONYMOUS or not call.customer:
        return None
    month = timezone.localtime(at).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    talked = WrapUp.objects.filter(offer__call=OuterRef("pk")).order_by("-offer__created_at")
    theirs = QueuedCall.objects.filter(customer=call.customer).exclude(pk=call.pk)
    inbound = Q(direction=QueuedCall.Direction.INBOUND, arrived_at__gte=month)
    calls = list(
        theirs.annotate(
            in_month=Window(Count("pk", filter=inbound)),
            disposition=Subquery(talked.values("disposition__label")[:1]),
            notes=Subquery(talked.values("notes")[:1]),
        )
        .select_related("queue", "agent")
        .defer("document")
        .order_by("-arrived_at")[:SHOWN]
    )
    return {"calls": calls, "this_month": calls[0].in_month if calls else 0}
