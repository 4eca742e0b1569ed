"""The one correction of an end: by the provider's record of a direct dial (see docs/call-flow.md).

`abandoned` while ringing and `completed` may change into each other, once, with an own event.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agents.models import Engagement, HoldOff
from callcenter import bell
from callcenter.transitions import StaleTransition
from queues import calls, offers
from queues.models import Offer, QueuedCall
from queues.scene import Scene

State = QueuedCall.State


def to_completed(
    scene: Scene, offer: Offer, *, answered_at: datetime, ended_at: datetime | None
) -> None:
    """The provider's record shows that a direct dial was answered after all."""
    call = scene.call
    if scene.offer and scene.offer.pk != offer.pk:
        scene.note("correction_too_late", offer=offer)
        return
    if call.state == State.OFFERED and scene.offer:
        calls.connect(scene, at=answered_at)
        if ended_at:
            calls.finish(scene, ended_at=ended_at, reason="agent hung up")
        return
    if call.state not in {State.WAITING, State.ABANDONED}:
        return
    if call.state == State.ABANDONED and not call.is_provisional:
        return
    was = call.state
    over_at = call.ended_at or ended_at or scene.at
    try:
        if offer.state != Offer.State.ENDED:
            offer.move_to(Offer.State.ENDED, joined_at=answered_at, ended_at=over_at, check_at=None)
    except StaleTransition:
        return
    call.move_to(
        State.COMPLETED, agent=offer.agent, connected_at=answered_at, abandoned_in="",
        ended_at=max(over_at, answered_at), is_provisional=False, offer=None, offerable_from=None,
        end_reason="corrected by the provider's record",
    )  # fmt: skip
    scene.note("corrected", offer=offer, was=was, agent=offer.agent.name)
    agent = offer.agent
    if scene.offer or agent.engagement in {Engagement.IDLE, Engagement.RINGING}:
        agent.strikes = 0
        type(agent).objects.filter(pk=agent.pk).update(
            strikes=0, hold_off_until=None, hold_off_reason=""
        )
        offers.start_wrap_up(scene, agent, offer, over_at)
    scene.offer = None
    if was == State.WAITING:
        calls.hang_up_customer(scene)
    bell.ring("route")


def to_busy(scene: Scene, offer: Offer) -> None:
    """The provider's record shows that an agent taken for absent was busy: no strike, 30 s."""
    agent = offer.agent
    is_own = agent.hold_off_reason == HoldOff.NO_ANSWER and agent.engagement == Engagement.IDLE
    if offer.kind != Offer.Kind.DIRECT or offer.state != Offer.State.NO_ANSWER or not is_own:
        return
    until = (offer.ended_at or scene.at) + timedelta(seconds=offers.HOLD_OFF_SECONDS[HoldOff.BUSY])
    Offer.objects.filter(pk=offer.pk).update(state=Offer.State.BUSY)
    type(agent).objects.filter(pk=agent.pk, hold_off_reason=HoldOff.NO_ANSWER).update(
        hold_off_until=until, hold_off_reason=HoldOff.BUSY, strikes=max(0, agent.strikes - 1)
    )
    scene.note("corrected", offer=offer, was=Offer.State.NO_ANSWER, agent=agent.name)


def to_abandoned(scene: Scene, offer: Offer) -> None:
    """The provider's record shows that a direct dial taken for answered never was."""
    call = scene.call
    if not (
        offer.kind == Offer.Kind.DIRECT
        and call.state == State.COMPLETED
        and call.connected_is_estimated
        and call.is_inbound
    ):
        return
    call.move_to(
        State.ABANDONED, abandoned_in=QueuedCall.AbandonedIn.RINGING, agent=None,
        connected_at=None, connected_is_estimated=False, offer=scene.offer,
        end_reason="corrected by the provider's record",
    )  # fmt: skip
    Offer.objects.filter(pk=offer.pk).update(joined_at=None, answered_at=None)
    scene.note("corrected", offer=offer, was=State.COMPLETED, agent=offer.agent.name)
