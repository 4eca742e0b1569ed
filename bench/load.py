"""Rows 1 and 2: voice webhooks at a steady rate, and the highest rate that is still served.

The product and the raw server take turns, so that what else the machine does meets both.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from bench import centre, rest
from bench.house import House, get, send
from bench.measure import Row, percentile
from bench.raw import WARM, Heard, Player

RATE = 10.0
VOICE = {"ringing", "answered", "digits", "redirect", "dial_completed", "completed"}
TOO_SLOW = 500.0  # ms, the p99 at which a rate is no longer served
FIRST, FACTOR, STEP_SECONDS = 15.0, 1.4, 4.0


@dataclass
class Load:
    """What the simulator measured at one rate."""

    rate: float
    heard: Heard
    unanswered: int
    mix: Counter[str]
    by_edge: dict[str, list[float]]

    @property
    def calls(self) -> int:
        """How many callers came, those of the warming up included."""
        return self.heard.calls

    @property
    def is_served(self) -> bool:
        """Whether this rate is still within the bar, with as many ends as beginnings."""
        enough = self.mix["ringing"] >= 0.8 * self.rate * self.heard.seconds
        enough = enough and self.mix["completed"] >= 0.8 * self.mix["ringing"]
        return (
            enough
            and not self.unanswered
            and not self.heard.errors
            and self.heard.at(0.99) <= TOO_SLOW
        )


class Costs:
    """Processor time by process, over what runs inside `with`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._used: dict[str, float] = defaultdict(float)

    def __enter__(self) -> None:
        self._before = rest.cpu(rest.families(self._house.all_processes))

    def __exit__(self, *args: object) -> None:
        after = rest.cpu(rest.families(self._house.all_processes))
        for name, seconds in after.items():
            self._used[name] += seconds - self._before.get(name, 0.0)

    def _ranked(self) -> list[tuple[str, float]]:
        return sorted(self._used.items(), key=lambda item: -item[1])

    def each(self, calls: int) -> str:
        """Say how many milliseconds of each process went into one of so many calls."""
        ms = {name: 1000 * used / calls for name, used in self._ranked()}
        parts = ", ".join(f"{name} {one:.0f}" for name, one in ms.items() if one >= 0.5)
        return f"{sum(ms.values()):.0f} ms ({parts})"


class Callers:
    """The simulator's traffic: half of the callers to queues that always hold first."""

    def __init__(self, house: House, lines: list[str] | None = None) -> None:
        self.house, self._url = house, house.simulator_url
        self._lines = lines or centre.busy_lines()

    def set(self, rate: float) -> int:
        """Let callers come at `rate` a second, Poisson; return how many have come so far."""
        plan = {
            "per_minute": rate * 60, "to": self._lines, "talk": centre.TALK,
            "patience": centre.PATIENCE,
        }  # fmt: skip
        body = plan if rate else {"stop": True}
        return int(send("POST", f"{self._url}/_sim/traffic", body)["placed"])

    def measure(self, rate: float, seconds: float, warm: float = WARM) -> Load:
        """Hold a rate for `warm`, then measure for `seconds`."""
        placed = self.set(rate)
        time.sleep(warm)
        began = time.time()
        time.sleep(seconds)
        ended = time.time()
        time.sleep(0.6)  # what was under way is booked when it is answered
        answer = get(f"{self._url}/_sim/posts?since={began}")
        posts = [post for post in answer["posts"] if post["at"] < ended]
        self.house.check()
        voice = [post["ms"] for post in posts if post["edge"] in VOICE]
        sent = [post for post in posts if post["edge"] != "wait_url"]
        heard = Heard(
            voice, len(sent), sum(not 200 <= p["status"] < 300 for p in sent), ended - began
        )
        unanswered = sum(not post["status"] for post in posts)
        heard.calls = self.set(0) - placed
        by_edge: dict[str, list[float]] = {}
        for post in posts:
            by_edge.setdefault(post["edge"], []).append(post["ms"])
        mix = Counter({edge: len(ms) for edge, ms in by_edge.items()})
        return Load(rate, heard, unanswered, mix, by_edge)

    def drain(self, seconds: float = 15) -> None:
        """Stop the traffic and wait until the last call is over."""
        self.set(0)
        until = time.monotonic() + seconds
        while get(f"{self._url}/_sim/health")["live"] and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(1)  # the last wrap-ups


