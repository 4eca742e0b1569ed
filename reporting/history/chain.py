"""Each agent's time: the chain of intervals and the periods of presence, day after day.

The last interval and the last period of an agent are always open in the database at a commit, as
its constraints demand: a day closes them first, and opens the last of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from agents.models import Agent, AgentInterval
from reporting.history.people import Worker
from reporting.history.rows import Rows

_CLOSE = {
    "agents_agentinterval": """UPDATE agents_agentinterval i SET ended_at = v.at
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS v (agent, at)
        WHERE i.agent_id = v.agent AND i.ended_at IS NULL""",
    "agents_presenceperiod": """UPDATE agents_presenceperiod p SET ended_at = v.at
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS v (agent, at)
        WHERE p.agent_id = v.agent AND p.ended_at IS NULL""",
}
_NUMBERS = """SELECT nextval(pg_get_serial_sequence('agents_agentinterval', 'id'))
    FROM generate_series(1, %s)"""


@dataclass
class _Now:
    """What an agent is, and the open interval that says so."""

    interval: int
    presence: str = "offline"
    reason: str = ""
    engagement: str = "idle"


class Chains:
    """The open ends of all agents."""

    def __init__(self, workers: list[Worker]) -> None:
        keys = [worker.pk for worker in workers]
        rows = AgentInterval.objects.filter(agent__in=keys, ended_at=None)
        self._now = {agent: _Now(pk) for agent, pk in rows.values_list("agent_id", "pk")}

    def write(self, workers: list[Worker], rows: Rows) -> None:
        """Write a day's changes: close what is open, add the rest to `rows`."""
        at_work = [worker for worker in workers if worker.changes]
        for worker in at_work:
            worker.changes.sort(key=lambda change: change[0])
        numbers = self._numbers(sum(len(worker.changes) for worker in at_work))
        closed: dict[str, tuple[list[int], list[datetime]]] = {
            table: ([], []) for table in _CLOSE
        }  # fmt: skip

        def close(table: str, agent: int, at: datetime) -> None:
            closed[table][0].append(agent)
            closed[table][1].append(at)

        for worker in at_work:
            self._intervals(worker, numbers, rows, close)
            _periods(worker, rows, close)
        with connection.cursor() as cursor:
            for table, values in closed.items():
                cursor.execute(_CLOSE[table], list(values))

    def _numbers(self, count: int) -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(_NUMBERS, [count])
            return [row[0] for row in reversed(cursor.fetchall())]

    def _intervals(
        self, worker: Worker, numbers: list[int], rows: Rows, close: Callable[..., None]
    ) -> None:
        now, began = self._now[worker.pk], None
        previous = None
        for at, what, value in worker.changes:
            if began is None:
                close("agents_agentinterval", worker.pk, at)
            else:
                self._add(rows, worker, now, began, at, previous)
            previous, began = now.interval, at
            now.interval = numbers.pop()
            if what == "presence":
                now.presence, now.reason = value[0], value[1]
            else:
                now.engagement = str(value)
        self._add(rows, worker, now, began, None, previous)

    def _add(
        self, rows: Rows, worker: Worker, now: _Now, began: Any, ended: Any, previous: int | None
    ) -> None:
        rows.add(
            "agents_agentinterval", now.interval, worker.pk, now.presence, now.reason,
            now.engagement, began, ended, previous,
        )  # fmt: skip

    def finish(self, workers: list[Worker]) -> None:
        """Bring the agents' own rows to what the last day has left of them."""
        for worker in workers:
            since = worker.available_since
            if since is None:
                continue
            missed = sum(at >= since for at in worker.strikes)
            open_since = AgentInterval.objects.get(agent=worker.pk, ended_at=None).started_at
            Agent.objects.filter(pk=worker.pk).update(
                strikes=missed, presence_since=open_since, engagement_since=worker.free_from,
                idle_since=worker.free_from,
            )  # fmt: skip


def _periods(worker: Worker, rows: Rows, close: Callable[..., None]) -> None:
    changes: list[tuple[datetime, Any]] = [
        (at, value) for at, what, value in worker.changes if what == "presence"
    ]
    close("agents_presenceperiod", worker.pk, changes[0][0])
    ends = [at for at, _ in changes[1:]]
    for (at, value), ended in zip(changes, [*ends, None], strict=True):
        presence, reason = value[:2]
        is_paid = reason == "Short break" if presence == "break" else None
        rows.add(
            "agents_presenceperiod", worker.pk, presence, reason, at, ended, "page", is_paid, None
        )
