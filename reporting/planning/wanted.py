"""What a plan is asked for: the what-if numbers, read kindly from what was typed.

A number that cannot be meant is replaced by the nearest sensible one, or by its default, with a
sentence at its field. Shares are typed in percent and times in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from queues.models import Queue
from reporting import typed
from reporting.planning import forecast
from reporting.planning.erlang import Target

ASSUMED = {"handle_time": 180, "patience": 120, "shrinkage": 30, "occupancy": 90}
PERCENT, SECONDS = gettext_lazy("%"), gettext_lazy("seconds")
MODELS = {"a": gettext_lazy("Erlang A: callers may leave"), "c": gettext_lazy("Erlang C: all wait")}
METHODS = {
    "auto": gettext_lazy("whichever was least wrong"),
    "mean": gettext_lazy("mean"),
    "weighted": gettext_lazy("mean, newer weeks count more"),
    "median": gettext_lazy("median"),
    "last_week": gettext_lazy("as last week"),
}


@dataclass(frozen=True)
class Field:
    """A number that may be asked for; with a slider unless `is_rare`."""

    name: str
    label: str | Promise
    least: int
    most: int
    step: int = 1
    unit: str | Promise = ""
    help: str | Promise = ""
    is_rare: bool = False


FIELDS = {
    field.name: field
    for field in (
        Field("share", gettext_lazy("Answered in time"), 1, 99, 1, PERCENT),
        Field("within", gettext_lazy("In time is within"), 1, 300, 1, SECONDS),
        Field("handle_time", gettext_lazy("Handling time (AHT)"), 10, 1800, 5, SECONDS),
        Field("patience", gettext_lazy("Patience of callers"), 5, 1800, 5, SECONDS),
        Field("occupancy", gettext_lazy("Agents busy at most"), 30, 100, 1, PERCENT),
        Field("shrinkage", gettext_lazy("Shrinkage"), 0, 70, 1, PERCENT,
              gettext_lazy("Paid time away from calls: breaks, training, illness, leave.")),
        Field("growth", gettext_lazy("More calls than foretold"), -90, 300, 5, PERCENT),
        Field("wait", gettext_lazy("Mean wait at most"), 1, 1800, 1, SECONDS,
              gettext_lazy("Empty: as it comes."), is_rare=True),
        Field("agents", gettext_lazy("Agents at work now"), 0, 2000, 1, "",
              gettext_lazy("Empty: as many as were at work in the last weeks."), is_rare=True),
        Field("weeks", gettext_lazy("Weeks looked back"), 1, forecast.MOST_WEEKS, 1, "",
              is_rare=True),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """The numbers that a plan is made with, and what was typed that is not among them.

    `problems` has a sentence by field.
    """

    values: dict[str, float | None]
    typed: dict[str, str]
    model: str
    method: str
    problems: dict[str, str]

    def number(self, name: str) -> float:
        """Return a number that is never empty."""
        return self.values[name] or 0.0

    def target(self) -> Target:
        """Return what is to hold."""
        return Target(
            share=self.number("share") / 100,
            within=self.number("within"),
            wait=self.values["wait"],
            occupancy=self.number("occupancy") / 100,
        )


def queue_of(params: Mapping[str, Any], queues: list[Queue]) -> tuple[Queue | None, str]:
    """Return the queue that is meant, else the first; and a sentence where it is not as typed."""
    raw = typed.printable(str(params.get("queue") or ""))
    by_slug = {queue.slug: queue for queue in queues}
    first = queues[0] if queues else None
    if not raw or raw in by_slug:
        return by_slug.get(raw, first), ""
    slug, _name = typed.nearest(raw, ((queue.slug, queue.name) for queue in queues))
    found = by_slug.get(slug, first) if slug else first
    told = _("There is no queue “{typed}”.").format(typed=raw[:50])
    return found, f"{told} {_('{queue} is shown.').format(queue=found)}" if found else told


def weeks(params: Mapping[str, Any]) -> tuple[int, str]:
    """Return how many weeks to look back; the past is read before all else is known."""
    found, problem = _number(params, FIELDS["weeks"], forecast.WEEKS)
    return int(found or forecast.WEEKS), problem


def read(params: Mapping[str, Any], defaults: Mapping[str, float | None]) -> Wanted:
    """Read every number; an empty one takes its default."""
    problems: dict[str, str] = {}
    values: dict[str, float | None] = {}
    for name, field in FIELDS.items():
        values[name], problem = _number(params, field, defaults.get(name))
        if problem:
            problems[name] = problem
    return Wanted(
        values,
        {name: typed.printable(str(params.get(name) or "")) for name in FIELDS},
        _choice(params, "model", MODELS, problems),
        _choice(params, "method", METHODS, problems),
        problems,
    )


def _number(
    params: Mapping[str, Any], field: Field, default: float | None
) -> tuple[float | None, str]:
    raw = typed.printable(str(params.get(field.name) or "")).strip().removesuffix("%").strip()
    if not raw:
        return default, ""
    try:
        number = float(raw.replace(",", "."))
    except ValueError:
        number = math.nan
    if math.isnan(number):
        return default, _("“{typed}” is no number.").format(typed=raw[:30])
    taken = min(max(number, field.least), field.most)
    if taken != number:
        told = _("From {least} to {most}; {taken} is taken.")
        return taken, told.format(least=field.least, most=field.most, taken=f"{taken:g}")
    if field.name in {"agents", "weeks"} and not number.is_integer():
        taken = float(round(number))
        return taken, _("A whole number; {taken} is taken.").format(taken=f"{taken:g}")
    return number, ""


def _choice(
    params: Mapping[str, Any], name: str, choices: Mapping[str, Any], problems: dict[str, str]
) -> str:
    first = next(iter(choices))
    raw = typed.printable(str(params.get(name) or ""))
    if raw and raw not in choices:
        told = _("Choose one of {choices}.")
        problems[name] = told.format(choices=", ".join(choices))
    return raw if raw in choices else first
