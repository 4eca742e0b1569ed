"""Offers and what they make of an agent: the only writer of engagement and hold-off.

Every function takes an open scene, so agent and call are locked, in that order.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models.expressions import RawSQL

from agents import presence
from agents.models import Agent, Engagement, HoldOff, Presence
from callcenter import bell, together
from queues import documents
from queues.models import Leg, Offer, QueuedCall, WrapUp
from queues.scene import Scene, lock

HOLD_OFF_SECONDS = {
    HoldOff.BUSY: 30,
    HoldOff.DECLINED: 10,
    HoldOff.NO_KEYPRESS: 30,
    HoldOff.UNREACHABLE: 15,
}
NO_ANSWER_SECONDS, NO_ANSWER_MOST = 10, 60
HANGING_UP_FOR = timedelta(seconds=10)  # the longest that one waits to hear that it is done
STRIKES_TO_BREAK, STRIKE_WINDOW = 3, timedelta(minutes=30)
STRIKING = {Offer.State.NO_ANSWER, Offer.State.NO_KEYPRESS}
HOLD_OFF_OF = {
    Offer.State.NO_ANSWER: HoldOff.NO_ANSWER,
    Offer.State.BUSY: HoldOff.BUSY,
    Offer.State.FAILED: HoldOff.UNREACHABLE,
    Offer.State.DECLINED: HoldOff.DECLINED,
    Offer.State.NO_KEYPRESS: HoldOff.NO_KEYPRESS,
}
ANSWER_GRACE = timedelta(seconds=10)  # after a direct dial's longest ring
ROOM_ENDS = timedelta(seconds=2)  # by which the room has dropped the agent after a talk
NO_NEWS = timedelta(seconds=3)  # between questions to the provider about a ringing phone


def make(
    scene: Scene,
    agent: Agent,
    kind: str,
    *,
    why: RawSQL | None = None,
    answer: Callable[[Offer], str] | None = None,
) -> Offer:
    """Put `agent`, locked by the caller, on the scene's call.

    ROOM plans the agent's leg and rings the bell that places it; DIRECT is dialled by the
    document that is being answered, which `answer` makes of the offer; CLICK only reserves, until
    the contact has answered.
    """
    # A request that has waited for its turn is of a time before the agent was free.
    scene.at = max(scene.at, agent.engagement_since, agent.presence_since)
    call, at = scene.call, scene.at
    queue = call.queue
    ring = timedelta(seconds=queue.ring_timeout if queue else 30)
    greeting = timedelta(seconds=documents.speech_seconds(queue.greeting) if queue else 0)
    offer = Offer(
        call=call,
        agent=agent,
        queue=queue,
        kind=kind,
        created_at=at,
        ring_until=at + ring + (greeting if kind == Offer.Kind.DIRECT else timedelta()),
    )
    if kind == Offer.Kind.DIRECT:
        offer.check_at = at + greeting + NO_NEWS
    elif kind == Offer.Kind.ROOM:
        offer.check_at = offer.ring_until
    together.insert(offer, scene.together)
    scene.together.hold(agent)
    set_engagement(agent, Engagement.RINGING, at)
    scene.offer, scene.agent = offer, agent
    changes: dict[str, Any] = {"offer": offer}
    if kind == Offer.Kind.CLICK:
        together.update(call, **changes)
    else:
        changes |= {"agent": agent, "dialled_at": at, "queued_at": call.queued_at or at}
        if answer:
            changes |= {"step": call.step + 1, "document": answer(offer)}
        call.move_to(QueuedCall.State.OFFERED, **changes)
    scene.note(
        "offered", explained=why, agent=agent.name, kind=kind,
        agent_id=agent.pk, queue_id=call.queue_id,
    )  # fmt: skip
    if kind == Offer.Kind.ROOM:
        plan_leg(scene, offer)
    return offer


def plan_leg(scene: Scene, offer: Offer) -> Leg:
    """Plan the agent's leg of an offer; its bell places it after the commit."""
    leg = Leg(
        call=scene.call,
        offer=offer,
        role=Leg.Role.AGENT,
        is_placed_by_us=True,
        party=offer.agent.destination,
        line=scene.call.line,
        planned_at=scene.at,
    )
    together.insert(leg, scene.together)
    bell.ring("place", str(leg.pk))
    return leg


def set_engagement(agent: Agent, engagement: str, at: datetime, **changes: Any) -> None:
    """Write what an agent is doing now."""
    changes = {"wrap_up_until": None, **changes}
    changes |= {"engagement": engagement, "engagement_since": at}
    together.update(agent, **changes)
    bell.ring("desk", agent.pk)


