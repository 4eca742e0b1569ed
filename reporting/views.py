"""The supervisor's room: the page, and the fragment that it fetches again when it is stale."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from agents import breaks
from callcenter.permissions import is_agent, is_supervisor
from queues import alerts
from reporting import live, shared

_NOW = "\x00now\x00"  # stands in a shared fragment for the moment at which it is handed out


def supervisors_only(request: HttpRequest) -> None:
    """Raise PermissionDenied for anybody else."""
    if not is_supervisor(request.user):
        raise PermissionDenied(_("This page is for supervisors."))


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The room; an agent is sent to their own page."""
    if not is_supervisor(request.user) and is_agent(request.user):
        return redirect("desk")
    supervisors_only(request)
    at = timezone.now()
    context = {"board": live.snapshot(at), "now": at.isoformat(), "reasons": breaks.reasons()}
    return render(request, "reporting/board.html", context)


@require_GET
def board(request: HttpRequest) -> HttpResponse:
    """The room's fragment; viewers of the same second share one."""
    supervisors_only(request)
    html, is_old = shared.fragment(_key(), _render)
    answer = HttpResponse(html.replace(_NOW, timezone.now().isoformat(), 1))
    if is_old:
        answer["HX-Trigger"] = "again"  # room.js asks once more in a second
    return answer


@require_POST
def dismiss_alert(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an alert off the board."""
    supervisors_only(request)
    alerts.dismiss(pk, at=timezone.now(), actor=request.user)
    return fragment(request) if request.headers.get("HX-Request") else redirect("home")


def fragment(request: HttpRequest, **told: Any) -> HttpResponse:
    """Render the fragment in answer to an action, with what is told of it to who acted."""
    shared.forget(_key())
    at = timezone.now()
    context = {"board": live.snapshot(at), "now": at.isoformat(), **told}
    return render(request, "reporting/_board.html", context)


def _key() -> tuple[str | None, ...]:
    return ("board", get_language(), timezone.get_current_timezone_name())


def _render() -> str:
    context = {"board": live.snapshot(timezone.now()), "now": _NOW}
    return render_to_string("reporting/_board.html", context)
