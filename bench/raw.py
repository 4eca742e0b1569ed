"""The raw comparison: the statements of the recorded calls, without the product around them.

A recorded call becomes a plan: its webhooks and its POST task in order, with their times, and of
each the statements with places for what must be fresh in every copy (keys, handles, times). The
raw server (`bench.raw_app`) executes them; `Player` sends the requests, many calls at a time.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from bench import centre
from bench.measure import percentile
from bench.recorder import Exchange, Step
from bench.statements import Played

WARM = 3.0  # seconds: longer than a call, so that as many end as begin
COPIES = 1200  # agents among whom the copied calls are dealt out
MAKERS = {"inbound Ringing", "routing", "task place_leg"}  # rows that the others point to
_HANDLE = re.compile(r"HD_[0-9a-f]{12}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLAIM = re.compile(r"FROM \"agents_agent\".*SKIP LOCKED", re.S)


@dataclass
class Request:
    """One webhook (or the POST task) of a plan."""

    label: str
    voice: bool
    offset: float  # seconds from the call's beginning
    steps: list[tuple[str, str, Any]]  # (begin, commit, rollback or sql; the SQL; its places)


@dataclass
class Plan:
    """One recorded call, to be played again and again."""

    kind: str
    requests: list[Request]


def plans(calls: Sequence[Played]) -> list[Plan]:
    """Make plans of the recorded calls that the caller ended, one of each kind."""
    return [
        Plan(call.kind, [_request(one, call.counted[0].at) for one in call.counted])
        for call in calls
        if call.ended_by == "caller"
    ]


def save(plans: Sequence[Plan], path: Path) -> None:
    """Write plans for the raw server."""
    path.write_bytes(pickle.dumps([plan.requests for plan in plans]))


def _request(exchange: Exchange, began: float) -> Request:
    steps = [_step(step, began) for step in exchange.steps]
    return Request(exchange.label, exchange.voice, exchange.at - began, steps)


def _step(step: Step, began: float) -> tuple[str, str, Any]:
    if step.kind != "sql":
        return (step.kind, "", None)
    sql, params = step.sql, step.params
    if isinstance(params, dict):
        return ("sql", sql, {name: _place(value, began) for name, value in params.items()})
    places = [_place(value, began) for value in params or ()]
    if "INSERT INTO queues_webhookevent" in sql:
        places[1] = ("key", params[1])
    if _CLAIM.search(sql):  # the agent of this copy, instead of whoever is idle longest
        head, order, tail = sql.rpartition(" ORDER BY")
        sql = f'{head} AND "agents_agent"."id" = %s{order}{tail}'
        places.insert(head.count("%s"), ("agent", 0))
    return ("sql", sql, places)


def _place(value: Any, began: float) -> tuple[str, Any]:
    """Say what stands in a place: something fresh for each copy, or the value itself.

    A time counts from the call's beginning, so what two requests say is the same instant stays so.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, UUID):
        return ("uuid", value.bytes)
    if isinstance(value, datetime):
        return ("time", value.timestamp() - began)
    if isinstance(value, str) and _HANDLE.fullmatch(value):
        return ("handle", value)
    if isinstance(value, str) and _UUID.fullmatch(value):
        return ("uuid text", UUID(value).bytes)
    if isinstance(value, int) and value >= centre.AGENT_KEYS:
        return ("agent", 0)
    if isinstance(value, int) and value >= centre.QUEUE_KEYS:
        return ("queue", 0)
    if isinstance(value, list | tuple):
        return ("list", [_place(one, began) for one in value])
    if type(value).__name__ in {"Jsonb", "Json"}:
        return ("json", json.loads(json.dumps(value.obj, default=str)))
    return ("is", value)


# --- The database of the raw server --------------------------------------------------------------


