"""Hanging up legs, until each has a known end; and finding those whose handle we were not told.

No row is locked while the provider is asked, and asking twice does no harm (contract 3.6).
"""

from __future__ import annotations

import logging
import random
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from callcenter import bell
from callcenter.sautikit import errors, phone
from callcenter.sautikit.callbacks import Outcome, Record
from queues import adoption, alerts, calls, offers, provider
from queues.models import Leg
from queues.scene import scene

log = logging.getLogger(__name__)
ASK_AFTER = timedelta(seconds=2)  # after a hang-up, and between looks at the list
FIRST_REPEAT = timedelta(
    seconds=0.25
)  # a phone rings for nobody meanwhile; doubles up to the above
AGAIN = timedelta(seconds=10)  # a leg that lives on after it was hung up
NOT_THERE_AFTER = timedelta(seconds=60)  # a leg that no list has shown for as long is not there


def hang_up(leg_pk: uuid.UUID, *, at: datetime) -> None:
    """Have the provider end a leg; asked again until the row is closed by what is said of it."""
    leg = Leg.objects.get(pk=leg_pk)
    if leg.state == Leg.State.ENDED or leg.hang_up_at is None:
        return
    if leg.state == Leg.State.PLANNED and leg.sent_at is None and never_placed(leg, at):
        return
    if not leg.handle and not _find_handle(leg, at):
        return
    live = Leg.objects.filter(pk=leg.pk, ended_at=None)
    try:
        provider.client().hang_up(leg.handle)
    except errors.Unavailable as error:
        _repeat(leg, error, at)
    except errors.SautikitError as error:
        text = f"Sautikit refused to hang up a call to {phone.masked(leg.party)}: {error}"
        alerts.raise_alert("provider", "hang_up", text, at=at)
        live.update(hang_up_at=at + AGAIN, ask_at=at, last_error=str(error)[:200])
        bell.ring("ask", str(leg.pk))
    else:
        live.update(hang_up_at=at + AGAIN, ask_at=at + ASK_AFTER)
        if leg.role == Leg.Role.AGENT and leg.offer_id:
            offers.phone_is_free(leg.offer_id)


def _repeat(leg: Leg, error: errors.Unavailable, at: datetime) -> None:
    """Ask again soon: backed off, or when the provider says."""
    wait = min(ASK_AFTER, FIRST_REPEAT * 2 ** min(leg.asks, 8))
    wait *= random.uniform(0.5, 1)  # noqa: S311
    if error.retry_after:
        wait = timedelta(seconds=min(error.retry_after, AGAIN.total_seconds()))
    Leg.objects.filter(pk=leg.pk, ended_at=None).update(
        hang_up_at=at + wait, asks=leg.asks + 1, last_error=str(error)[:200]
    )
    bell.ring("sweep_at", at + wait)


def _find_handle(leg: Leg, at: datetime) -> bool:
    """Look for a leg whose handle we were not told; False when it has not turned up.

    Placed perhaps, and the answer is still out or lost: the sweep comes back, for a minute.
    """
    try:
        record = find_leg(leg)
    except errors.SautikitError as error:
        log.info("no list to find %s in: %s", leg, error)
        record = None
    else:
        if record is None and at - (leg.sent_at or leg.planned_at) >= NOT_THERE_AFTER:
            _not_there(leg, at)
            return False
    if record and _take_handles(leg, record, at):
        return True
    Leg.objects.filter(pk=leg.pk, ended_at=None).update(hang_up_at=at + ASK_AFTER)
    return False


def _take_handles(leg: Leg, record: Record, at: datetime) -> bool:
    """Note the handles of a record as those of `leg`; False when another leg was quicker."""
    try:
        with transaction.atomic():
            Leg.objects.filter(pk=leg.pk, ended_at=None).update(
                provider_id=record.call_id, session_id=record.session_id, ask_at=at + ASK_AFTER
            )
            Leg.objects.filter(pk=leg.pk, state=Leg.State.PLANNED).update(
                state=Leg.State.RINGING, placed_at=at
            )
    except IntegrityError:
        return False
    leg.provider_id, leg.session_id = record.call_id, record.session_id
    return True


def shown_number(leg: Leg) -> str:
    """Return the number of ours that a leg is placed from: its line, if that is a number."""
    return leg.line if phone.is_e164(leg.line) else settings.SAUTIKIT_NUMBER


def find_leg(leg: Leg) -> Record | None:
    """Look in the provider's list for a leg that we have asked for. Raises SautikitError."""
    since = leg.sent_at or leg.planned_at
    return find_record(leg.party, shown_number(leg), since=since, offer_pk=leg.offer_id)


def find_record(
    party: str, line: str, *, since: datetime, offer_pk: uuid.UUID | None
) -> Record | None:
    """Look in the provider's list for the leg from `line` to `party` that nobody has claimed.

    Returns the oldest such record that started after `since`, less a few seconds for clocks that
    differ, and that can be no other offer's to this agent. `offer_pk` is None for a contact's leg.
    Raises SautikitError.
    """
    wanted = party.removeprefix("sip:").split("@")[0] if phone.is_sip(party) else party[-9:]
    page = provider.client().list_calls(
        direction="outbound", since=since - adoption.CLOCKS, q=wanted, limit=50
    )
    known = set(
        Leg.objects.filter(
            Q(session_id__in=[r.session_id for r in page.records if r.session_id])
            | Q(provider_id__in=[r.call_id for r in page.records if r.call_id])
        ).values_list("session_id", "provider_id")
    )
    taken = {handle for pair in known for handle in pair if handle}
    for record in reversed(page.records):
        late_enough = record.started_at is None or record.started_at >= since - adoption.CLOCKS
        if (
            late_enough
            and not taken.intersection(record.handles)
            and phone.same_party(record.remote, party)
            and (not record.local or phone.same_party(record.local, line))
            and (offer_pk is None or _is_of(offer_pk, record))
        ):
            return record
    return None


def _is_of(offer_pk: uuid.UUID, record: Record) -> bool:
    if record.started_at is None:
        return True
    offer = adoption.owner(record.remote, record.local, record.started_at)
    return offer is None or offer.pk == offer_pk


def never_placed(leg: Leg, at: datetime) -> bool:
    """Close a leg that was never sent; a contact's call ends with it.

    Compare-and-set: False when its request went out meanwhile.
    """
    unsent = Leg.objects.filter(pk=leg.pk, state=Leg.State.PLANNED, sent_at=None)
    if leg.role != Leg.Role.CUSTOMER:
        return bool(_close(unsent, at))
    with scene(leg.call_id, at=at, source="dialling") as opened:
        closed = _close(unsent, at)
        if closed:
            calls.customer_ended(opened, outcome=Outcome.FAILED, ended_at=at)
    return bool(closed)


def _not_there(leg: Leg, at: datetime) -> None:
    """The request to place this leg has had no effect, as no list shows it."""
    with scene(leg.call_id, at=at, source="dialling") as opened:
        live = Leg.objects.filter(pk=leg.pk, ended_at=None, session_id=None, provider_id=None)
        if _close(live, at, "never seen at the provider") and leg.role == Leg.Role.CUSTOMER:
            calls.customer_ended(opened, outcome=Outcome.FAILED, ended_at=at)


def _close(legs, at: datetime, error: str = "") -> int:  # type: ignore[no-untyped-def]
    changes = {"last_error": error} if error else {}
    return int(
        legs.update(
            state=Leg.State.ENDED, outcome="canceled", ended_at=at, ask_at=None, hang_up_at=None,
            **changes,
        )
    )  # fmt: skip
