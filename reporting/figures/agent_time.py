"""How agents spend their time, split exactly at the edges of what is asked."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from agents.models import Agent, AgentInterval, PresencePeriod
from reporting.figures.asked import Asked
from reporting.figures.reading import Reading

STATES = (
    "available_idle", "ringing", "on_call", "wrap_up", "break_paid", "break_unpaid", "offline",
)  # fmt: skip
Times = dict[tuple[int, int], dict[str, float]]


def state_of(presence: str, engagement: str, *, is_paid: bool) -> str:
    """Return the state in one word: what they do; if nothing, what they asked to be."""
    if engagement != "idle":
        return engagement
    if presence == "break":
        return "break_paid" if is_paid else "break_unpaid"
    return "available_idle" if presence == "available" else "offline"


def nothing() -> dict[str, float]:
    """Return the times of somebody of whom nothing is known."""
    return _told({}, timedelta())


def by_state(asked: Asked, reading: Reading, *, at: datetime) -> Times:
    """Return seconds by state, per interval asked and agent; what goes on counts until `at`."""
    spans: dict[tuple[int, int], dict[str, timedelta]] = defaultdict(lambda: defaultdict(timedelta))
    paid: dict[tuple[int, int], timedelta] = defaultdict(timedelta)
    bucket, before = reading.bucket
    where, params = reading.where(has_queue=False, has_agent=True)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {bucket}, agent_id, presence, engagement, is_paid, sum(time) "
            f"FROM reporting_agentquarter q WHERE {where} GROUP BY 1, 2, 3, 4, 5",
            [*before, *params],
        )
        rows = cursor.fetchall()
    rows += _going_on(asked, at)
    for place, agent, presence, engagement, is_paid, span in rows:
        state = state_of(presence, engagement, is_paid=is_paid)
        spans[place, agent][state] += span
        if is_paid or engagement != "idle":
            paid[place, agent] += span
    return {key: _told(found, paid[key]) for key, found in spans.items()}


def _told(spans: dict[str, timedelta], paid: timedelta) -> dict[str, float]:
    times = {state: spans.get(state, timedelta()) for state in STATES}
    signed_in = sum((span for state, span in times.items() if state != "offline"), timedelta())
    return {
        **{state: round(span.total_seconds(), 3) for state, span in times.items()},
        "signed_in": round(signed_in.total_seconds(), 3),
        "paid": round(paid.total_seconds(), 3),
    }


def _going_on(asked: Asked, at: datetime) -> list[tuple[int, int, str, str, bool, timedelta]]:
    """Return the open intervals, in parts: until `at`, split where an interval asked for ends."""
    end = min(asked.until, at)
    edges = [*asked.edges(), asked.until]
    found = []
    for each in _intervals(asked).filter(ended_at=None, started_at__lt=end):
        start = max(each.started_at, asked.since)
        is_paid = each.presence == "available" or (
            each.presence == "break" and is_paid_break(each.agent_id, each.reason, each.started_at)
        )
        first, last = bisect_right(edges, start) - 1, bisect_left(edges, end)
        for place in range(first, last):
            span = min(end, edges[place + 1]) - max(start, edges[place])
            found.append((place, each.agent_id, each.presence, each.engagement, is_paid, span))
    return found


def is_paid_break(agent_pk: int, reason: str, at: datetime) -> bool:
    """Whether the break that goes on at a moment is paid; one without a known reason is."""
    periods = PresencePeriod.objects.filter(
        agent=agent_pk, presence="break", reason=reason, started_at__lte=at
    )
    told = periods.order_by("-started_at").values_list("is_paid", flat=True).first()
    return told is not False


def _intervals(asked: Asked) -> Any:
    intervals = AgentInterval.objects.all()
    return intervals.filter(agent__in=asked.agents) if asked.agents else intervals


# Agent by agent (OFFSET 0) from the interval in which the range begins: the index has them in
# order, and joined at once, all intervals that there ever were would be read.
_OF_A_RANGE = """
SELECT i.agent_id, i.presence, i.engagement, i.started_at, i.ended_at,
    i.presence = 'break' AND coalesce((
        SELECT p.is_paid FROM agents_presenceperiod p
        WHERE p.agent_id = i.agent_id AND p.presence = 'break' AND p.reason = i.reason
          AND p.started_at <= i.started_at
        ORDER BY p.started_at DESC LIMIT 1
    ), true)
FROM agents_agent a CROSS JOIN LATERAL (
    SELECT n.* FROM agents_agentinterval n
    WHERE n.agent_id = a.id AND n.started_at < %s AND n.started_at >= coalesce((
            SELECT max(l.started_at) FROM agents_agentinterval l
            WHERE l.agent_id = a.id AND l.started_at <= %s
        ), '-infinity')
      AND (n.ended_at IS NULL OR n.ended_at > %s)
    OFFSET 0
) i WHERE %s::bigint[] IS NULL OR a.id = ANY(%s::bigint[]) ORDER BY i.started_at, i.id
"""


def strips(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return each agent's states in order: {agent, parts: [{start, end, state}]}, clipped."""
    end = min(asked.until, at)
    keys = [agent.pk for agent in asked.agents] or None
    parts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_OF_A_RANGE, [end, asked.since, asked.since, keys, keys])
        rows = cursor.fetchall()
    for agent, presence, engagement, started_at, ended_at, is_paid in rows:
        start, until = max(started_at, asked.since), min(ended_at or end, end)
        if start >= until:
            continue
        state = state_of(presence, engagement, is_paid=is_paid)
        mine = parts[agent]
        begins, ends = start.astimezone(asked.zone), until.astimezone(asked.zone)
        if mine and mine[-1]["state"] == state and mine[-1]["end"] == begins:
            mine[-1]["end"] = ends
            continue
        mine.append({"start": begins, "end": ends, "state": state})
    agents = {agent.pk: agent for agent in Agent.objects.filter(pk__in=parts)}
    found: list[dict[str, Any]] = [
        {"agent": agents[key], "parts": mine} for key, mine in parts.items()
    ]
    found.sort(key=lambda row: (row["agent"].name, row["agent"].pk))
    return found
