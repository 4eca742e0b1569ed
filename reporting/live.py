"""The wallboard's snapshot: how every queue, call and agent stands at this instant."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import BooleanField, Count, ExpressionWrapper, Q

from agents.models import Agent, Engagement, Presence
from callcenter import disk
from queues import provider, routing, supervision
from queues.models import Alert, Member, Queue, QueuedCall, Supervision, WebhookEvent
from reporting import metrics
from reporting.models import CallRecord

STATES = ["idle", "ringing", "on_call", "wrap_up", "break", "offline"]
MOST_CALLS = 200  # rows on the board; the counts are of all
MOST_ALERTS = 20  # on the board; who asks for help comes first
IN_LINE = {QueuedCall.State.WAITING, QueuedCall.State.OFFERED}


def agent_state(agent: Agent) -> str:
    """Return an agent in one word: engagement first, then what they asked to be."""
    if agent.engagement != Engagement.IDLE:
        return agent.engagement
    return "idle" if agent.presence == Presence.AVAILABLE else agent.presence


def snapshot(at: datetime) -> dict[str, Any]:
    """Return everything that the wallboard shows, as `/api/live/` tells it.

    The number of statements is the same for one queue and for a hundred.
    """
    queues = list(Queue.objects.filter(retired_at=None).order_by("name"))
    agents = list(Agent.objects.current().select_related("user").order_by("name"))
    calls = list(
        QueuedCall.objects.filter(ended_at=None)
        .select_related("queue", "agent__user", "offer__agent__user", "menu", "wanted_agent")
        .order_by("arrived_at")
    )
    members: dict[int, list[Agent]] = defaultdict(list)  # of each queue
    slugs: dict[int, list[str]] = defaultdict(list)  # of each agent's queues
    by_pk, slug_of = {agent.pk: agent for agent in agents}, {q.pk: q.slug for q in queues}
    for queue_pk, agent_pk in Member.objects.values_list("queue_id", "agent_id"):
        if agent_pk in by_pk and queue_pk in slug_of:
            members[queue_pk].append(by_pk[agent_pk])
            slugs[agent_pk].append(slug_of[queue_pk])
    since, until = metrics.today(at)
    today = {row["queue"]: row for row in metrics.queue_rows(since, until)}
    handle_time = metrics.recent_handle_time(at)
    shown = calls[:MOST_CALLS]
    records = _records(shown)
    why = _why_by_queue(calls, members, at)
    places = _places(calls)
    listened = supervision.open_by_call()
    talks = {call.agent_id: call for call in calls if call.state == QueuedCall.State.CONNECTED}
    is_help = ExpressionWrapper(Q(kind="help"), output_field=BooleanField())
    open_alerts = Alert.objects.filter(dismissed_at=None).order_by(is_help.desc(), "-last_at")
    alerts = [_alert(alert, talks) for alert in open_alerts[:MOST_ALERTS]]
    helps = [alert for alert in alerts if alert["kind"] == "help"]
    others = [alert for alert in alerts if alert["kind"] != "help"]
    return {
        "at": at.isoformat(),
        "is_demo": settings.DEMO,
        "queues": [
            _queue(q, calls, members[q.pk], today[q.slug], handle_time.get(q.pk), at)
            for q in queues
        ],
        "service_level": metrics.overall_service_level(today[queue.slug] for queue in queues),
        "calls": [
            _call(call, records.get(call.pk, []), why, at)
            | {"place": places.get(call.pk), "supervision": _supervision(listened.get(call.pk))}
            for call in shown
        ],
        "more_calls": len(calls) - len(shown),
        "agents": [
            _agent(agent, at) | {"queues": slugs[agent.pk], "call": _id(talks.get(agent.pk))}
            for agent in agents
        ],
        "alerts": [*helps, *_disk_alert(at), *others],
        "webhooks": _webhooks(at),
        "provider": provider.standing(at),
    }  # fmt: skip


def _id(call: QueuedCall | None) -> str | None:
    return call.public_id if call else None


def _alert(alert: Alert, talks: dict[int | None, QueuedCall]) -> dict[str, Any]:
    """An alert; one that asks for help names the talk, while it lasts, and the agent."""
    call = None
    if alert.kind == "help":
        call = next((talk for talk in talks.values() if talk.public_id == alert.subject), None)
    return {
        "id": alert.pk,
        "kind": alert.kind,
        "text": alert.text,
        "count": alert.count,
        "last_at": alert.last_at.isoformat(),
        "call": _id(call),
        "agent": call.agent.name if call and call.agent else None,
    }


def _supervision(row: Supervision | None) -> dict[str, Any] | None:
    """Who listens in on a call, in which mode."""
    if row is None:
        return None
    user = row.supervisor
    return {
        "id": str(row.pk),
        "mode": row.wanted_mode or row.mode,
        "state": row.state,
        "supervisor": (user.get_full_name() or user.get_username()) if user else "",
    }


def _disk_alert(at: datetime) -> list[dict[str, Any]]:
    """A disk that fills up: looked at, not stored, since a full one could not take it."""
    text = disk.trouble(settings.STATE_DIR, settings.DISK_WARN_MB)
    told = {"id": None, "kind": "disk", "text": text, "count": 1, "last_at": at.isoformat(),
            "call": None, "agent": None}  # fmt: skip
    return [told] if text else []


def _queue(
    queue: Queue,
    calls: list[QueuedCall],
    members: list[Agent],
    row: dict[str, Any],
    handle_time: float | None,
    at: datetime,
) -> dict[str, Any]:
    waiting = [
        call
        for call in calls
        if call.queue_id == queue.pk and call.state in IN_LINE and call.is_inbound
    ]
    arrivals = [call.queued_at for call in waiting if call.queued_at]
    first = min(arrivals, default=None)
    longest = (at - first).total_seconds() if first else 0
    states = [agent_state(agent) for agent in members]
    signed_in = sum(agent.presence != Presence.OFFLINE for agent in members)
    return {
        "slug": queue.slug,
        "name": queue.name,
        "waiting": len(waiting),
        "longest_wait_seconds": round(max(0.0, longest), 1),
        "waiting_since": first.isoformat() if first else None,
        "estimated_wait_seconds": metrics.estimated_wait(len(waiting), handle_time, signed_in),
        "service_level_seconds": queue.service_level_seconds,
        "service_level_target": queue.service_level_target / 100,
        "closed_at": queue.closed_at.isoformat() if queue.closed_at else None,
        "signed_in": signed_in,
        "agents": {state: states.count(state) for state in STATES},
        "today": {
            name: row[name]
            for name in ("offered", "answered", "abandoned", "short_abandons", "service_level")
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


def _why_by_queue(
    calls: list[QueuedCall], members: dict[int, list[Agent]], at: datetime
) -> dict[int, str]:
    """Say why callers of each queue still wait, where somebody does."""
    queues = {c.queue_id for c in calls if c.queue_id and c.state == QueuedCall.State.WAITING}
    stopped = provider.why_not_dialling(at) if queues else ""
    return {pk: routing.why_none_of(members[pk], at, stopped=stopped) for pk in queues}


def _why(call: QueuedCall, why: dict[int, str], at: datetime) -> str:
    """Say why a call still waits; what is true of its whole queue has been found out once."""
    if call.state != QueuedCall.State.WAITING or call.queue_id is None:
        return ""
    if call.offerable_from is None or call.offerable_from > at:
        return "Entering the hold room."
    if call.wanted_agent:
        return routing.why_kept(call.wanted_agent, at)
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
        "queue_slug": call.queue.slug if call.queue else None,
        "menu": str(call.menu) if call.menu and not call.queue else None,
        "agent": agent.name if agent else None,
        "kept_for": call.wanted_agent.name if call.wanted_agent else None,
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


def _agent(agent: Agent, at: datetime) -> dict[str, Any]:
    in_engagement = agent.engagement != Engagement.IDLE
    since = (
        agent.engagement_since
        if in_engagement
        else max(agent.presence_since, agent.engagement_since)
    )
    until = agent.hold_off_until
    held_off = until if until and until > at else None
    ends = agent.wrap_up_until if agent.engagement == Engagement.WRAP_UP else None
    return {
        "id": agent.pk,
        "username": agent.user.username,
        "name": agent.name,
        "destination": agent.destination,
        "presence": agent.presence,
        "presence_reason": agent.presence_reason,
        "engagement": agent.engagement,
        "state": agent_state(agent),
        "since": since.isoformat(),
        "seconds": round(max(0.0, (at - since).total_seconds()), 1),
        "wrap_up_until": ends.isoformat() if ends else None,
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
