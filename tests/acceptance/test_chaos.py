"""Everything that the provider may do wrong, with many callers at once: nobody is lost.

Each run is repeated by its seed, which a failure names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.acceptance.centre import Centre
from tests.acceptance.storm import Storm, Tolerance

EVENTS = ("event", "status", "conference")
VOICE = ("ringing", "answered", "digits", "redirect", "dial_completed", "completed")
CALLS = "/v1/calls"


def each(kind: str, edges: tuple[str, ...], **values: Any) -> list[dict[str, Any]]:
    return [{"kind": kind, "edge": edge, **values} for edge in edges]


def rest(route: str, status: int, probability: float, **values: Any) -> dict[str, Any]:
    return {
        "kind": "rest_error", "route": route, "status": status, "probability": probability, **values
    }  # fmt: skip


@dataclass(frozen=True)
class Weather:
    """One sort of trouble, and by how much the books may differ because of it."""

    faults: list[dict[str, Any]]
    tolerance: Tolerance = field(default_factory=Tolerance)
    switches: dict[str, Any] = field(default_factory=dict)


REPEATED = each("repeat", (*VOICE, *EVENTS), times=2)
DROPPED = each("drop", EVENTS, probability=0.2)
NO_COMPLETED = each("drop", ("completed",))
REORDERED = each("reorder", EVENTS, seconds=1.5)
LATE = each("delay", EVENTS, seconds=2.5)
ASTRAY = [{"kind": "astray", "probability": 0.5}]
FAILS_BEFORE = [
    rest(f"* {CALLS}*", 500, 0.1),
    rest(f"* {CALLS}*", 503, 0.1, retry_after=1),
    rest(f"* {CALLS}*", 429, 0.1, retry_after=1),
    rest(f"* {CALLS}*", 429, 0.1),
]
FAILS_AFTER = [
    rest(f"POST {CALLS}*", 500, 0.2, after=True),
    rest(f"POST {CALLS}*", 503, 0.2, after=True),
]
CUT = [
    rest(f"* {CALLS}*", 0, 0.15, seconds=1),
    rest(f"POST {CALLS}*", 0, 0.3, seconds=1, after=True),
]
TIMES_OUT = [
    rest(f"* {CALLS}*", 0, 0.1, seconds=9),
    rest(f"POST {CALLS}*", 0, 0.1, seconds=9, after=True),
]
NOT_JSON = [
    rest(f"* {CALLS}*", 200, 0.15, not_json=True, after=True),
    rest(f"* {CALLS}*", 502, 0.15, not_json=True),
]
NO_FUNDS = [rest(f"POST {CALLS}", 402, 0.03)]
LATE_RECORDS = [
    {"kind": "late_list", "probability": 0.5, "seconds": 5},
    {"kind": "late_get", "probability": 0.5, "seconds": 4},
]
ODD_LISTS = [{"kind": "list_twice", "probability": 0.5}, {"kind": "list_loop", "probability": 0.5}]
LOST_REPLIES = each("lose_reply", (*VOICE, "event"), probability=0.3)
RETRIED = {"voice_retry_seconds": [0.3] * 10}
LOSSES = Tolerance(brief=1.1)
PERHAPS_PLACED = Tolerance(
    brief=1.1, settled=90
)  # a leg that no list shows is looked for during a minute
OVERTAKEN = Tolerance(news=1.5, brief=1.1)
A_HUNDRED = {"callers": 100, "seconds": 45, "clicks": 10, "teams": 2}

WEATHERS = {
    "all is fair": Weather([]),
    "each webhook comes three times": Weather(REPEATED),
    "events overtake each other": Weather(REORDERED, OVERTAKEN),
    "a fifth of the events is lost": Weather(DROPPED, LOSSES),
    "no Completed comes": Weather(NO_COMPLETED),
    "events are late": Weather(LATE, Tolerance(news=2.5, brief=1.1)),
    "room events go astray": Weather(ASTRAY),
    "REST fails": Weather(FAILS_BEFORE, PERHAPS_PLACED),
    "REST fails when it has placed the call": Weather(FAILS_AFTER, PERHAPS_PLACED),
    "REST connections are cut": Weather(CUT, PERHAPS_PLACED),
    "REST times out": Weather(TIMES_OUT, PERHAPS_PLACED),
    "REST answers are no JSON": Weather(NOT_JSON, PERHAPS_PLACED),
    "the wallet is empty at times": Weather(NO_FUNDS),
    "records are late": Weather(LATE_RECORDS),
    "lists repeat themselves": Weather(ODD_LISTS),
    "replies are lost": Weather(LOST_REPLIES, switches=RETRIED),
}
WEBHOOKS = [
    *each("repeat", (*VOICE, *EVENTS), times=2, probability=0.3),
    *each("repeat", EVENTS, times=1, seconds=1.5, probability=0.3),
    *REORDERED,
    *ASTRAY,
]
LOST = [*DROPPED, *each("drop", ("completed",), probability=0.5)]
REST = [
    rest(f"* {CALLS}*", 503, 0.1),
    rest(f"* {CALLS}*", 429, 0.05, retry_after=1),
    rest(f"POST {CALLS}*", 500, 0.15, after=True),
    rest(f"POST {CALLS}", 0, 0.1, seconds=1, after=True),
    rest(f"* {CALLS}*", 200, 0.05, not_json=True, after=True),
    *LATE_RECORDS,
    *ODD_LISTS,
]
EVERYTHING = [*WEBHOOKS, *LOST, *REST, *each("lose_reply", VOICE, probability=0.1)]
MIXED = {
    "webhooks come often, late and at the wrong place": Weather(WEBHOOKS, OVERTAKEN),
    "webhooks are lost": Weather(LOST, LOSSES),
    # A leg whose answer is lost is found in the list, when that has it, and then hung up.
    "REST can not be relied on": Weather(REST, replace(PERHAPS_PLACED, too_long=9.0)),
    "everything goes wrong": Weather(
        EVERYTHING, Tolerance(news=1.5, brief=1.1, settled=90, too_long=9.0), RETRIED
    ),
}


def blow(centre: Centre, weather: Weather, seed: int, **size: int) -> None:
    """Have a storm in this weather, and reckon."""
    storm = Storm(centre, seed, tolerance=weather.tolerance, **size)
    storm.rage(*weather.faults, **weather.switches)


@pytest.mark.parametrize("name", list(MIXED)[2:3])
def test_nobody_is_lost_when(centre: Centre, name: str):
    blow(centre, MIXED[name], 11 + list(MIXED).index(name))


@pytest.mark.long
@pytest.mark.parametrize("name", WEATHERS)
def test_of_a_hundred_callers_nobody_is_lost_when(centre: Centre, name: str):
    blow(centre, WEATHERS[name], 31 + list(WEATHERS).index(name), **A_HUNDRED)


@pytest.mark.long
@pytest.mark.parametrize("seed", [61, 62, 63])
@pytest.mark.parametrize("name", MIXED)
def test_with_any_seed_nobody_is_lost_when(centre: Centre, name: str, seed: int):
    blow(centre, MIXED[name], seed, **A_HUNDRED)
