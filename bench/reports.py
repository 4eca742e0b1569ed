"""Row 10: reports over a million calls, and the audit of them.

`make_history` fills the database with a year of calls. Then days of that year are asked for by
chance: the figures in this process (`report.queues`, `report.agents`), and their pages from the
real web server. Beside them the plain sum over the quarters of that day. Last, `manage.py audit`.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import requests

from bench.house import ROOT, House
from bench.measure import Row, median, percentile

DAYS, SAMPLES, BAR = 365, 30, 500.0
PAGES = {"service": "/reports/service/", "agents": "/reports/agents/"}
_SUM = """
SELECT queue_id, sum(offered), sum(answered), sum(talk), sum(wrap_up)
FROM reporting_queuequarter WHERE start >= %s AND start < %s GROUP BY 1
"""
_SIZES = """
SELECT relname, pg_total_relation_size(oid), pg_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC LIMIT 8
"""


def fill(house: House, calls: int, timelines: int) -> str:
    """Make the history; say how long it took and how large it is."""
    began = time.monotonic()
    house._stack._manage(
        "make_history", "--yes", "--beside", "--calls", str(calls), "--days", str(DAYS),
        "--timelines", str(timelines),
    )  # fmt: skip
    took = time.monotonic() - began
    with psycopg.connect(house.database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        tables = connection.execute(_SIZES).fetchall()
    assert size
    told = ", ".join(f"{name} {total / 2**20:.0f}" for name, total, _ in tables)
    return f"make_history {took:.0f} s; database {size[0] / 2**20:.0f} MB: {told}"


def rows(house: House, calls: int, made: str) -> list[Row]:
    """Measure with the programs running."""
    days = _days()
    found = [
        _row(f"10 page of {name}, a day", _timed(days, _page(house, path)))
        for name, path in PAGES.items()
    ]
    raw = _timed(days, _sum(house))
    for name in ("queues", "agents"):
        found.append(_row(f"10 report.{name}, a day", _timed(days, _report(name)), raw))
    found[0].notes += [made] if made else []
    found[0].notes.append(f"{calls:,} calls, {SAMPLES} days of the last {DAYS} by chance")
    return found


def _row(
    name: str, times: list[float], raw: list[float] | None = None, notes: list[str] | None = None
) -> Row:
    worst = max(times)
    return Row(
        name, f"{median(times):.0f} / {percentile(times, 0.95):.0f} / {worst:.0f} ms", "<= 500 ms",
        raw=f"{median(raw):.1f} ms" if raw else "", passed=worst <= BAR,
        notes=[*(notes or []), "p50 / p95 / the slowest"],
    )  # fmt: skip


def _days() -> list[date]:
    from django.utils import timezone

    rng = random.Random(10)
    today = timezone.localdate()
    return [today - timedelta(days=rng.randrange(1, DAYS)) for _ in range(SAMPLES)]


def _timed(days: list[date], ask: Callable[[date], Any]) -> list[float]:
    """Milliseconds of each; the first question, which plans and caches, is left out."""
    ask(days[0] - timedelta(days=1))
    times = []
    for day in days:
        began = time.perf_counter()
        ask(day)
        times.append((time.perf_counter() - began) * 1000)
    return times


def _page(house: House, path: str) -> Callable[[date], Any]:
    from bench.viewers import _sign_in

    session = requests.Session()
    session.cookies.set("sessionid", _sign_in())

    def ask(day: date) -> None:
        answer = session.get(f"{house.url}{path}?from={day}&to={day}", timeout=60)
        if answer.status_code != 200:
            raise OSError(f"{path} answered {answer.status_code}")

    return ask


def _report(name: str) -> Callable[[date], Any]:
    from django.utils import timezone

    from reporting.figures import asked, report

    zone = timezone.get_default_timezone()

    def ask(day: date) -> None:
        at = timezone.now()
        wanted = asked.read({"from": str(day), "to": str(day)}, at=at, zone=zone)
        getattr(report, name)(wanted, at=at)

    return ask


def _sum(house: House) -> Callable[[date], Any]:
    connection = psycopg.connect(house.database_url, autocommit=True)

    def ask(day: date) -> None:
        connection.execute(_SUM, [day, day + timedelta(days=1)]).fetchall()

    return ask


def audit(house: House, calls: int) -> Row:
    """Run `manage.py audit` over everything: how long, how much memory, and what it says."""
    log = house.place.log("audit")
    with log.open("wb") as out:
        began = time.monotonic()
        pid = os.posix_spawn(
            sys.executable, [sys.executable, str(ROOT / "manage.py"), "audit"], house.environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, out.fileno(), 2),
            ],
        )  # fmt: skip
        _, status, used = os.wait4(pid, 0)
        took = time.monotonic() - began
    said = log.read_text(errors="replace").splitlines()
    return Row(
        f"10 audit of {calls:,} calls", f"{took:.0f} s, {used.ru_maxrss / 1024:.0f} MB", "none",
        passed=os.waitstatus_to_exitcode(status) == 0, notes=said[-3:],
    )  # fmt: skip