def talk(scene: Scene, *, at: datetime, estimated: bool) -> None:
    """Agent and customer are connected."""
    offer, agent = _require(scene)
    offer.move_to(
        Offer.State.JOINED,
        joined_at=at,
        answered_at=offer.answered_at or at,
        check_at=None,
    )
    set_engagement(
        agent, Engagement.ON_CALL, at, strikes=0, hold_off_until=None, hold_off_reason=""
    )
    scene.call.move_to(
        QueuedCall.State.CONNECTED,
        agent=agent,
        connected_at=at,
        connected_is_estimated=estimated,
        offerable_from=None,
        is_acknowledged=True,
    )
    scene.note("connected", agent=agent.name, connected_at=at, estimated=estimated or None)


def close(scene: Scene, state: str, *, reason: str = "", ended_at: datetime | None = None) -> Offer:
    """End the scene's open offer; a talk leads to wrap-up, a failure to a hold-off.

    The call's row is left to the caller of this function, who moves it on without the offer.
    """
    offer, agent = _require(scene)
    ended_at = ended_at or scene.at
    offer.move_to(state, ended_at=ended_at, check_at=None)
    if state == Offer.State.ENDED:
        start_wrap_up(scene, agent, offer, ended_at)
    else:
        is_up = hang_up_agent(scene, offer)
        changes = _hold_off(agent, state, scene.at) or (
            _hanging_up(agent, scene.at) if is_up else {}
        )
        set_engagement(agent, Engagement.IDLE, scene.at, **changes)
    scene.call.offer = None
    scene.note(f"offer_{state}", offer=offer, agent=agent.name, reason=reason, ended_at=ended_at)
    scene.offer = None
    if state == Offer.State.ENDED and offer.kind != Offer.Kind.DIRECT:
        # A talk ends with its room; the sweep hangs up the leg that has not heard of it.
        hang_up_agent(scene, offer, after=ROOM_ENDS)
    if state in STRIKING:
        _break_after_strikes(scene, agent)
    if agent.engagement == Engagement.IDLE:
        bell.ring("route")
    return offer


def _require(scene: Scene) -> tuple[Offer, Agent]:
    if scene.offer is None or scene.agent is None:
        raise ValueError(f"{scene.call} has no open offer")
    return scene.offer, scene.agent


# In one statement: a leg that is being placed at this moment is waited for, and seen as sent.
_HANG_UP = """
UPDATE queues_leg SET hang_up_at = %s
WHERE offer_id = %s AND ended_at IS NULL AND hang_up_at IS NULL
RETURNING id, is_placed_by_us AND sent_at IS NOT NULL
"""


def hang_up_agent(scene: Scene, offer: Offer, *, after: timedelta = timedelta()) -> bool:
    """Hang up the agent's leg of an offer that is over, if it is live or still to be placed.

    Returns whether the phone may ring now.
    """
    if after:
        live = Leg.objects.filter(offer=offer, ended_at=None, hang_up_at=None)
        scene.together.update_all("agent's leg", live, hang_up_at=scene.at + after)
        return False
    with connection.cursor() as cursor:
        cursor.execute(_HANG_UP, [scene.at, offer.pk])
        legs = cursor.fetchall()
    for pk, _ in legs:
        bell.ring("hang_up", str(pk))
    return any(is_sent for _, is_sent in legs)


def hang_up(leg: Leg, at: datetime) -> None:
    """Have the provider end a leg; the sweep repeats it until the leg has ended."""
    if leg.hang_up_at is None:
        Leg.objects.filter(pk=leg.pk, ended_at=None, hang_up_at=None).update(hang_up_at=at)
        leg.hang_up_at = at
        bell.ring("hang_up", str(leg.pk))


def _hold_off(agent: Agent, state: str, at: datetime) -> dict[str, Any]:
    reason = HOLD_OFF_OF.get(Offer.State(state))
    if reason is None:  # the customer left, or our own fault: nobody is to blame
        return {}
    strikes = agent.strikes + (state in STRIKING)
    return {
        "strikes": strikes,
        "hold_off_until": at + timedelta(seconds=hold_off_seconds(reason, strikes)),
        "hold_off_reason": reason,
    }


def _hanging_up(agent: Agent, at: datetime) -> dict[str, Any]:
    """Pass the agent over until their phone is free: a new call would find it busy."""
    if agent.hold_off_until and agent.hold_off_until > at + HANGING_UP_FOR:
        return {}
    bell.ring("sweep_at", at + HANGING_UP_FOR)
    return {"hold_off_until": at + HANGING_UP_FOR, "hold_off_reason": HoldOff.HANGING_UP}


@transaction.atomic(savepoint=False)
def phone_is_free(offer_pk: uuid.UUID) -> None:
    """The agent's leg of an offer that came to nothing is down: they are passed over no more.

    An agent whom somebody else has locked is not waited for, as the call may be locked already.
    """
    held = Agent.objects.filter(offers=offer_pk, hold_off_reason=HoldOff.HANGING_UP)
    agent = held.select_for_update(of=("self",), no_key=True, skip_locked=True).first()
    if agent:
        Agent.objects.filter(pk=agent.pk).update(hold_off_until=None, hold_off_reason="")
        bell.ring("route")
        bell.ring("desk", agent.pk)


