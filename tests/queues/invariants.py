"""What is true of the rows after every transaction, whoever wrote last."""

from __future__ import annotations

from django.db.models import Count, Q

from agents.models import Agent
from queues.models import CallEvent, Leg, Offer, QueuedCall

HELD = {"offered", "connected"}  # a call in these states has its open offer


def broken() -> list[str]:
    """Return what does not hold, as sentences; empty when all is well."""
    found: list[str] = []
    opened = list(Offer.objects.open().select_related("call", "agent"))
    for offer in opened:
        call, agent = offer.call, offer.agent
        if call.offer_id != offer.pk:
            found.append(f"{offer} is open and not that of its {call.state} {call}")
        if call.state == "waiting":
            found.append(f"{call} waits, with an open {offer}")
        talks = offer.state == "joined"
        if agent.engagement != ("on_call" if talks else "ringing"):
            found.append(f"{agent} is {agent.engagement}, with an open {offer}")
        if talks != (call.state == "connected"):
            found.append(f"{call} is {call.state}, its {offer}")
        if call.is_final and not call.is_provisional:
            found.append(f"{call} has ended, with an open {offer}")
    engaged = {offer.agent_id for offer in opened}
    for agent in Agent.objects.filter(engagement__in=["ringing", "on_call"]).exclude(
        pk__in=engaged
    ):
        found.append(f"{agent} is {agent.engagement} without an open offer")
    with_offer = {offer.call_id for offer in opened}
    for call in QueuedCall.objects.filter(state__in=HELD).exclude(pk__in=with_offer):
        if call.is_inbound:
            found.append(f"{call} is {call.state} without an open offer")
    found += [
        f"{call} waits and cannot be offered to anybody"
        for call in QueuedCall.objects.filter(state="waiting", offerable_from=None)
        if not Leg.objects.filter(call=call, ask_at__isnull=False).exists()
        and not Offer.objects.filter(call=call, check_at__isnull=False).exists()
    ]
    stray = Leg.objects.filter(
        ~Q(offer__state__in=Offer.OPEN), role="agent", ended_at=None, ask_at=None, hang_up_at=None
    )
    found += [f"{leg} of an offer that is over has no deadline" for leg in stray]
    twice = (
        CallEvent.objects.filter(kind__in=[*QueuedCall.FINAL])
        .values("call", "kind").annotate(count=Count("pk")).filter(count__gt=1)
    )  # fmt: skip
    found += [f"{each['kind']} is told {each['count']} times of one call" for each in twice]
    return found
