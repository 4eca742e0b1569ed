"""News of a leg from whatever source, and the questions that we ask the provider ourselves.

`observe` is where everything meets that says how a leg stands: status and event webhooks, voice
edges, and the provider's own record. A network error keeps what we believe; only a known end
closes anything.
"""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from callcenter import bell
from callcenter.sautikit import errors
from callcenter.sautikit.callbacks import Outcome, Record, VoiceCallback, normalise_status
from callcenter.sautikit.outcomes import unreached
from queues import adoption, calls, corrections, dialling, offers, provider
from queues.inbox import Arrival
from queues.models import Leg, Offer, QueuedCall
from queues.scene import Scene, scene

log = logging.getLogger(__name__)
State = QueuedCall.State

ASK_AGAIN = timedelta(seconds=3)
PROVISIONAL_CHECKS = (0, 2, 5, 15)  # seconds after a direct dial that ended without evidence
GONE_AFTER = timedelta(seconds=60)  # 404 for as long as this is a known end
NOT_FOUND = "not found since "  # the start of a leg's `last_error`, before that time


def observe(
    leg: Leg,
    outcome: Outcome,
    *,
    at: datetime,
    source: str,
    answered_at: datetime | None = None,
    ended_at: datetime | None = None,
    arrival: Arrival | None = None,
) -> None:
    """Take in how a leg stands. Told twice, late or out of order, it ends the same."""
    with scene(leg.call_id, at=at, source=source) as opened:
        if arrival:
            opened.keep(arrival)
        take(opened, leg, outcome, answered_at=answered_at, ended_at=ended_at)


def end_of(callback: VoiceCallback) -> Outcome:
    """Return how a leg ended whose last edge this is: its word, or the cause that says more.

    A leg that nobody took may end as `Completed` too, with the reason in the hang-up cause.
    """
    outcome = normalise_status(callback.state.value, callback.hangup_cause)
    if not outcome.is_final or outcome is Outcome.COMPLETED:
        if normalise_status(callback.hangup_cause) is Outcome.FAILED:
            return Outcome.FAILED
        return unreached(callback.hangup_cause) or Outcome.COMPLETED
    return outcome


def take(
    opened: Scene,
    leg: Leg,
    outcome: Outcome,
    *,
    answered_at: datetime | None = None,
    ended_at: datetime | None = None,
) -> None:
    """Take in how a leg of the opened call stands."""
    at = opened.at
    was_answered = leg.answered_at is not None
    if answered_at or outcome is Outcome.ANSWERED:
        leg.answered_at = leg.answered_at or min(answered_at or at, at)
    newly_answered = leg.answered_at is not None and not was_answered
    if outcome.is_final:
        _end(opened, leg, outcome, newly_answered, min(ended_at or at, at))
        return
    state = Leg.State.ANSWERED if leg.answered_at else Leg.State.RINGING
    if not newly_answered and state == leg.state:
        return
    ask_at = at + (calls.LIVE_CHECK if leg.answered_at else ASK_AGAIN)
    live = Leg.objects.filter(pk=leg.pk, ended_at=None)
    if newly_answered:
        live = live.filter(answered_at=None)
    is_news = live.update(state=state, answered_at=leg.answered_at, ask_at=ask_at)
    if is_news and newly_answered and leg.offer_id and leg.answered_at:
        _tell_agent_answered(opened, leg, leg.answered_at)


def _end(
    opened: Scene, leg: Leg, outcome: Outcome, newly_answered: bool, ended_at: datetime
) -> None:
    changes = {"answered_at": leg.answered_at} if leg.answered_at else {}
    ended_now = end_legs(Q(pk=leg.pk), outcome, ended_at, **changes)
    leg.state, leg.ended_at = Leg.State.ENDED, leg.ended_at or ended_at
    if leg.role == Leg.Role.CUSTOMER:
        if ended_now and opened.call.state == State.COMPLETED:
            corrections.never_met(opened, ended_at)
        elif ended_now:
            calls.customer_ended(opened, outcome=outcome, ended_at=ended_at)
        return
    offer = _offer_of(opened, leg)
    if offer is None:
        if ended_now and leg.offer_id and not opened.call.connected_at:
            offers.phone_is_free(leg.offer_id)
        return
    if newly_answered and leg.answered_at:
        _tell_agent_answered(opened, leg, leg.answered_at, ended_at=ended_at)
    if ended_now and offer.is_final and not leg.answered_at:
        if outcome is Outcome.BUSY:
            corrections.to_busy(opened, offer)
        corrections.to_abandoned(opened, offer)
    elif ended_now:
        calls.agent_ended(opened, offer, outcome=outcome, ended_at=ended_at)


def end_legs(which: Q, outcome: Outcome, ended_at: datetime, **changes: Any) -> bool:
    """Close the live leg among `which`; return whether there was one."""
    live = Leg.objects.filter(which, ended_at=None)
    return bool(
        live.update(
            state=Leg.State.ENDED, outcome=outcome.value, ended_at=ended_at,
            ask_at=None, hang_up_at=None, **changes,
        )
    )  # fmt: skip


