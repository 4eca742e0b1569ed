"""Placing legs through the provider's API.

No row is locked while the provider is asked. What was sent is kept with the leg before it goes out,
and a repeat sends the same bytes under the same idempotency key, so that a phone rings once,
whichever worker asks how often.
"""

from __future__ import annotations

import logging
import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Subquery, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from callcenter import bell
from callcenter.sautikit import errors, phone
from callcenter.sautikit.commands import PlaceCall, PlacedCall, Shape
from queues import alerts, breaker, calls, links, offers, pace, provider, wallet
from queues.hanging_up import find_leg, find_record, hang_up, never_placed, shown_number
from queues.models import Breaker, CallEvent, Leg, Offer, ProviderFact, QueuedCall
from queues.scene import Scene, scene

__all__ = ["find_record", "hang_up", "place"]

log = logging.getLogger(__name__)
SHAPES: dict[str, tuple[Shape, ...]] = {
    "auto": ("sdk", "use_case"),
    "sdk": ("sdk",),
    "use_case": ("use_case",),
}
RETRY_AFTER = timedelta(seconds=1)
ASK_WHILE_RINGING = timedelta(seconds=3)
PLACE_WITHIN = timedelta(seconds=30)  # after which a call that could not be placed is given up
LOOK_FIRST_AFTER = timedelta(seconds=5)  # by then a leg whose answer was lost may be over


# Nobody may wait for the leg any more by the time that the provider has placed it: then it is
# hung up, and even a row that was closed as never placed is opened for that. The offer's row is
# written before the leg's, as everywhere.
_PLACED = """
WITH offered AS (
    UPDATE queues_offer SET state = 'ringing' WHERE id = %(offer)s AND state = 'dialling'
    RETURNING id
)
UPDATE queues_leg SET
    state = CASE WHEN state = 'answered' THEN state ELSE 'ringing' END,
    provider_id = coalesce(%(provider)s, provider_id),
    session_id = coalesce(%(session)s, session_id),
    placed_at = %(at)s,
    ask_at = CASE WHEN state = 'answered' THEN ask_at ELSE %(ask_at)s END,
    hang_up_at = CASE WHEN ended_at IS NULL THEN hang_up_at ELSE %(at)s END,
    ended_at = NULL
WHERE id = %(leg)s AND (SELECT count(*) FROM offered) >= 0 AND (ended_at IS NULL
    OR (outcome = 'canceled' AND provider_id IS NULL AND session_id IS NULL))
RETURNING hang_up_at
"""


@dataclass(frozen=True)
class Standing:
    """What the provider takes, and whether it may be asked, as read together with the leg."""

    shape: Shape | None  # the body shape that is known to work
    breaker: str
    is_paused: bool
    is_stopped: bool


class _NotOurs(Exception):
    """Another worker is placing this leg, or nobody waits for it any more."""


def place(leg_pk: uuid.UUID, *, at: datetime) -> None:
    """Place a planned leg; a leg whose offer or call is over meanwhile is not placed."""
    leg, standing = _read(leg_pk, at)
    if leg.state != Leg.State.PLANNED:
        return
    nobody_waits = leg.hang_up_at or leg.call.is_final or (leg.offer and leg.offer.is_final)
    since = leg.sent_at or leg.held_back_at or leg.planned_at
    if nobody_waits or at - since > PLACE_WITHIN:
        _give_up(leg, at)
    elif _may_be_asked(leg, standing, at):
        try:
            _place(leg, standing, at)
        finally:
            if standing.breaker == Breaker.State.HALF_OPEN:
                breaker.end_trial()


