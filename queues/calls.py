"""The life of a call: the only writer of its state.

Every source of news (voice URL, room, status and event webhooks, the provider's record) ends in
one of these functions; each takes an open scene and may be told the same thing twice, late, or
not at all. docs/call-flow.md tells the same story in the order of the caller.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from agents.models import Agent
from callcenter import bell, together
from callcenter.sautikit.outcomes import Outcome
from queues import documents, offers, recordings, routing
from queues.models import Leg, Offer, Queue, QueuedCall
from queues.scene import Scene

log = logging.getLogger(__name__)

State = QueuedCall.State
JOIN_PATIENCE = timedelta(seconds=8)  # an unseen join is taken for granted after this
AFTER_DIAL = timedelta(seconds=2)  # the provider is asked meanwhile whether the dial was answered
ALONE = timedelta(seconds=15)  # a party alone in a room, or after the other has gone
LAP = timedelta(seconds=20)  # a lap of music and a little more
LIVE_CHECK = timedelta(seconds=30)  # between questions about an answered leg
JOIN_GRACE = timedelta(seconds=3)  # from the agent's room document to "they talk"
NEVER_MET = timedelta(seconds=5)  # by which a customer was gone before "they talk"; clocks differ
MET = timedelta(seconds=1)  # an agent's leg that lived so long with that document was in the room
ANSWER_PATIENCE = timedelta(seconds=20)  # for the answered agent to ask us what to do


# --- What the customer is answered -------------------------------------------------------------


def answer_with(scene: Scene, document: str) -> str:
    """Remember the document that the customer is answered with, and return it.

    The row changes with it, so that a repeated question gets the same bytes.
    """
    call = scene.call
    together.update(call, step=call.step + 1, document=document)
    return document


def acknowledge(call: QueuedCall) -> None:
    """The customer's leg has moved on: a repeat of the first POST gets no second document."""
    if not call.is_acknowledged:
        together.update(call, is_acknowledged=True)


def enter_queue(scene: Scene, queue: Queue) -> str:
    """Bring the customer to `queue`: to a free agent at once, or into the hold room.

    `scene.picked` is the agent whom routing has locked for this customer, or None.
    """
    call = scene.call
    if call.queue_id != queue.pk:
        call.queue, call.priority = queue, queue.priority
        QueuedCall.objects.filter(pk=call.pk).update(queue=queue, priority=queue.priority)
    if queue.closed_at and call.state == State.GREETING:
        end(scene, State.REJECTED, reason="queue closed")
        return documents.closed(queue)
    if queue.when_empty == "end" and scene.picked is None and routing.nobody_signed_in(queue):
        end(scene, State.REJECTED, reason="nobody signed in")
        return documents.nobody_here(queue)
    if scene.picked is None:
        return hold(scene)
    return _dial_picked(scene, scene.picked, queue)


def _dial_picked(scene: Scene, agent: Agent, queue: Queue) -> str:
    """Answer with a dial of the agent whom routing has locked for this customer."""
    offers.make(
        scene,
        agent,
        Offer.Kind.DIRECT,
        why=routing.explanation(queue, agent, Offer.Kind.DIRECT, scene.at),
        answer=partial(documents.direct, scene.call),
    )
    return scene.call.document


def hold(scene: Scene) -> str:
    """Answer with the hold room (or a lap of music); the place in line stays what it was."""
    call, at = scene.call, scene.at
    laps = call.queue is not None and routing.holds_by_laps(call.queue)
    if laps and call.state == State.WAITING and has_waited_too_long(call, at):
        end(scene, State.EXPIRED, reason="waited too long")
        return documents.apology(call)
    place = routing.position(call) if call.queue and (not laps or call.step == 0) else None
    document = (documents.lap if laps else documents.hold)(call, position=place)
    if call.state == State.OFFERED:  # who is being offered stays so, in the room again
        return answer_with(scene, document)
    earliest = max(at + JOIN_PATIENCE, call.not_before or at)
    call.move_to(
        State.WAITING,
        queued_at=call.queued_at or at,
        agent=None,
        offerable_from=earliest,
        step=call.step + 1,
        document=document,
    )
    scene.note("holding", queue_id=call.queue_id)
    bell.ring("sweep_at", earliest)
    return document


