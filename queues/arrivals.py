"""A customer's first POST: which call it is, and what they are answered."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError, transaction

from callcenter.ids import new_id
from callcenter.sautikit import phone
from callcenter.sautikit.callbacks import Record, VoiceCallback
from queues import alerts, calls, documents, ivr, routing
from queues.inbox import Arrival
from queues.models import Leg, Number, QueuedCall
from queues.scene import Scene, scene

State = QueuedCall.State
_PUBLIC = re.compile(r"[A-Za-z0-9._-]{1,58}")


def numbers_of(callback: VoiceCallback) -> dict[str, Number]:
    """Return which of the two parties are numbers of ours."""
    parties = [callback.dialled, callback.caller]
    numbers = Number.objects.filter(e164__in=parties).select_related("queue", "menu")
    return {number.e164: number for number in numbers}


def arrive(
    callback: VoiceCallback, numbers: dict[str, Number], *, at: datetime, arrival: Arrival
) -> str | None:
    """Answer a call that we have not seen; None when another request has just taken it."""
    number, customer = _number(callback, numbers)
    ended = callback.is_end
    started_at = at - timedelta(seconds=callback.duration_seconds or 0) if ended else at
    try:
        with transaction.atomic():
            queue = number.queue if number else None
            picked = routing.claim_for_arrival(queue, at) if queue and not ended else None
            line = number.e164 if number else callback.dialled
            call = _new_call(callback.handle, number, customer, line, started_at)
            with Scene(call, None, None, at, arrival.endpoint, picked) as opened:
                opened.note("arrived", customer=phone.masked(customer))
                document = _first_document(opened, callback, number)
                # Only now is the row written, with all that has become of it.
                opened.together.insert(call)
                opened.together.insert(_new_leg(call, callback, started_at))
                opened.keep(arrival)
                return document
    except IntegrityError as error:
        if "public_id" in str(error) or "session_id" in str(error) or "provider_id" in str(error):
            return None
        raise


def _first_document(opened: Scene, callback: VoiceCallback, number: Number | None) -> str:
    if number is None:
        return _unknown_number(opened, callback)
    if callback.is_end:
        _ended_before_we_knew(opened, number)
        return ""
    if number.menu:
        return ivr.ask(opened, number.menu)
    if number.queue:
        return calls.enter_queue(opened, number.queue)
    return documents.unknown_number()  # pragma: no cover - a constraint forbids it


def _number(callback: VoiceCallback, found: dict[str, Number]) -> tuple[Number | None, str]:
    """Return what was dialled and who called; the two may come swapped (contract 4.2)."""
    if callback.dialled not in found and callback.caller in found:
        return found[callback.caller], callback.dialled
    return found.get(callback.dialled), callback.caller


def _new_call(
    handle: str | None, number: Number | None, customer: str, line: str, arrived_at: datetime
) -> QueuedCall:
    pk = new_id()
    queue = number.queue if number else None
    return QueuedCall(
        pk=pk,
        public_id=handle if handle and _PUBLIC.fullmatch(handle) else str(pk),
        direction=QueuedCall.Direction.INBOUND,
        customer=customer or "anonymous",
        line=line,
        queue=queue,
        menu=number.menu if number else None,
        priority=queue.priority if queue else 0,
        arrived_at=arrived_at,
    )


def _new_leg(call: QueuedCall, callback: VoiceCallback, started_at: datetime) -> Leg:
    ended = callback.is_end
    handle = callback.handle
    return Leg(
        call=call,
        role=Leg.Role.CUSTOMER,
        state=Leg.State.ENDED if ended else Leg.State.RINGING,
        party=call.customer,
        line=call.line,
        session_id=callback.session_id or (None if callback.call_id else handle),
        provider_id=callback.call_id,
        planned_at=started_at,
        placed_at=started_at,
        ended_at=started_at + timedelta(seconds=callback.duration_seconds or 0) if ended else None,
        ask_at=None if ended else started_at + calls.LIVE_CHECK,
    )


def serve(call: QueuedCall, *, at: datetime, arrival: Arrival) -> str:
    """Answer the first POST of a call that we had found in the provider's list before it came."""
    number = Number.objects.select_related("queue", "menu").filter(e164=call.line).first()
    queue = number.queue if number else None
    pick = partial(routing.claim_for_arrival, queue, at) if queue else None
    with scene(call.pk, at=at, source=arrival.endpoint, pick=pick) as opened:
        opened.keep(arrival)
        if opened.call.state != State.GREETING or opened.call.step:
            return opened.call.document
        if number and number.menu:
            return ivr.ask(opened, number.menu)
        if queue:
            return calls.enter_queue(opened, queue)
        calls.end(opened, State.REJECTED, reason="unknown number")
        return documents.unknown_number()


def adopt(record: Record, *, at: datetime) -> Leg | None:
    """Take in a call on one of our numbers that the provider has and no webhook told of.

    A live one may still ask us what to do, and is answered as if it had just come. Returns None
    where the number is not ours, or a webhook was quicker.
    """
    number = Number.objects.select_related("queue", "menu").filter(e164=record.local).first()
    if number is None or not record.handles:
        return None
    arrived_at = min(record.started_at or at, at)
    call = _new_call(record.session_id, number, record.remote, number.e164, arrived_at)
    call.queued_at = arrived_at if number.queue else None
    leg = Leg(
        call=call,
        role=Leg.Role.CUSTOMER,
        state=Leg.State.ANSWERED if record.answered_at else Leg.State.RINGING,
        party=call.customer,
        line=call.line,
        session_id=record.session_id,
        provider_id=record.call_id,
        planned_at=arrived_at,
        placed_at=arrived_at,
        answered_at=record.answered_at,
        ask_at=at + calls.LIVE_CHECK,
    )
    try:
        with transaction.atomic():
            opened = Scene(call, None, None, at, "records")
            opened.note(
                "arrived", customer=phone.masked(call.customer), adopted=True,
                queued_at=call.queued_at, queue_id=call.queue_id,
            )  # fmt: skip
            call.save(force_insert=True)
            leg.save(force_insert=True)
            opened.close()
    except IntegrityError:
        return None
    return leg


def _unknown_number(opened: Scene, callback: VoiceCallback) -> str:
    calls.end(opened, State.REJECTED, reason="unknown number")
    dialled = callback.dialled or "no number"
    alerts.raise_alert(
        "unknown_number",
        dialled,
        f"A call came in on {dialled}, which is on no queue and no menu.",
        at=opened.at,
    )
    return "" if callback.is_end else documents.unknown_number()


def _ended_before_we_knew(opened: Scene, number: Number) -> None:
    call = opened.call
    if number.queue:
        call.queued_at = call.arrived_at
        where = QueuedCall.AbandonedIn.QUEUE
    else:
        where = QueuedCall.AbandonedIn.MENU
    calls.end(opened, State.ABANDONED, abandoned_in=where, reason="over when first heard of")


def public_id(raw: str) -> uuid.UUID | None:
    """Return the key of the call known by this public id or by either provider handle."""
    raw = raw[:128].replace("\x00", "")
    call = QueuedCall.objects.filter(public_id=raw).values_list("pk", flat=True).first()
    if call:
        return call
    legs = Leg.objects.filter(role=Leg.Role.CUSTOMER)
    for field in ("session_id", "provider_id"):
        if found := legs.filter(**{field: raw}).values_list("call_id", flat=True).first():
            return found
    return None
