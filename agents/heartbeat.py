"""Whether an agent's page is open, and what becomes of an agent whose page is not.

A queue may ask its agents for an open page (`Queue.heartbeat_seconds`; of several queues the
smallest counts). Who is available and idle, and whose page has not been seen for so long, is set
offline. An open page is asked to show itself first: after an outage of ours all pages would have
been silent, and a browser may let a hidden page beat but once a minute.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from agents import presence
from agents.models import Agent, Presence
from callcenter import bell

CAUSE = "policy:page_closed"
ASKED_FOR = timedelta(seconds=20)  # for which a silent page may take to answer

_BEAT = """
INSERT INTO agents_heartbeat (agent_id, seen_at) VALUES (%s, %s)
ON CONFLICT (agent_id) DO UPDATE
SET seen_at = greatest(agents_heartbeat.seen_at, EXCLUDED.seen_at)
"""
# Only a page that was seen since its agent became available can have been closed.
_SILENT = """
FROM agents_heartbeat h
JOIN agents_agent a ON a.id = h.agent_id
JOIN (
    SELECT m.agent_id, make_interval(secs => min(q.heartbeat_seconds)) AS patience
    FROM queues_member m JOIN queues_queue q ON q.id = m.queue_id
    WHERE q.heartbeat_seconds IS NOT NULL AND q.retired_at IS NULL
    GROUP BY m.agent_id
) asked ON asked.agent_id = a.id
WHERE a.presence = 'available' AND a.engagement = 'idle' AND a.retired_at IS NULL
AND h.seen_at >= a.presence_since
"""
_TO_ASK = f"""{_SILENT}
AND (h.asked_at IS NULL OR h.asked_at < h.seen_at)
AND h.seen_at + asked.patience - %(asked_for)s <= %(at)s
"""
_CLOSED = f"""{_SILENT}
AND h.asked_at >= h.seen_at AND h.asked_at + %(asked_for)s <= %(at)s
"""
_ASK = f"""
UPDATE agents_heartbeat SET asked_at = %(at)s
WHERE agent_id IN (SELECT h.agent_id {_TO_ASK}) RETURNING agent_id
"""  # noqa: S608 - no value is in it
# For the sweep, whose one statement asks whether anything is due. It takes `at` and `asked_for`.
DUE = f"(EXISTS (SELECT 1 {_TO_ASK}) OR EXISTS (SELECT 1 {_CLOSED}))"


def beat(agent_pk: int, *, at: datetime) -> None:
    """The agent's page says that it is open."""
    with connection.cursor() as cursor:
        cursor.execute(_BEAT, [agent_pk, at])


def was_closed(agent: Agent) -> bool:
    """Whether this agent is offline because the page was closed."""
    return (
        agent.presence == Presence.OFFLINE
        and agent.presence_periods.filter(ended_at=None, cause=CAUSE).exists()
    )


def sweep(at: datetime) -> None:
    """Ask silent pages to show themselves; set offline whose page has not."""
    values: dict[str, Any] = {"at": at, "asked_for": ASKED_FOR}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT h.agent_id {_CLOSED}", values)
        closed = [pk for (pk,) in cursor.fetchall()]
    for pk in closed:
        _set_offline(pk, values)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ASK, values)
        for (pk,) in cursor.fetchall():
            bell.ring("desk", pk)


@transaction.atomic
def _set_offline(agent_pk: int, values: dict[str, Any]) -> None:
    """Set one agent offline, unless the page or a call came meanwhile; a locked one is busy."""
    locked = Agent.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    if not locked.filter(pk=agent_pk).exists():
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT 1 {_CLOSED} AND a.id = %(agent)s FOR UPDATE OF h",
            {**values, "agent": agent_pk},
        )
        if cursor.fetchone() is None:
            return
    presence.change(agent_pk, Presence.OFFLINE, at=values["at"], cause=CAUSE)
