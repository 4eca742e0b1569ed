"""The agent's side of an offer: answering, pressing 1, joining the room, leaving it."""

from __future__ import annotations

import uuid
from datetime import datetime

from callcenter import bell
from callcenter.sautikit.callbacks import Outcome, VoiceCallback, normalise_status
from queues import calls, documents, offers, reconcile
from queues.inbox import Arrival
from queues.models import Leg, Offer, QueuedCall
from queues.scene import Scene, scene


def voice(
    leg: Leg, callback: VoiceCallback, *, at: datetime, arrival: Arrival, timed_out: bool = False
) -> str | None:
    """Answer an agent's leg; `timed_out` when the time for pressing 1 is over."""
    with scene(leg.call_id, at=at, source=arrival.endpoint) as opened:
        arrival.store(opened.call, about=f":{leg.offer_id}:{timed_out}")
        learn_handles(leg, callback.session_id, callback.call_id)
        if callback.is_end:
            outcome = normalise_status(callback.state.value, callback.hangup_cause)
            reconcile.take(opened, leg, outcome if outcome.is_final else Outcome.COMPLETED)
            return None
        reconcile.take(opened, leg, Outcome.ANSWERED)
        offer = opened.offer
        if offer is None or offer.pk != leg.offer_id or opened.call.is_final:
            return documents.too_late()
        if offer.state == Offer.State.JOINED:
            return None
        if offer.agent.confirm_key and offer.conference_at is None:
            return _confirm(opened, offer, callback.digits, timed_out=timed_out)
        return _to_the_room(opened, offer)


def _confirm(opened: Scene, offer: Offer, digits: str | None, *, timed_out: bool) -> str:
    """Ask for the key; take it; or send the caller on to somebody else."""
    if digits is None and not timed_out:
        return documents.agent_confirm(offer)
    key = (digits or "").strip().rstrip("#")[:1]
    if key == "1":
        return _to_the_room(opened, offer)
    state = Offer.State.DECLINED if key else Offer.State.NO_KEYPRESS
    calls.not_answered(opened, state)
    return documents.farewell("The call goes to somebody else. Thank you.")


def _to_the_room(opened: Scene, offer: Offer) -> str:
    """Join the agent to the customer; from the first such answer on, a join is expected."""
    if offer.conference_at is None:
        offer.conference_at = opened.at
        offer.check_at = opened.at + calls.JOIN_GRACE
        offer.save(update_fields=["conference_at", "check_at"])
        bell.ring("sweep_at", offer.check_at)
    return documents.agent_room(offer)


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


def learn_handles(leg: Leg, session_id: str | None, call_id: str | None) -> None:
    """Remember handles that a leg of ours is called by, where none was known."""
    changes = {}
    if session_id and not leg.session_id:
        changes["session_id"] = session_id
    if call_id and not leg.provider_id:
        changes["provider_id"] = call_id
    known = reconcile.leg_by_handles(list(changes.values())) if changes else None
    if changes and known is None:
        Leg.objects.filter(pk=leg.pk).update(**changes)
        for name, value in changes.items():
            setattr(leg, name, value)


def hang_up(opened: Scene) -> None:
    """End the customer's call at the agent's wish."""
    calls.agent_is_done(opened)
    for leg in Leg.objects.filter(call=opened.call, ended_at=None):
        offers.hang_up(leg, opened.at)
