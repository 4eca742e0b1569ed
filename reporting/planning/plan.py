"""A plan for next week: how many agents each half hour needs, and what those at work would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from statistics import fmean
from typing import Any
from zoneinfo import ZoneInfo

from queues.models import Queue
from reporting.figures import asked, upkeep
from reporting.planning import erlang, forecast, own_data, wanted
from reporting.planning.erlang import Expected, Load
from reporting.planning.own_data import Half, Measured
from reporting.planning.wanted import Wanted

HALF_HOUR_SECONDS = 1800


@dataclass(frozen=True)
class Slot:
    """One half hour of next week.

    `needed` are at work, `rostered` with shrinkage, by the model asked for; `present` are at work
    as things are, None where nobody knows; `expected` is what they come to, None without them, and
    where Erlang C has no answer.
    """

    start: datetime
    calls: float
    last_week: float | None
    needed: int | None
    needed_a: int | None
    needed_c: int | None
    rostered: int | None
    present: int | None
    expected: Expected | None
    handle_time: float | None  # as measured in this half hour of the week

    @property
    def clock(self) -> int:
        return self.start.hour * 60 + self.start.minute


@dataclass(frozen=True)
class Sides:
    """Both models for the busiest half hour, with the same number of agents."""

    slot: Slot
    agents: int
    a: Expected
    c: Expected | None


@dataclass(frozen=True)
class Plan:
    """All that the page and the API tell."""

    queue: Queue
    zone: ZoneInfo
    today: date
    wanted: Wanted
    since: date | None  # the first whole day with figures
    handle_time: Measured
    patience: Measured
    foretold: forecast.Forecast
    slots: list[Slot]
    sides: Sides | None
    problems: dict[str, str]

    @property
    def days(self) -> list[date]:
        """The days that are foretold."""
        return sorted({slot.start.date() for slot in self.slots})


def make(queue: Queue, params: Mapping[str, Any], *, at: datetime, zone: ZoneInfo) -> Plan:
    """Read the queue's past, foretell next week, and plan it by what is typed."""
    today = at.astimezone(zone).date()
    weeks, _problem = wanted.weeks(params)
    halves, since = _past(queue, today, weeks, at, zone)
    lately = [half for half in halves if half.start.date() >= today - weeks * forecast.WEEK]
    handle_time, patience = own_data.handle_time(lately), own_data.patience(lately)
    asked_for = wanted.read(params, _defaults(queue, handle_time, patience, weeks))
    foretold = forecast.next_week(
        forecast.history(halves), today, weeks=weeks,
        method=None if asked_for.method == "auto" else asked_for.method,
    )  # fmt: skip
    slots = _slots(foretold, lately, asked_for, zone)
    return Plan(
        queue, zone, today, asked_for, since, handle_time, patience, foretold, slots,
        _sides(slots, asked_for), asked_for.problems,
    )  # fmt: skip


def _past(
    queue: Queue, today: date, weeks: int, at: datetime, zone: ZoneInfo
) -> tuple[list[Half], date | None]:
    """Return the half hours that the forecast and its test look back on; none of today."""
    back = today - (weeks + forecast.TESTED_WEEKS + 3) * forecast.WEEK
    upkeep.freshen(at=at, since=asked.midnight(back, zone), until=asked.midnight(today, zone))
    since = own_data.first_day(queue, zone)
    if since is None or since >= today:
        return [], since
    return own_data.read(queue, max(back, since), today, zone), since


def _defaults(
    queue: Queue, handle_time: Measured, patience: Measured, weeks: int
) -> dict[str, float | None]:
    """Return the queue's own target, what was measured, and what has to be assumed."""
    return {
        "share": queue.service_level_target,
        "within": queue.service_level_seconds,
        "handle_time": _rounded("handle_time", handle_time.value),
        "patience": _rounded("patience", patience.value if patience.is_enough else None),
        "occupancy": wanted.ASSUMED["occupancy"],
        "shrinkage": wanted.ASSUMED["shrinkage"],
        "growth": 0,
        "weeks": weeks,
    }


def _rounded(name: str, measured: float | None) -> float:
    field = wanted.FIELDS[name]
    value = wanted.ASSUMED[name] if measured is None else round(measured)
    return min(max(value, field.least), field.most)


