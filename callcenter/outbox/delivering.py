"""Delivering: at least once, and in order for each subject.

A worker leases one delivery by an update that skips locked rows, posts with no row locked, and
settles it if the lease is still its own. A delivery is passed over while an earlier one of the
same endpoint and subject is pending.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from callcenter import bell
from callcenter.outbox import addresses, sending, signature
from callcenter.outbox.models import Delivery, Endpoint
from callcenter.outbox.sending import Answer
from callcenter.outbox.writing import moment

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 8
RETRY_FIRST, RETRY_FACTOR = 5.0, 4.8  # seconds: 5 s, 24 s, 2 min, 9 min, 44 min, 3.5 h, 17 h
JITTER = 0.2
TROUBLE_AFTER = 4  # attempts, about ten minutes: then the supervisors hear of it
HOLD_FIRST, HOLD_MOST = 5.0, 300.0  # seconds for which an endpoint out of reach is left alone
LEASE = timedelta(seconds=60)
LOOK_UP_PATIENCE = 30.0  # seconds: a name found later than that may outlive the lease
AT_ONCE = 4  # threads of one worker process; the others are for calls
AT_ONCE_EACH = 3  # leases of one endpoint, so that a slow one leaves room
STINT = 20.0  # seconds after which a task ends and rings for another

_READY = """
    e.is_active AND (e.held_until IS NULL OR e.held_until <= %(at)s)
"""
_NEXT = """
    d.endpoint_id = e.id AND d.next_at <= %(at)s
    AND (d.leased_until IS NULL OR d.leased_until <= %(at)s)
    AND NOT EXISTS (
        SELECT 1 FROM outbox_delivery p
        WHERE p.endpoint_id = e.id AND p.subject = d.subject AND p.message_id < d.message_id
        AND p.next_at IS NOT NULL)
"""
# For the sweep: whether anything can be sent at `at`.
DUE = f"""EXISTS (SELECT 1 FROM outbox_endpoint e WHERE {_READY}
          AND EXISTS (SELECT 1 FROM outbox_delivery d WHERE {_NEXT}))"""  # noqa: S608
_LEASE = f"""
WITH chosen AS MATERIALIZED (
    SELECT turn.id FROM outbox_endpoint e CROSS JOIN LATERAL (
        SELECT d.id FROM outbox_delivery d WHERE {_NEXT}
        ORDER BY d.next_at, d.message_id LIMIT 1 FOR UPDATE OF d SKIP LOCKED
    ) AS turn
    WHERE {_READY} AND %(each)s > (
        SELECT count(*) FROM outbox_delivery l
        WHERE l.endpoint_id = e.id AND l.leased_until > %(at)s)
    ORDER BY random() LIMIT 1
)
UPDATE outbox_delivery AS leased
SET leased_until = %(until)s, attempts = leased.attempts + 1
FROM chosen, outbox_message m, outbox_endpoint e
WHERE leased.id = chosen.id AND m.id = leased.message_id AND e.id = leased.endpoint_id
RETURNING leased.id, leased.attempts, leased.leased_until, e.id, e.url, e.description, e.secrets,
    e.allow_private, m.id, m.uid, m.topic, m.subject, m.at, m.payload::text
"""  # noqa: S608 - no value is in it

_slots = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class Lease:
    """One delivery that is this worker's until `until`, with all that is to be sent."""

    pk: int
    attempts: int
    until: datetime
    endpoint: int
    url: str
    description: str
    secrets: list[str]
    allow_private: bool
    sequence: int
    uid: uuid.UUID
    topic: str
    subject: str
    at: datetime
    payload: str


def deliver_due(now: Callable[[], datetime]) -> None:
    """Deliver until nothing is due; `now` is the clock.

    Only a few threads of a process are let in, the rest of its threads are for calls. Whoever is
    turned away leaves nothing behind: those inside look until they find nothing.
    """
    if not _slots.acquire(blocking=False):
        return
    try:
        began = time.monotonic()
        while deliver_next(at=now()):
            if time.monotonic() - began > STINT:
                bell.ring("tell")
                return
    finally:
        _slots.release()


def deliver_next(*, at: datetime) -> bool:
    """Send one delivery that is due at this instant; return whether there was one."""
    lease = _lease(at)
    if lease is None:
        return False
    began = time.monotonic()
    answer = _send(lease, at)
    settle(lease, answer, at=at + timedelta(seconds=time.monotonic() - began))
    return True


