"""Definitions of figures as data: each is made of named counts, and says whose it is.

A report's number names its definition and version. Where a formula changes, its version goes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SHARE, SECONDS, MONEY = "share", "seconds", "money"
Word = str | Promise


@dataclass(frozen=True)
class Definition:
    """A figure: one sum of counts over another; a count with “-” before it is taken off."""

    key: str
    name: Word
    version: int
    formula: Word
    source: Word
    numerator: tuple[str, ...]
    denominator: tuple[str, ...]
    unit: str = SHARE
    group: str = ""


_OURS = _("This call centre")
_T = _("T: the queue's service level in seconds. s: its short-abandon seconds.")

SERVICE_LEVELS = (
    Definition(
        "service_level", _("Service level"), 1,
        _("answered within T / (offered - abandoned before s)"), _OURS,
        ("in_time",), ("offered", "-short_abandons"), group="service_level",
    ),
    Definition(
        "sl_amazon", "Amazon Connect: SL X", 1,
        _("(answered + abandoned within T) / offered; callbacks asked for within T would count"),
        "Amazon Connect Administrator Guide, Historical metrics definitions",
        ("in_time", "abandoned_in_time"), ("offered",), group="service_level",
    ),
    Definition(
        "sl_genesys", "Genesys Cloud", 1,
        _("(answered - answered late) / (answered + abandoned)"),
        "Genesys Cloud Resource Center, Service level calculation",
        ("answered", "-late"), ("answered", "abandoned"), group="service_level",
    ),
    Definition(
        "sl_genesys_short", _("Genesys Cloud, without short abandons"), 1,
        _("(answered - answered late) / (answered + abandoned - abandoned before s)"),
        "Genesys Cloud Resource Center, Service level calculation",
        ("answered", "-late"), ("answered", "abandoned", "-short_abandons"),
        group="service_level",
    ),
    Definition(
        "sl_genesys_flow_outs", _("Genesys Cloud, with flow-outs"), 1,
        _("(answered - answered late) / (answered + abandoned + flow-outs)"),
        "Genesys Cloud Resource Center, Service level calculation",
        ("answered", "-late"), ("answered", "abandoned", "overflowed"), group="service_level",
    ),
    Definition(
        "sl_asterisk", "Asterisk: SL", 1, _("answered within T / answered"),
        "Asterisk, app_queue, ServicelevelPerf",
        ("in_time",), ("answered",), group="service_level",
    ),
    Definition(
        "sl_asterisk_2", "Asterisk: SL2", 1,
        _("(answered + abandoned within T) / (answered + abandoned)"),
        "Asterisk, app_queue, ServicelevelPerf2",
        ("in_time", "abandoned_in_time"), ("answered", "abandoned"), group="service_level",
    ),
    Definition(
        "sl_plain", _("Plain"), 1, _("answered within T / (answered + abandoned)"),
        _("In general use"), ("in_time",), ("answered", "abandoned"), group="service_level",
    ),
)  # fmt: skip

OTHERS = (
    Definition(
        "asa", _("Average speed of answer (ASA)"), 1,
        _("waits of answered calls, ringing included / answered"), _OURS,
        ("answered_wait",), ("answered",), SECONDS,
    ),
    Definition(
        "aht", _("Average handle time (AHT)"), 1, _("(talk + hold + wrap-up) / answered"), _OURS,
        ("talk", "hold", "wrap_up"), ("answered",), SECONDS,
    ),
    Definition(
        "abandon_rate", _("Abandon rate"), 1,
        _("(abandoned - abandoned before s) / (offered - abandoned before s)"), _OURS,
        ("abandoned", "-short_abandons"), ("offered", "-short_abandons"),
    ),
    Definition(
        "abandon_rate_amazon", "Amazon Connect: abandonment rate", 1, _("abandoned / offered"),
        "Amazon Connect Administrator Guide, Historical metrics definitions",
        ("abandoned",), ("offered",),
    ),
    Definition(
        "occupancy", _("Occupancy"), 1,
        _("(on a call + wrap-up) / (that + available and idle), of an agent's time"), _OURS,
        ("on_call", "wrap_up"), ("on_call", "wrap_up", "available_idle"),
    ),
    Definition(
        "utilisation", _("Utilisation"), 1, _("(on a call + wrap-up) / paid time"), _OURS,
        ("on_call", "wrap_up"), ("paid",),
    ),
    Definition(
        "acceptance", _("Offer acceptance"), 1, _("offers accepted / offers"), _OURS,
        ("accepted",), ("offers",),
    ),
    Definition(
        "rona", _("Ring, no answer (RONA)"), 1,
        _("offers that the agent did not take / offers"), _OURS, ("rona_total",), ("offers",),
    ),
    Definition(
        "fcr", _("First-call resolution, by number"), 1,
        _("answered, and no further call of that number within 7 days / answered, of callers "
          "with a number whose 7 days are over"), _OURS, ("resolved",), ("settled",),
    ),
    Definition(
        "repeat_callers", _("Repeat callers"), 1,
        _("numbers that called more than once / numbers that called"), _OURS,
        ("repeat_numbers",), ("numbers",),
    ),
    Definition(
        "cost_per_call", _("Cost per call"), 1,
        _("what the provider charged so far / calls that arrived"), _OURS,
        ("cost",), ("arrived",), MONEY,
    ),
)  # fmt: skip

ALL = {each.key: each for each in (*SERVICE_LEVELS, *OTHERS)}


def sum_of(names: Iterable[str], counts: Mapping[str, Any]) -> Any:
    """Add counts up; those with “-” before them are taken off. A missing one is None."""
    total: Any = 0
    for name in names:
        part = counts.get(name.removeprefix("-"))
        if part is None:
            return None
        total += -part if name.startswith("-") else part
    return total


def value(definition: Definition, counts: Mapping[str, Any]) -> float | None:
    """Return the figure, or None where there is nothing to divide by."""
    above = sum_of(definition.numerator, counts)
    below = sum_of(definition.denominator, counts)
    if above is None or not below or below < 0:
        return None
    return round(float(above) / float(below), 4 if definition.unit == SHARE else 3)


def evaluate(chosen: Iterable[Definition], counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each definition with what it divides, and its value."""
    return [
        {
            "definition": each,
            "numerator": sum_of(each.numerator, counts),
            "denominator": sum_of(each.denominator, counts),
            "value": value(each, counts),
        }
        for each in chosen
    ]