def _slots(
    foretold: forecast.Forecast, lately: list[Half], asked_for: Wanted, zone: ZoneInfo
) -> list[Slot]:
    usual = own_data.by_weekday_and_clock(lately)
    at_work = any(half.at_work for half in lately)
    slots = []
    for day, clocks in foretold.days.items():
        for start in own_data.halves_of(day, zone):
            past = usual.get((day.weekday(), start.hour * 60 + start.minute), [])
            present = asked_for.values["agents"]
            if present is None and at_work:
                present = fmean(half.at_work for half in past) if past else 0
            calls = clocks.get(start.hour * 60 + start.minute, 0.0)
            slots.append(_slot(start, calls, past, present, asked_for))
    return slots


def _slot(
    start: datetime, calls: float, past: list[Half], present: float | None, asked_for: Wanted
) -> Slot:
    calls *= 1 + asked_for.number("growth") / 100
    needed = {model: _needed(model, calls, asked_for) for model in wanted.MODELS}
    chosen = needed[asked_for.model]
    agents = None if present is None else round(present)
    return Slot(
        start=start,
        calls=round(calls, 2),
        last_week=past[-1].offered if past else None,
        needed=chosen,
        needed_a=needed["a"],
        needed_c=needed["c"],
        rostered=None if chosen is None
        else erlang.rostered(chosen, asked_for.number("shrinkage") / 100),
        present=agents,
        expected=None if agents is None else _present(asked_for.model, calls, agents, asked_for),
        handle_time=own_data.handle_time(past).value,
    )  # fmt: skip


def _present(model: str, calls: float, agents: int, asked_for: Wanted) -> Expected | None:
    """Return what so many agents come to, rounded once for the page and the API."""
    found = _expected(model, calls, agents, asked_for)
    return found and Expected(**{name: round(value, 4) for name, value in asdict(found).items()})


def _expected(model: str, calls: float, agents: int, asked_for: Wanted) -> Expected | None:
    load = Load(calls / HALF_HOUR_SECONDS, asked_for.number("handle_time"))
    within = asked_for.number("within")
    if model == "c":
        return erlang.patient(load, agents, within=within)
    return erlang.impatient(load, agents, patience=asked_for.number("patience"), within=within)


def _needed(model: str, calls: float, asked_for: Wanted) -> int | None:
    load = calls / HALF_HOUR_SECONDS * asked_for.number("handle_time")
    return erlang.needed(
        lambda agents: _expected(model, calls, agents, asked_for),
        asked_for.target(),
        near=max(1, round(load)),
    )


def _sides(slots: list[Slot], asked_for: Wanted) -> Sides | None:
    busiest = max(slots, key=lambda slot: slot.calls, default=None)
    if busiest is None or not busiest.calls or busiest.needed is None:
        return None
    a, c = (_expected(model, busiest.calls, busiest.needed, asked_for) for model in ("a", "c"))
    return Sides(busiest, busiest.needed, a, c) if a else None


def as_json(plan: Plan) -> dict[str, Any]:
    """Return what the API tells: the page's figures; ratios 0 to 1, times in seconds."""
    return {
        "queue": plan.queue.slug,
        "tz": plan.zone.key,
        "data_since": plan.since and plan.since.isoformat(),
        "asked": {
            **plan.wanted.values, "model": plan.wanted.model, "method": plan.wanted.method,
        },
        "measured": {
            name: {**asdict(found), "is_enough": found.is_enough}
            for name, found in (("handle_time", plan.handle_time), ("patience", plan.patience))
        },
        "forecast": {
            "method": plan.foretold.method,
            "weeks": plan.foretold.weeks,
            "past_error": {
                name: {"wape": _share(one.wape), "bias": _share(one.bias), "days": len(one.days)}
                for name, one in plan.foretold.tested.items()
            },
            "days": [
                {"day": one.day.isoformat(), "came": one.came, "foretold": round(one.foretold, 2),
                 "wape": _share(one.wape), "bias": _share(one.bias)}
                for one in plan.foretold.tested[plan.foretold.method].days
            ],
        },
        "half_hours": [_as_json(slot) for slot in plan.slots],
    }  # fmt: skip


def _as_json(slot: Slot) -> dict[str, Any]:
    return {
        **asdict(slot),
        "start": slot.start.isoformat(),
        "handle_time": _share(slot.handle_time),
    }


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