def at_ten(callers: Callers, raw: Player, seconds: float) -> list[Row]:
    """Row 1."""
    loads, raws = [], []
    costs, raw_costs = Costs(callers.house), Costs(callers.house)
    for _ in range(2):
        with costs:
            loads.append(callers.measure(RATE, seconds / 2))
            callers.drain()
        with raw_costs:
            raws.append(raw.run(RATE, seconds / 2))
    voice = [ms for load in loads for ms in load.heard.voice]
    raw_voice = [ms for heard in raws for ms in heard.voice]
    p50, p99 = percentile(voice, 0.5), percentile(voice, 0.99)
    raw50, raw99 = percentile(raw_voice, 0.5), percentile(raw_voice, 0.99)
    ratio = p50 / raw50
    mix = sum((load.mix for load in loads), Counter[str]())
    took = sum(load.heard.seconds for load in loads)
    webhooks = sum(load.heard.webhooks for load in loads) / took
    raw_webhooks = sum(heard.webhooks for heard in raws) / sum(heard.seconds for heard in raws)
    shares = ", ".join(
        f"{edge} {count} ({percentile(_at_edge(loads, edge), 0.5):.0f})"
        for edge, count in mix.most_common()
    )
    notes = [
        f"{webhooks:.0f} webhooks/s to the product, {raw_webhooks:.0f} requests/s to the raw "
        f"server; {len(voice)} and {len(raw_voice)} voice webhooks",
        f"in two parts: p50 {_each(loads, 0.5)}, p99 {_each(loads, 0.99)} ms",
        f"mix, and p50 in ms: {shares}",
        f"processor time a call: {costs.each(sum(load.calls for load in loads))}",
        f"the same, raw: {raw_costs.each(sum(heard.calls for heard in raws))}",
    ]
    problems = sum(load.unanswered + load.heard.errors for load in loads)
    if problems:
        notes.append(f"{problems} webhooks were not answered, or not with 2xx")
    return [
        Row(
            "1 voice p50 at 10 calls/s", f"{p50:.1f} ms", "<= 20 ms, <= 3 x raw",
            f"{raw50:.1f} ms", f"{ratio:.1f} x", p50 <= 20 and ratio <= 3 and not problems, notes,
        ),
        Row(
            "1 voice p99 at 10 calls/s", f"{p99:.1f} ms", "<= 100 ms", f"{raw99:.1f} ms",
            f"{p99 / raw99:.1f} x", p99 <= 100 and not problems,
        ),
    ]  # fmt: skip


def _at_edge(loads: list[Load], edge: str) -> list[float]:
    return [ms for load in loads for ms in load.by_edge.get(edge, ())]


def _each(loads: list[Load], share: float) -> str:
    return " and ".join(f"{load.heard.at(share):.1f}" for load in loads)


def highest(callers: Callers, raw: Player) -> Row:
    """Row 2: the highest rate whose voice p99 is within the bar, and the raw ceiling."""
    best, tried = _search(lambda rate: _product_step(callers, rate), FIRST)
    callers.drain()
    raw_best, raw_tried = _search(lambda rate: _raw_step(raw, rate), max(best, FIRST) * FACTOR)
    ratio = best / raw_best if raw_best else float("nan")
    return Row(
        "2 highest rate, p99 <= 500 ms",
        f"{best:.1f} calls/s",
        ">= 15/s, >= 50 % of raw",
        f"{raw_best:.1f} calls/s",
        f"{ratio:.0%}",
        best >= 15 and ratio >= 0.5,
        [f"calls/s: p99 in ms, product {tried}", f"calls/s: p99 in ms, raw {raw_tried}"],
    )


def _product_step(callers: Callers, rate: float) -> tuple[bool, float]:
    load = callers.measure(rate, STEP_SECONDS)
    callers.drain()
    return load.is_served, load.heard.at(0.99)


def _raw_step(raw: Player, rate: float) -> tuple[bool, float]:
    heard = raw.run(rate, STEP_SECONDS)
    served = heard.at(0.99) <= TOO_SLOW and not heard.errors and raw.keeps_up(heard, rate)
    return served, heard.at(0.99)


def _search(step: Callable[[float], tuple[bool, float]], rate: float) -> tuple[float, str]:
    """Go up while the rate is served, or down until it is; then half a step up."""
    tried: list[str] = []

    def served(rate: float) -> bool:
        ok, p99 = step(rate)
        tried.append(f"{rate:.1f}: {p99:.0f}{'' if ok else ' (not served)'}")
        return ok

    best = 0.0
    if served(rate):
        best = rate
        while served(best * FACTOR):
            best *= FACTOR
    else:
        while not best and rate > 1:
            rate /= FACTOR
            best = rate if served(rate) else 0.0
    if best and served(best * FACTOR**0.5):
        best *= FACTOR**0.5
    return best, "; ".join(tried)
