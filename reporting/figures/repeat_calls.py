"""Figures that no interval table can give: whether a number calls again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from callcenter.sautikit import phone
from reporting.figures import definitions
from reporting.figures.asked import Asked

AGAIN_WITHIN = timedelta(days=7)
MOST_DAYS = 92

# Every call of the stretch and of the week after it, with the next call of the same number.
_SQL = """
WITH calls AS (
    SELECT c.customer, c.arrived_at, c.queue_id, c.connected_at, c.ended_at,
        coalesce(c.queued_at, c.arrived_at) AS counted_at,
        lead(c.arrived_at) OVER (PARTITION BY c.customer ORDER BY c.arrived_at, c.id) AS next_at
    FROM queues_queuedcall c
    WHERE c.direction = 'inbound' AND c.customer <> %(anonymous)s
      AND c.arrived_at >= %(since)s - interval '1 day' AND c.arrived_at < %(until)s + %(within)s
), ours AS (
    SELECT *, next_at <= coalesce(ended_at, %(at)s) + %(within)s AS again,
        coalesce(ended_at, %(at)s) + %(within)s <= %(at)s AS settled
    FROM calls
    WHERE counted_at >= %(since)s AND counted_at < %(until)s
      AND (%(queues)s::bigint[] IS NULL OR queue_id = ANY(%(queues)s::bigint[]))
), numbers AS (SELECT customer, count(*) AS calls FROM ours GROUP BY customer)
SELECT count(connected_at),
    count(connected_at) FILTER (WHERE settled),
    count(connected_at) FILTER (WHERE settled AND again IS NOT TRUE),
    (SELECT count(*) FROM numbers), (SELECT count(*) FROM numbers WHERE calls > 1),
    (SELECT coalesce(sum(calls), 0) FROM numbers WHERE calls > 1)
FROM ours
"""
_NAMES = ("answered", "settled", "resolved", "numbers", "repeat_numbers", "repeat_calls")


def repeats(asked: Asked, *, at: datetime) -> dict[str, Any]:
    """Return first-call resolution by number, and how many numbers called more than once.

    Resolved: answered, and the number did not call again within seven days of its end. A call
    whose seven days are not over is not settled, and left out of the share.
    Callers without a number are left out. `is_too_long`: more than 92 days, nothing is counted.
    """
    if asked.until - asked.since > timedelta(days=MOST_DAYS, hours=2):
        return {**dict.fromkeys([*_NAMES, "fcr", "repeat_callers"]), "is_too_long": True}
    params: Any = {
        "since": asked.since, "until": asked.until, "within": AGAIN_WITHIN, "at": at,
        "anonymous": phone.ANONYMOUS, "queues": [queue.pk for queue in asked.queues] or None,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_SQL, params)
        found: dict[str, Any] = dict(zip(_NAMES, map(int, cursor.fetchone()), strict=True))
    for name in ("fcr", "repeat_callers"):
        found[name] = definitions.value(definitions.ALL[name], found)
    return {**found, "is_too_long": False}