def _read(leg_pk: uuid.UUID, at: datetime) -> tuple[Leg, Standing]:
    state = Breaker.objects.filter(pk=breaker.API)
    shape = ProviderFact.objects.filter(pk=provider.CALL_SCHEMA)
    stopped = provider.STOPPED.format(paused="%s")
    leg: Any = (
        Leg.objects.select_related("offer__agent", "offer__queue", "call")
        .annotate(
            known_shape=Subquery(shape.values("value")[:1]),
            breaker=Subquery(state.values("state")[:1]),
            failures=Subquery(state.values("failures")[:1]),
            paused_until=Subquery(state.values("paused_until")[:1]),
            is_stopped=RawSQL(stopped, [at - provider.DIALLING_PAUSE]),  # noqa: S611 - a constant
        )
        .get(pk=leg_pk)
    )
    breaker.know(leg.breaker, leg.failures)
    is_paused = leg.paused_until is not None and leg.paused_until > at
    shape_known = leg.known_shape if settings.SAUTIKIT_CALL_SCHEMA == "auto" else None
    return leg, Standing(
        shape_known, leg.breaker or Breaker.State.CLOSED, is_paused, bool(leg.is_stopped)
    )


def _may_be_asked(leg: Leg, standing: Standing, at: datetime) -> bool:
    """Whether the provider may be asked for a leg now; otherwise the leg waits, or is let go."""
    unsent = leg.sent_at is None
    if standing.is_stopped and unsent:
        _unpaid(leg, "dialling has stopped", at)
        return False
    if standing.breaker == Breaker.State.OPEN and unsent and leg.call.is_inbound:
        with scene(leg.call_id, at=at, source="dialling") as opened:
            if never_placed(leg, at):
                _let_go(opened, leg, reason="the provider is away")
        return False
    is_away = standing.breaker == Breaker.State.OPEN or standing.is_paused
    if not is_away and standing.breaker == Breaker.State.HALF_OPEN:
        is_away = not breaker.begin_trial(at=at)
    if is_away:
        _wait(leg, at + RETRY_AFTER, at)
    return not is_away


def _wait(leg: Leg, until: datetime, at: datetime, **changes: Any) -> None:
    """Leave a leg planned, to be placed from then on."""
    Leg.objects.filter(pk=leg.pk, state=Leg.State.PLANNED).update(ask_at=until, **changes)
    if until - at < RETRY_AFTER:
        bell.ring("sweep_at", until)


def _place(leg: Leg, standing: Standing, at: datetime) -> None:
    try:
        found = _look_first(leg, at)
        placed = found or _post(leg, standing, at)
    except _NotOurs:
        return
    except errors.Unavailable as error:
        _try_again(leg, error, at)
    except errors.OutOfFunds as error:
        wallet.stop_dialling(str(error), at=at)
        _unpaid(leg, str(error), at)
    except errors.SautikitError as error:
        if _may_exist(leg, error):
            _try_again(leg, error, at)
        else:
            _refused(leg, error, at)
    else:
        _placed(leg, placed, at, ask_now=found is not None)


def _look_first(leg: Leg, at: datetime) -> PlacedCall | None:
    """Find a leg whose answer was lost some time ago; None where a repeat is the way to know.

    Once a leg is over, its key may count no more (contract 2.5), and a repeat would ring again.
    """
    if leg.sent_at is None or at - leg.sent_at < LOOK_FIRST_AFTER:
        return None
    try:
        record = find_leg(leg)
    except errors.Rejected:  # this key may not read calls
        return None
    return PlacedCall(record.call_id, record.session_id) if record else None


def _may_exist(leg: Leg, error: errors.SautikitError) -> bool:
    """Whether a refusal says that the same request is under way, or was taken before."""
    is_known = leg.sent_at is not None or "idempotency" in error.code
    return isinstance(error, errors.Conflict) and is_known


