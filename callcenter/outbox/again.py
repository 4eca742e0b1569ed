"""Telling again: a replay from a number on, a dead delivery once more; and forgetting at last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction

from callcenter import bell
from callcenter.outbox.models import Delivery, Endpoint

KEEP_FOR = timedelta(days=14)

_REPLAY = """
INSERT INTO outbox_delivery
    (endpoint_id, message_id, subject, attempts, next_at, last_error)
SELECT e.id, m.id, m.subject, 0, %(at)s, '' FROM outbox_message m
JOIN outbox_endpoint e ON e.id = %(endpoint)s AND m.topic = ANY(e.topics)
WHERE m.id >= %(first)s ORDER BY m.id
ON CONFLICT (endpoint_id, message_id) DO UPDATE
SET attempts = 0, next_at = EXCLUDED.next_at, leased_until = NULL, delivered_at = NULL,
    dead_at = NULL, last_status = NULL, last_error = ''
"""
_FORGET = [
    """DELETE FROM outbox_delivery d USING outbox_message m
    WHERE m.id = d.message_id AND m.at < %(before)s
    AND (d.next_at IS NULL
         OR NOT EXISTS (SELECT 1 FROM outbox_endpoint e WHERE e.id = d.endpoint_id AND e.is_active))
    """,
    """DELETE FROM outbox_delivery d
    WHERE NOT EXISTS (SELECT 1 FROM outbox_endpoint e WHERE e.id = d.endpoint_id)""",
    """DELETE FROM outbox_message m WHERE m.at < %(before)s
    AND NOT EXISTS (SELECT 1 FROM outbox_delivery d WHERE d.message_id = m.id)""",
]


@transaction.atomic
def replay(endpoint_pk: int, first: int, *, at: datetime) -> int:
    """Have every message from number `first` on told again; return how many.

    Messages that were told while the endpoint was switched off, or did not want them, are among
    them. They keep their ids, and go out in order as ever.
    """
    Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint_pk)
    with connection.cursor() as cursor:
        cursor.execute(_REPLAY, {"endpoint": endpoint_pk, "first": first, "at": at})
        count = int(cursor.rowcount)
    if count:
        bell.ring("tell")
    return count


def redeliver(pks: Iterable[int], *, at: datetime) -> int:
    """Have dead deliveries tried again from the first attempt on; return how many."""
    dead = Delivery.objects.filter(pk__in=list(pks), dead_at__isnull=False)
    count = dead.update(attempts=0, next_at=at, dead_at=None)
    if count:
        bell.ring("tell")
    return count


def forget_old(at: datetime) -> None:
    """Remove what is older than it is kept; what an active endpoint still waits for stays."""
    for statement in _FORGET:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"before": at - KEEP_FOR})
