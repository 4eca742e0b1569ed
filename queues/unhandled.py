"""Events whose handling has failed: they are kept, and handled again until they are done.

The request itself was answered long ago. An event that fails each time is given up after some
tries, kept for as long as all of them are, and told to the supervisors.
"""

from __future__ import annotations

import json
import logging
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, transaction

from queues import alerts
from queues.inbox import Arrival, Post, handlers
from queues.links import Reference
from queues.models import WebhookEvent

log = logging.getLogger(__name__)
WAITS = [timedelta(seconds=seconds) for seconds in (5, 30, 300, 1800, 7200)]


def handle_again(event_pk: uuid.UUID, *, at: datetime) -> None:
    """Handle a kept event as if it came in now; two workers at once handle it once.

    It is told to the domain with the time at which it was received. The row is removed as the
    handled request is stored, in one transaction.
    """
    try:
        with transaction.atomic():
            row = (
                WebhookEvent.objects.select_for_update(of=("self",), skip_locked=True)
                .filter(pk=event_pk, handled_at=None, retry_at__isnull=False)
                .first()
            )
            if row is None:
                return
            row.delete()
            handlers[row.endpoint](_post(row))
    except Exception as error:
        log.exception("an event kept since it failed has failed again")
        _failed_again(event_pk, error, at)
        if isinstance(error, DatabaseError):
            raise


def _post(row: WebhookEvent) -> Post:
    context = row.context
    arrival = Arrival(
        endpoint=row.endpoint,
        at=row.received_at,
        fields=json.loads(row.body),
        headers=context.get("headers", {}),
        url="",
        verdict=row.verdict,
        kind=row.kind,
        signature=context.get("signature", ""),
        query=context.get("query", {}),
    )
    return Post(arrival, _reference(context.get("reference")))


def _reference(told: dict[str, Any] | None) -> Reference | None:
    if told is None:
        return None
    offer, step = told["offer"], told["step"]
    return Reference(
        told["kind"],
        uuid.UUID(told["call"]),
        offer=uuid.UUID(offer) if offer else None,
        step=int(step) if step is not None else None,
    )


def _failed_again(event_pk: uuid.UUID, error: Exception, at: datetime) -> None:
    row = WebhookEvent.objects.filter(pk=event_pk).first()
    if row is None:
        return
    row.attempts += 1
    given_up = row.attempts > len(WAITS)
    row.retry_at = None if given_up else at + WAITS[row.attempts - 1]
    row.note = str(error)[:200]
    row.save(update_fields=["attempts", "retry_at", "note"])
    if given_up:
        text = "An event of the provider could not be handled; see the webhooks in the admin."
        alerts.raise_alert("unhandled", row.endpoint, text, at=at)
