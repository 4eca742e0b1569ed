"""The supervisor's pages: the wallboard, the call log, and one call with its timeline."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from callcenter.permissions import is_agent, is_supervisor
from queues import alerts, arrivals, routing
from queues.models import Queue, QueuedCall
from reporting import live

PAGE = 50
_RESERVED = {"voicemail", "callback", "overflowed", "closed_hours"}  # states of later features


def _supervisors_only(request: HttpRequest) -> None:
    if not is_supervisor(request.user):
        raise PermissionDenied("This page is for supervisors.")


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The wallboard; an agent is sent to their own page."""
    if not is_supervisor(request.user) and is_agent(request.user):
        return redirect("desk")
    _supervisors_only(request)
    return render(request, "reporting/board.html", {"board": live.snapshot(timezone.now())})


@require_GET
def board(request: HttpRequest) -> HttpResponse:
    """The wallboard's fragment, re-fetched when it is stale."""
    _supervisors_only(request)
    return render(request, "reporting/_board.html", {"board": live.snapshot(timezone.now())})


@require_POST
def dismiss_alert(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an alert off the board."""
    _supervisors_only(request)
    alerts.dismiss(pk, at=timezone.now(), actor=request.user)
    return board_fragment(request) if request.headers.get("HX-Request") else redirect("home")


def board_fragment(request: HttpRequest) -> HttpResponse:
    """Render the fragment in answer to an action."""
    return render(request, "reporting/_board.html", {"board": live.snapshot(timezone.now())})


@require_GET
def call_log(request: HttpRequest) -> HttpResponse:
    """Past and present calls, newest first."""
    _supervisors_only(request)
    calls = QueuedCall.objects.select_related("queue", "agent").order_by("-arrived_at", "-pk")
    asked = {name: request.GET.get(name, "").strip()[:64] for name in ("queue", "status", "number")}
    if asked["queue"]:
        calls = calls.filter(queue__slug=asked["queue"])
    if asked["status"] in QueuedCall.State.values:
        calls = calls.filter(state=asked["status"])
    if asked["number"]:
        digits = asked["number"].replace(" ", "").lstrip("0")
        calls = calls.filter(customer__contains=digits)
    calls = calls.prefetch_related("records")
    page = Paginator(calls, PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "page": page,
        "asked": asked,
        "queues": Queue.objects.filter(retired_at=None),
        "states": [state for state in QueuedCall.State.values if state not in _RESERVED],
    }
    return render(request, "reporting/call_log.html", context)


@require_GET
def call_page(request: HttpRequest, public_id: str) -> HttpResponse:
    """One call: what happened, in order, with the provider's records underneath."""
    _supervisors_only(request)
    call_pk = arrivals.public_id(public_id)
    calls = QueuedCall.objects.select_related("queue", "agent")
    call = calls.filter(pk=call_pk).first() if call_pk else None
    if call is None:
        raise Http404("There is no such call.")
    waiting = call.state == QueuedCall.State.WAITING
    context = {
        "call": call,
        "at": timezone.now(),
        "events": call.events.select_related("offer__agent"),
        "offers": call.offers.select_related("agent"),
        "legs": call.legs.all(),
        "records": call.records.order_by("started_at"),
        "webhooks": call.webhook_events.order_by("received_at"),
        "why": routing.why_waiting(call, timezone.now()) if waiting else "",
    }
    return render(request, "reporting/call.html", context)
