"""Row 3: from the commit that frees an agent to the arrival of `POST /v1/calls`.

Callers wait in the hold room of a queue whose agents are all offline. One agent after another is
set available through the API. PostgreSQL keeps the time of every commit, the simulator the time
at which each request began to arrive; both read the clock of this machine.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import psycopg
import redis
import requests

from bench import centre
from bench.house import House, get, send
from bench.measure import Row, percentile

SAMPLES = 50
PAUSE = 0.12
_FREED = """
SELECT replace(l.id::text, '-', ''),
       extract(epoch FROM pg_xact_commit_timestamp(p.xmin))::float8,
       extract(epoch FROM pg_xact_commit_timestamp(e.xmin))::float8
FROM queues_leg l
JOIN queues_offer o ON o.id = l.offer_id
JOIN agents_presenceperiod p ON p.agent_id = o.agent_id AND p.ended_at IS NULL
JOIN queues_callevent e ON e.offer_id = o.id AND e.kind = 'offered'
WHERE o.queue_id = %s
"""
_OFFERED = """
SELECT replace(l.id::text, '-', ''), extract(epoch FROM pg_xact_commit_timestamp(e.xmin))::float8
FROM queues_leg l JOIN queues_callevent e ON e.offer_id = l.offer_id AND e.kind = 'offered'
WHERE e.at >= to_timestamp(%s) AND l.is_placed_by_us
"""

_ENDS = """
SELECT state, count(*) FROM queues_queuedcall WHERE arrived_at >= to_timestamp(%s)
GROUP BY state ORDER BY 2 DESC
"""


@dataclass
class Delays:
    """Seconds from the commit to the arrival, whole and in parts."""

    whole: list[float]
    routing: list[float]  # commit that freed the agent -> commit of the offer
    task: list[float]  # commit of the offer -> arrival


def row(house: House, token: str) -> Row:
    """Measure, with the raw way beside it."""
    delays = _product(house, token)
    raw = _raw(house)
    p50, p95 = percentile(delays.whole, 0.5) * 1000, percentile(delays.whole, 0.95) * 1000
    raw50, raw95 = percentile(raw, 0.5) * 1000, percentile(raw, 0.95) * 1000
    parts = percentile(delays.routing, 0.5) * 1000, percentile(delays.task, 0.5) * 1000
    return Row(
        "3 agent free -> POST, p50 / p95",
        f"{p50:.1f} / {p95:.1f} ms",
        "<= 25 / 80 ms",
        f"{raw50:.1f} / {raw95:.1f} ms",
        f"{p50 / raw50:.1f} x",
        p50 <= 25 and p95 <= 80 and len(delays.whole) == SAMPLES,
        [
            f"{len(delays.whole)} of {SAMPLES} agents were dialled",
            f"p50 in parts: agent free -> offer committed {parts[0]:.1f} ms, "
            f"offer committed -> POST arrived {parts[1]:.1f} ms",
            "raw: LPUSH, BRPOP in another process, POST with requests",
        ],
    )


def _product(house: House, token: str) -> Delays:
    simulator, began = house.simulator_url, time.time()
    for number in range(SAMPLES):
        body = {"from": f"+25479800{number:04d}", "to": centre.line(centre.LATE), "talk": 5}
        send("POST", f"{simulator}/_sim/calls", body)
        time.sleep(0.02)
    with psycopg.connect(house.database_url, autocommit=True) as database:
        _wait_until_held(database)
        header = {"Authorization": f"Token {token}"}
        for number in range(SAMPLES):
            url = f"{house.url}/api/agents/agent-{centre.LATE}-{number}/presence/"
            send("POST", url, {"presence": "available"}, **header)
            time.sleep(PAUSE)
        time.sleep(1)
        freed = database.execute(_FREED, [centre.QUEUE_KEYS + centre.LATE]).fetchall()
        arrived = _arrivals(simulator, began)
        _wait_until_over(database)
    delays = Delays([], [], [])
    for leg, free, offered in freed:
        if leg in arrived:
            delays.whole.append(arrived[leg] - free)
            delays.routing.append(offered - free)
            delays.task.append(arrived[leg] - offered)
    return delays


def under_load(house: House, since: float) -> str:
    """Say how long the POST took from the offer's commit while the load of row 1 went on."""
    arrived = _arrivals(house.simulator_url, since)
    with psycopg.connect(house.database_url, autocommit=True) as database:
        offered = database.execute(_OFFERED, [since]).fetchall()
    took = [(arrived[leg] - at) * 1000 for leg, at in offered if leg in arrived]
    return (
        f"offer committed -> POST arrived during this load: p50 {percentile(took, 0.5):.1f}, "
        f"p95 {percentile(took, 0.95):.1f} ms ({len(took)} held calls)"
    )


