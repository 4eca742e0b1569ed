"""Calls that the provider has and we do not know: whose they are, and what is done about them.

An outbound leg from our number to an agent whom we are calling, or have just called, is that
offer's leg; it is hung up when the offer has come to nothing. An inbound call on one of our
numbers is a call of ours. All else is left alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q

from callcenter import bell
from callcenter.sautikit import phone
from callcenter.sautikit.callbacks import Record
from queues import arrivals, offers, provider
from queues.models import Leg, Offer

ADOPTS_SINCE = "adopts_calls_since"  # the fact: when the provider's records were first read
UNTOLD_AFTER = timedelta(seconds=15)  # by then its first webhook would have come
OFFER_IS_RECENT = timedelta(seconds=60)
OLDEST_OFFER = timedelta(hours=4)
ASK_SOON = timedelta(seconds=3)


def adopt_record(record: Record, *, at: datetime) -> Leg | None:
    """Return the leg that an unknown record has become, or None: it is not ours, or not yet."""
    if record.direction == "outbound":
        return adopt_outbound(record.handles, record.local, record.remote, at=at)
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


def adopt_outbound(handles: tuple[str, ...], line: str, party: str, *, at: datetime) -> Leg | None:
    """Take an unknown leg from our number as that of the offer to whose agent it goes.

    Only an offer whose leg has no handle yet can have it: of a direct dial the provider may keep
    a record or not; a leg that we placed has none while the answer to our request is lost.
    """
    if not party or not handles:
        return None
    claimed = Leg.objects.filter(offer=OuterRef("pk")).exclude(session_id=None, provider_id=None)
    recent = Offer.objects.filter(
        Q(ended_at=None) | Q(ended_at__gte=at - OFFER_IS_RECENT),
        ~Exists(claimed),
        created_at__gte=at - OLDEST_OFFER,
    ).select_related("agent", "call")
    for offer in recent.order_by("-created_at")[:50]:
        if phone.same_party(offer.agent.destination, party) and (
            not line or phone.same_party(offer.call.line, line)
        ):
            if offer.kind == Offer.Kind.DIRECT:
                return take_as_callee(offer, handles, at)
            return _take_as_placed(offer, handles, at)
    return None


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