def after_dial(
    scene: Scene,
    *,
    answered: bool,
    talked: timedelta | None = None,
    outcome: Outcome = Outcome.UNKNOWN,
) -> str:
    """Answer a customer whose dial (or stay in the room) is over, by the call's state.

    `answered`, `talked` for how long, and the dial's `outcome` are what the provider said in
    passing, if it did.
    """
    call = scene.call
    acknowledge(call)
    if scene.picked and call.state == State.WAITING and call.queue:
        return _lap_dial(scene)
    if answered and call.state == State.OFFERED:
        connect(scene, at=max(call.dialled_at or scene.at, scene.at - (talked or timedelta())))
    if call.state == State.OFFERED:
        _have_met(scene, until=scene.at)  # the agent's leaving has ended the room
    if call.state == State.CONNECTED:
        finish(scene, reason="dial over")
    if call.is_final:
        return documents.after_the_end(call)
    offer = scene.offer
    if offer and offer.kind == Offer.Kind.DIRECT and call.state == State.OFFERED:
        return _direct_dial_failed(scene, offer, outcome)
    if call.state == State.OFFERED and not call.is_inbound and offer is None:
        end(scene, State.FAILED, reason="agent not reached")
        return documents.apology(call)
    laps = call.queue is not None and routing.holds_by_laps(call.queue)
    not_seen = call.offerable_from is not None and call.offerable_from > scene.at
    if call.state == State.WAITING and not_seen and not laps:
        return call.document  # answered with the room already, and not yet seen in it
    if call.state in {State.WAITING, State.OFFERED}:
        return hold(scene)
    return call.document or documents.apology(call)


def _lap_dial(scene: Scene) -> str:
    """End a lap of music by dialling the SIP agent who is free now."""
    agent = scene.picked
    if agent is None:
        return hold(scene)
    queue = scene.call.queue
    return hold(scene) if queue is None else _dial_picked(scene, agent, queue)


def _direct_dial_failed(scene: Scene, offer: Offer, outcome: Outcome) -> str:
    """No evidence of an answer: back to the line, or an apology to a contact whom we called."""
    not_answered(scene, _OFFER_END.get(outcome, Offer.State.NO_ANSWER))
    # The provider is asked: an answer that left no trace is corrected by its record.
    Offer.objects.filter(pk=offer.pk).update(check_at=scene.at, checks=0)
    bell.ring("check_offer", str(offer.pk))
    if scene.call.is_final:
        QueuedCall.objects.filter(pk=scene.call.pk).update(is_provisional=True)
        return documents.apology(scene.call)
    scene.call.not_before = scene.at + AFTER_DIAL
    QueuedCall.objects.filter(pk=scene.call.pk).update(not_before=scene.call.not_before)
    return hold(scene)


# --- The customer's leg ------------------------------------------------------------------------


def customer_joined(scene: Scene) -> None:
    """The customer is in the hold room: from now on the router may offer the call."""
    call = scene.call
    if call.state != State.WAITING:
        acknowledge(call)
        return
    offerable_from = max(scene.at, call.not_before or scene.at)
    if call.offerable_from and call.offerable_from <= offerable_from and call.is_acknowledged:
        return  # seen in the room already
    together.update(call, offerable_from=offerable_from, is_acknowledged=True)
    scene.note("joined_room")
    if offerable_from > scene.at:
        bell.ring("sweep_at", offerable_from)
    bell.ring("route")


def customer_left_room(scene: Scene) -> None:
    """The customer left the room: the end of a talk; of a wait only if the provider says so."""
    call = scene.call
    if call.state == State.CONNECTED:
        finish(scene, reason="customer left the room")
    elif call.state in {State.WAITING, State.OFFERED}:
        scene.note("left_room")
        if call.state == State.WAITING:
            QueuedCall.objects.filter(pk=call.pk).update(offerable_from=scene.at + AFTER_DIAL)
            bell.ring("sweep_at", scene.at + AFTER_DIAL)
        for leg in Leg.objects.filter(call=call, role=Leg.Role.CUSTOMER, ended_at=None):
            ask_soon(leg, scene.at)


