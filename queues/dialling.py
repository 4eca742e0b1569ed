"""Placing and hanging up legs through the provider's API.

No row is locked while the provider is asked. A leg's key is its idempotency key, so a repeat of
any of these functions cannot ring a phone twice.
"""

from __future__ import annotations

import logging
import random
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from callcenter import bell
from callcenter.sautikit import errors, phone
from callcenter.sautikit.callbacks import Outcome, Record
from callcenter.sautikit.commands import PlaceCall, PlacedCall, Shape
from queues import alerts, calls, links, offers, provider
from queues.models import Leg, Offer, QueuedCall
from queues.scene import scene

log = logging.getLogger(__name__)
SHAPES: dict[str, tuple[Shape, ...]] = {
    "auto": ("sdk", "use_case"),
    "sdk": ("sdk",),
    "use_case": ("use_case",),
}
RETRY_AFTER = timedelta(seconds=1)
ASK_WHILE_RINGING = timedelta(seconds=3)
PLACE_WITHIN = timedelta(seconds=30)  # after which a call that could not be placed is given up
CLOCKS = timedelta(seconds=5)  # by which the provider's clock may differ from ours
ASK_AFTER_HANG_UP = timedelta(seconds=2)
NOT_THERE_AFTER = timedelta(seconds=60)  # a leg that no list has shown for as long is not there


# Nobody may wait for the leg any more by the time that the provider has placed it: then it is
# hung up, and even a row that was closed as never placed is opened for that.
_PLACED = """
UPDATE queues_leg SET
    state = CASE WHEN state = 'answered' THEN state ELSE 'ringing' END,
    provider_id = coalesce(%(provider)s, provider_id),
    session_id = coalesce(%(session)s, session_id),
    placed_at = %(at)s,
    ask_at = CASE WHEN state = 'answered' THEN ask_at ELSE %(ask_at)s END,
    hang_up_at = CASE WHEN ended_at IS NULL THEN hang_up_at ELSE %(at)s END,
    ended_at = NULL
WHERE id = %(leg)s AND (ended_at IS NULL
    OR (outcome = 'canceled' AND provider_id IS NULL AND session_id IS NULL))
RETURNING hang_up_at
"""


def place(leg_pk: uuid.UUID, *, at: datetime) -> None:
    """Place a planned leg; a leg whose offer or call is over meanwhile is not placed."""
    leg = Leg.objects.select_related("offer__agent", "offer__queue", "call").get(pk=leg_pk)
    if leg.state != Leg.State.PLANNED:
        return
    nobody_waits = leg.hang_up_at or leg.call.is_final or (leg.offer and leg.offer.is_final)
    if nobody_waits or at - leg.planned_at > PLACE_WITHIN:
        _give_up(leg, at)
        return
    try:
        placed = _post(leg, at)
    except errors.Unavailable as error:
        _try_again(leg, error, at)
    except errors.OutOfFunds as error:
        _out_of_funds(leg, error, at)
    except errors.SautikitError as error:
        _refused(leg, error, at)
    else:
        _placed(leg, placed, at)


def _post(leg: Leg, at: datetime) -> PlacedCall:
    """POST in the shape that is known to work, else in both, one after the other."""
    setting = settings.SAUTIKIT_CALL_SCHEMA
    known = provider.recall_soon(provider.CALL_SCHEMA) if setting == "auto" else None
    shapes = sorted(SHAPES[setting], key=lambda shape: shape != known)
    command = _command(leg)
    first_refusal: errors.BadShape | None = None
    for shape in shapes:
        try:
            placed = provider.client().place_call(
                command, shape=shape, idempotency_key=f"{leg.pk.hex}-{shape}"
            )
        except errors.BadShape as error:
            first_refusal = first_refusal or error
            continue
        if len(shapes) > 1 and shape != known and not phone.is_sip(leg.party):
            provider.learn(provider.CALL_SCHEMA, shape, at=at)
        return placed
    assert first_refusal is not None  # noqa: S101 - shapes is never empty
    raise first_refusal