def make_database(url: str, raw_url: str) -> None:
    """Copy the database, and add agents and queues for the copied calls; nobody is connected."""
    import psycopg

    name = raw_url.partition("?")[0].rpartition("/")[2]
    template = url.partition("?")[0].rpartition("/")[2]
    elsewhere = url.replace(f"/{template}?", "/postgres?")
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    per_queue = centre.AGENTS_PER_QUEUE
    with psycopg.connect(raw_url) as connection:
        queue, agent = centre.QUEUE_KEYS + 100, centre.AGENT_KEYS + 50_000
        _copy(connection, "queues_queue", queue, COPIES // per_queue, slug="'raw-' || n")
        _copy(connection, "auth_user", agent, COPIES, username="'raw-' || n")
        _copy(
            connection, "agents_agent", agent, COPIES, user_id=f"{agent} + n",
            destination="'+25478' || lpad(n::text, 7, '0')", presence="'available'",
        )  # fmt: skip
        connection.execute(
            "INSERT INTO agents_presenceperiod"
            " (agent_id, presence, reason, started_at, cause)"
            " SELECT id, presence, presence_reason, presence_since, 'bench'"
            " FROM agents_agent WHERE id >= %s",
            (agent,),
        )
        connection.execute(
            "INSERT INTO queues_member (queue_id, agent_id, position)"
            " SELECT %s::bigint + n / %s, %s::bigint + n, 0 FROM generate_series(0, %s - 1) n",
            (queue, per_queue, agent, COPIES),
        )


def _copy(connection: Any, table: str, first: int, count: int, **changed: str) -> None:
    """Add `count` copies of a row of `table`, with keys from `first` on."""
    cursor = connection.execute(f"SELECT * FROM {table} LIMIT 0")
    names = [column.name for column in cursor.description]
    values = {"id": f"{first} + n", **changed}
    chosen = ", ".join(values.get(name, f"t.{name}") for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    connection.execute(
        f"INSERT INTO {table} ({columns}) SELECT {chosen}"
        f" FROM (SELECT * FROM {table} ORDER BY id DESC LIMIT 1) t,"
        f" generate_series(0, {count} - 1) n"
    )


# --- Playing -------------------------------------------------------------------------------------


@dataclass
class Heard:
    """What a run of the player measured, in milliseconds."""

    voice: list[float]
    webhooks: int
    errors: int
    seconds: float
    calls: int = 0

    def at(self, share: float) -> float:
        """Return a percentile of the voice webhooks, in milliseconds."""
        return percentile(self.voice, share)


class Player:
    """Sends the requests of copied calls at a steady rate."""

    def __init__(self, url: str, plans: Sequence[Plan]) -> None:
        self._url, self._plans = url, plans
        self._random = random.Random(1)
        self._number = 0

    def run(self, rate: float, seconds: float, warm: float = WARM) -> Heard:
        """Begin `rate` calls a second for so long after `warm`; measure their voice webhooks."""
        return asyncio.run(self._run(rate, seconds, warm))

    async def _run(self, rate: float, seconds: float, warm: float) -> Heard:
        heard = Heard([], 0, 0, seconds)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1.5)
        calls: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(connector=connector) as session:
            began = due = time.perf_counter()
            measured = (began + warm, began + warm + seconds)
            while True:
                due += self._random.expovariate(rate)
                if due > measured[1]:
                    break
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                heard.calls += 1
                call = asyncio.create_task(self._call(session, heard, measured))
                calls.add(call)
                call.add_done_callback(calls.discard)
            await asyncio.sleep(max(0.0, measured[1] - time.perf_counter()))
            if calls:  # what is late counts with its whole time
                await asyncio.wait(list(calls), timeout=4)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        return heard

    async def _call(
        self, session: aiohttp.ClientSession, heard: Heard, measured: tuple[float, float]
    ) -> None:
        """Send the requests of one call, each when it was due in the recorded one.

        As there, they do not wait for each other; but what follows one that makes rows waits for
        it, and that one for all before it.
        """
        self._number += 1
        number, began, born = self._number, time.perf_counter(), int(time.time() * 1000)
        which = number % len(self._plans)
        on_the_way: list[asyncio.Task[None]] = []
        for index, request in enumerate(self._plans[which].requests):
            await asyncio.sleep(max(0.0, began + request.offset - time.perf_counter()))
            url = f"{self._url}/raw?n={number}&t={born}&plan={which}&i={index}"
            sending = self._send(session, url, request, heard, measured)
            if request.label in MAKERS:
                await asyncio.gather(*on_the_way)
                on_the_way = []
                await sending
            else:
                on_the_way.append(asyncio.create_task(sending))
        await asyncio.gather(*on_the_way)

    def keeps_up(self, heard: Heard, rate: float) -> bool:
        """Whether the requests that were due were sent: who waits for an answer sends none."""
        due = rate * heard.seconds * sum(len(plan.requests) for plan in self._plans)
        return heard.webhooks >= 0.8 * due / len(self._plans)

    @staticmethod
    async def _send(
        session: aiohttp.ClientSession,
        url: str,
        request: Request,
        heard: Heard,
        measured: tuple[float, float],
    ) -> None:
        sent = time.perf_counter()
        try:
            async with session.post(url, data=b"x" * 300) as response:
                await response.read()
                ok = response.status == 200
        except (aiohttp.ClientError, OSError):
            ok = False
        if measured[0] <= sent < measured[1]:
            heard.webhooks += 1
            heard.errors += not ok
            if request.voice:
                heard.voice.append((time.perf_counter() - sent) * 1000)
