"""Row 6: a full house for a while: 200 agents, 1,000 callers in line, 5 new calls a second.

The thousand wait in a queue whose only agent is offline; the callers of the load come to the
queues of the other rows. Afterwards every call that the simulator made must be a call of ours,
over and counted once; no phone may have rung for two callers at a time; and the programs must
not have grown.
"""

from __future__ import annotations

import time

import psycopg

from bench import centre, load, rest
from bench.house import House, get, send
from bench.measure import Row, percentile

WAITING, RATE, PLACED_A_SECOND = 1_000, 5.0, 25
GROWTH = 1.10  # of what is held in memory, between a fifth of the time and the end
_OURS = """
SELECT l.session_id, c.state, count(*) OVER (PARTITION BY l.session_id)
FROM queues_queuedcall c JOIN queues_leg l ON l.call_id = c.id AND l.role = 'customer'
WHERE c.arrived_at >= to_timestamp(%s)
"""
_TWO_AT_ONCE = """
SELECT count(*) FROM queues_offer a JOIN queues_offer b
  ON a.agent_id = b.agent_id AND a.id < b.id
  AND tstzrange(a.created_at, a.ended_at) && tstzrange(b.created_at, b.ended_at)
WHERE a.created_at >= to_timestamp(%s)
"""


def row(house: House, minutes: float) -> list[Row]:
    """Fill the line, keep the load up for `minutes`, let it end, and count."""
    url, began = house.simulator_url, time.time()
    waiting = [_wait(url, n) for n in range(WAITING)]
    callers = load.Callers(house)
    callers.set(RATE)
    seconds = minutes * 60
    time.sleep(seconds / 5)
    early = rest.pss(rest.families(house.all_processes))
    time.sleep(seconds * 4 / 5)
    late = rest.pss(rest.families(house.all_processes))
    in_line = _in_line(house)
    callers.drain(60)
    posts = get(f"{url}/_sim/posts?edge=voice&since={began}")
    for handle in waiting:
        send("POST", f"{url}/_sim/calls/{handle}/hangup", {})
    return [_books(house, began, in_line, posts), _memory(early, late, minutes)]


def _wait(url: str, n: int) -> str:
    time.sleep(1 / PLACED_A_SECOND)
    plan = {"from": f"+25477{n:07d}", "to": centre.line(centre.FULL), "patience": None}
    return str(send("POST", f"{url}/_sim/calls", plan)["session_id"])


def _books(house: House, began: float, in_line: int, posts: dict) -> Row:
    until = time.monotonic() + 45
    while (open_ := _still_open(house, began)) and time.monotonic() < until:
        time.sleep(1)
    legs = get(f"{house.simulator_url}/_sim/ledger?since={began}")["legs"]
    truth = {leg["session_id"] for leg in legs if leg["direction"] == "inbound"}
    with psycopg.connect(house.database_url) as connection:
        ours = connection.execute(_OURS, [began]).fetchall()
        [twice] = connection.execute(_TWO_AT_ONCE, [began]).fetchone() or (0,)
    lost = len(truth - {handle for handle, *_ in ours})
    double = sum(count > 1 for *_, count in ours)
    took = [post["ms"] for post in posts["posts"]]
    ends: dict[str, int] = {}
    for _, state, _ in ours:
        ends[state] = ends.get(state, 0) + 1
    told = ", ".join(f"{n} {state}" for state, n in sorted(ends.items(), key=lambda it: -it[1]))
    return Row(
        "6 a full house: lost / rung twice",
        f"{lost} / {twice}",
        "0 / 0",
        passed=not (lost or twice or double or open_),
        notes=[
            f"{len(ours)} calls ({told}), {open_} still open, {double} counted twice",
            f"{in_line} in line at the end; voice p50 {percentile(took, 0.5):.0f} ms, "
            f"p99 {percentile(took, 0.99):.0f} ms",
        ],
    )


def _memory(early: dict[str, float], late: dict[str, float], minutes: float) -> Row:
    grown = sum(late.values()) / sum(early.values())
    most = max(late, key=lambda name: late[name] - early.get(name, 0.0))
    return Row(
        f"6 memory over {minutes:g} min",
        f"{sum(early.values()):.0f} -> {sum(late.values()):.0f} MB",
        "flat (+ <= 10 %)",
        ratio=f"{grown:.2f} x",
        passed=grown <= GROWTH,
        notes=[f"most by {most}: {early.get(most, 0):.0f} -> {late[most]:.0f} MB"],
    )


def _in_line(house: House) -> int:
    with psycopg.connect(house.database_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM queues_queuedcall WHERE state IN ('waiting', 'offered')"
        ).fetchone()
    return found[0] if found else 0


def _still_open(house: House, began: float) -> int:
    with psycopg.connect(house.database_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM queues_queuedcall "
            "WHERE ended_at IS NULL AND arrived_at >= to_timestamp(%s)",
            [began],
        ).fetchone()
    return found[0] if found else 0