def _command(leg: Leg) -> PlaceCall:
    if leg.role == Leg.Role.AGENT and leg.offer:
        leg.offer.call = leg.call
        answer, status = links.agent_join(leg.offer), links.agent_status(leg.offer)
    else:
        answer, status = links.outbound_answer(leg.call), links.outbound_status(leg.call)
    line = leg.line if phone.is_e164(leg.line) else settings.SAUTIKIT_NUMBER
    return PlaceCall(
        to=leg.party, from_=line, answer_url=answer, status_url=status, client_request_id=leg.pk.hex
    )


@transaction.atomic
def _placed(leg: Leg, placed: PlacedCall, at: datetime) -> None:
    if leg.offer_id:  # before the leg, as everywhere
        Offer.objects.filter(pk=leg.offer_id, state=Offer.State.DIALLING).update(
            state=Offer.State.RINGING
        )
    with connection.cursor() as cursor:
        cursor.execute(
            _PLACED,
            {
                "leg": leg.pk, "provider": placed.call_id, "session": placed.session_id,
                "at": at, "ask_at": at + ASK_WHILE_RINGING,
            },
        )  # fmt: skip
        row = cursor.fetchone()
    if row and row[0]:
        bell.ring("hang_up", str(leg.pk))
    bell.ring("board")


def _try_again(leg: Leg, error: errors.Unavailable, at: datetime) -> None:
    """The provider did not answer: the same request again, until the ringing time is over."""
    wait = RETRY_AFTER * (2 ** min(leg.asks, 3)) * random.uniform(0.5, 1)  # noqa: S311
    if isinstance(error, errors.RateLimited) and error.retry_after:
        wait = timedelta(seconds=error.retry_after)
    Leg.objects.filter(pk=leg.pk, state=Leg.State.PLANNED).update(
        ask_at=at + wait, asks=leg.asks + 1, last_error=str(error)[:200]
    )
    bell.ring("sweep_at", at + wait)
    alerts.raise_alert("provider", "unavailable", f"Sautikit does not answer: {error}", at=at)


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
    with scene(leg.call.pk, at=at, source="dialling") as opened:
        _end_leg(leg, at, "failed", str(error))
        if leg.role == Leg.Role.CUSTOMER:
            if opened.call.state == QueuedCall.State.DIALLING:
                if opened.offer:
                    offers.close(opened, Offer.State.CALLER_GONE)
                calls.end(opened, QueuedCall.State.FAILED, reason=str(error))
        elif opened.offer and leg.offer and opened.offer.pk == leg.offer.pk:
            calls.not_answered(opened, Offer.State.FAILED, reason=str(error))


def _out_of_funds(leg: Leg, error: errors.OutOfFunds, at: datetime) -> None:
    """No money: nobody is dialled for a while, and nobody is to blame but the wallet."""
    provider.learn(provider.DIALLING_STOPPED, str(error), at=at)
    alerts.raise_alert(
        "wallet", "", "The Sautikit wallet is empty: calls to agents are refused. Top it up.", at=at
    )
    with scene(leg.call.pk, at=at, source="dialling") as opened:
        _end_leg(leg, at, "failed", str(error))
        if leg.role == Leg.Role.CUSTOMER and opened.call.state == QueuedCall.State.DIALLING:
            if opened.offer:
                offers.close(opened, Offer.State.CALLER_GONE)
            calls.end(opened, QueuedCall.State.FAILED, reason="wallet empty")
        elif opened.offer and leg.offer and opened.offer.pk == leg.offer.pk:
            calls.not_answered(opened, Offer.State.EXPIRED, reason="wallet empty")


def _give_up(leg: Leg, at: datetime) -> None:
    """Nobody waits for this leg any more; if an unanswered request placed it, it is hung up."""
    if leg.asks:
        try:
            record = find_record(leg.party, leg.line, since=leg.planned_at)
        except errors.SautikitError:
            Leg.objects.filter(pk=leg.pk).update(ask_at=at + ASK_AFTER_HANG_UP)
            return
        if record and not record.is_over:
            Leg.objects.filter(pk=leg.pk).update(
                state=Leg.State.RINGING, provider_id=record.call_id,
                session_id=record.session_id, placed_at=at, hang_up_at=at,
            )  # fmt: skip
            bell.ring("hang_up", str(leg.pk))
            return
    _never_placed(leg, at)