def customer_ended(scene: Scene, *, outcome: Outcome, ended_at: datetime) -> None:
    """The customer's leg has ended: so does the call, in the way that its state says."""
    call = scene.call
    if call.is_final:
        return
    if call.state == State.CONNECTED and had_left(call, ended_at):
        _never_met(scene, ended_at)
    elif call.state == State.CONNECTED:
        finish(scene, ended_at=ended_at, reason="customer hung up", customer_is_gone=True)
    elif call.state == State.GREETING:
        where = QueuedCall.AbandonedIn.QUEUE if call.queued_at else QueuedCall.AbandonedIn.MENU
        abandon(scene, where, ended_at=ended_at)
    elif call.state == State.WAITING:
        abandon(scene, QueuedCall.AbandonedIn.QUEUE, ended_at=ended_at)
    elif call.state == State.OFFERED and _have_met(scene, until=ended_at):
        finish(scene, ended_at=ended_at, reason="customer hung up", customer_is_gone=True)
    elif call.state == State.OFFERED:
        abandon(scene, QueuedCall.AbandonedIn.RINGING, ended_at=ended_at)
    elif call.state == State.DIALLING:
        if scene.offer:
            offers.close(scene, Offer.State.CALLER_GONE)
        end(
            scene, _OUTBOUND_END.get(outcome, State.FAILED), ended_at=ended_at, reason=outcome.value
        )


def had_left(call: QueuedCall, ended_at: datetime) -> bool:
    """Whether a customer whose leg ended then was gone when the agent came into the room."""
    return call.connected_at is not None and ended_at <= call.connected_at - NEVER_MET


def given_up_in(offer: Offer | None, ended_at: datetime) -> str:
    """Where a customer was who left at this time."""
    rang = offer is not None and offer.created_at <= ended_at
    return QueuedCall.AbandonedIn.RINGING if rang else QueuedCall.AbandonedIn.QUEUE


def _never_met(scene: Scene, ended_at: datetime) -> None:
    """The agent is alone in the room: the customer's end had not been told in time."""
    offer = scene.offer
    scene.note("never_met", agent=offer.agent.name if offer else "")
    if offer:
        offers.close(scene, Offer.State.CALLER_GONE)
    scene.call.connected_at = None
    end(
        scene, State.ABANDONED, ended_at=ended_at, abandoned_in=given_up_in(offer, ended_at),
        agent=None, connected_at=None, connected_is_estimated=False,
    )  # fmt: skip


def _have_met(scene: Scene, *, until: datetime) -> bool:
    """Connect the two who were in the room by this time, though nobody has told of the join.

    The end of a leg may be quicker than the room's events, or these may be lost.
    """
    offer = scene.offer
    if offer is None or offer.state != Offer.State.ANSWERED or offer.conference_at is None:
        return False
    if until - offer.conference_at < MET:
        return False
    connect(scene, at=offer.conference_at, estimated=True)
    return True


_OUTBOUND_END = {
    Outcome.NO_ANSWER: State.NO_ANSWER,
    Outcome.CANCELED: State.NO_ANSWER,
    Outcome.BUSY: State.BUSY,
    Outcome.COMPLETED: State.NO_ANSWER,  # `Completed` as the first word: hung up unanswered
}


def abandon(scene: Scene, where: str, *, ended_at: datetime) -> None:
    """The customer left before an agent came.

    A direct dial may have been answered without our knowing: its end is provisional until the
    provider's record is in, and the offer stays open until the first questions are answered.
    """
    provisional = _let_go_untalked(scene)
    end(scene, State.ABANDONED, ended_at=ended_at, abandoned_in=where, is_provisional=provisional)


def cut_off(scene: Scene, *, reason: str) -> None:
    """End a call of ours at our own wish, in whatever state it is, and hang up all its legs."""
    if scene.call.state == State.OFFERED:
        _have_met(scene, until=scene.at)
    if scene.call.state == State.CONNECTED:
        finish(scene, reason=reason)
    else:
        end(scene, State.FAILED, reason=reason, is_provisional=_let_go_untalked(scene))
    for leg in Leg.objects.filter(call=scene.call, ended_at=None):
        offers.hang_up(leg, scene.at)


