"""What the desk shows: the agent's own state, the call in hand, the caller, today's figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.core.exceptions import PermissionDenied
from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, Q, Sum
from django.http import HttpRequest
from django.utils.translation import gettext as _

from agents import breaks, notices
from agents.models import Agent, BreakReason, Engagement, Preferences, Presence, current_agent
from agents.views import away, caller
from queues import contacts, declining, wrapping_up
from queues.models import Alert, Member, Offer, Queue, QueuedCall, WrapUp
from reporting.metrics import today

OWN_CALLS = 40  # the latest offers that are read: for today's list and the recent numbers
LISTED, RECENT = 8, 5
KEYS = 9  # dispositions that a digit chooses


def me_of(request: HttpRequest) -> Agent:
    """Return the agent whose pages these are; raise PermissionDenied for anybody else."""
    agent = current_agent(request.user)
    if agent is None:
        raise PermissionDenied(_("This page is for agents."))
    return agent


def chosen_in(request: HttpRequest) -> int | Literal[wrapping_up.Kept.KEPT] | None:
    """Return the disposition that a form sends: None takes it back; without the field, KEPT."""
    sent = request.POST.get("disposition")
    if sent is None:
        return wrapping_up.KEPT
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 10 else None


def desk(me: Agent, *, at: datetime, asked: dict[str, str], **more: Any) -> dict[str, Any]:
    """Return everything that the desk shows; `asked` is what the page sent along."""
    offer = Offer.objects.open().filter(agent=me).select_related("call__queue", "queue").first()
    talk = offer if offer and offer.state == Offer.State.JOINED else _in_wrap_up(me)
    held = offer or talk
    latest = _latest(me)
    since, _ = today(at)
    reasons = breaks.reasons()
    return {
        "me": me,
        "at": at,
        "offer": offer,
        "call": held.call if held else None,
        "held_off": me.hold_off_until if me.hold_off_until and me.hold_off_until > at else None,
        "put_on_break": _by_policy(me),
        "reasons": reasons,
        "break": _break(me, reasons, at),
        "may_decline": _may_decline(offer),
        "notices": notices.unread(me),
        "away": away.told(me, asked, at=at),
        "lines": _lines(me),
        "figures": _figures(me, at),
        "offers": [one for one in latest if one.created_at >= since][:LISTED],
        "names": contacts.names_of(one.call.customer for one in latest),
        "recent": _recent(latest),
        "may_call": me.engagement == Engagement.IDLE and me.presence != Presence.OFFLINE,
        **(_about(held.call, at) if held else {"who": ""}),
        **(_work(talk, at) if talk else {}),
        **more,
    }


def likes_sounds(me: Agent) -> bool:
    """Whether this agent wants to hear that a call comes."""
    likes = Preferences.objects.filter(user_id=me.user_id).values_list("sounds", flat=True)
    return likes.first() is not False


def _in_wrap_up(me: Agent) -> Offer | None:
    """The conversation that a wrap-up belongs to."""
    if me.engagement != Engagement.WRAP_UP:
        return None
    last = me.offers.filter(state=Offer.State.ENDED).select_related("call__queue", "queue")
    return last.order_by("-created_at").first()


def _by_policy(me: Agent) -> bool:
    if me.presence == Presence.AVAILABLE:
        return False
    return me.presence_periods.filter(ended_at=None, cause__startswith="policy").exists()


def _break(me: Agent, reasons: list[BreakReason], at: datetime) -> dict[str, Any] | None:
    """The break that is on, or that begins after this call, with its limit."""
    if me.presence != Presence.BREAK:
        return None
    period = breaks.current(me.pk)
    known = next((one for one in reasons if one.name == me.presence_reason), None)
    until = period.limit_at if period else None
    return {
        "is_paid": period.is_paid if period else None,
        "minutes": known.limit_minutes if known else None,
        "until": until,
        "is_over": until is not None and until <= at,
    }


def _may_decline(offer: Offer | None) -> bool:
    return offer is not None and offer.joined_at is None and declining.may_decline(offer)


def _about(call: QueuedCall, at: datetime) -> dict[str, Any]:
    name = contacts.name_of(call.customer)
    return {"name": name, "who": name or call.customer, "caller": caller.history(call, at=at)}


def _work(talk: Offer, at: datetime) -> dict[str, Any]:
    """What is to be written down about a conversation."""
    written = WrapUp.objects.filter(pk=talk.pk).first()
    queue = talk.queue
    help_asked = Alert.objects.filter(
        kind="help", subject=talk.call.public_id, dismissed_at=None
    ).exists()
    return {
        "talk": talk,
        "written": written,
        "chosen": written.disposition_id if written else None,
        "groups": groups(queue),
        "help_asked": help_asked,
        "may_extend": bool(
            queue
            and queue.wrap_up_extension_seconds
            and talk.state == Offer.State.ENDED
            and not (written and written.extended_at)
        ),
    }


def groups(queue: Queue | None) -> list[dict[str, Any]]:
    """Return a queue's dispositions in reading order, the first nine with the key for each."""
    found, number = [], 0
    for group, children in wrapping_up.choices(queue):
        entries = []
        for one in children or [group]:
            number += 1
            key = number if number <= KEYS else None
            entries.append({"pk": one.pk, "label": one.label, "key": key})
        found.append({"label": group.label if children else "", "entries": entries})
    return found


TALK = ExpressionWrapper(F("ended_at") - F("joined_at"), output_field=DurationField())


def _latest(me: Agent) -> list[Offer]:
    latest = me.offers.select_related("call__queue", "wrap_up__disposition").annotate(talk=TALK)
    return list(latest.order_by("-created_at")[:OWN_CALLS])


def _recent(latest: list[Offer]) -> list[str]:
    """The numbers of the latest calls, each once, that can be called."""
    numbers = dict.fromkeys(one.call.customer for one in latest)
    return [number for number in numbers if number[:1] == "+"][:RECENT]


def _figures(me: Agent, at: datetime) -> dict[str, Any]:
    since, until = today(at)
    mine = Offer.objects.filter(agent=me, created_at__gte=since, created_at__lt=until)
    figures: dict[str, Any] = mine.aggregate(
        offered=Count("pk"),
        answered=Count("pk", filter=Q(joined_at__isnull=False)),
        missed=Count("pk", filter=Q(state__in=[Offer.State.NO_ANSWER, Offer.State.NO_KEYPRESS])),
        talk=Sum(TALK, filter=Q(joined_at__isnull=False)),
    )
    return figures


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
    for pk, name, slug in queues.values_list("queue", "queue__name", "queue__slug"):
        count, since = found.get(pk, (0, None))
        lines.append({"name": name, "slug": slug, "waiting": count, "since": since})
    return lines
