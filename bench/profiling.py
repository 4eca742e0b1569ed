"""`--profile`: where the time of a webhook goes."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from bench.measure import median
from bench.recorder import Exchange, Recorder
from callcenter.launch import ROOT

ROUNDS = 6
TOP = 12


def report(play: Callable[[Recorder], Sequence[Exchange]], port: int) -> str:
    """Play some calls with a stop watch, then again with a profiler."""
    with Recorder(port) as recorder:
        timed = [one for _ in range(ROUNDS) for one in play(recorder)]
    profiler = cProfile.Profile(time.thread_time)  # the processor's time: waiting costs nothing
    with Recorder(port, profiler) as recorder:
        for _ in range(ROUNDS):
            play(recorder)
    return "\n".join([*_shares(timed), "", *_functions(profiler)])


def _shares(exchanges: Sequence[Exchange]) -> list[str]:
    """Medians by webhook: all of it, inside PostgreSQL, inside bells."""
    kinds: dict[str, list[Exchange]] = defaultdict(list)
    for one in exchanges:
        if one.webhook:
            kinds[one.label].append(one)
    lines = [
        "Milliseconds by webhook (medians, in one process, one call at a time)",
        f"{'webhook':28}{'whole':>8}{'in SQL':>8}{'commit':>8}{'bells':>8}{'rest':>8}{'n':>5}"
        f"{'stmts':>7}",
    ]
    for label, group in sorted(kinds.items()):
        whole = median(one.seconds for one in group) * 1000
        sql = median(_in(one, "sql") for one in group) * 1000
        commit = median(_in(one, "commit") for one in group) * 1000
        bells = median(_publishing(one) for one in group) * 1000
        rest = whole - sql - commit - bells
        count = median(len(one.statements) for one in group)
        lines.append(
            f"{label:28}{whole:8.1f}{sql:8.1f}{commit:8.1f}{bells:8.1f}{rest:8.1f}"
            f"{len(group):5}{count:7.0f}"
        )
    voice = [one for one in exchanges if one.voice]
    whole = sum(one.seconds for one in voice)
    waiting = sum(_in(one, "sql") + _in(one, "commit") for one in voice)
    lines.append(f"share of SQL and commits in all voice webhooks: {waiting / whole:.0%}")
    return lines


def _in(exchange: Exchange, kind: str) -> float:
    return sum(step.seconds for step in exchange.steps if step.kind == kind)


def _publishing(exchange: Exchange) -> float:
    """Bells but the router, whose time is SQL again."""
    return sum(took for name, took in exchange.bells.items() if name != "route")


def _functions(profiler: cProfile.Profile) -> list[str]:
    """The functions with the most time of their own."""
    stats = pstats.Stats(profiler)
    found = stats.stats  # type: ignore[attr-defined]
    total = sum(entry[2] for entry in found.values())
    lines = [
        f"Processor time in all webhooks under cProfile: top {TOP} of {total * 1000:.0f} ms for "
        f"{2 * ROUNDS} calls",
        f"{'share':>6}{'calls':>9}  function",
    ]
    ranked = sorted(found.items(), key=lambda item: -item[1][2])
    for (file, number, name), entry in ranked[:TOP]:
        place = file.rpartition("site-packages/")[2] if number else ""
        where = f"{place}:{number} " if number else ""
        lines.append(f"{entry[2] / total:6.1%}{entry[1]:9}  {where}{name}")
    lines += ["", f"{'share':>6}{'calls':>9}  our functions, with all that they call"]
    ours = [(key, entry) for key, entry in found.items() if _is_ours(key[0])]
    for (file, number, name), entry in sorted(ours, key=lambda item: -item[1][3])[: 4 * TOP]:
        place = file.removeprefix(f"{ROOT}/")
        lines.append(f"{entry[3] / total:6.1%}{entry[1]:9}  {place}:{number} {name}")
    lines += ["", f"{'share':>6}  by package, own time"]
    packages: dict[str, float] = defaultdict(float)
    for (file, number, name), entry in found.items():
        packages[_package(file, number, name)] += entry[2]
    for name, took in sorted(packages.items(), key=lambda item: -item[1])[:TOP]:
        lines.append(f"{took / total:6.1%}  {name}")
    return lines


def _is_ours(file: str) -> bool:
    return file.startswith(f"{ROOT}/") and "site-packages" not in file and "/bench/" not in file


def _package(file: str, number: int, name: str) -> str:
    if not number:
        return "psycopg (C)" if "psycopg" in name else "Python's built-ins"
    inside = file.rpartition("site-packages/")[2]
    parts = inside.split("/")
    if inside == file:
        for ours in ("queues", "agents", "callcenter", "reporting"):
            if f"/{ours}/" in file:
                return f"ours: {ours}"
        return "standard library"
    return "/".join(parts[:3]) if parts[0] == "django" else parts[0].removesuffix(".py")
