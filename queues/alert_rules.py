"""Rules whose condition nobody tells us of: a sweep finds it in the rows.

While the condition holds there is one alert, counted once; a supervisor who dismisses it has heard
of it, and it stays away until the condition was over. It is withdrawn when it is over. Holding
again within CALM, it is the same alert come back, and nobody gets another mail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from callcenter import bell
from queues import alerts
from queues.models import Alert, AlertRule

Kind = AlertRule.Kind
CALM = timedelta(minutes=5)
FEWEST_OFFERED = 10  # calls of today, before a service level says anything
BETTER_BY = 2  # percent above the threshold, before a service level counts as mended

_IN_LINE = """
WITH line AS (
    SELECT queue_id, min(queued_at) AS since FROM queues_queuedcall
    WHERE state IN ('waiting', 'offered') AND direction = 'inbound' AND queue_id IS NOT NULL
    GROUP BY queue_id
)
SELECT DISTINCT r.kind, CASE WHEN r.kind = 'longest_wait' THEN r.threshold END,
    q.id, q.slug, q.name
FROM line JOIN queues_queue q ON q.id = line.queue_id
JOIN queues_alertrule r ON r.is_active AND (r.queue_id IS NULL OR r.queue_id = q.id)
WHERE (r.kind = 'longest_wait' AND line.since <= %(at)s - make_interval(secs => r.threshold))
   OR (r.kind = 'nobody_available' AND NOT EXISTS (
        SELECT 1 FROM queues_member m JOIN agents_agent a ON a.id = m.agent_id
        WHERE m.queue_id = q.id AND a.presence = 'available' AND a.retired_at IS NULL))
"""
# As in reporting.metrics: answered in time / (offered - short abandons).
_SERVICE_LEVEL = """
SELECT r.threshold, q.id, q.slug, q.name, day.in_time, day.base
FROM (SELECT DISTINCT threshold, queue_id FROM queues_alertrule
      WHERE is_active AND kind = 'service_level') r
JOIN queues_queue q ON q.retired_at IS NULL AND (r.queue_id IS NULL OR r.queue_id = q.id)
CROSS JOIN LATERAL (
    SELECT count(*) AS offered,
        count(*) FILTER (WHERE c.connected_at IS NOT NULL AND c.connected_at - c.queued_at
            <= make_interval(secs => q.service_level_seconds)) AS in_time,
        count(*) FILTER (WHERE NOT (c.state = 'abandoned' AND c.ended_at - c.queued_at
            < make_interval(secs => q.short_abandon_seconds))) AS base
    FROM queues_queuedcall c
    WHERE c.queue_id = q.id AND c.direction = 'inbound'
      AND c.queued_at >= %(since)s AND c.queued_at <= %(at)s
) AS day
WHERE day.offered >= %(fewest)s AND day.base > 0
"""


@dataclass(frozen=True)
class Found:
    """A condition that holds, of one queue; `is_clear` where it is beyond doubt."""

    kind: str
    threshold: int | None
    queue_pk: int
    slug: str
    text: str
    is_clear: bool = True

    @property
    def subject(self) -> str:
        """What the alert is about: two rules of one queue are two alerts."""
        return self.slug if self.threshold is None else f"{self.slug}:{self.threshold}"


def look_at_the_line(*, at: datetime) -> None:
    """Raise and withdraw the alerts about callers in line; two statements while all is well."""
    found = [
        Found(kind, threshold, queue_pk, slug, _words(kind, name, threshold))
        for kind, threshold, queue_pk, slug, name in _rows(_IN_LINE, {"at": at})
    ]
    _settle((Kind.LONGEST_WAIT, Kind.NOBODY_AVAILABLE), found, at)


def _words(kind: str, queue: str, threshold: int | None) -> str:
    if kind == Kind.LONGEST_WAIT:
        return f"{queue}: a caller has been waiting for more than {threshold} seconds."
    return f"{queue}: callers wait, and none of its agents is available."


def look_at_the_service_level(*, at: datetime) -> None:
    """Raise and withdraw the alerts about today's service level, of queues with calls enough."""
    since = timezone.localtime(at, timezone.get_default_timezone()).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    found = []
    rows = _rows(_SERVICE_LEVEL, {"at": at, "since": since, "fewest": FEWEST_OFFERED})
    for threshold, queue_pk, slug, name, in_time, base in rows:
        level = 100 * in_time / base
        if level < min(threshold + BETTER_BY, 100):
            text = (
                f"{name}: {level:.0f} percent of today's callers were answered in time; "
                f"the rule says {threshold}."
            )
            found.append(
                Found(Kind.SERVICE_LEVEL, threshold, queue_pk, slug, text, level < threshold)
            )
    _settle((Kind.SERVICE_LEVEL,), found, at)


def _settle(kinds: Iterable[str], found: list[Found], at: datetime) -> None:
    """Bring the alerts of these kinds in line with what was found."""
    recent = Alert.objects.filter(Q(over_at=None) | Q(over_at__gt=at - CALM), kind__in=kinds)
    last = {(alert.kind, alert.subject): alert for alert in recent.order_by("first_at", "pk")}
    for each in found:
        alert = last.pop((each.kind, each.subject), None)
        if alert is None and each.is_clear:
            alerts.raise_alert(
                each.kind, each.subject, each.text, at=at, queue_pk=each.queue_pk,
                threshold=each.threshold,
            )  # fmt: skip
        elif alert and alert.over_at and each.is_clear:
            _bring_back(alert, each, at)
    over = [alert.pk for alert in last.values() if alert.over_at is None]
    if over:
        Alert.objects.filter(pk__in=over, over_at=None).update(
            over_at=at, dismissed_at=Coalesce("dismissed_at", at)
        )
        bell.ring("board")


def _bring_back(alert: Alert, found: Found, at: datetime) -> None:
    """The condition holds again after a short while; who had dismissed the alert knows of it."""
    changes: dict[str, Any] = {"over_at": None}
    if alert.dismissed_by_id is None:
        changes |= {
            "dismissed_at": None, "count": F("count") + 1, "last_at": at, "text": found.text[:300],
        }  # fmt: skip
    if Alert.objects.filter(pk=alert.pk, over_at=alert.over_at).update(**changes):
        bell.ring("board")


def _rows(statement: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[Any] = cursor.fetchall()
        return rows