def _post(leg: Leg, standing: Standing, at: datetime) -> PlacedCall:
    """POST in the shape that was sent or is known to work, else in both, one after the other."""
    allowed = SHAPES[settings.SAUTIKIT_CALL_SCHEMA]
    shapes = sorted(allowed, key=lambda shape: (shape != leg.shape, shape != standing.shape))
    if leg.shape and leg.shape not in allowed:
        shapes.insert(0, leg.shape)  # type: ignore[arg-type]
    first_refusal: errors.BadShape | None = None
    for shape in shapes:
        body = _body_to_send(leg, shape, at)
        try:
            placed = provider.client().place_body(body, idempotency_key=f"{leg.pk.hex}-{shape}")
        except errors.BadShape as error:
            first_refusal = first_refusal or error
            continue
        if len(shapes) > 1 and shape != standing.shape and not phone.is_sip(leg.party):
            provider.learn(provider.CALL_SCHEMA, shape, at=at)
        return placed
    assert first_refusal is not None  # noqa: S101 - shapes is never empty
    raise first_refusal


def _body_to_send(leg: Leg, shape: Shape, at: datetime) -> bytes:
    """Return the bytes to send, which are kept before they go out. Raises _NotOurs.

    Compare-and-set on what was kept: of two workers, one sends first, in one shape.
    """
    is_repeat = bool(leg.request) and leg.shape == shape
    if not pace.is_on():
        if not is_repeat:
            _keep(leg, shape, at)
        return leg.request.encode()
    with transaction.atomic():
        wait = pace.take(leg, at=at)
        if wait is not None:
            transaction.set_rollback(True)
        elif not is_repeat:
            _keep(leg, shape, at)
    if wait is not None:
        _hold_back(leg, wait, at)
        raise _NotOurs
    return leg.request.encode()


def _keep(leg: Leg, shape: Shape, at: datetime) -> None:
    request = _command(leg).body(shape).decode()
    kept = Leg.objects.filter(
        pk=leg.pk, state=Leg.State.PLANNED, hang_up_at=None, request=leg.request
    ).update(request=request, shape=shape, sent_at=Coalesce("sent_at", Value(at)))
    if not kept:
        raise _NotOurs
    if leg.held_back_at:
        _ring_from(leg, at)
    leg.request, leg.shape = request, shape


def _command(leg: Leg) -> PlaceCall:
    if leg.role == Leg.Role.AGENT and leg.offer:
        leg.offer.call = leg.call
        answer, status = links.agent_join(leg.offer), links.agent_status(leg.offer)
    else:
        answer, status = links.outbound_answer(leg.call), links.outbound_status(leg.call)
    return PlaceCall(
        to=leg.party, from_=shown_number(leg), answer_url=answer, status_url=status,
        client_request_id=leg.pk.hex,
    )  # fmt: skip


def _hold_back(leg: Leg, wait: timedelta, at: datetime) -> None:
    """Our own limit is reached: the leg waits its turn, and its ringing time with it."""
    _ring_from(leg, at + wait)
    if leg.held_back_at is None:
        CallEvent.objects.create(
            call=leg.call, offer=leg.offer, at=at, kind="held_back", source="dialling"
        )
        bell.ring("board")
    _wait(leg, at + wait, at, held_back_at=at)


def _ring_from(leg: Leg, at: datetime) -> None:
    if leg.role == Leg.Role.AGENT and leg.offer:
        queue = leg.offer.queue
        until = at + timedelta(seconds=queue.ring_timeout if queue else 30)
        Offer.objects.filter(pk=leg.offer.pk, state=Offer.State.DIALLING).update(
            ring_until=until, check_at=until
        )


def _placed(leg: Leg, placed: PlacedCall, at: datetime, *, ask_now: bool = False) -> None:
    values = {
        "offer": leg.offer_id, "leg": leg.pk, "provider": placed.call_id,
        "session": placed.session_id, "at": at,
        "ask_at": at if ask_now else at + ASK_WHILE_RINGING,
    }  # fmt: skip
    try:
        _write_placed(leg, values)
    except IntegrityError:
        log.warning("leg %s was given a handle that another leg has", leg.pk)
        text = "Sautikit gave two calls the same id; the later one is looked for in its list."
        alerts.raise_alert("provider", "same_handle", text, at=at)
        _write_placed(leg, {**values, "provider": None, "session": None})
    if ask_now:
        bell.ring("ask", str(leg.pk))


