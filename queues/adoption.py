"""Calls that the provider has and we do not know: whose they are, and what is done about them.

An outbound leg from our number to an agent whom we are calling, or have just called, is that
offer's leg; it is hung up when the offer has come to nothing. An inbound call on one of our
numbers is a call of ours. All else is left alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q

from agents.models import Agent
from callcenter import bell
from callcenter.sautikit import phone
from callcenter.sautikit.callbacks import Record
from queues import arrivals, offers, provider
from queues.models import Leg, Offer

ADOPTS_SINCE = "adopts_calls_since"  # the fact: when the provider's records were first read
UNTOLD_AFTER = timedelta(seconds=15)  # by then its first webhook would have come
OFFER_IS_RECENT = timedelta(seconds=60)
OLDEST_OFFER = timedelta(hours=4)
CLOCKS = timedelta(seconds=5)  # by which the provider's clock may differ from ours
ASK_SOON = timedelta(seconds=3)


def adopt_record(record: Record, *, at: datetime) -> Leg | None:
    """Return the leg that an unknown record has become, or None: it is not ours, or not yet."""
    if record.direction == "outbound":
        return adopt_outbound(
            record.handles, record.local, record.remote, at=at, lived_at=record.started_at
        )
    if record.direction != "inbound" or not _is_due(record, at):
        return None
    return arrivals.adopt(record, at=at)


def _is_due(record: Record, at: datetime) -> bool:
    """Whether this call should have been told by now, and came when there was somebody to tell."""
    if record.started_at is None or at - record.started_at < UNTOLD_AFTER:
        return False
    if not record.is_over:
        return True
    since = provider.recall(ADOPTS_SINCE)
    return since is not None and record.started_at >= datetime.fromisoformat(since)


def adopt_outbound(
    handles: tuple[str, ...],
    line: str,
    party: str,
    *,
    at: datetime,
    lived_at: datetime | None = None,
) -> Leg | None:
    """Take an unknown leg from our number as that of the offer to whose agent it goes.

    Only an offer whose leg has no handle yet can have it: of a direct dial the provider may keep
    a record or not; a leg that we placed has none while the answer to our request is lost.
    `lived_at`: a moment at which the leg was there, such as its start; without one, now.
    """
    if not party or not handles:
        return None
    offer: Any = owner(party, line, lived_at or at)
    if offer is None or (offer.ended_at and offer.ended_at < at - OFFER_IS_RECENT):
        return None
    if offer.has_a_named_leg:
        return None
    if offer.kind == Offer.Kind.DIRECT:
        return take_as_callee(offer, handles, at)
    return _take_as_placed(offer, handles, at)


def owner(party: str, line: str, lived_at: datetime) -> Offer | None:
    """Return the offer whose leg this can be: from `line` to the agent at `party`, up at that time.

    An agent has one offer at a time, so it is the one that was open then. Of an agent who was
    offered call after call, a leg of the next is not taken for one of the last. Where none was
    open, it is the nearest in time: the provider may place a leg late, and clocks differ.
    """
    near = Offer.objects.filter(
        Q(ended_at=None) | Q(ended_at__gte=lived_at - OFFER_IS_RECENT),
        created_at__gte=lived_at - OLDEST_OFFER,
        created_at__lte=lived_at + CLOCKS,
    )
    named = Leg.objects.filter(offer=OuterRef("pk")).exclude(session_id=None, provider_id=None)
    near = near.select_related("agent", "call").annotate(has_a_named_leg=Exists(named))
    near = near.order_by("-created_at")
    same = near.filter(agent__destination=party, agent__retired_at=None)
    found = same[:20] or near.filter(agent__in=_agents(party))[:20]
    offers = [offer for offer in found if not line or phone.same_party(offer.call.line, line)]
    return min(offers, key=lambda offer: _apart(offer, lived_at), default=None)


def _agents(party: str) -> list[int]:
    """The agents, or rather the one agent, whose number is spelt otherwise."""
    destinations = Agent.objects.current().values_list("pk", "destination")
    return [pk for pk, destination in destinations if phone.same_party(destination, party)]


def _apart(offer: Offer, lived_at: datetime) -> timedelta:
    """How far a moment is from the time in which an offer was open."""
    since_its_end = lived_at - (offer.ended_at or lived_at)
    return max(offer.created_at - lived_at, since_its_end, timedelta())


def take_as_callee(offer: Offer, handles: tuple[str, ...], at: datetime) -> Leg:
    """Give a direct dial the leg of its agent; somebody who was quicker keeps it."""
    leg = Leg(
        call=offer.call,
        offer=offer,
        role=Leg.Role.AGENT,
        state=Leg.State.RINGING,
        party=offer.agent.destination,
        line=offer.call.line,
        planned_at=offer.created_at,
        placed_at=offer.created_at,
        ask_at=at + ASK_SOON,
        **_named(handles),
    )
    try:
        with transaction.atomic():
            leg.save(force_insert=True)
    except IntegrityError:
        leg = Leg.objects.known_by(handles) or leg
    return leg


def _take_as_placed(offer: Offer, handles: tuple[str, ...], at: datetime) -> Leg | None:
    """Give a leg that we placed, without having heard so, its handles.

    Where the offer is over by now nobody waits for it: it is hung up.
    """
    nameless = Leg.objects.filter(
        Q(ended_at=None) | Q(outcome="canceled"),
        offer=offer, is_placed_by_us=True, session_id=None, provider_id=None,
    )  # fmt: skip
    changes = {**_named(handles), "placed_at": at, "ask_at": at + ASK_SOON, "ended_at": None}
    try:
        with transaction.atomic():
            leg = nameless.first()
            if leg is None or not nameless.filter(pk=leg.pk).update(
                state=Leg.State.ANSWERED if leg.answered_at else Leg.State.RINGING, **changes
            ):
                return None
            leg.refresh_from_db()
            if offer.is_final:
                leg.hang_up_at = None
                Leg.objects.filter(pk=leg.pk).update(hang_up_at=None)
                offers.hang_up(leg, at)
            bell.ring("board")
    except IntegrityError:
        return Leg.objects.known_by(handles)
    return leg


def _named(handles: tuple[str, ...]) -> dict[str, str | None]:
    session = next((handle for handle in handles if handle.startswith("HD_")), None)
    return {
        "session_id": session,
        "provider_id": next((handle for handle in handles if handle != session), None),
    }
