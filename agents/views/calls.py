"""The agent's own calls, day by day; what was written down about today's can be changed."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from agents.models import Agent
from agents.refusals import Refused
from agents.views import showing
from agents.views.showing import TALK, chosen_in, me_of
from queues import contacts, wrapping_up
from queues.models import Offer
from reporting.metrics import today

FIRST = date(2000, 1, 1)
AT_MOST = 300  # calls of one day on one page


@require_GET
def own_calls(request: HttpRequest) -> HttpResponse:
    """The calls of one day, newest first; `?day=2026-11-22`, else today's."""
    return _page(request, me_of(request), _day(request))


@require_POST
def change(request: HttpRequest, offer: uuid.UUID) -> HttpResponse:
    """Change notes and disposition of one of today's conversations."""
    me = me_of(request)
    if not Offer.objects.filter(pk=offer, agent=me).exists():
        raise Http404(_("This is not a call of yours."))
    disposition, notes = chosen_in(request), request.POST.get("notes", "")
    try:
        wrapping_up.write(
            offer, me.pk, disposition=disposition, notes=notes, at=timezone.now(),
            actor=request.user,
        )  # fmt: skip
    except Refused as why:
        typed = {"pk": offer, "disposition": disposition, "notes": notes, "why": str(why)}
        return _page(request, me, _today(), typed=typed)
    return redirect(f"{reverse('desk-calls')}?saved={offer}#call-{offer}")


def _day(request: HttpRequest) -> date:
    try:
        return date.fromisoformat(request.GET.get("day", ""))
    except ValueError:
        return _today()


def _today() -> date:
    """The centre's day, whatever the zone in which somebody looks."""
    return timezone.localdate(timezone=timezone.get_default_timezone())


def _page(
    request: HttpRequest, me: Agent, day: date, typed: dict[str, Any] | None = None
) -> HttpResponse:
    day = max(FIRST, min(day, _today()))
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.get_default_timezone())
    since, until = today(noon)
    mine = me.offers.filter(created_at__gte=since, created_at__lt=until)
    offers = list(
        mine.select_related("call__queue", "queue", "wrap_up__disposition__parent")
        .annotate(talk=TALK)
        .order_by("-created_at")[:AT_MOST]
    )
    is_today = day == _today()
    return render(
        request,
        "agents/calls.html",
        {
            "me": me,
            "day": day,
            "is_today": is_today,
            "before": day - timedelta(days=1),
            "after": None if is_today else day + timedelta(days=1),
            "offers": offers,
            "names": contacts.names_of(one.call.customer for one in offers),
            "groups": _groups(offers) if is_today else {},
            "typed": typed,
            "saved": request.GET.get("saved", ""),
            "figures": mine.aggregate(
                offered=Count("pk"),
                answered=Count("pk", filter=Q(joined_at__isnull=False)),
                talk=Sum(TALK, filter=Q(joined_at__isnull=False)),
            ),
        },
    )


def _groups(offers: list[Offer]) -> dict[int | None, list[dict[str, Any]]]:
    """The dispositions of each queue that these calls came in by."""
    queues = {one.queue_id: one.queue for one in offers if one.joined_at}
    return {pk: showing.groups(queue) for pk, queue in queues.items()}
