"""The agent's side of an offer: answering, pressing 1, joining the room, leaving it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db.models import Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from callcenter import bell, together
from callcenter.sautikit.callbacks import Outcome, VoiceCallback
from queues import calls, documents, offers, reconcile
from queues.inbox import Arrival
from queues.models import Leg, Offer, QueuedCall
from queues.scene import Scene, scene

PASSED_ON = "The call goes to somebody else. Thank you."
_UNTAKEN = {
    "session_id": "(SELECT %s::text WHERE NOT EXISTS"
    " (SELECT 1 FROM queues_leg WHERE session_id = %s))",
    "provider_id": "(SELECT %s::text WHERE NOT EXISTS"
    " (SELECT 1 FROM queues_leg WHERE provider_id = %s))",
}


def voice(
    call_pk: uuid.UUID,
    offer_pk: uuid.UUID | None,
    callback: VoiceCallback,
    *,
    at: datetime,
    arrival: Arrival,
    timed_out: bool = False,
) -> str | None:
    """Answer an agent's leg; `timed_out` when the time for pressing 1 is over."""
    with scene(call_pk, at=at, source=arrival.endpoint) as opened:
        opened.keep(arrival, about=f":{offer_pk}:{timed_out}")
        legs = Q(offer_id=offer_pk, role=Leg.Role.AGENT, is_placed_by_us=True)
        if callback.is_end:
            _ended(opened, legs, offer_pk, reconcile.end_of(callback))
            return None
        answered(opened, legs, callback, at)
        offer = opened.offer
        if offer is None or offer.pk != offer_pk or opened.call.is_final:
            return _after_the_offer(offer_pk)
        if offer.state == Offer.State.JOINED:
            return None
        if offer.agent.confirm_key and offer.conference_at is None:
            return _confirm(opened, offer, callback.digits, timed_out=timed_out)
        return _to_the_room(opened, offer)


def _ended(opened: Scene, legs: Q, offer_pk: uuid.UUID | None, outcome: Outcome) -> None:
    """The leg has hung up; by now the call may be offered to somebody else."""
    ended = reconcile.end_legs(legs, outcome, opened.at)
    if ended and opened.offer and opened.offer.pk == offer_pk:
        calls.agent_ended(opened, opened.offer, outcome=outcome, ended_at=opened.at)
    elif ended and offer_pk and not opened.call.connected_at:
        offers.phone_is_free(offer_pk)


def answered(opened: Scene, legs: Q, callback: VoiceCallback, at: datetime) -> None:
    """The leg is up, and called by the handles that the callback names."""
    names = {"session_id": callback.session_id, "provider_id": callback.call_id}
    handles = {
        # A handle that another leg bears already is not taken over.
        name: Coalesce(name, RawSQL(_UNTAKEN[name], [handle, handle]))  # noqa: S611
        for name, handle in names.items()
        if handle
    }
    opened.together.update_all(
        "answered leg",
        Leg.objects.filter(legs, ended_at=None),
        state=Leg.State.ANSWERED,
        answered_at=Coalesce("answered_at", Value(at)),
        ask_at=at + calls.LIVE_CHECK,
        **handles,
    )


def _confirm(opened: Scene, offer: Offer, digits: str | None, *, timed_out: bool) -> str:
    """Ask for the key; take it; or send the caller on to somebody else."""
    if digits is None and not timed_out:
        if offer.state != Offer.State.ANSWERED:
            _move_to_answered(opened, offer, check_at=opened.at + calls.ANSWER_PATIENCE)
        return documents.agent_confirm(offer)
    key = (digits or "").strip().rstrip("#")[:1]
    if key == "1":
        return _to_the_room(opened, offer)
    state = Offer.State.DECLINED if key else Offer.State.NO_KEYPRESS
    calls.not_answered(opened, state)
    return documents.farewell(PASSED_ON)


def _after_the_offer(offer_pk: uuid.UUID | None) -> str:
    """What an agent hears whose offer is over; a repeated refusal gets the same words again."""
    refused = {Offer.State.DECLINED, Offer.State.NO_KEYPRESS}
    if offer_pk and Offer.objects.filter(pk=offer_pk, state__in=refused).exists():
        return documents.farewell(PASSED_ON)
    return documents.too_late()


def _to_the_room(opened: Scene, offer: Offer) -> str:
    """Join the agent to the customer; from the first such answer on, a join is expected."""
    if offer.conference_at is None:
        check_at = opened.at + calls.JOIN_GRACE
        _move_to_answered(opened, offer, check_at=check_at, conference_at=opened.at)
        bell.ring("sweep_at", check_at)
    return documents.agent_room(offer)


def _move_to_answered(opened: Scene, offer: Offer, **changes: Any) -> None:
    if offer.state == Offer.State.ANSWERED:
        together.update(offer, **changes)
        return
    offer.move_to(Offer.State.ANSWERED, answered_at=opened.at, **changes)
    opened.note("agent_answered", agent=offer.agent.name)


def joined(opened: Scene, offer_pk: uuid.UUID | None) -> None:
    """The agent is in the room: agent and customer talk."""
    offer = opened.offer
    if offer and (offer_pk is None or offer.pk == offer_pk):
        calls.connect(opened, at=opened.at)


def left(opened: Scene, offer_pk: uuid.UUID | None) -> None:
    """The agent left the room: the talk is over."""
    offer = opened.offer
    if offer is None or (offer_pk is not None and offer.pk != offer_pk):
        return
    if opened.call.state == QueuedCall.State.OFFERED and offer.conference_at:
        calls.connect(opened, at=offer.conference_at, estimated=True)  # the join was lost
    if opened.call.state == QueuedCall.State.CONNECTED:
        calls.finish(opened, reason="agent left the room")


def hang_up(opened: Scene) -> None:
    """End the customer's call at the agent's wish."""
    calls.agent_is_done(opened)
    for leg in Leg.objects.filter(call=opened.call, ended_at=None):
        offers.hang_up(leg, opened.at)
