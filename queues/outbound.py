"""Calls that we start: click to call, and pulling a waiting call to a named agent."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from agents.models import Agent, Engagement, Presence
from agents.refusals import Refused
from callcenter import bell
from callcenter.ids import new_id
from callcenter.sautikit import phone
from queues import arrivals, offers, provider, routing
from queues.models import Leg, Offer, Queue, QueuedCall
from queues.scene import Scene, scene


class NotKnown(Exception):
    """No such agent or call."""


@transaction.atomic
def click_to_call(
    agent_pk: int, to: str, *, queue: Queue | None, at: datetime, source: str = "api"
) -> QueuedCall:
    """Reserve the agent, then ring the contact `to`; raise Refused.

    The agent's own phone rings when the contact has answered.
    """
    agent = Agent.objects.select_for_update(of=("self",), no_key=True).get(pk=agent_pk)
    if agent.presence == Presence.OFFLINE:
        raise Refused(_("%(agent)s is offline.") % {"agent": agent.name})
    if agent.engagement != Engagement.IDLE:
        raise Refused(_("%(agent)s is not free.") % {"agent": agent.name})
    if why := provider.why_not_dialling(at):
        raise Refused(why)
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


def connect_agent(call_id: str, destination: str, *, at: datetime) -> Offer:
    """Offer a waiting call to the agent at `destination`; raise NotKnown or Refused."""
    call_pk = arrivals.public_id(call_id)
    if call_pk is None:
        raise NotKnown(f"There is no call {call_id[:64]}.")
    agents = Agent.objects.current().filter(destination=phone.normalise(destination))
    agent_pk = agents.values_list("pk", flat=True).first()
    if agent_pk is None:
        raise NotKnown("No agent has this number.")
    return pull(call_pk, agent_pk, at=at, source="connect-agent")


def pull(call_pk: uuid.UUID, agent_pk: int, *, at: datetime, source: str, by: str = "") -> Offer:
    """Offer a waiting call now to this free agent, whoever is ahead of it; raise Refused.

    Strategy and hold-off do not count, since a person has chosen; nor does whom it was kept for.
    """

    def pick() -> Agent | None:
        agents = Agent.objects.current().filter(pk=agent_pk)
        return agents.select_for_update(of=("self",), no_key=True).first()

    with scene(call_pk, at=at, source=source, pick=pick) as opened:
        call, agent = opened.call, opened.picked
        if call.state != QueuedCall.State.WAITING or call.offerable_from is None:
            raise Refused(_("The call is not waiting."))
        if (
            agent is None
            or agent.engagement != Engagement.IDLE
            or agent.presence == Presence.OFFLINE
        ):
            name = agent.name if agent else _("The agent")
            raise Refused(_("%(agent)s is not free.") % {"agent": name})
        if agent.is_sip and routing.sip_to_is_refused():
            raise Refused(_("Sautikit refuses to call SIP addresses."))
        if why := provider.why_not_dialling(at):
            raise Refused(why)
        if call.wanted_agent_id:
            QueuedCall.objects.filter(pk=call.pk).update(wanted_agent=None)
        if by:
            opened.note("pulled", by=by, agent=agent.name)
        return offers.make(opened, agent, Offer.Kind.ROOM)