def _lease(at: datetime) -> Lease | None:
    values: dict[str, Any] = {"at": at, "until": at + LEASE, "each": AT_ONCE_EACH}
    with connection.cursor() as cursor:
        cursor.execute(_LEASE, values)
        row = cursor.fetchone()
    return Lease(*row) if row else None


def _send(lease: Lease, at: datetime) -> Answer:
    message = _body(lease.uid, lease.sequence, lease.topic, lease.at, lease.payload)
    allow_private = lease.allow_private and bool(settings.OUTBOX_ALLOW_PRIVATE)
    return send(lease.url, str(lease.uid), message, lease.secrets, allow_private, at=at)


def _body(uid: uuid.UUID, sequence: int, topic: str, at: datetime, payload: str) -> bytes:
    head = {"id": str(uid), "sequence": sequence, "type": topic, "timestamp": moment(at)}
    return (json.dumps(head)[:-1] + f', "data": {payload}}}').encode()


def send(
    url: str, uid: str, body: bytes, secrets: list[str], allow_private: bool, *, at: datetime
) -> Answer:
    """Sign and post one message, to an address that is judged now."""
    began = time.monotonic()
    try:
        target = addresses.resolve(url, allow_private=allow_private)
    except (addresses.Refused, addresses.Unresolved) as error:
        return Answer(error=str(error), is_out_of_reach=True)
    if time.monotonic() - began > LOOK_UP_PATIENCE:
        return Answer(error="Its name took too long to resolve.", is_out_of_reach=True)
    return sending.post(target, body, signature.headers(uid, body, secrets, at=at))


def ping(endpoint: Endpoint, *, at: datetime) -> Answer:
    """Post a test to an endpoint, active or not, and return what became of it; nothing is kept."""
    uid = uuid.uuid4()
    body = _body(uid, 0, "ping", at, json.dumps({"description": endpoint.description}))
    return send(endpoint.url, str(uid), body, endpoint.secrets, endpoint.may_be_private, at=at)


def settle(lease: Lease, answer: Answer, *, at: datetime) -> None:
    """Write what became of a delivery, unless the lease has gone to another worker."""
    if answer.is_taken:
        _own(lease).update(
            delivered_at=at, next_at=None, leased_until=None, last_status=answer.status,
            last_error="",
        )  # fmt: skip
        reachable = Endpoint.objects.filter(pk=lease.endpoint).exclude(failures=0, held_until=None)
        reachable.update(failures=0, held_until=None)
        return
    log.warning(
        "endpoint %s did not take message %s, attempt %s: %s",
        lease.endpoint, lease.sequence, lease.attempts, answer.error,
    )  # fmt: skip
    _settle_failure(lease, answer, at)


@transaction.atomic
def _settle_failure(lease: Lease, answer: Answer, at: datetime) -> None:
    # The endpoint's row first: `again.replay` does the same, so neither waits for the other's rows.
    endpoint = Endpoint.objects.select_for_update(no_key=True).filter(pk=lease.endpoint).first()
    if endpoint and answer.is_out_of_reach:
        seconds = min(HOLD_FIRST * 2.0 ** min(endpoint.failures, 10), HOLD_MOST)
        endpoint.failures += 1
        endpoint.held_until = at + timedelta(seconds=seconds)
        endpoint.save(update_fields=["failures", "held_until"])
    is_dead = lease.attempts >= MOST_ATTEMPTS
    next_at = None if is_dead else at + retry_after(lease.attempts)
    words = f"{answer.error}: {answer.excerpt}" if answer.excerpt else answer.error
    told = _own(lease).update(
        next_at=next_at, dead_at=at if is_dead else None, leased_until=None,
        last_status=answer.status, last_error=words[:200],
    )  # fmt: skip
    if not told:
        return
    if next_at:  # those behind it cannot go earlier: nobody needs to look at them before
        behind = Delivery.objects.filter(
            endpoint=lease.endpoint, subject=lease.subject, message__gt=lease.sequence
        )
        behind.filter(next_at__lt=next_at).update(next_at=next_at)
    if lease.attempts >= TROUBLE_AFTER:
        bell.ring("delivery_trouble", lease.description, answer.error, is_dead)


def _own(lease: Lease) -> Any:
    return Delivery.objects.filter(pk=lease.pk, leased_until=lease.until, attempts=lease.attempts)


def retry_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: exponential, give or take a fifth."""
    spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return timedelta(seconds=RETRY_FIRST * RETRY_FACTOR ** (attempts - 1) * spread)