def ends(house: House, since: float) -> str:
    """Say how the calls ended that arrived during the load of row 1."""
    with psycopg.connect(house.database_url, autocommit=True) as database:
        states = database.execute(_ENDS, [since]).fetchall()
    problems = get(f"{house.simulator_url}/_sim/health")["problems"]
    told = ", ".join(f"{count} {state}" for state, count in states)
    return f"calls: {told}; problems seen by the simulator: {problems}"


def _arrivals(simulator: str, since: float) -> dict[str, float]:
    """When the first request for each leg arrived, by our own key."""
    receipts = get(f"{simulator}/_sim/posts?brief=1&edge=none&since={since}")["receipts"]
    arrived: dict[str, float] = {}
    for receipt in receipts:
        arrived.setdefault(receipt["idempotency_key"].partition("-")[0], receipt["at"])
    return arrived


def _wait_until_held(database: psycopg.Connection[tuple[object, ...]]) -> None:
    waiting = (
        "SELECT count(*) FROM queues_queuedcall"
        " WHERE queue_id = %s AND state = 'waiting' AND offerable_from <= now()"
    )
    _wait(database, waiting, SAMPLES)


def _wait_until_over(database: psycopg.Connection[tuple[object, ...]]) -> None:
    live = "SELECT count(*) FROM queues_queuedcall WHERE queue_id = %s AND ended_at IS NULL"
    _wait(database, live, 0)
    time.sleep(1.5)


def _wait(database: psycopg.Connection[tuple[object, ...]], count: str, wanted: int) -> None:
    until = time.monotonic() + 25
    while time.monotonic() < until:
        found = database.execute(count, [centre.QUEUE_KEYS + centre.LATE]).fetchone()
        if found and found[0] == wanted:
            return
        time.sleep(0.1)
    raise TimeoutError(f"the callers of row 3 are not where they should be ({found} of {wanted})")


# --- The raw way ---------------------------------------------------------------------------------


def _raw(house: House) -> list[float]:
    """Return the seconds from LPUSH to the arrival of the POST, by way of another process."""
    key, sent, began = "bench-raw-bell", {}, time.time()
    server = redis.Redis.from_url(house.environment["REDIS_URL"])
    house.environment.update(BENCH_BELL=key)
    child = house.start(
        "raw-bell", "-m", "bench.bells", ready=lambda: bool(server.get(f"{key}-ready"))
    )
    for number in range(SAMPLES):
        sent[f"raw{number}"] = time.time()
        server.lpush(key, f"raw{number}")
        time.sleep(PAUSE / 2)
    time.sleep(0.3)
    house.end(child)
    arrived = _arrivals(house.simulator_url, began)
    return [arrived[name] - at for name, at in sent.items() if name in arrived]


def main() -> None:
    """The other process: what comes out of the list is posted, to be refused and booked."""
    key = os.environ["BENCH_BELL"]
    server: Any = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    url = os.environ["SAUTIKIT_API_BASE_URL"] + "/v1/calls"
    authorization = {"Authorization": f"Bearer {os.environ['SAUTIKIT_API_KEY']}"}
    with requests.Session() as session:
        server.set(f"{key}-ready", 1)
        while True:
            _, name = server.brpop([key])
            body = {"from": "nobody", "to": ["nobody"]}
            headers = {**authorization, "Idempotency-Key": name}
            session.post(url, json=body, headers=headers, timeout=5)


if __name__ == "__main__":
    main()