def _let_go_untalked(scene: Scene) -> bool:
    """Close the offer of a call that ends without a talk; say whether that is provisional.

    The offer of a direct dial stays open until the provider has been asked about it.
    """
    offer = scene.offer
    if offer is None:
        return False
    if offer.kind != Offer.Kind.DIRECT:
        offers.close(scene, Offer.State.CALLER_GONE)
        return False
    Offer.objects.filter(pk=offer.pk).update(check_at=scene.at, checks=0)
    bell.ring("check_offer", str(offer.pk))
    return True


def contact_answered(scene: Scene) -> str:
    """A contact whom we called has answered: bring in the agent who was reserved for them."""
    call, offer = scene.call, scene.offer
    if offer is None or call.is_final:
        return documents.apology(call)
    if call.state != State.DIALLING:
        return call.document
    queue = call.queue
    ring = timedelta(seconds=queue.ring_timeout if queue else 30)
    into_room = offer.agent.confirm_key
    offer.kind = Offer.Kind.ROOM if into_room else Offer.Kind.DIRECT
    offer.ring_until = scene.at + ring
    offer.check_at = offer.ring_until if into_room else scene.at + offers.NO_NEWS
    offer.save(update_fields=["kind", "ring_until", "check_at"])
    call.move_to(
        State.OFFERED, agent=offer.agent, dialled_at=scene.at, queued_at=call.queued_at or scene.at
    )
    scene.note("contact_answered", agent=offer.agent.name)
    if into_room:
        offers.plan_leg(scene, offer)
        return answer_with(scene, documents.hold(call, position=None))
    return answer_with(scene, documents.direct(call, offer))


# --- The agent's leg ---------------------------------------------------------------------------


def agent_answered(scene: Scene, *, answered_at: datetime) -> None:
    """The agent's phone was picked up; in a direct dial that means: they talk."""
    offer = scene.offer
    if offer is None or offer.state == Offer.State.JOINED:
        return
    answered_at = max(answered_at, offer.created_at)  # the provider's clock may be behind ours
    if offer.kind == Offer.Kind.DIRECT:
        connect(scene, at=answered_at)
    elif offer.state != Offer.State.ANSWERED:
        offer.move_to(
            Offer.State.ANSWERED, answered_at=answered_at, check_at=scene.at + ANSWER_PATIENCE
        )
        scene.note("agent_answered", agent=offer.agent.name)


def connect(scene: Scene, *, at: datetime, estimated: bool = False) -> None:
    """Agent and customer talk from `at` on. Told again, or too late, it changes nothing."""
    if scene.offer is None or scene.call.state != State.OFFERED:
        return
    offers.talk(scene, at=max(at, scene.offer.created_at), estimated=estimated)


def agent_ended(scene: Scene, offer: Offer, *, outcome: Outcome, ended_at: datetime) -> None:
    """The agent's leg of `offer` has ended: a talk is over, or an attempt has failed."""
    if scene.offer is None or scene.offer.pk != offer.pk:
        return
    offer = scene.offer
    if scene.call.is_final:  # the customer gave up while the phone rang: no fault of the agent's
        close_provisional(scene, final=True)
    elif scene.call.state == State.CONNECTED:
        finish(scene, ended_at=ended_at, reason="agent hung up")
    elif offer.state == Offer.State.ANSWERED:
        if _have_met(scene, until=ended_at):
            finish(scene, ended_at=ended_at, reason="agent hung up")
        elif offer.agent.confirm_key and offer.conference_at is None:
            not_answered(scene, Offer.State.NO_KEYPRESS)
        else:
            not_answered(scene, Offer.State.DECLINED)
    else:
        not_answered(scene, _OFFER_END.get(outcome, Offer.State.NO_ANSWER))


_OFFER_END = {
    Outcome.NO_ANSWER: Offer.State.NO_ANSWER,
    Outcome.CANCELED: Offer.State.NO_ANSWER,
    Outcome.BUSY: Offer.State.BUSY,
    Outcome.FAILED: Offer.State.FAILED,
    Outcome.COMPLETED: Offer.State.NO_ANSWER,
}