def hold_off_seconds(reason: HoldOff, strikes: int) -> int:
    """Return for how long an agent with so many strikes in a row is passed over."""
    if reason == HoldOff.NO_ANSWER:
        return min(NO_ANSWER_SECONDS * strikes, NO_ANSWER_MOST)
    return HOLD_OFF_SECONDS[reason]


def _break_after_strikes(scene: Scene, agent: Agent) -> None:
    """Take an agent who misses call after call out of the line, and say so."""
    if agent.strikes < STRIKES_TO_BREAK or agent.presence != Presence.AVAILABLE:
        return
    missed = Offer.objects.filter(
        agent=agent, state__in=STRIKING, ended_at__gte=scene.at - STRIKE_WINDOW
    ).count()
    if missed >= STRIKES_TO_BREAK:
        presence.change(
            agent.pk,
            Presence.BREAK,
            at=scene.at,
            cause="policy: missed calls",
            reason=f"{missed} calls in a row were not answered",
        )
        agent.presence = Presence.BREAK
        scene.note("agent_put_on_break", agent=agent.name, missed=missed)


def start_wrap_up(scene: Scene, agent: Agent, offer: Offer, ended_at: datetime) -> None:
    """Give the agent the queue's time for after-call work, counted from the end of the call."""
    seconds = offer.queue.wrap_up_seconds if offer.queue else 0
    until = ended_at + timedelta(seconds=seconds)
    if until <= scene.at:
        Offer.objects.filter(pk=offer.pk).update(wrap_up_ended_at=until)
        set_engagement(agent, Engagement.IDLE, scene.at, idle_since=scene.at)
        _note_end_of_wrap_up(scene, offer)
        return
    set_engagement(agent, Engagement.WRAP_UP, scene.at, wrap_up_until=until)
    bell.ring("sweep_at", until)


# The end of the wrap-up is written down at the agent's last talk, too.
_END_WRAP_UP = """
WITH freed AS (
    UPDATE agents_agent SET engagement = 'idle', wrap_up_until = NULL,
        engagement_since = CASE WHEN %(early)s THEN %(at)s ELSE wrap_up_until END,
        idle_since = CASE WHEN %(early)s THEN %(at)s ELSE wrap_up_until END
    WHERE id = %(agent)s AND engagement = 'wrap_up' AND (%(early)s OR wrap_up_until <= %(at)s)
    RETURNING idle_since AS at
), talk AS (
    SELECT id FROM queues_offer WHERE agent_id = %(agent)s AND state = 'ended'
    ORDER BY created_at DESC LIMIT 1
), written AS (
    UPDATE queues_offer SET wrap_up_ended_at = greatest(ended_at, freed.at) FROM freed
    WHERE id = (SELECT id FROM talk) AND wrap_up_ended_at IS NULL
    RETURNING id
)
SELECT freed.at, (SELECT id FROM written) FROM freed
"""


@transaction.atomic
def end_wrap_up(agent_pk: int, *, at: datetime, early: bool = False, by: str = "") -> bool:
    """End an agent's wrap-up when its time is over, or `early` because the agent is done.

    `by` names the supervisor who ends it instead. Returns whether it was this call that ended it.
    Compare-and-set on the agent's row.
    """
    with connection.cursor() as cursor:
        cursor.execute(_END_WRAP_UP, {"agent": agent_pk, "at": at, "early": early})
        row = cursor.fetchone()
    if row is None:
        return False
    ended_at, offer_pk = row
    if offer_pk:
        last = Offer.objects.select_related("agent", "queue").get(pk=offer_pk)
        source = "supervisor" if by else "desk" if early else "sweep"
        call, offer = lock(last.call_id)
        with Scene(call, offer, offer.agent if offer else None, ended_at, source) as scene:
            _note_end_of_wrap_up(scene, last, by)
    bell.ring("route")
    bell.ring("board")
    bell.ring("desk", agent_pk)
    return True


def _note_end_of_wrap_up(scene: Scene, offer: Offer, by: str = "") -> None:
    """Tell what the agent has chosen, or that nothing was, where the queue asks for it."""
    written = WrapUp.objects.filter(offer=offer).select_related("disposition__parent").first()
    chosen = str(written.disposition) if written and written.disposition else ""
    is_asked_for = offer.queue is not None and offer.queue.disposition_required
    scene.note(
        "wrap_up_ended", offer=offer, by=by, agent=offer.agent.name, disposition=chosen,
        not_dispositioned=True if is_asked_for and not chosen else None,
    )  # fmt: skip
