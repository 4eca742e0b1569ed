"""Erlang B, C and A: what callers meet when so many agents share a load. Sources: docs/planning.md.

Calls come by chance (Poisson) at one rate, handling times are exponential, agents are alike, and
callers are served in order. Times are in seconds, shares 0 to 1. Sums are taken relative to their
largest term, so nothing overflows for hundreds of agents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

MOST_AGENTS = 5000  # where a search ends
_NEGLIGIBLE = 1e-15  # of the sum so far
_FALL = 45.0  # e to the minus this is no share of anything
# Gauss and Legendre's eight points on [-1, 1], and their weights.
_POINTS = (
    (0.1834346424956498, 0.3626837833783620), (0.5255324099163290, 0.3137066458778873),
    (0.7966664774136267, 0.2223810344533745), (0.9602898564975363, 0.1012285362903763),
)  # fmt: skip


@dataclass(frozen=True)
class Load:
    """Calls per second, and the mean seconds for which one occupies an agent."""

    rate: float
    handle_time: float

    def __post_init__(self) -> None:
        if not (self.rate >= 0 and self.handle_time > 0):
            raise ValueError("A load is no calls or more, and each takes some time.")

    @property
    def erlangs(self) -> float:
        """The mean number of agents that would be busy if nobody waited or left."""
        return self.rate * self.handle_time


@dataclass(frozen=True)
class Expected:
    """What a caller meets, and how busy the agents are.

    `service_level` is the share of all callers who are answered within the time asked about;
    `mean_wait` that of all callers, those included who do not wait and those who leave.
    """

    must_wait: float
    service_level: float
    mean_wait: float
    abandoned: float
    occupancy: float


@dataclass(frozen=True)
class Target:
    """What is to hold at least: a service level, a mean wait, an occupancy; None: as it comes."""

    share: float | None = None
    within: float = 20.0
    wait: float | None = None
    occupancy: float | None = None

    def is_met(self, expected: Expected | None) -> bool:
        """Whether this holds; never for None, where Erlang C has no answer."""
        if expected is None:
            return False
        return (
            (self.share is None or expected.service_level >= self.share)
            and (self.wait is None or expected.mean_wait <= self.wait)
            and (self.occupancy is None or expected.occupancy <= self.occupancy)
        )


def erlang_b(erlangs: float, agents: int) -> float:
    """Return the share of calls that find every agent busy where nobody can wait."""
    blocked = 1.0
    for n in range(1, agents + 1):
        blocked = erlangs * blocked / (n + erlangs * blocked)
    return blocked


def erlang_c(erlangs: float, agents: int) -> float | None:
    """Return the share of callers who must wait, where nobody leaves.

    None from one erlang per agent on: the line grows without end, and the formula has no answer.
    """
    if erlangs >= agents:
        return None if erlangs > 0 else 0.0
    blocked = erlang_b(erlangs, agents)
    return agents * blocked / (agents - erlangs * (1 - blocked))


def patient(load: Load, agents: int, *, within: float) -> Expected | None:
    """Return what Erlang C expects: every caller waits until served. None in overload."""
    must_wait = erlang_c(load.erlangs, agents)
    if must_wait is None:
        return None
    if not load.erlangs:
        return Expected(0.0, 1.0, 0.0, 0.0, 0.0)
    spare = agents - load.erlangs
    return Expected(
        must_wait=must_wait,
        service_level=1 - must_wait * math.exp(-spare * within / load.handle_time),
        mean_wait=must_wait * load.handle_time / spare,
        abandoned=0.0,
        occupancy=load.erlangs / agents,
    )


@lru_cache(maxsize=20_000)
def impatient(load: Load, agents: int, *, patience: float, within: float) -> Expected:
    """Return what Erlang A expects: callers leave after a time of mean `patience` (M/M/N+M).

    It has an answer for every load, also in overload. The states are a birth-and-death chain: with
    k calls there, one ends at the rate k/handle_time up to k = agents, and above that callers leave
    too, each at 1/patience.
    """
    if not patience > 0:
        raise ValueError("Patience is a time.")
    if not load.erlangs:
        return Expected(0.0, 1.0, 0.0, 0.0, 0.0)
    if not agents:  # nobody is ever served: all leave
        return Expected(1.0, 0.0, patience, 1.0, 0.0)
    blocked = erlang_b(load.erlangs, agents)
    if blocked < _NEGLIGIBLE**4:
        return Expected(0.0, 1.0, 0.0, 0.0, load.erlangs / agents)
    # Weights are those of the states, the one in which all agents are busy and nobody waits being
    # 1; all of them times exp(-scale), so that the greatest is about 1.
    scale = _highest(load, agents, patience)
    below, waiting, line = (1 / blocked - 1) * math.exp(-scale), math.exp(-scale), 0.0
    for length, weight in _line(load, agents, patience, scale):
        waiting += weight
        line += length * weight
    total = below + waiting
    mean_wait = line / total / load.rate
    abandoned = min(mean_wait / patience, 1.0)
    in_time = below + _served_after_a_wait(load, agents, patience, within, scale)
    return Expected(
        must_wait=waiting / total,
        service_level=min(in_time / total, 1.0),
        mean_wait=mean_wait,
        abandoned=abandoned,
        occupancy=min(load.erlangs * (1 - abandoned) / agents, 1.0),
    )


def _highest(load: Load, agents: int, patience: float) -> float:
    """Return the logarithm of the greatest weight of a state, roughly."""
    crowd = load.rate * load.handle_time / agents
    if crowd <= 1:
        return 0.0
    peak = patience * math.log(crowd)
    return load.rate * patience * (1 - 1 / crowd) - agents * peak / load.handle_time


def _line(load: Load, agents: int, patience: float, scale: float) -> Iterator[tuple[int, float]]:
    """Yield how many wait, from 1 on, and that state's weight, until no more is to come of it."""
    leaving = load.handle_time / patience
    logarithm, total, length = -scale, 0.0, 0
    while True:
        length += 1
        step = load.erlangs / (agents + length * leaving)
        logarithm += math.log(step)
        weight = math.exp(logarithm)
        total += weight
        yield length, weight
        if step < 1 and weight * length <= _NEGLIGIBLE * total * (1 - step):
            return