@transaction.atomic
def _write_placed(leg: Leg, values: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_PLACED, values)
        row = cursor.fetchone()
    if row and row[0]:
        bell.ring("hang_up", str(leg.pk))
    bell.ring("board")


def _try_again(leg: Leg, error: errors.SautikitError, at: datetime) -> None:
    """No answer, or none that settles it: the same request again, for as long as somebody waits."""
    wait = RETRY_AFTER * (2 ** min(leg.asks, 3)) * random.uniform(0.5, 1)  # noqa: S311
    if isinstance(error, errors.Unavailable) and error.retry_after:
        wait = timedelta(seconds=error.retry_after)
    Leg.objects.filter(pk=leg.pk, state=Leg.State.PLANNED).update(
        ask_at=at + wait, asks=leg.asks + 1, last_error=str(error)[:200]
    )
    bell.ring("sweep_at", at + wait)


def _refused(leg: Leg, error: errors.SautikitError, at: datetime) -> None:
    """The provider will not place this leg: the agent cannot be reached, or the call has failed."""
    log.warning("leg to %s was refused: %s", phone.masked(leg.party), error)
    is_shape = isinstance(error, errors.BadShape) and "from" not in error.code
    if phone.is_sip(leg.party) and is_shape:
        provider.learn(provider.SIP_TO_REFUSED, True, at=at)
        alerts.raise_alert(
            "provider",
            "sip_to_refused",
            "Sautikit refuses to call SIP addresses: SIP agents take direct calls only. To have it "
            "tried again, delete the provider fact sip_to_refused in the admin.", at=at,
        )  # fmt: skip
    else:
        text = f"Sautikit refused a call to {phone.masked(leg.party)}: {error}"
        alerts.raise_alert("provider", "refused", text, at=at)
    with scene(leg.call_id, at=at, source="dialling") as opened:
        _end_leg(leg, at, str(error))
        _let_go(opened, leg, reason=str(error), state=Offer.State.FAILED)


def _unpaid(leg: Leg, error: str, at: datetime) -> None:
    """No money: nobody is to blame but the wallet."""
    with scene(leg.call_id, at=at, source="dialling") as opened:
        _end_leg(leg, at, error)
        _let_go(opened, leg, reason="wallet empty")


def _let_go(
    opened: Scene, leg: Leg, *, reason: str, state: Offer.State = Offer.State.EXPIRED
) -> None:
    """Nothing comes of this leg: the agent is free, the caller back in line, the contact's call
    over."""
    if leg.role == Leg.Role.CUSTOMER:
        if opened.call.state == QueuedCall.State.DIALLING:
            if opened.offer:
                offers.close(opened, Offer.State.CALLER_GONE)
            calls.end(opened, QueuedCall.State.FAILED, reason=reason)
    elif opened.offer and opened.offer.pk == leg.offer_id:
        calls.not_answered(opened, state, reason=reason)


def _give_up(leg: Leg, at: datetime) -> None:
    """Nobody waits for this leg any more; if a request may have placed it, it is hung up."""
    if leg.hang_up_at and leg.hang_up_at > at:
        return  # looked for already
    is_unsent = leg.sent_at is None and never_placed(leg, at)
    if not leg.hang_up_at and not leg.call.is_final:
        with scene(leg.call_id, at=at, source="dialling") as opened:
            _let_go(opened, leg, reason="could not be placed")
    if is_unsent:
        return
    Leg.objects.filter(pk=leg.pk, ended_at=None, hang_up_at=None).update(hang_up_at=at)
    hang_up(leg.pk, at=at)


def _end_leg(leg: Leg, at: datetime, error: str) -> None:
    Leg.objects.filter(pk=leg.pk, ended_at=None).update(
        state=Leg.State.ENDED, outcome="failed", ended_at=at, ask_at=None, hang_up_at=None,
        last_error=error[:200],
    )  # fmt: skip
