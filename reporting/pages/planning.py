"""`/reports/planning/`: how many agents next week needs, with numbers to play with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from queues.models import Queue
from reporting import amounts
from reporting.figures import asked as asking
from reporting.planning import forecast, plan, wanted
from reporting.planning.plan import Plan, Slot
from reporting.views import supervisors_only

HEATS = 5
_FEW = 0.05  # calls: less is written as 0.0


@dataclass(frozen=True)
class View:
    """One figure of every half hour as a table; `is_low` marks what misses the target."""

    title: str | Promise
    value: Callable[[Slot], float | None]
    write: Callable[[float], str]
    of_present: bool = False  # a figure of the agents who are at work as things are
    most: float | None = None  # what is darkest; None: the greatest there is


def _expected(name: str) -> Callable[[Slot], float | None]:
    return lambda slot: getattr(slot.expected, name) if slot.expected else None


VIEWS = {
    "rostered": View(gettext_lazy("Agents on the roster"), lambda s: s.rostered, "{:.0f}".format),
    "needed": View(gettext_lazy("Agents at work"), lambda s: s.needed, "{:.0f}".format),
    "calls": View(gettext_lazy("Calls"), lambda s: s.calls, "{:.1f}".format),
    "present": View(gettext_lazy("Agents at work now"), lambda s: s.present, "{:.0f}".format),
    "level": View(gettext_lazy("Service level"), _expected("service_level"),
                  amounts.percent, of_present=True, most=math.inf),
    "occupancy": View(gettext_lazy("Occupancy"), _expected("occupancy"),
                      amounts.percent, of_present=True, most=1),
    "abandoned": View(gettext_lazy("Abandoned"), _expected("abandoned"),
                      amounts.percent, of_present=True, most=1),
    "handle_time": View(gettext_lazy("Measured handling time"), lambda s: s.handle_time,
                        amounts.clock),
}  # fmt: skip


@require_GET
def planning(request: HttpRequest) -> HttpResponse:
    """Show next week's plan; htmx takes the result out of the same page while sliders move."""
    supervisors_only(request)
    at = timezone.now()
    place = asking.read(
        {"tz": request.GET.get("tz", "")}, at=at, zone=timezone.get_current_timezone()
    )
    queues = list(Queue.objects.filter(retired_at=None))
    queue, problem = wanted.queue_of(request.GET, queues)
    context: dict[str, Any] = {"asked": None, "queues": queues, "queue": queue, "zone": place.zone}
    if queue:
        made = plan.make(queue, request.GET, at=at, zone=place.zone)
        problems = {**made.problems, **({"queue": problem} if problem else {})}
        shown = request.GET.get("show", "")
        shown = shown if shown in VIEWS else "rostered"
        context |= {
            "plan": made,
            "problems": problems,
            "notes": [*place.notes, *_notes(made)],
            "fields": _fields(made, problems),
            "models": wanted.MODELS,
            "methods": wanted.METHODS,
            "views": VIEWS,
            "shown": shown,
            "view": VIEWS[shown],
            "rows": _rows(made, VIEWS[shown]),
            "days": [_day(made, day) for day in made.days],
            "total": _total(made.slots),
            "target": {name: f"{made.wanted.number(name):g}" for name in ("share", "within")},
            "chart": _chart(made),
            "tested": _tested(made),
            "sides": _sides(made),
            "few_weeks": forecast.FEW_WEEKS,
        }
    with timezone.override(place.zone):
        return render(request, "reports/planning.html", context)


