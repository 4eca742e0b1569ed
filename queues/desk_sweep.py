"""What falls due at the agents' desks: breaks over their limit, closed pages, alerts that are over.

The sweep's one statement asks with `DUE` whether there is anything to do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from agents import heartbeat
from callcenter import bell
from queues import alerts

BREAK_OVER = "break_over"  # an alert's kind; its subject is the key of the presence period

_LONG = """
FROM agents_presenceperiod p WHERE p.ended_at IS NULL AND p.limit_at <= %(at)s
AND p.over_told_at IS NULL
"""
# The CASE keeps the cast away from other kinds' subjects.
_OVER = """
FROM queues_alert a WHERE a.dismissed_at IS NULL AND (
    a.kind = 'break_over' AND NOT EXISTS (
        SELECT 1 FROM agents_presenceperiod p WHERE p.ended_at IS NULL
        AND p.id = CASE WHEN a.kind = 'break_over' THEN a.subject::bigint END)
    OR a.kind = 'help' AND EXISTS (
        SELECT 1 FROM queues_queuedcall c WHERE c.public_id = a.subject AND c.ended_at IS NOT NULL)
)
"""
DUE = f"""(
    EXISTS (SELECT 1 {_LONG}) OR EXISTS (SELECT 1 {_OVER}) OR {heartbeat.DUE}
)"""
_TELL_LONG = f"""
UPDATE agents_presenceperiod told SET over_told_at = %(at)s
FROM (SELECT p.id {_LONG} LIMIT 200 FOR UPDATE SKIP LOCKED) long, agents_agent a
WHERE told.id = long.id AND a.id = told.agent_id
RETURNING told.id, told.reason, told.limit_at - told.started_at, a.id, a.name
"""  # noqa: S608 - no value is in it
_SELECT_OVER = f"SELECT a.kind, a.subject {_OVER}"


def values(at: datetime) -> dict[str, Any]:
    """Return the values that `DUE` takes."""
    return {"at": at, "asked_for": heartbeat.ASKED_FOR}


def sweep(at: datetime) -> None:
    """Do all that is due at this instant; a second sweep at the same time is idle."""
    _tell_of_long_breaks(at)
    for kind, subject in _rows(_SELECT_OVER, at):
        alerts.withdraw(kind, subject, at=at)
    heartbeat.sweep(at)


@transaction.atomic
def _tell_of_long_breaks(at: datetime) -> None:
    """Tell agent and supervisors once of each break that is over its limit."""
    for pk, reason, limit, agent_pk, name in _rows(_TELL_LONG, at):
        minutes = round(limit / timedelta(minutes=1))
        text = f"{name} has been on break for longer than {minutes} min ({reason})."
        alerts.raise_alert(BREAK_OVER, str(pk), text, at=at)
        bell.ring("desk", agent_pk)


def _rows(statement: str, at: datetime) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"at": at})
        return list(cursor.fetchall())
