"""Faults: every webhook that goes out and every REST answer passes here first.

A fault is `{"kind": …, "probability": 0..1, …}`; chances are drawn from one seeded generator, so
that a run with the same seed and the same order of calls fails in the same places.

| kind | fields | effect |
|---|---|---|
| `repeat` | `edge`, `times` | the webhook is sent `times` more |
| `drop` | `edge` | the webhook is not sent |
| `delay` | `edge`, `seconds` | the webhook is held back that long |
| `rest_error` | `route`, `status`, `after`, `seconds` | a REST request is answered with `status` |

With `after` a refused REST request takes effect all the same; status 0 answers nothing, waits
`seconds` and cuts the connection.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from simulator.config import ConfigError

_FIELDS: dict[str, dict[str, Any]] = {
    "repeat": {"edge": "*", "probability": 1.0, "times": 1},
    "drop": {"edge": "*", "probability": 1.0},
    "delay": {"edge": "*", "probability": 1.0, "seconds": 1.0},
    "rest_error": {
        "route": "*",
        "probability": 1.0,
        "status": 503,
        "after": False,
        "seconds": 30.0,
    },
}


@dataclass(slots=True)
class Delivery:
    """What becomes of one outgoing webhook."""

    copies: int = 1
    delay: float = 0.0
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class RestError:
    """What a REST request is answered instead; status 0 is a cut connection after `seconds`."""

    status: int
    after: bool  # the request took effect before its answer was lost
    seconds: float


class Faults:
    """Draws the faults of a run. `*` and `?` in `edge` and `route` match as in file names."""

    def __init__(self, rules: list[dict[str, Any]], seed: int) -> None:
        self._rules = [self._read(rule) for rule in rules]
        self._random = random.Random(f"faults-{seed}")

    @staticmethod
    def _read(rule: Any) -> dict[str, Any]:
        kind = rule.get("kind") if isinstance(rule, dict) else None
        if kind not in _FIELDS:
            raise ConfigError(f"a fault's kind is one of {', '.join(_FIELDS)}: {rule!r}")
        defaults = _FIELDS[kind]
        if unknown := set(rule) - set(defaults) - {"kind"}:
            raise ConfigError(f"unknown in a {kind} fault: {', '.join(sorted(unknown))}")
        return {**defaults, **rule}

    def _hits(self, kind: str, field: str, name: str) -> list[dict[str, Any]]:
        return [
            rule
            for rule in self._rules
            if rule["kind"] == kind
            and fnmatchcase(name, rule[field])
            and self._random.random() < rule["probability"]
        ]

    def outgoing(self, edge: str) -> Delivery:
        """The fate of one webhook of this edge kind."""
        delivery = Delivery()
        if not self._rules:
            return delivery
        delivery.dropped = bool(self._hits("drop", "edge", edge))
        delivery.delay = sum(rule["seconds"] for rule in self._hits("delay", "edge", edge))
        delivery.copies += sum(rule["times"] for rule in self._hits("repeat", "edge", edge))
        return delivery

    def answering(self, route: str) -> RestError | None:
        """The fate of one REST request; `route` reads `POST /v1/calls`."""
        if not self._rules:
            return None
        for rule in self._hits("rest_error", "route", route):
            return RestError(rule["status"], rule["after"], rule["seconds"])
        return None