def _fields(made: Plan, problems: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return every number with what is in its field: as typed, else what is taken."""
    found = []
    for name, field in wanted.FIELDS.items():
        taken = made.wanted.values[name]
        typed = made.wanted.typed[name]
        found.append(
            {
                "field": field,
                "value": typed or ("" if taken is None else f"{taken:g}"),
                "slide": f"{taken or 0:g}",
                "problem": problems.get(name, ""),
                "source": _source(made, name),
            }
        )
    return found


def _source(made: Plan, name: str) -> str:
    """Say where the number of a time comes from, and of how many it is the mean."""
    if name == "handle_time":
        if made.handle_time.value is None:
            return _("No talk has been measured: 3 minutes are assumed.")
        told = _("Measured: {time}, the mean of {count} talks.")
        return told.format(time=amounts.clock(made.handle_time.value), count=made.handle_time.count)
    if name != "patience":
        return ""
    if made.patience.value is None:
        return _("Nobody has left while waiting: 2 minutes are assumed.")
    told = (
        _("Measured: {time}, from {count} callers who left.")
        if made.patience.is_enough
        else _("Only {count} callers have left, too few to tell ({time}): 2 minutes are assumed.")
    )
    return told.format(time=amounts.clock(made.patience.value), count=made.patience.count)


def _notes(made: Plan) -> list[str]:
    """Say what the plan should not be trusted for."""
    found = []
    if made.slots and made.foretold.weeks < forecast.FEW_WEEKS:
        told = _(
            "There are figures of {weeks} whole weeks only. From {few} on a forecast is worth "
            "planning by; one strange day still counts for much in this one."
        )
        found.append(told.format(weeks=made.foretold.weeks, few=forecast.FEW_WEEKS))
    if made.slots and len(made.days) < 7:
        found.append(_("Weekdays of which there is no past are left out."))
    if made.handle_time.value is not None and not made.handle_time.is_enough:
        told = _("The handling time rests on {count} talks only; {enough} should be behind it.")
        found.append(told.format(count=made.handle_time.count, enough=made.handle_time.enough))
    return found


# --- Tables --------------------------------------------------------------------------------------


def _rows(made: Plan, view: View) -> list[dict[str, Any]]:
    """Return a row for each half hour of a day in which anybody calls, a cell for each day.

    An hour that the clock shows twice has two rows.
    """
    by_place: dict[tuple[int, int], dict[date, Slot]] = {}
    for slot in made.slots:
        day, turn = slot.start.date(), 0
        while day in by_place.get((slot.clock, turn), {}):
            turn += 1
        by_place.setdefault((slot.clock, turn), {})[day] = slot
    order = sorted(by_place)
    busy = [key for key in order if any(s.calls >= _FEW for s in by_place[key].values())]
    if not busy:
        return []
    most = view.most or max((view.value(slot) or 0 for slot in made.slots), default=0)
    target = made.wanted.number("share") / 100
    return [
        {
            "clock": f"{clock // 60:02}:{clock % 60:02}",
            "turn": turn,
            "cells": [
                _cell(by_place[clock, turn].get(day), view, most, target) for day in made.days
            ],
        }
        for clock, turn in order
        if busy[0] <= (clock, turn) <= busy[-1]
    ]


def _cell(slot: Slot | None, view: View, most: float, target: float) -> dict[str, Any]:
    value = view.value(slot) if slot else None
    if slot is None or value is None:
        overload = slot is not None and view.of_present and slot.present is not None
        return {"text": "∞" if overload else amounts.NONE, "heat": 0, "is_low": overload}
    low = view is VIEWS["level"] and slot.calls >= _FEW and value < target
    if view is VIEWS["present"]:
        low = slot.needed is not None and value < slot.needed
    heat = round(value / most * HEATS) if most else 0
    return {"text": view.write(value), "heat": heat, "is_low": low, "value": value}


def _total(slots: list[Slot]) -> dict[str, Any]:
    """Sum up a day or the week; the service level is that of all its calls."""
    known = [slot for slot in slots if slot.expected]
    calls = sum(slot.calls for slot in known)
    return {
        "calls": f"{sum(slot.calls for slot in slots):.0f}",
        "last_week": f"{sum(slot.last_week or 0 for slot in slots):.0f}",
        "hours": f"{sum((slot.needed or 0) / 2 for slot in slots):g}",
        "rostered": f"{sum((slot.rostered or 0) / 2 for slot in slots):g}",
        "peak": max((slot.rostered or 0 for slot in slots), default=0),
        **{
            name: amounts.percent(
                sum(getattr(slot.expected, key) * slot.calls for slot in known) / calls
                if calls and len(known) == len(slots)
                else None
            )
            for name, key in (("level", "service_level"), ("abandoned", "abandoned"))
        },
    }


def _day(made: Plan, day: date) -> dict[str, Any]:
    return {"day": day, **_total([slot for slot in made.slots if slot.start.date() == day])}


def _tested(made: Plan) -> dict[str, Any]:
    """Return how wrong each method was on the weeks that are over."""
    chosen = made.foretold.tested[made.foretold.method]
    return {
        "chosen": wanted.METHODS[chosen.method],
        "wape": amounts.percent(chosen.wape) if chosen.wape is not None else "",
        "bias": _bias(chosen.bias),
        "naive": amounts.percent(made.foretold.tested["last_week"].wape),
        "days": [
            {"day": one.day, "came": f"{one.came:.0f}", "foretold": f"{one.foretold:.0f}",
             "wape": amounts.percent(one.wape), "bias": _bias(one.bias)}
            for one in chosen.days
        ],
        "methods": [
            {"name": wanted.METHODS[name], "wape": amounts.percent(one.wape),
             "bias": _bias(one.bias), "is_chosen": name == chosen.method}
            for name, one in made.foretold.tested.items()
        ],
    }  # fmt: skip


def _bias(share: float | None) -> str:
    return amounts.NONE if share is None else f"{share * 100:+.0f} %"


def _sides(made: Plan) -> dict[str, Any] | None:
    """Return Erlang C and A side by side for the busiest half hour."""
    sides = made.sides
    if sides is None:
        return None
    pairs = [
        (_("Agents needed at work"), str(sides.slot.needed_c or "–"), str(sides.slot.needed_a)),
        *(
            (title, write(getattr(sides.c, key)) if sides.c else "∞", write(getattr(sides.a, key)))
            for title, key, write in (
                (_("Service level"), "service_level", amounts.percent),
                (_("Mean wait"), "mean_wait", amounts.clock),
                (_("Must wait"), "must_wait", amounts.percent),
                (_("Abandoned"), "abandoned", amounts.percent),
                (_("Occupancy"), "occupancy", amounts.percent),
            )
        ),
    ]
    return {
        "slot": sides.slot, "calls": f"{sides.slot.calls:.1f}",
        "agents": sides.agents, "pairs": pairs,
    }  # fmt: skip


# --- The drawing ---------------------------------------------------------------------------------

_WIDE, _HIGH = 1000, 200


def _chart(made: Plan) -> dict[str, Any] | None:
    """Return the lines of forecast and last week over the whole week, and where days begin."""
    count = len(made.slots)
    most = max((max(s.calls, s.last_week or 0) for s in made.slots), default=0)
    if not count or not most:
        return None

    def line(value: Callable[[Slot], float]) -> str:
        return " ".join(
            f"{(n + 0.5) * _WIDE / count:.1f},{_HIGH - value(slot) * _HIGH / most:.1f}"
            for n, slot in enumerate(made.slots)
        )

    first: dict[date, int] = {}
    for n, slot in enumerate(made.slots):
        first.setdefault(slot.start.date(), n)
    return {
        "foretold": line(lambda slot: slot.calls),
        "last_week": line(lambda slot: slot.last_week or 0),
        "most": f"{most:.0f}" if most >= 10 else f"{most:.1f}",
        "days": [(day, f"{n * _WIDE / count:.1f}") for day, n in first.items()],
    }
