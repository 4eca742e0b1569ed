"""The agent's desk: the page, the fragment that it re-fetches, and what is done from it.

Every action answers with the fragment. What cannot be done now is said in it, in a sentence.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from agents import heartbeat, notices, presence
from agents.models import Agent, Preferences, Presence
from agents.refusals import Refused
from agents.views import showing
from agents.views.showing import chosen_in, me_of
from callcenter.sautikit import phone
from callcenter.transitions import StaleTransition
from queues import agent_legs, declining, help, outbound, wrapping_up
from queues.models import Offer, Queue
from queues.scene import Contended, scene


@require_GET
def desk(request: HttpRequest) -> HttpResponse:
    """The whole page."""
    return _page(request, me_of(request))


@require_GET
def state(request: HttpRequest) -> HttpResponse:
    """What is happening now: the fragment that the page re-fetches."""
    return _fragment(request, me_of(request))


@require_POST
def seen(request: HttpRequest) -> HttpResponse:
    """The page says that it is open."""
    heartbeat.beat(me_of(request).pk, at=timezone.now())
    return HttpResponse(status=204)


@require_POST
def set_presence(request: HttpRequest) -> HttpResponse:
    """Available, on break, or offline."""
    me, asked = me_of(request), request.POST.get("presence", "")

    def act() -> None:
        if asked in Presence.values:
            presence.change(
                me.pk, asked, reason=request.POST.get("reason", ""), at=timezone.now(),
                actor=request.user, cause="page",
            )  # fmt: skip

    return _act(request, me, act)


@require_POST
def decline(request: HttpRequest) -> HttpResponse:
    """Do not take the call that is offered."""
    me = me_of(request)
    return _act(request, me, lambda: declining.decline(me.pk, at=timezone.now()))


@require_POST
def hang_up(request: HttpRequest) -> HttpResponse:
    """End the call in progress; one that has ended meanwhile is left as it is."""
    me, at = me_of(request), timezone.now()
    offer = Offer.objects.open().filter(agent=me, state=Offer.State.JOINED).first()

    def act() -> None:
        if offer is None:
            raise Refused(_("That call has ended already."))
        try:
            with scene(offer.call_id, at=at, source="desk") as opened:
                if opened.offer and opened.offer.pk == offer.pk:
                    agent_legs.hang_up(opened)
        except StaleTransition:
            raise Refused(_("That call has ended already.")) from None
        except Contended:
            raise Refused(_("That did not get through. Please try again.")) from None

    return _act(request, me, act)


@require_POST
def ask_for_help(request: HttpRequest) -> HttpResponse:
    """Ask the supervisors for help with the call in progress, or say that it is not needed."""
    me, is_over = me_of(request), request.POST.get("help") == "withdraw"
    change = help.withdraw if is_over else help.ask
    return _act(request, me, lambda: change(me.pk, at=timezone.now()))


@require_POST
def write(request: HttpRequest, offer: uuid.UUID) -> HttpResponse:
    """Keep what the agent has typed so far; answers `{"saved": true}`, or 409 and the reason."""
    me = me_of(request)
    try:
        _write(request, me, offer)
    except Refused as why:
        return JsonResponse({"why": str(why)}, status=409)
    return JsonResponse({"saved": True})


def _write(request: HttpRequest, me: Agent, offer: uuid.UUID) -> None:
    """Write down what was sent; the notes also where the disposition is refused."""
    at, notes, chosen = timezone.now(), request.POST.get("notes", ""), chosen_in(request)
    keep = partial(wrapping_up.write, offer, me.pk, notes=notes, at=at, actor=request.user)
    try:
        keep(disposition=chosen)
    except Refused:
        if chosen is not wrapping_up.KEPT:
            keep()
        raise


@require_POST
def done(request: HttpRequest) -> HttpResponse:
    """Keep what was typed, and end the wrap-up."""
    me, at = me_of(request), timezone.now()
    try:
        offer = uuid.UUID(request.POST.get("offer", ""))
    except ValueError:  # nothing was to be written down
        return _act(request, me, lambda: wrapping_up.done(me.pk, at=at))
    try:
        _write(request, me, offer)
    except Refused as why:
        return _answer(request, me, news=str(why))
    try:
        wrapping_up.done(me.pk, at=at)
    except Refused as why:  # the only reason is that a disposition is missing
        return _answer(request, me, disposition_error=str(why))
    return _answer(request, me)


@require_POST
def extend(request: HttpRequest) -> HttpResponse:
    """Take more time for the wrap-up, once."""
    me = me_of(request)
    return _act(request, me, lambda: wrapping_up.extend(me.pk, at=timezone.now()))


@require_POST
def read_notice(request: HttpRequest, pk: int) -> HttpResponse:
    """The agent has read a supervisor's message."""
    me = me_of(request)
    return _act(request, me, lambda: notices.read(pk, me.pk, at=timezone.now()))


@require_POST
def call_somebody(request: HttpRequest) -> HttpResponse:
    """Click to call: the contact is rung first, then the agent."""
    me = me_of(request)
    typed, slug = request.POST.get("to", "")[:160], request.POST.get("queue", "")
    again = {"dial_to": typed, "dial_queue": slug}
    try:
        number = phone.normalise(typed)
    except phone.BadDestination as error:
        return _answer(request, me, dial_error=_(str(error)), **again)
    queue = Queue.objects.filter(memberships__agent=me, slug=slug, retired_at=None).first()
    if slug and queue is None:
        return _answer(request, me, queue_error=_("You are not in this queue any more."), **again)
    try:
        outbound.click_to_call(me.pk, number, queue=queue, at=timezone.now(), source="desk")
    except Refused as why:
        return _answer(request, me, dial_error=str(why), **again)
    return _answer(request, me)


@require_POST
def set_sounds(request: HttpRequest) -> HttpResponse:
    """Switch the tone for a call on or off; it is one of the user's preferences."""
    me = me_of(request)
    Preferences.objects.update_or_create(
        user=me.user, defaults={"sounds": request.POST.get("sounds") == "on"}
    )
    return redirect("desk") if not request.htmx else HttpResponse(status=204)  # type: ignore[attr-defined]


def _act(request: HttpRequest, me: Agent, act: Callable[[], Any]) -> HttpResponse:
    try:
        act()
    except Refused as why:
        return _answer(request, me, news=str(why))
    return _answer(request, me)


def _answer(request: HttpRequest, me: Agent, **more: Any) -> HttpResponse:
    """Answer an action: with the fragment; without script, with the page where all went well."""
    me.refresh_from_db()
    if request.headers.get("HX-Request"):
        return _fragment(request, me, **more)
    return _page(request, me, **more) if more else redirect("desk")


def _fragment(request: HttpRequest, me: Agent, **more: Any) -> HttpResponse:
    return render(request, "agents/_state.html", _context(request, me, **more))


def _page(request: HttpRequest, me: Agent, **more: Any) -> HttpResponse:
    context = _context(request, me, **more) | {"sounds": showing.likes_sounds(me)}
    return render(request, "agents/desk.html", context)


def _context(request: HttpRequest, me: Agent, **more: Any) -> dict[str, Any]:
    sent = request.POST if request.method == "POST" else request.GET
    asked = {name: sent.get(name, "") for name in ("since", "until", "to")}
    context = showing.desk(me, at=timezone.now(), asked=asked, **more)
    context.setdefault("dial_to", asked["to"] if request.method == "GET" else "")
    return context