def find_record(party: str, line: str, *, since: datetime) -> Record | None:
    """Look in the provider's list for the leg from `line` to `party` that nobody has claimed.

    Returns the oldest such record that started after `since`, less a few seconds for clocks that
    differ. Raises SautikitError.
    """
    wanted = party.removeprefix("sip:").split("@")[0] if phone.is_sip(party) else party[-9:]
    page = provider.client().list_calls(
        direction="outbound", since=since - CLOCKS, q=wanted, limit=50
    )
    known = set(
        Leg.objects.filter(
            Q(session_id__in=[r.session_id for r in page.records if r.session_id])
            | Q(provider_id__in=[r.call_id for r in page.records if r.call_id])
        ).values_list("session_id", "provider_id")
    )
    taken = {handle for pair in known for handle in pair if handle}
    for record in reversed(page.records):
        late_enough = record.started_at is None or record.started_at >= since - CLOCKS
        if (
            late_enough
            and not taken.intersection(record.handles)
            and phone.same_party(record.remote, party)
            and (not record.local or phone.same_party(record.local, line))
        ):
            return record
    return None


def _never_placed(leg: Leg, at: datetime) -> None:
    """The leg ends without having been placed; a contact's call ends with it."""
    if leg.role == Leg.Role.CUSTOMER:
        with scene(leg.call_id, at=at, source="dialling") as opened:
            _close_unplaced(leg, at)
            calls.customer_ended(opened, outcome=Outcome.FAILED, ended_at=at)
        return
    _close_unplaced(leg, at)


def _close_unplaced(leg: Leg, at: datetime) -> None:
    Leg.objects.filter(pk=leg.pk, state=Leg.State.PLANNED).update(
        state=Leg.State.ENDED, outcome="canceled", ended_at=at, ask_at=None
    )


def _end_leg(leg: Leg, at: datetime, outcome: str, error: str) -> None:
    Leg.objects.filter(pk=leg.pk, ended_at=None).update(
        state=Leg.State.ENDED, outcome=outcome, ended_at=at, ask_at=None, last_error=error[:200]
    )


def hang_up(leg_pk: uuid.UUID, *, at: datetime) -> None:
    """Have the provider end a leg; what it says afterwards closes our row."""
    leg = Leg.objects.get(pk=leg_pk)
    if leg.state == Leg.State.ENDED or leg.hang_up_at is None:
        return
    if leg.state == Leg.State.PLANNED and leg.asks == 0:
        _never_placed(leg, at)
        return
    if not leg.handle and not _find_handle(leg, at):
        return
    try:
        provider.client().hang_up(leg.handle)
    except errors.Unavailable as error:
        Leg.objects.filter(pk=leg.pk, ended_at=None).update(
            hang_up_at=at + ASK_AFTER_HANG_UP, last_error=str(error)[:200]
        )
    except errors.SautikitError as error:
        Leg.objects.filter(pk=leg.pk, ended_at=None).update(
            hang_up_at=None, ask_at=at, last_error=str(error)[:200]
        )
        bell.ring("ask", str(leg.pk))
    else:
        Leg.objects.filter(pk=leg.pk, ended_at=None).update(
            hang_up_at=None, ask_at=at + ASK_AFTER_HANG_UP
        )


def _find_handle(leg: Leg, at: datetime) -> bool:
    """Look for a leg whose handle we were not told; False when it has not turned up.

    Placed perhaps, and the answer is still out: the sweep comes back, for a minute.
    """
    try:
        record = find_record(leg.party, leg.line, since=leg.planned_at)
    except errors.SautikitError:
        record = None
    else:
        if record is None and at - leg.planned_at >= NOT_THERE_AFTER:
            _end_leg(leg, at, "canceled", "never seen at the provider")
            return False
    if record is None:
        Leg.objects.filter(pk=leg.pk).update(hang_up_at=at + ASK_AFTER_HANG_UP)
        return False
    leg.provider_id, leg.session_id = record.call_id, record.session_id
    leg.save(update_fields=["provider_id", "session_id"])
    return True
