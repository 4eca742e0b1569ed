"""What an agent writes down about a conversation: notes, a disposition, and the time for it.

A conversation whose wrap-up is over and that has no disposition is not dispositioned: that is to be
read off its `WrapUp`, which may still be written later. Where the queue asks for one, the timeline
says so too (`not_dispositioned` of the event `wrap_up_ended`).
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from agents.models import Agent, Engagement
from agents.refusals import Refused
from callcenter import bell
from callcenter.permissions import is_supervisor
from queues import offers
from queues.models import Disposition, Offer, Queue, WrapUp
from queues.scene import scene

LONGEST = 4000  # characters of notes


class Kept(Enum):
    """That something stays as it is."""

    KEPT = "kept"


KEPT: Final = Kept.KEPT


def choices(queue: Queue | None) -> list[tuple[Disposition, list[Disposition]]]:
    """Return the dispositions of a queue, in order: each group, or single one, with its entries.

    What has entries is a group, and cannot be chosen itself.
    """
    in_use = Disposition.objects.filter(is_active=True).select_related("parent")
    rows = list(in_use.order_by("position", "label", "pk"))
    groups = {row.parent_id for row in rows}
    fits = [row for row in rows if queue is None or row.queue_id in (None, queue.pk)]
    found = []
    for top in (row for row in fits if row.parent_id is None):
        entries = [row for row in fits if row.parent_id == top.pk]
        if entries or top.pk not in groups:
            found.append((top, entries))
    return found


def in_hand(agent_pk: int) -> Offer | None:
    """Return the conversation that an agent talks on or wraps up, or None."""
    mine = Offer.objects.filter(agent=agent_pk).select_related("queue", "call", "agent")
    talking = mine.filter(state=Offer.State.JOINED).first()
    if talking or not Agent.objects.filter(pk=agent_pk, engagement=Engagement.WRAP_UP).exists():
        return talking
    over = mine.filter(state=Offer.State.ENDED, wrap_up_ended_at=None)
    return over.order_by("-created_at").first()


@transaction.atomic
def write(
    offer_pk: uuid.UUID,
    agent_pk: int | None,
    *,
    disposition: int | Literal[Kept.KEPT] | None = KEPT,
    notes: str | Literal[Kept.KEPT] = KEPT,
    at: datetime,
    actor: Any,
) -> WrapUp:
    """Write down what a conversation came to, from its beginning on; the last word holds.

    `agent_pk` is who writes; None when a supervisor, the `actor`, does so. An agent writes about
    their own conversations of today. None as disposition takes it back. Raises Refused.
    """
    offer = Offer.objects.filter(pk=offer_pk).select_related("queue", "agent").first()
    if offer is None or offer.joined_at is None:
        raise Refused(_("There was no conversation to write about."))
    _may_write(offer, agent_pk, actor, at)
    changes: dict[str, Any] = {"updated_at": at, "updated_by": actor}
    if notes is not KEPT:
        changes["notes"] = _clean(notes)
    if disposition is not KEPT:
        changes["disposition"] = _chosen(offer, disposition)
    before = WrapUp.objects.filter(pk=offer.pk).values_list("disposition", flat=True).first()
    written, _made = WrapUp.objects.update_or_create(offer=offer, defaults=changes)
    if offer.wrap_up_ended_at and before != written.disposition_id:
        with scene(offer.call_id, at=at, source="desk" if agent_pk else "room") as opened:
            opened.note(
                "dispositioned", offer=offer, agent=offer.agent.name,
                disposition=str(written.disposition) if written.disposition else "",
                by=actor.get_username() if actor else "",
            )  # fmt: skip
    return written


def _may_write(offer: Offer, agent_pk: int | None, actor: Any, at: datetime) -> None:
    if agent_pk is None:
        if not is_supervisor(actor):
            raise Refused(_("Only a supervisor writes about the calls of others."))
        return
    if offer.agent_id != agent_pk:
        raise Refused(_("That was a call of another agent."))
    if offer.ended_at and offer.wrap_up_ended_at and _day(offer.ended_at) != _day(at):
        raise Refused(_("Only the calls of today can still be changed."))


def _day(at: datetime) -> Any:
    """Return the day of the centre, whatever zone the user reads the pages in."""
    return timezone.localdate(at, timezone.get_default_timezone())


def _clean(notes: str) -> str:
    notes = notes.replace("\x00", "").replace("\r\n", "\n").strip()
    if len(notes) > LONGEST:
        raise Refused(_("The notes are too long: at most %(most)s characters.") % {"most": LONGEST})
    return notes


def _chosen(offer: Offer, pk: int | None) -> Disposition | None:
    """Return a disposition that may be chosen for this conversation, or the one that it has."""
    if pk is None:
        return None
    row = Disposition.objects.filter(pk=pk).select_related("parent").first()
    if row and WrapUp.objects.filter(pk=offer.pk, disposition=row).exists():
        return row  # chosen when it was in use
    if row is None or not _is_in_use(row) or row.queue_id not in (None, offer.queue_id):
        raise Refused(_("This disposition cannot be chosen for this call."))
    if row.children.filter(is_active=True).exists():
        raise Refused(_("Choose an entry of “%(group)s”.") % {"group": row.label})
    return row


def _is_in_use(row: Disposition) -> bool:
    return row.is_active and (row.parent is None or row.parent.is_active)


@transaction.atomic
def extend(agent_pk: int, *, at: datetime) -> None:
    """Lengthen the agent's wrap-up by its queue's seconds, once. Raises Refused."""
    agent = _locked(agent_pk)
    offer = in_hand(agent_pk)
    if agent.wrap_up_until is None or offer is None or agent.engagement != Engagement.WRAP_UP:
        raise Refused(_("You are not in wrap-up any more."))
    seconds = offer.queue.wrap_up_extension_seconds if offer.queue else 0
    if not seconds:
        raise Refused(_("In this queue a wrap-up cannot be lengthened."))
    WrapUp.objects.get_or_create(offer=offer, defaults={"updated_at": at})
    if not WrapUp.objects.filter(offer=offer, extended_at=None).update(extended_at=at):
        raise Refused(_("This wrap-up has been lengthened already."))
    until = agent.wrap_up_until + timedelta(seconds=seconds)
    Agent.objects.filter(pk=agent_pk).update(wrap_up_until=until)
    with scene(offer.call_id, at=at, source="desk") as opened:
        opened.note("wrap_up_extended", offer=offer, agent=agent.name, seconds=seconds)
    bell.ring("sweep_at", until)
    bell.ring("desk", agent_pk)


@transaction.atomic
def done(agent_pk: int, *, at: datetime) -> bool:
    """End the agent's wrap-up early; False when there is none.

    Raises Refused where the queue asks for a disposition and none is chosen.
    """
    if _locked(agent_pk).engagement != Engagement.WRAP_UP:
        return False
    offer = in_hand(agent_pk)
    if offer and offer.queue and offer.queue.disposition_required and not _has_one(offer):
        raise Refused(_("Choose a disposition first."))
    return offers.end_wrap_up(agent_pk, at=at, early=True)


def _has_one(offer: Offer) -> bool:
    return WrapUp.objects.filter(offer=offer).exclude(disposition=None).exists()


def _locked(agent_pk: int) -> Agent:
    return Agent.objects.select_for_update(of=("self",), no_key=True).get(pk=agent_pk)


def not_dispositioned() -> Q:
    """Return what is true of an Offer whose wrap-up is over without a disposition."""
    is_over = Q(state=Offer.State.ENDED, wrap_up_ended_at__isnull=False)
    return is_over & Q(wrap_up__disposition=None)
