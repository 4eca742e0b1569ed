"""The agent's side of an offer: answering, pressing 1, joining the room, leaving it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import connection

from callcenter import bell
from callcenter.sautikit.callbacks import Outcome, VoiceCallback, normalise_status
from queues import calls, documents, offers, reconcile
from queues.inbox import Arrival
from queues.models import Leg, Offer, QueuedCall
from queues.scene import Scene, scene

# A handle that another leg bears already is not taken over.
_ANSWERED = """
UPDATE queues_leg SET
    state = 'answered',
    answered_at = coalesce(answered_at, %(at)s),
    ask_at = CASE WHEN answered_at IS NULL THEN %(ask_at)s ELSE ask_at END,
    session_id = coalesce(session_id, (SELECT %(session)s WHERE NOT EXISTS (
        SELECT 1 FROM queues_leg WHERE session_id = %(session)s))),
    provider_id = coalesce(provider_id, (SELECT %(provider)s WHERE NOT EXISTS (
        SELECT 1 FROM queues_leg WHERE provider_id = %(provider)s)))
WHERE id = %(leg)s AND ended_at IS NULL
"""


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
        arrival.store(opened.call, about=f":{offer_pk}:{timed_out}")
        leg = _leg(offer_pk)
        if callback.is_end:
            outcome = normalise_status(callback.state.value, callback.hangup_cause)
            if leg:
                final = outcome if outcome.is_final else Outcome.COMPLETED
                reconcile.take(opened, leg, final)
            return None
        if leg:
            answered(leg, callback, at)
        offer = opened.offer
        if offer is None or offer.pk != offer_pk or opened.call.is_final:
            return documents.too_late()
        if offer.state == Offer.State.JOINED:
            return None
        if offer.agent.confirm_key and offer.conference_at is None:
            return _confirm(opened, offer, callback.digits, timed_out=timed_out)
        return _to_the_room(opened, offer)


def _leg(offer_pk: uuid.UUID | None) -> Leg | None:
    legs = Leg.objects.filter(role=Leg.Role.AGENT, is_placed_by_us=True)
    return legs.filter(offer_id=offer_pk).first() if offer_pk else None


def answered(leg: Leg, callback: VoiceCallback, at: datetime) -> None:
    """The leg is up, and called by the handles that the callback names."""
    with connection.cursor() as cursor:
        cursor.execute(
            _ANSWERED,
            {
                "leg": leg.pk, "at": at, "ask_at": at + calls.LIVE_CHECK,
                "session": callback.session_id, "provider": callback.call_id,
            },
        )  # fmt: skip


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
    return documents.farewell("The call goes to somebody else. Thank you.")


def _to_the_room(opened: Scene, offer: Offer) -> str:
    """Join the agent to the customer; from the first such answer on, a join is expected."""
    if offer.conference_at is None:
        check_at = opened.at + calls.JOIN_GRACE
        _move_to_answered(opened, offer, check_at=check_at, conference_at=opened.at)
        bell.ring("sweep_at", check_at)
    return documents.agent_room(offer)


def _move_to_answered(opened: Scene, offer: Offer, **changes: Any) -> None:
    if offer.state == Offer.State.ANSWERED:
        Offer.objects.filter(pk=offer.pk).update(**changes)
        for name, value in changes.items():
            setattr(offer, name, value)
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
