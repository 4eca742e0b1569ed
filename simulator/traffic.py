"""Made-up callers for the demo: Poisson arrivals from believable Kenyan numbers."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from simulator.config import ConfigError
from simulator.exchange import Exchange
from simulator.phones import Behaviour, presses

PROMPTS = 4  # getDigits prompts that a made-up caller answers
WITHHELD = "anonymous"


@dataclass(frozen=True, slots=True)
class Plan:
    """How the callers come and behave; ranges are drawn evenly, seconds are phone time."""

    per_minute: float
    to: tuple[str, ...]
    patience: tuple[float, float] | None = (40, 150)
    talk: tuple[float, float] | None = (20, 90)
    digits: tuple[str, ...] = ()
    withheld: float = 0.05  # share of callers without a number

    @classmethod
    def from_json(cls, value: dict[str, Any], known_numbers: set[str]) -> Plan:
        """Read a plan; ConfigError when it cannot be carried out."""
        known = {"per_minute", "to", "patience", "talk", "digits", "withheld"}
        if unknown := set(value) - known:
            raise ConfigError(f"unknown in traffic: {', '.join(sorted(unknown))}")
        to = value.get("to") or sorted(known_numbers)
        to = (to,) if isinstance(to, str) else tuple(to)
        if not to or not set(to) <= known_numbers:
            raise ConfigError(f"traffic goes to numbers of the workspace: {to!r}")
        per_minute = value.get("per_minute", 8)
        if not isinstance(per_minute, int | float) or per_minute < 0:
            raise ConfigError(f"per_minute cannot be {per_minute!r}")
        digits = tuple(value.get("digits") or ())
        presses(digits)
        return cls(
            per_minute=float(per_minute),
            to=to,
            patience=_range(value, "patience", (40, 150)),
            talk=_range(value, "talk", (20, 90)),
            digits=digits,
            withheld=float(value.get("withheld", 0.05)),
        )


def _range(
    value: dict[str, Any], name: str, default: tuple[float, float]
) -> tuple[float, float] | None:
    pair = value.get(name, default)
    if pair is None:
        return None
    if isinstance(pair, int | float):
        pair = (pair, pair)
    if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
        raise ConfigError(f"{name} is [least, most] seconds: {pair!r}")
    return float(pair[0]), float(pair[1])


class Traffic:
    """At most one running plan; the same seed gives the same callers in the same order."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._random = random.Random(f"traffic-{exchange.config.seed}")
        self._task: asyncio.Task[None] | None = None
        self.placed = 0

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, plan: Plan) -> None:
        self.stop()
        if plan.per_minute:
            self._task = asyncio.get_running_loop().create_task(self._run(plan))

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += self._random.expovariate(plan.per_minute / 60)
            await asyncio.sleep(due - loop.time())
            self._place(plan)

    def _place(self, plan: Plan) -> None:
        draw = self._random
        to, caller = draw.choice(plan.to), self._caller(plan.withheld)
        behaviour = Behaviour(
            patience=draw.uniform(*plan.patience) if plan.patience else None,
            talk=draw.uniform(*plan.talk) if plan.talk else None,
            digits=presses(
                [
                    {"keys": draw.choice(plan.digits), "after": draw.uniform(0.5, 3)}
                    for _ in range(PROMPTS)
                ]
                if plan.digits
                else None
            ),
        )
        number = self._exchange.config.number(to)
        if number is not None:
            self._exchange.place_inbound(number, caller, behaviour)
            self.placed += 1

    def _caller(self, withheld: float) -> str:
        """A Kenyan mobile number: 07xx or 01xx without the leading nought, after +254."""
        if self._random.random() < withheld:
            return WITHHELD
        prefix = self._random.choice(("70", "71", "72", "74", "79", "75", "76", "11"))
        return f"+254{prefix}{self._random.randrange(10**7):07d}"
