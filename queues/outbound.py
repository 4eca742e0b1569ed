"""Calls that we start: click to call, and pulling a waiting call to a named agent."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction

from agents.models import Agent, Engagement, Presence
from callcenter import bell
from callcenter.ids import new_id
from callcenter.sautikit import phone
from queues import arrivals, offers, provider
from queues.models import Leg, Offer, Queue, QueuedCall
from queues.scene import Scene


class NotFree(Exception):
    """The agent, or the call, is not free for this; the message says why."""


class NotKnown(Exception):
    """No such agent or call."""


@transaction.atomic
def click_to_call(
    agent_pk: int, to: str, *, queue: Queue | None, at: datetime, source: str = "api"
) -> QueuedCall:
    """Reserve the agent, then ring the contact `to`; raise NotFree.

    The agent's own phone rings when the contact has answered.
    """
    agent = Agent.objects.select_for_update(of=("self",), no_key=True).get(pk=agent_pk)
    if agent.presence == Presence.OFFLINE:
        raise NotFree(f"{agent.name} is offline.")
    if agent.engagement != Engagement.IDLE:
        raise NotFree(f"{agent.name} is not free: {agent.get_engagement_display().lower()}.")
    if why := provider.why_not_dialling(at):
        raise NotFree(why)
    pk = new_id()
    first = queue.numbers.first() if queue else None
    call = QueuedCall.objects.create(
        pk=pk,
        public_id=str(pk),
        direction=QueuedCall.Direction.OUTBOUND,
        state=QueuedCall.State.DIALLING,
        customer=to,
        line=first.e164 if first else settings.SAUTIKIT_NUMBER,
        queue=queue,
        arrived_at=at,
    )
    opened = Scene(call, None, None, at, source)
    opened.note("dialling", customer=phone.masked(to), agent=agent.name)
    offers.make(opened, agent, Offer.Kind.CLICK)
    leg = Leg.objects.create(
        call=call,
        role=Leg.Role.CUSTOMER,
        is_placed_by_us=True,
        party=to,
        line=call.line,
        planned_at=at,
    )
    opened.close()
    bell.ring("place", str(leg.pk))
    return call


@transaction.atomic
def connect_agent(call_id: str, destination: str, *, at: datetime) -> Offer:
    """Offer a waiting call to the agent at `destination`; raise NotKnown or NotFree."""
    call_pk = arrivals.public_id(call_id)
    if call_pk is None:
        raise NotKnown(f"There is no call {call_id[:64]}.")
    agent = (
        Agent.objects.current()
        .filter(destination=phone.normalise(destination))
        .select_for_update(of=("self",), no_key=True)
        .first()
    )
    if agent is None:
        raise NotKnown("No agent has this number.")
    if agent.engagement != Engagement.IDLE or agent.presence == Presence.OFFLINE:
        raise NotFree(f"{agent.name} is not free.")
    call = (
        QueuedCall.objects.select_for_update(of=("self",), no_key=True)
        .select_related("queue")
        .get(pk=call_pk)
    )
    if why := provider.why_not_dialling(at):
        raise NotFree(why)
    if call.state != QueuedCall.State.WAITING or call.offer_id or call.offerable_from is None:
        raise NotFree("The call is not waiting.")
    opened = Scene(call, None, None, at, "connect-agent")
    offer = offers.make(opened, agent, Offer.Kind.ROOM)
    opened.close()
    return offer
