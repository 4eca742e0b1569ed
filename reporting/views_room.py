"""What a supervisor does from the room: with a call, an agent, a queue; and messages to agents.

Each address takes `do`, the name of what is asked. The answer is the room's fragment and one
sentence: what was done, or why it cannot be done now.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from agents import notices
from agents.models import Agent, Presence
from agents.refusals import Refused
from queues import floor, supervision
from queues.models import Member, Supervision
from queues.models.supervision import OPEN_STATES
from reporting.views import fragment, supervisors_only

MODES = Supervision.Mode.values


@require_POST
def call(request: HttpRequest, public_id: str) -> HttpResponse:
    """Move, keep, pull, hang up or listen in on a call."""
    return _do(request, _call, public_id)


@require_POST
def agent(request: HttpRequest, pk: int) -> HttpResponse:
    """Change an agent's presence, or end the wrap-up."""
    return _do(request, _agent, pk)


@require_POST
def queue(request: HttpRequest, slug: str) -> HttpResponse:
    """Close a queue now, or open it again."""
    return _do(request, _queue, slug)


@require_POST
def message(request: HttpRequest) -> HttpResponse:
    """Send a message to agents: `to` is all, queue:<slug> or agent:<key>."""
    return _do(request, _message, request.POST.get("to", ""))


def _do(request: HttpRequest, act: Callable[..., str], subject: Any) -> HttpResponse:
    supervisors_only(request)
    is_refused = False
    try:
        said = act(request, subject, request.POST.get("do", ""), timezone.now())
    except Refused as refused:
        said, is_refused = str(refused), True
    if request.headers.get("HX-Request"):
        return fragment(request, told=said, is_refused=is_refused)
    messages.add_message(request, messages.ERROR if is_refused else messages.SUCCESS, said)
    return redirect("home")


def _call(request: HttpRequest, public_id: str, do: str, at: datetime) -> str:
    user = request.user
    if do in MODES:
        return _listen(request, public_id, do, at)
    if do == "stop":
        row = _open_supervision(public_id)
        if row is None:
            raise Refused(_("Nobody listens in on that call any more."))
        supervision.stop(row.pk, user=user, at=at)
        return _("Listening in has ended.")
    if do == "move-up":
        floor.move_up(public_id, at=at, actor=user)
        return _("Moved to the front of the line.")
    if do == "queue":
        floor.move_to_queue(public_id, request.POST.get("queue", ""), at=at, actor=user)
        return _("Moved to the other queue.")
    if do == "keep":
        kept_for = _number(request.POST.get("agent"))
        floor.keep_for(public_id, kept_for, at=at, actor=user)
        return _("Kept for that agent.") if kept_for else _("Kept for nobody in particular.")
    if do == "pull":
        chosen = _number(request.POST.get("agent"))
        if chosen is None:
            raise Refused(_("Choose the agent whose phone is to ring."))
        floor.pull(public_id, chosen, at=at, actor=user)
        return _("The agent's phone is being rung.")
    if do == "hang-up":
        floor.hang_up(public_id, at=at, actor=user)
        return _("The call is being hung up.")
    raise Refused(_("That is nothing that can be done with a call."))


def _listen(request: HttpRequest, public_id: str, mode: str, at: datetime) -> str:
    """Begin to listen in, or change the mode of who listens already."""
    row = _open_supervision(public_id)
    if row and row.supervisor_id == request.user.pk:
        supervision.change(row.pk, mode, user=request.user, at=at)
        return {
            "listen": _("You hear both now, and nobody hears you."),
            "whisper": _("The agent hears you now; the customer does not."),
            "barge": _("Both hear you now."),
        }[mode]
    supervision.start(public_id, mode, user=request.user, at=at)
    return _("Your phone rings in a moment.")


def _open_supervision(public_id: str) -> Supervision | None:
    return Supervision.objects.filter(call__public_id=public_id, state__in=OPEN_STATES).first()


def _agent(request: HttpRequest, pk: int, do: str, at: datetime) -> str:
    if do == "wrap-up":
        floor.end_wrap_up(pk, at=at, actor=request.user)
        return _("The wrap-up has ended.")
    if do not in Presence.values:
        raise Refused(_("That is nothing that can be done with an agent."))
    reason = request.POST.get("reason", "")
    floor.set_presence(pk, do, reason, at=at, actor=request.user)
    name = Agent.objects.values_list("name", flat=True).filter(pk=pk).first() or ""
    return {
        "available": _("%(agent)s is available."),
        "break": _("%(agent)s is on break."),
        "offline": _("%(agent)s is offline."),
    }[do] % {"agent": name}


def _queue(request: HttpRequest, slug: str, do: str, at: datetime) -> str:
    if do == "close":
        floor.close_queue(slug, at=at, actor=request.user)
        return _("The queue is closed: new callers hear its closed message.")
    if do == "open":
        floor.open_queue(slug, at=at, actor=request.user)
        return _("The queue is open again.")
    raise Refused(_("That is nothing that can be done with a queue."))


def _message(request: HttpRequest, to: str, do: str, at: datetime) -> str:
    agents = _recipients(to)
    notices.send(request.POST.get("text", ""), agents, sender=request.user, at=at)
    return _("The message was sent to %(count)s.") % {"count": len(agents)}


def _recipients(to: str) -> list[int]:
    """Return the keys of the agents whom `to` names."""
    current = Agent.objects.current()
    kind, _sep, key = to.partition(":")
    if kind == "all":
        return list(current.values_list("pk", flat=True))
    if kind == "agent":
        return list(current.filter(pk=_number(key) or 0).values_list("pk", flat=True))
    if kind != "queue":
        return []
    members = Member.objects.filter(queue__slug=key, queue__retired_at=None)
    return list(members.filter(agent__retired_at=None).values_list("agent", flat=True))


def _number(text: str | None) -> int | None:
    """Return a key that a form sent; None for none, or for what is no key."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
