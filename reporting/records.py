"""Keeping the mirror: poll `GET /v1/calls`, take over changes, link records to our legs."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from callcenter import bell
from callcenter.sautikit import errors
from callcenter.sautikit.callbacks import Outcome, Record
from queues import adoption, alerts, clock, provider, reconcile
from queues.models import Leg
from reporting.models import CallRecord

log = logging.getLogger(__name__)
POLLED_UNTIL = "records_polled_until"
OVERLAP = timedelta(minutes=3)  # costs and durations come in after the end
FIRST_LOOK_BACK = timedelta(hours=24)
OPEN = ("ringing", "started", "answered", "unknown")


def poll(*, at: datetime) -> int:
    """Take over the records since the last poll, and the older ones that are still open.

    Returns how many were new or had changed. The provider not answering leaves the mark where it
    was, so the next poll covers the gap.
    """
    mark = provider.recall(POLLED_UNTIL)
    since = datetime.fromisoformat(mark) if mark else at - FIRST_LOOK_BACK
    oldest_open = (
        CallRecord.objects.filter(
            status__in=OPEN, ended_at=None, started_at__gte=at - 2 * FIRST_LOOK_BACK
        )
        .order_by("started_at")
        .values_list("started_at", flat=True)
        .first()
    )
    window_from = min(since, oldest_open or since) - OVERLAP
    changed = 0
    try:
        for page in provider.client().iter_pages(since=window_from):
            for record in page.records:
                changed += take_over(record, at=at)
    except errors.SautikitError as error:
        alerts.raise_alert(
            "provider", "records", f"The call records could not be read: {error}", at=at
        )
        return changed
    if mark is None:  # what was over before the centre was there is not its own
        provider.learn(adoption.ADOPTS_SINCE, at.isoformat(), at=at)
    provider.learn(POLLED_UNTIL, at.isoformat(), at=at)
    clock.compare_with_provider(provider.client().clock_ahead, at=at)
    if changed:
        bell.ring("board")
    return changed


def take_over(record: Record, *, at: datetime) -> bool:
    """Write one record into the mirror and tell our call what it says; True when it is news."""
    values = {
        "provider_id": record.call_id,
        "session_id": record.session_id,
        "direction": record.direction,
        "local": record.local,
        "remote": record.remote,
        "status": record.status.value,
        "started_at": record.started_at,
        "answered_at": record.answered_at,
        "ended_at": record.ended_at,
        "duration_seconds": record.duration_seconds,
        "cost_minor": record.cost_minor,
        "cost_currency": record.cost_currency,
        "rate_per_minute_minor": record.rate_per_minute_minor,
        "failure_code": record.failure_code,
    }
    with transaction.atomic():
        rows = (
            CallRecord.objects.select_for_update(of=("self",), no_key=True)
            .filter(Q(provider_id__in=record.handles) | Q(session_id__in=record.handles))
            .order_by("pk")
        )
        known = list(rows)
        mirrored = known[0] if known else None
        for twin in known[1:]:  # known by one handle each, they have turned out to be one call
            twin.delete()
        news = mirrored is None or any(
            getattr(mirrored, name) != value for name, value in values.items()
        )
        leg = None
        if news or (mirrored and mirrored.leg_id is None):
            leg = Leg.objects.known_by(record.handles)
        if mirrored is None:
            mirrored = CallRecord(first_seen_at=at)
        if news or (leg and mirrored.leg_id is None):
            for name, value in values.items():
                setattr(mirrored, name, value)
            mirrored.leg, mirrored.call = leg, leg.call if leg else None
            mirrored.changed_at = at
            mirrored.save()
    adopted = None
    if leg is None and mirrored.leg_id is None:
        leg = adopted = _adopt(mirrored, record, at)
    if leg and (news or adopted) and _tells_more(leg, record):
        reconcile.take_record(leg, record, at=at, source="records")
    return news


def _adopt(mirrored: CallRecord, record: Record, at: datetime) -> Leg | None:
    leg = adoption.adopt_record(record, at=at)
    if leg:
        CallRecord.objects.filter(pk=mirrored.pk).update(leg=leg, call=leg.call_id)
    return leg


def _tells_more(leg: Leg, record: Record) -> bool:
    """Whether the record knows an answer or an end that our leg does not."""
    if leg.state != Leg.State.ENDED and (record.is_over or record.status is Outcome.UNKNOWN):
        return record.is_over
    return record.answered_at is not None and leg.answered_at is None