def _offer_of(opened: Scene, leg: Leg) -> Offer | None:
    if opened.offer and opened.offer.pk == leg.offer_id:
        return opened.offer
    if leg.is_placed_by_us:
        return None  # only a direct dial is corrected after its end
    if leg.offer_id is None:
        return None
    return Offer.objects.select_related("agent", "queue").filter(pk=leg.offer_id).first()


def _tell_agent_answered(
    opened: Scene, leg: Leg, answered_at: datetime, *, ended_at: datetime | None = None
) -> None:
    offer = _offer_of(opened, leg)
    if offer is None:
        return
    if offer.kind == Offer.Kind.DIRECT and (offer.is_final or opened.call.is_final):
        corrections.to_completed(opened, offer, answered_at=answered_at, ended_at=ended_at)
    elif opened.offer and opened.offer.pk == offer.pk:
        calls.agent_answered(opened, answered_at=answered_at)


# --- Asking ------------------------------------------------------------------------------------


def take_record(leg: Leg, record: Record, *, at: datetime, source: str) -> None:
    """Take in the provider's own record of a leg."""
    outcome = record.status
    if record.is_over and not outcome.is_final:
        outcome = Outcome.COMPLETED
    with scene(leg.call_id, at=at, source=source) as opened:
        take(opened, leg, outcome, answered_at=record.answered_at, ended_at=record.ended_at)
        if not outcome.is_final:
            _still_live(opened, leg)


def _still_live(opened: Scene, leg: Leg) -> None:
    """The leg lives on: ask again later, or hang it up when nobody is left on the call."""
    call, at = opened.call, opened.at
    if call.is_final and call.ended_at and at - call.ended_at >= calls.ALONE - ASK_AGAIN:
        offers.hang_up(leg, at)
        return
    wait = calls.LIVE_CHECK if leg.answered_at or leg.role == Leg.Role.CUSTOMER else ASK_AGAIN
    if call.is_final:
        wait = calls.ALONE
    Leg.objects.filter(pk=leg.pk, ended_at=None).update(ask_at=at + wait, asks=0, last_error="")


def ask(leg_pk: uuid.UUID, *, at: datetime) -> None:
    """Ask the provider how a leg stands, and take in what it says."""
    leg = Leg.objects.get(pk=leg_pk)
    if leg.state in {Leg.State.ENDED, Leg.State.PLANNED} or not leg.handle:
        Leg.objects.filter(pk=leg.pk).update(ask_at=None)
        return
    try:
        record = provider.client().get_call(leg.handle)
    except errors.NotFound:
        _not_found(leg, at)
    except errors.SautikitError as error:
        Leg.objects.filter(pk=leg.pk).update(
            ask_at=at + ASK_AGAIN * (1 + min(leg.asks, 9)),
            asks=leg.asks + 1,
            last_error=str(error)[:200],
        )
    else:
        take_record(leg, record, at=at, source="record")


def _not_found(leg: Leg, at: datetime) -> None:
    """The provider does not know the leg: an end once that has been so for a minute."""
    told = leg.last_error.removeprefix(NOT_FOUND)
    since = datetime.fromisoformat(told) if told != leg.last_error else at
    row = Leg.objects.filter(pk=leg.pk)
    row.update(ask_at=at + 5 * ASK_AGAIN, last_error=f"{NOT_FOUND}{since.isoformat()}")
    if at - since < GONE_AFTER:
        return
    try:
        listed = provider.client().list_calls(since=leg.planned_at - GONE_AFTER, q=leg.handle)
    except errors.SautikitError:
        return
    if any(leg.handle in record.handles for record in listed.records):
        row.update(last_error="")
        return
    observe(leg, Outcome.COMPLETED, at=at, source="record")


def ask_handle(handle: str, *, at: datetime) -> None:
    """An unsigned event named this handle: ask the provider, and take in what it knows."""
    leg = Leg.objects.known_by([handle])
    if leg:
        ask(leg.pk, at=at)
        return
    try:
        record = provider.client().get_call(handle)
    except errors.SautikitError:
        return
    leg = Leg.objects.known_by(
        record.handles
    )  # the event may name it by the handle that we do not know
    leg = leg or adoption.adopt_record(record, at=at)
    if leg:
        take_record(leg, record, at=at, source="record")


# --- Offers whose time has come ----------------------------------------------------------------


def check_offer(offer_pk: uuid.UUID, *, at: datetime) -> None:
    """Look at an offer whose `check_at` has passed."""
    offer = Offer.objects.select_related("agent", "call", "queue").get(pk=offer_pk)
    if offer.kind == Offer.Kind.DIRECT:
        _check_direct(offer, at)
        return
    with scene(offer.call_id, at=at, source="sweep") as opened:
        if opened.offer and opened.offer.pk == offer.pk:
            _check_room(opened, opened.offer)


