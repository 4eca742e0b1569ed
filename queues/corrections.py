"""The one correction of an end: by the provider's record of a direct dial (see docs/call-flow.md).

`abandoned` while ringing and `completed` may change into each other, once, with an own event.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agents.models import Agent, Engagement, HoldOff
from callcenter import bell
from callcenter.transitions import StaleTransition
from queues import calls, offers, recordings
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
    if call.state not in {State.WAITING, State.ABANDONED, State.FAILED}:
        return
    if call.is_final and not call.is_provisional:
        return
    was = call.state
    answered_at = max(answered_at, offer.created_at)  # the provider's clock may be behind ours
    over_at = max(call.ended_at or ended_at or scene.at, answered_at)
    try:
        if offer.state != Offer.State.ENDED:
            offer.move_to(Offer.State.ENDED, joined_at=answered_at, ended_at=over_at, check_at=None)
    except StaleTransition:
        return
    call.move_to(
        State.COMPLETED, agent=offer.agent, connected_at=answered_at, abandoned_in="",
        ended_at=over_at, is_provisional=False, offer=None, offerable_from=None,
        end_reason="corrected by the provider's record",
    )  # fmt: skip
    scene.note(
        "corrected", offer=offer, was=was, agent=offer.agent.name,
        became=State.COMPLETED, connected_at=answered_at, ended_at=over_at,
    )  # fmt: skip
    recordings.want(call, at=scene.at)
    agent = scene.agent if scene.offer else _idle(offer.agent_id)
    if agent:
        agent.strikes = 0
        type(agent).objects.filter(pk=agent.pk).update(
            strikes=0, hold_off_until=None, hold_off_reason=""
        )
        offers.start_wrap_up(scene, agent, offer, over_at)
    scene.offer = None
    if was == State.WAITING:
        calls.hang_up_customer(scene)
    bell.ring("route")


def never_met(scene: Scene, ended_at: datetime) -> None:
    """The record shows that the customer of a completed call was gone before the agent came."""
    call = scene.call
    if not calls.had_left(call, ended_at):
        return
    offer = Offer.objects.filter(call=call, state=Offer.State.ENDED).order_by("-created_at").first()
    ended_at = max(ended_at, call.queued_at or call.arrived_at)
    where = calls.given_up_in(offer, ended_at)
    call.move_to(
        State.ABANDONED, abandoned_in=where, agent=None, connected_at=None,
        connected_is_estimated=False, ended_at=ended_at, offer=scene.offer,
        end_reason="corrected by the provider's record",
    )  # fmt: skip
    scene.note(
        "corrected", offer=offer, was=State.COMPLETED, became=State.ABANDONED,
        abandoned_in=where, ended_at=ended_at,
    )  # fmt: skip


def _idle(agent_pk: int) -> Agent | None:
    """Lock an agent whom nothing else has taken since; not waited for, as the call is locked."""
    agents = Agent.objects.filter(pk=agent_pk, engagement=Engagement.IDLE)
    return agents.select_for_update(of=("self",), no_key=True, skip_locked=True).first()


def to_busy(scene: Scene, offer: Offer) -> None:
    """The provider's record shows that an agent taken for absent was busy.

    For one who is still held off because of it: no strike, and 30 s.
    """
    if offer.kind != Offer.Kind.DIRECT or offer.state != Offer.State.NO_ANSWER:
        return
    Offer.objects.filter(pk=offer.pk).update(state=Offer.State.BUSY)
    agent = _idle(offer.agent_id)
    if agent and agent.hold_off_reason == HoldOff.NO_ANSWER:
        seconds = offers.HOLD_OFF_SECONDS[HoldOff.BUSY]
        until = (offer.ended_at or scene.at) + timedelta(seconds=seconds)
        Agent.objects.filter(pk=agent.pk).update(
            hold_off_until=until, hold_off_reason=HoldOff.BUSY, strikes=max(0, agent.strikes - 1)
        )
    scene.note(
        "corrected", offer=offer, was=Offer.State.NO_ANSWER, agent=offer.agent.name,
        became=Offer.State.BUSY,
    )  # fmt: skip


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
    scene.note(
        "corrected", offer=offer, was=State.COMPLETED, agent=offer.agent.name,
        became=State.ABANDONED,
    )  # fmt: skip
