"""Faults: every webhook that goes out and every REST answer passes here first.

A fault is `{"kind": …, "probability": 0..1, …}`. Each chance is drawn from the seed, the place of
the rule, and what is at stake: which leg (its kind, its party, and the how-manieth of these), what
about it, and the how-manieth time. So a run with the same seed fails in the same places, however
the threads of the call centre run.

| kind | fields | effect |
|---|---|---|
| `repeat` | `edge`, `times`, `seconds` | it is sent `times` more, at once or so much later |
| `drop` | `edge` | the webhook is not sent |
| `delay` | `edge`, `seconds` | the webhook is held back that long |
| `reorder` | `edge`, `seconds` | held back by up to that: events overtake each other |
| `lose_reply` | `edge` | it arrives, and its reply does not |
| `astray` | | a room's event goes to the URL that another leg gave for the room |
| `rest_error` | `route`, `status`, and see below | a REST request is answered so |
| `late_list`, `late_get` | `seconds` | a new leg is not in the list, or 404, for that long |
| `list_twice`, `list_loop` | | the list has each row twice; its cursor leads back to its own page |
| `list_endless` | | the list's last page has a cursor too, and so on for ever |
| `list_bad_cursor` | | the list's cursor is an object |
| `list_garbage` | | among the list's rows are things that are no records |
| `list_nonsense` | | the list's rows tell impossible times and durations |

A `rest_error` has a `Retry-After` if `retry_after` is given; with `after` the request takes effect
all the same. Status 0 answers nothing, waits `seconds` and cuts the connection. `not_json` answers
a page of HTML; its `status` may be 200.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from simulator.config import ConfigError

_EDGE: dict[str, Any] = {"edge": "*", "probability": 1.0}
_FIELDS: dict[str, dict[str, Any]] = {
    "repeat": {**_EDGE, "times": 1, "seconds": 0.0},
    "drop": _EDGE,
    "delay": {**_EDGE, "seconds": 1.0},
    "reorder": {**_EDGE, "seconds": 1.0},
    "lose_reply": _EDGE,
    "astray": {"probability": 1.0},
    "rest_error": {
        "route": "*",
        "probability": 1.0,
        "status": 503,
        "after": False,
        "seconds": 30.0,
        "retry_after": None,
        "not_json": False,
    },
    "late_list": {"probability": 1.0, "seconds": 5.0},
    "late_get": {"probability": 1.0, "seconds": 5.0},
    "list_twice": {"probability": 1.0},
    "list_loop": {"probability": 1.0},
    "list_endless": {"probability": 1.0},
    "list_bad_cursor": {"probability": 1.0},
    "list_garbage": {"probability": 1.0},
    "list_nonsense": {"probability": 1.0},
}


@dataclass(slots=True)
class Delivery:
    """What becomes of one outgoing webhook; all times in seconds."""

    copies: int = 1
    spacing: float = 0.0  # between one copy and the next
    delay: float = 0.0
    dropped: bool = False
    reply_lost: bool = False

    @property
    def injected(self) -> list[str]:
        """The kinds of fault in it."""
        told = {
            "drop": self.dropped,
            "repeat": self.copies > 1,
            "delay": self.delay > 0,
            "lose_reply": self.reply_lost,
        }
        return [kind for kind, is_so in told.items() if is_so]


@dataclass(frozen=True, slots=True)
class RestError:
    """What a REST request is answered instead; status 0 is a cut connection after `seconds`."""

    status: int
    after: bool  # the request took effect before its answer was lost
    seconds: float
    retry_after: float | None = None
    not_json: bool = False


class Faults:
    """Draws the faults of a run. `*` and `?` in `edge` and `route` match as in file names."""

    def __init__(self, rules: list[dict[str, Any]], seed: int) -> None:
        self._rules = [self._read(rule) for rule in rules]
        self._seed = seed
        self._turns: Counter[tuple[int, str]] = Counter()

    @staticmethod
    def _read(rule: Any) -> dict[str, Any]:
        kind = rule.get("kind") if isinstance(rule, dict) else None
        if kind not in _FIELDS:
            raise ConfigError(f"a fault's kind is one of {', '.join(_FIELDS)}: {rule!r}")
        defaults = _FIELDS[kind]
        if unknown := set(rule) - set(defaults) - {"kind"}:
            raise ConfigError(f"unknown in a {kind} fault: {', '.join(sorted(unknown))}")
        for name, value in rule.items():
            if name != "kind" and not _fits(value, defaults[name]):
                raise ConfigError(f"{name} of a {kind} fault cannot be {value!r}")
        return {**defaults, **rule}

    def _draw(self, place: int, what: str) -> random.Random:
        """The chances of the rule at `place` in the next turn of `what`."""
        turn = self._turns[place, what] = self._turns[place, what] + 1
        return random.Random(f"{self._seed} {place} {what} {turn}")

    def _hits(
        self, kind: str, subject: str, field: str = "", name: str = ""
    ) -> list[tuple[dict[str, Any], random.Random]]:
        hits = []
        for place, rule in enumerate(self._rules):
            if rule["kind"] == kind and (not field or fnmatchcase(name, rule[field])):
                draw = self._draw(place, f"{kind} {name} {subject}")
                if draw.random() < rule["probability"]:
                    hits.append((rule, draw))
        return hits

    def outgoing(self, edge: str, subject: str = "") -> Delivery:
        """The fate of one webhook of this edge kind about the leg called `subject`."""
        delivery = Delivery()
        if not self._rules:
            return delivery
        delivery.dropped = bool(self._hits("drop", subject, "edge", edge))
        delivery.reply_lost = bool(self._hits("lose_reply", subject, "edge", edge))
        for rule, _ in self._hits("delay", subject, "edge", edge):
            delivery.delay += rule["seconds"]
        for rule, draw in self._hits("reorder", subject, "edge", edge):
            delivery.delay += draw.uniform(0, rule["seconds"])
        for rule, _ in self._hits("repeat", subject, "edge", edge):
            delivery.copies += rule["times"]
            delivery.spacing = max(delivery.spacing, rule["seconds"])
        return delivery

    def answering(self, route: str, subject: str = "") -> RestError | None:
        """The fate of one REST request; `route` reads `POST /v1/calls`."""
        for rule, _ in self._hits("rest_error", subject, "route", route):
            return RestError(
                rule["status"], rule["after"], rule["seconds"], rule["retry_after"],
                rule["not_json"],
            )  # fmt: skip
        return None

    def lateness(self, kind: str, subject: str) -> float:
        """By how many seconds a new leg is `late_list` or `late_get`."""
        return sum((rule["seconds"] for rule, _ in self._hits(kind, subject)), start=0.0)

    def strikes(self, kind: str, subject: str = "") -> bool:
        """Whether a fault without any measure happens: `astray`, and those of the list."""
        return bool(self._hits(kind, subject))


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool | str):
        return type(value) is type(default)
    if value is None:
        return default is None
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