def _served_after_a_wait(
    load: Load, agents: int, patience: float, within: float, scale: float
) -> float:
    """Return the weight of callers who wait, and are served within this time.

    The time that a caller with endless patience would wait has the density (Zeltyn and Mandelbaum
    2005) p(agents - 1) * rate * exp(rate * H(x) - agents * x / handle_time), where H(x) is the
    integral of exp(-u/patience) up to x; times exp(-x/patience), who has not left by then.
    """
    freed, leaving = agents / load.handle_time, 1 / patience

    def exponent(x: float) -> float:
        return -load.rate * patience * math.expm1(-x * leaving) - (freed + leaving) * x - scale

    steepest = max(
        abs(load.rate - freed - leaving),
        abs(load.rate * math.exp(-within * leaving) - freed - leaving),
    )
    return freed * _integral(exponent, within, steepest)


def _integral(exponent: Callable[[float], float], end: float, steepest: float) -> float:
    """Return the integral of exp(exponent) from 0 to `end`, the exponent being concave.

    Each piece is so short that the exponent changes by 4 or less in it, which eight points take
    exactly to 9 digits; it ends where nothing more is added.
    """
    pieces = max(1, math.ceil(end * steepest / 4))
    half = end / pieces / 2
    total, highest = 0.0, -math.inf
    for piece in range(pieces):
        middle = (2 * piece + 1) * half
        for point, weight in _POINTS:
            for x in (middle - point * half, middle + point * half):
                total += weight * half * math.exp(exponent(x))
        here = exponent(middle)
        highest = max(highest, here)
        if here < highest - _FALL:
            break
    return total


def needed(
    expected: Callable[[int], Expected | None], target: Target, *, near: int = 1
) -> int | None:
    """Return the fewest agents with whom the target is met; None where MOST_AGENTS are too few.

    `expected` tells what so many agents come to; more of them must never make it worse. The search
    begins `near`, and strides ever further from there.
    """
    least, most, stride = near - 1, near, 1  # too few, and enough
    while not target.is_met(expected(most)):
        least, most, stride = most, most + stride, stride * 2
        if most > MOST_AGENTS:
            return None
    while least >= 0 and target.is_met(expected(least)):
        least, most, stride = least - stride, least, stride * 2
    least = max(least, -1)
    while most - least > 1:
        middle = (least + most) // 2
        if target.is_met(expected(middle)):
            most = middle
        else:
            least = middle
    return most


def rostered(agents: int, shrinkage: float) -> int:
    """Return how many must be on the roster where this share of paid time is not spent on calls."""
    if not 0 <= shrinkage < 1:
        raise ValueError("Shrinkage is a share below 1.")
    return math.ceil(round(agents / (1 - shrinkage), 9))
