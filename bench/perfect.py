"""Row 8: how long callers wait, against a dispatcher that needs no time at all.

Callers come at random to a queue that always holds, and a few agents serve them. Our own rows
then tell when each came into the hold room (into the line, where no message told of the room), how
long each talk was, and when it began. The perfect dispatcher gets the same arrivals, talks, ring
and wrap-up times, and gives each caller the first agent who is free in the instant in which one is.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass

import psycopg

from bench import centre, load
from bench.house import House
from bench.measure import Row, percentile

RING = centre.RING / centre.SPEED  # seconds
WRAP_UP = 1.0
UTILISATION = 0.85
_SERVED = """
SELECT extract(epoch FROM coalesce(j.at, c.queued_at))::float8,
       extract(epoch FROM c.connected_at)::float8, extract(epoch FROM c.ended_at)::float8
FROM queues_queuedcall c
JOIN LATERAL (SELECT min(at) AS at FROM queues_callevent
              WHERE call_id = c.id AND kind = 'joined_room') j ON true
WHERE c.queue_id = %s AND c.arrived_at >= to_timestamp(%s) AND c.state = 'completed'
ORDER BY 1
"""
_NOT_SERVED = """
SELECT count(*) FROM queues_queuedcall
WHERE queue_id = %s AND arrived_at >= to_timestamp(%s) AND state <> 'completed'
"""


@dataclass(frozen=True)
class Served:
    """One caller: when they could be served, when they were, and when it was over."""

    came_at: float
    connected_at: float
    ended_at: float


def row(house: House, seconds: float) -> Row:
    """Let callers come for `seconds`, then compare."""
    talk = sum(centre.TALK) / 2 / centre.SPEED
    rate = UTILISATION * centre.staff()[centre.PERFECT] / (RING + talk + WRAP_UP)
    callers = load.Callers(house, [centre.line(centre.PERFECT)])
    began = time.time()
    callers.set(rate)
    time.sleep(seconds)
    callers.drain(60)
    served, lost = _read(house, began)
    if len(served) < 20:
        raise TimeoutError(f"only {len(served)} callers were served")
    ours = [one.connected_at - one.came_at for one in served]
    best = perfect(served, centre.staff()[centre.PERFECT])
    mean, ideal = sum(ours) / len(ours), sum(best) / len(best)
    more = mean - ideal
    return Row(
        "8 mean wait, Poisson load",
        f"{mean * 1000:.0f} ms",
        "+ <= 5 % or 100 ms",
        f"{ideal * 1000:.0f} ms",
        f"+ {more * 1000:.0f} ms",
        more <= max(0.05 * ideal, 0.1) and not lost,
        [
            f"{len(served)} callers at {rate:.1f} a second to {centre.staff()[centre.PERFECT]} "
            f"agents, {RING:.1f} s of ringing included; {lost} not served; p95 "
            f"{percentile(ours, 0.95) * 1000:.0f} ms, of the perfect dispatcher (in the column "
            f"“raw”) {percentile(best, 0.95) * 1000:.0f} ms"
        ],
    )


def perfect(served: list[Served], agents: int) -> list[float]:
    """Return the waits, in the order of coming, if no message ever took any time."""
    free = [0.0] * agents
    waits = []
    for one in sorted(served, key=lambda call: call.came_at):
        connected_at = max(one.came_at, heapq.heappop(free)) + RING
        waits.append(connected_at - one.came_at)
        heapq.heappush(free, connected_at + (one.ended_at - one.connected_at) + WRAP_UP)
    return waits


def _read(house: House, began: float) -> tuple[list[Served], int]:
    queue = centre.QUEUE_KEYS + centre.PERFECT
    with psycopg.connect(house.database_url) as connection:
        rows = connection.execute(_SERVED, [queue, began]).fetchall()
        [lost] = connection.execute(_NOT_SERVED, [queue, began]).fetchone() or (0,)
    return [Served(*row) for row in rows], lost
