"""The agent's page: what is asked for, what is happening, today's calls."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from agents import presence
from agents.models import Agent, Engagement, Presence, current_agent
from callcenter.transitions import StaleTransition
from queues import agent_legs, offers
from queues.models import Member, Offer, QueuedCall
from queues.scene import scene
from reporting.metrics import today

OWN_CALLS = 20  # of today, newest first


def _me(request: HttpRequest) -> Agent:
    agent = current_agent(request.user)
    if agent is None:
        raise PermissionDenied("This page is for agents.")
    return agent


@require_GET
def desk(request: HttpRequest) -> HttpResponse:
    """The whole page."""
    return render(request, "agents/desk.html", _context(_me(request)))


@require_GET
def state(request: HttpRequest) -> HttpResponse:
    """What is happening now: the fragment that the page re-fetches."""
    return render(request, "agents/_state.html", _context(_me(request)))


@require_POST
def set_presence(request: HttpRequest) -> HttpResponse:
    """Available, on break, or offline."""
    me, asked = _me(request), request.POST.get("presence", "")
    if asked in Presence.values:
        presence.change(
            me.pk, asked, reason=request.POST.get("reason", ""), at=timezone.now(),
            actor=request.user, cause="page",
        )  # fmt: skip
    return _answer(request)


@require_POST
def done(request: HttpRequest) -> HttpResponse:
    """End the wrap-up; or, on a call, say that it is over."""
    me, at = _me(request), timezone.now()
    if not offers.end_wrap_up(me.pk, at=at, early=True):
        _on_my_call(me, at)
    return _answer(request)


@require_POST
def hang_up(request: HttpRequest) -> HttpResponse:
    """End the call in progress."""
    _on_my_call(_me(request), timezone.now())
    return _answer(request)


def _on_my_call(me: Agent, at: Any) -> None:
    """End the call that this agent talks on; one that has ended meanwhile is left as it is."""
    offer = Offer.objects.open().filter(agent=me, state=Offer.State.JOINED).first()
    if offer is None:
        return
    try:
        with scene(offer.call_id, at=at, source="desk") as opened:
            if opened.offer and opened.offer.pk == offer.pk:
                agent_legs.hang_up(opened)
    except StaleTransition:
        return


def _answer(request: HttpRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return state_of(request)
    return redirect("desk")


def state_of(request: HttpRequest) -> HttpResponse:
    """Render the fragment in answer to an action."""
    return render(request, "agents/_state.html", _context(_me(request)))


def _context(me: Agent) -> dict[str, Any]:
    at = timezone.now()
    offer = Offer.objects.open().filter(agent=me).select_related("call__queue", "queue").first()
    since, until = today(at)
    mine = Offer.objects.filter(agent=me, created_at__gte=since, created_at__lt=until)
    talk = ExpressionWrapper(F("ended_at") - F("joined_at"), output_field=DurationField())
    figures = mine.aggregate(
        offered=Count("pk"),
        answered=Count("pk", filter=Q(joined_at__isnull=False)),
        missed=Count("pk", filter=Q(state__in=[Offer.State.NO_ANSWER, Offer.State.NO_KEYPRESS])),
        talk=Sum(talk, filter=Q(joined_at__isnull=False)),
    )
    return {
        "me": me,
        "at": at,
        "Presence": Presence,
        "Engagement": Engagement,
        "offer": offer,
        "call": offer.call if offer else _last_call(me),
        "held_off": me.hold_off_until if me.hold_off_until and me.hold_off_until > at else None,
        "put_on_break": me.presence == Presence.BREAK
        and me.presence_periods.filter(ended_at=None, cause__startswith="policy").exists(),
        "lines": _lines(me),
        "offers": mine.select_related("call__queue")
        .annotate(talk=talk)
        .order_by("-created_at")[:OWN_CALLS],
        "figures": figures,
        "break_reasons": ["Lunch", "Short break", "Training", "Meeting"],
    }


def _lines(me: Agent) -> list[dict[str, Any]]:
    """How many callers wait in each of this agent's queues, and since when the first."""
    rows = (
        QueuedCall.objects.filter(
            queue__memberships__agent=me,
            direction=QueuedCall.Direction.INBOUND,
            state__in=[QueuedCall.State.WAITING, QueuedCall.State.OFFERED],
        )
        .order_by()
        .values_list("queue")
        .annotate(count=Count("pk"), since=Min("queued_at"))
    )
    found = {queue: (count, since) for queue, count, since in rows}
    queues = Member.objects.filter(agent=me, queue__retired_at=None).order_by("queue__name")
    lines = []
    for pk, name in queues.values_list("queue", "queue__name"):
        count, since = found.get(pk, (0, None))
        lines.append({"name": name, "waiting": count, "since": since})
    return lines


def _last_call(me: Agent) -> QueuedCall | None:
    """The call that a wrap-up belongs to."""
    if me.engagement != Engagement.WRAP_UP:
        return None
    last = me.offers.filter(state=Offer.State.ENDED).select_related("call__queue")
    offer = last.order_by("-created_at").first()
    return offer.call if offer else None