def not_answered(scene: Scene, state: str, *, reason: str = "") -> None:
    """The offer has failed: hold-off for the agent, and the customer keeps the place in line."""
    call, offer = scene.call, scene.offer
    if offer is None:
        return
    offers.close(scene, state, reason=reason)
    if call.state == State.OFFERED and call.is_inbound:
        in_room = offer.kind == Offer.Kind.ROOM
        call.move_to(
            State.WAITING, agent=None, offer=None, offerable_from=scene.at if in_room else None
        )
        scene.note("back_in_line", offer=offer)
    elif call.state in {State.OFFERED, State.DIALLING} and not call.is_inbound:
        end(scene, State.FAILED, reason=f"agent: {state}")
        hang_up_customer(scene, after=timedelta() if offer.kind == Offer.Kind.ROOM else ALONE)
    else:
        _without_offer(call)


def _without_offer(call: QueuedCall) -> None:
    """A call that goes nowhere else has no open offer any more."""
    QueuedCall.objects.filter(pk=call.pk).update(offer=None)


# --- Ends --------------------------------------------------------------------------------------


def finish(
    scene: Scene,
    *,
    ended_at: datetime | None = None,
    reason: str = "",
    customer_is_gone: bool = False,
) -> None:
    """The talk is over: the call is completed and the agent wraps up."""
    call = scene.call
    ended_at = max(ended_at or scene.at, call.connected_at or scene.at)
    if scene.offer:
        offers.close(scene, Offer.State.ENDED, ended_at=ended_at)
    end(scene, State.COMPLETED, ended_at=ended_at, reason=reason)
    recordings.want(call, at=scene.at)
    if not customer_is_gone:
        hang_up_customer(scene, after=ALONE)


def end(
    scene: Scene, state: str, *, ended_at: datetime | None = None, reason: str = "", **changes: Any
) -> None:
    """Bring the call to its one end."""
    call = scene.call
    seen = [at for at in (call.arrived_at, call.queued_at, call.connected_at) if at]
    ended_at = max(ended_at or scene.at, *seen)
    call.move_to(
        state, ended_at=ended_at, end_reason=reason[:120], offerable_from=None,
        is_acknowledged=True, offer=scene.offer, **changes,
    )  # fmt: skip
    scene.note(
        state, reason=reason, abandoned_in=changes.get("abandoned_in"),
        queue_id=call.queue_id, queued_at=call.queued_at, ended_at=ended_at,
    )  # fmt: skip


def hang_up_customer(scene: Scene, *, after: timedelta = timedelta()) -> None:
    """Have the customer's leg ended: at once, or by a question to the provider `after` a while.

    A customer whose talk is over hears a goodbye first; the question is for those who do not
    get there.
    """
    live = Leg.objects.filter(call=scene.call, role=Leg.Role.CUSTOMER, ended_at=None)
    if after:
        scene.together.update_all("customer's leg", live, ask_at=scene.at + after)
        return
    for leg in live:
        offers.hang_up(leg, scene.at)


def ask_soon(leg: Leg, at: datetime) -> None:
    """Have the provider asked about a leg now; the sweep asks again if the bell is lost."""
    Leg.objects.filter(pk=leg.pk).update(ask_at=at)
    bell.ring("ask", str(leg.pk))


def expire(scene: Scene) -> None:
    """The customer has waited for as long as the queue allows: the leg is hung up.

    Who holds by laps is told so at the end of the lap; this is for those who do not get there.
    """
    call = scene.call
    if call.state != State.WAITING or call.queue is None:
        return
    if routing.holds_by_laps(call.queue) and not has_waited_too_long(call, scene.at - LAP):
        return
    end(scene, State.EXPIRED, reason="waited too long")
    hang_up_customer(scene)


def has_waited_too_long(call: QueuedCall, at: datetime) -> bool:
    """Whether a call has waited for its queue's `max_wait_seconds` at this instant."""
    if call.queue is None or call.queued_at is None:
        return False
    return at - call.queued_at >= timedelta(seconds=call.queue.max_wait_seconds)


def agent_is_done(scene: Scene) -> None:
    """The agent says that the call is over before we have heard so."""
    if scene.call.state == State.CONNECTED:
        finish(scene, reason="agent is done")
        hang_up_customer(scene)


def close_provisional(scene: Scene, *, final: bool) -> None:
    """No answer was found behind an abandoned direct dial: let the agent go; then believe it."""
    if scene.offer and scene.call.is_final:
        offers.close(scene, Offer.State.CALLER_GONE)
        _without_offer(scene.call)
    if final:
        QueuedCall.objects.filter(pk=scene.call.pk).update(is_provisional=False)
