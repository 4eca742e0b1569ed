"""The wallboard's snapshot: how every queue, call and agent stands at this instant."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count

from agents.models import Agent, Engagement, Presence
from callcenter import disk
from queues import provider, routing
from queues.models import Alert, Member, Queue, QueuedCall, WebhookEvent
from reporting import metrics
from reporting.models import CallRecord

STATES = ["idle", "ringing", "on_call", "wrap_up", "break", "offline"]
MOST_CALLS = 200  # rows on the board; the counts are of all
IN_LINE = {QueuedCall.State.WAITING, QueuedCall.State.OFFERED}


def agent_state(agent: Agent) -> str:
    """Return an agent in one word: engagement first, then what they asked to be."""
    if agent.engagement != Engagement.IDLE:
        return agent.engagement
    return "idle" if agent.presence == Presence.AVAILABLE else agent.presence


def snapshot(at: datetime) -> dict[str, Any]:
    """Return everything that the wallboard shows, as `/api/live/` tells it."""
    queues = list(Queue.objects.filter(retired_at=None).order_by("name"))
    agents = list(Agent.objects.current().select_related("user").order_by("name"))
    calls = list(
        QueuedCall.objects.filter(ended_at=None)
        .select_related("queue", "agent__user", "offer__agent", "menu")
        .order_by("arrived_at")
    )
    members: dict[int, list[int]] = defaultdict(list)
    for queue_pk, agent_pk in Member.objects.values_list("queue_id", "agent_id"):
        members[queue_pk].append(agent_pk)
    state_of = {agent.pk: agent_state(agent) for agent in agents}
    since, until = metrics.today(at)
    today = {row["queue"]: row for row in metrics.queue_rows(since, until)}
    shown = calls[:MOST_CALLS]
    records = _records(shown)
    why = {
        queue.pk: routing.why_nobody(queue, at) for queue in queues if _has_waiting(queue, calls)
    }
    places = _places(calls)
    return {
        "at": at.isoformat(),
        "is_demo": settings.DEMO,
        "queues": [
            _queue(queue, calls, [state_of[pk] for pk in members[queue.pk] if pk in state_of],
                   today[queue.slug], at)
            for queue in queues
        ],
        "calls": [
            _call(call, records.get(call.pk, []), why, at) | {"place": places.get(call.pk)}
            for call in shown
        ],
        "more_calls": len(calls) - len(shown),
        "agents": [_agent(agent, state_of[agent.pk], at) for agent in agents],
        "alerts": _disk_alert(at)
        + [
            {"id": alert.pk, "kind": alert.kind, "text": alert.text, "count": alert.count,
             "last_at": alert.last_at.isoformat()}
            for alert in Alert.objects.filter(dismissed_at=None)[:20]
        ],
        "webhooks": _webhooks(at),
        "provider": provider.standing(at),
    }  # fmt: skip


def _disk_alert(at: datetime) -> list[dict[str, Any]]:
    """A disk that fills up: looked at, not stored, since a full one could not take it."""
    text = disk.trouble(settings.STATE_DIR, settings.DISK_WARN_MB)
    told = {"id": None, "kind": "disk", "text": text, "count": 1, "last_at": at.isoformat()}
    return [told] if text else []


def _queue(
    queue: Queue, calls: list[QueuedCall], states: list[str], row: dict[str, Any], at: datetime
) -> dict[str, Any]:
    waiting = [
        call
        for call in calls
        if call.queue_id == queue.pk and call.state in IN_LINE and call.is_inbound
    ]
    arrivals = [call.queued_at for call in waiting if call.queued_at]
    first = min(arrivals, default=None)
    longest = (at - first).total_seconds() if first else 0
    return {
        "slug": queue.slug,
        "name": queue.name,
        "waiting": len(waiting),
        "longest_wait_seconds": round(max(0.0, longest), 1),
        "waiting_since": first.isoformat() if first else None,
        "service_level_seconds": queue.service_level_seconds,
        "agents": {state: states.count(state) for state in STATES},
        "today": {
            name: row[name] for name in ("offered", "answered", "abandoned", "service_level")
        },
    }


def _places(calls: list[QueuedCall]) -> dict[Any, int]:
    """Return each waiting call's place in its queue's line, from 1."""
    places: dict[Any, int] = {}
    taken: dict[int | None, int] = defaultdict(int)
    for call in sorted(calls, key=lambda call: (-call.priority, call.arrived_at, call.pk)):
        if call.state in IN_LINE and call.is_inbound:
            taken[call.queue_id] += 1
            places[call.pk] = taken[call.queue_id]
    return places


def _has_waiting(queue: Queue, calls: list[QueuedCall]) -> bool:
    return any(c.queue_id == queue.pk and c.state == QueuedCall.State.WAITING for c in calls)


def _why(call: QueuedCall, why: dict[int, str], at: datetime) -> str:
    """Say why a call still waits; what is true of its whole queue has been found out once."""
    if call.state != QueuedCall.State.WAITING or call.queue_id is None:
        return ""
    if call.offerable_from is None or call.offerable_from > at:
        return "Entering the hold room."
    return why.get(call.queue_id, "")


def _call(
    call: QueuedCall, records: list[CallRecord], why: dict[int, str], at: datetime
) -> dict[str, Any]:
    agent = call.agent or (call.offer.agent if call.offer else None)
    since = call.connected_at or call.queued_at or call.arrived_at
    return {
        "id": call.public_id,
        "direction": call.direction,
        "status": call.state,
        "customer": call.customer,
        "line": call.line,
        "queue": call.queue.name if call.queue else None,
        "menu": str(call.menu) if call.menu and not call.queue else None,
        "agent": agent.name if agent else None,
        "arrived_at": call.arrived_at.isoformat(),
        "since": since.isoformat(),
        "seconds": round(max(0.0, (at - since).total_seconds()), 1),
        "why": _why(call, why, at),
        "provider": [
            {
                "status": record.status,
                "duration_seconds": record.duration_seconds,
                "cost_minor": record.cost_minor,
                "cost_currency": record.cost_currency,
                "remote": record.remote,
            }
            for record in records
        ],
    }


def _agent(agent: Agent, state: str, at: datetime) -> dict[str, Any]:
    in_engagement = agent.engagement != Engagement.IDLE
    since = (
        agent.engagement_since
        if in_engagement
        else max(agent.presence_since, agent.engagement_since)
    )
    until = agent.hold_off_until
    held_off = until if until and until > at else None
    return {
        "username": agent.user.username,
        "name": agent.name,
        "destination": agent.destination,
        "presence": agent.presence,
        "presence_reason": agent.presence_reason,
        "engagement": agent.engagement,
        "state": state,
        "since": since.isoformat(),
        "seconds": round(max(0.0, (at - since).total_seconds()), 1),
        "hold_off_until": held_off.isoformat() if held_off else None,
        "hold_off_reason": agent.hold_off_reason if held_off else "",
    }


def _records(calls: list[QueuedCall]) -> dict[Any, list[CallRecord]]:
    found: dict[Any, list[CallRecord]] = defaultdict(list)
    for record in CallRecord.objects.filter(call__in=calls).order_by("started_at"):
        found[record.call_id].append(record)
    return found


def _webhooks(at: datetime) -> dict[str, int]:
    """Count what was not acted on in the last day."""
    rows = (
        WebhookEvent.objects.filter(received_at__gte=at - timedelta(days=1))
        .exclude(verdict__in=[WebhookEvent.Verdict.TRUSTED, WebhookEvent.Verdict.HINT])
        .order_by()
        .values_list("verdict")
        .annotate(count=Count("pk"))
    )
    found = dict(rows)
    return {"quarantined": found.get("quarantined", 0), "unknown": found.get("unknown", 0)}