def _check_room(opened: Scene, offer: Offer) -> None:
    at = opened.at
    if offer.state in {Offer.State.DIALLING, Offer.State.RINGING}:
        if at >= offer.ring_until:
            rang = offer.state == Offer.State.RINGING
            calls.not_answered(opened, Offer.State.NO_ANSWER if rang else Offer.State.EXPIRED)
        else:
            Offer.objects.filter(pk=offer.pk).update(check_at=offer.ring_until)
    elif offer.state == Offer.State.ANSWERED and at < (due := _patient_until(offer)):
        # An earlier bell, for the ringing that is over.
        Offer.objects.filter(pk=offer.pk).update(check_at=due)
    elif offer.state == Offer.State.ANSWERED and offer.conference_at:
        legs = Leg.objects.filter(call=opened.call)
        gone = legs.filter(ended_at__isnull=False, role=Leg.Role.CUSTOMER).exists()
        if gone or legs.filter(ended_at__isnull=False, offer=offer).exists():
            calls.not_answered(opened, Offer.State.CALLER_GONE if gone else Offer.State.DECLINED)
        else:
            calls.connect(opened, at=offer.conference_at, estimated=True)
    elif offer.state == Offer.State.ANSWERED:
        state = Offer.State.NO_KEYPRESS if offer.agent.confirm_key else Offer.State.FAILED
        calls.not_answered(opened, state)


def _patient_until(offer: Offer) -> datetime:
    """Until when an answered agent may still press 1 or come into the room."""
    if offer.conference_at:
        return offer.conference_at + calls.JOIN_GRACE
    return (offer.answered_at or offer.created_at) + calls.ANSWER_PATIENCE


def _check_direct(offer: Offer, at: datetime) -> None:
    """Look for the evidence of a direct dial in the provider's list."""
    found = _find_callee(offer, at)
    open_call = offer.call.state in QueuedCall.OPEN and not offer.is_final
    if found:
        leg, record = found
        take_record(leg, record, at=at, source="record")
    if open_call:
        _still_dialling(offer, at)
    else:
        _after_the_end(offer, at)


def _find_callee(offer: Offer, at: datetime) -> tuple[Leg, Record] | None:
    leg = offer.legs.first()
    try:
        if leg and leg.handle:
            return leg, provider.client().get_call(leg.handle)
        record = dialling.find_record(
            offer.agent.destination, offer.call.line, since=offer.created_at, offer_pk=offer.pk
        )
    except errors.SautikitError as error:
        log.info("no news of %s: %s", offer, error)
        return None
    if record is None:
        return None
    return adoption.take_as_callee(offer, record.handles, at), record


def _still_dialling(offer: Offer, at: datetime) -> None:
    with scene(offer.call_id, at=at, source="sweep") as opened:
        current = opened.offer
        if current is None or current.pk != offer.pk or current.state == Offer.State.JOINED:
            return
        if at < current.ring_until + offers.ANSWER_GRACE:
            Offer.objects.filter(pk=current.pk).update(check_at=at + offers.NO_NEWS)
            return
        Offer.objects.filter(pk=current.pk).update(check_at=at + offers.NO_NEWS)
        customer = Leg.objects.filter(call=opened.call, role=Leg.Role.CUSTOMER).first()
    if customer is None or not customer.handle:
        return
    try:
        record = provider.client().get_call(customer.handle)
    except errors.SautikitError:
        return  # unknown keeps
    take_record(customer, record, at=at, source="record")
    if record.is_over:
        return
    with scene(offer.call_id, at=at, source="sweep") as opened:
        if opened.offer and opened.offer.pk == offer.pk:
            dialled_at = opened.call.dialled_at or offer.created_at
            calls.connect(opened, at=dialled_at, estimated=True)


def _after_the_end(offer: Offer, at: datetime) -> None:
    """A direct dial is over without evidence: ask at once, and after 2, 5 and 15 s."""
    with scene(offer.call_id, at=at, source="sweep") as opened:
        current = Offer.objects.get(pk=offer.pk)
        settled = current.state == Offer.State.ENDED or not (
            opened.call.is_provisional or opened.call.state in {State.WAITING, State.OFFERED}
        )
        if settled:
            Offer.objects.filter(pk=offer.pk).update(check_at=None)
            return
        done = current.checks + 1
        over_at = opened.call.ended_at or current.ended_at or at
        last = done >= len(PROVISIONAL_CHECKS)
        if done >= 2 and opened.offer and opened.offer.pk == offer.pk:
            calls.close_provisional(opened, final=False)
        if last:
            calls.close_provisional(opened, final=True)
        next_at = None if last else over_at + timedelta(seconds=PROVISIONAL_CHECKS[done])
        Offer.objects.filter(pk=offer.pk).update(
            checks=done, check_at=max(next_at, at) if next_at else None
        )
    if next_at:
        bell.ring("sweep_at", next_at)
