"""Next week's calls from the same weekdays of the weeks before, and how far that was off so far.

A history tells, for each whole day, the calls of its half hours by the minute of the day at which
the clock shows them. A day is foretold from the last same weekdays that were over by then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean, median

from reporting.planning.own_data import Half

WEEKS = 8  # looked back unless asked otherwise
MOST_WEEKS = 26
TESTED_WEEKS = 4
FEW_WEEKS = 4  # a forecast from fewer says so
WEEK = timedelta(days=7)

Day = Mapping[int, float]
History = Mapping[date, Day]


def _weighted(past: Sequence[float]) -> float:
    """Return the mean in which the newest of n counts n times, the one before n - 1 times, …"""
    weights = range(len(past), 0, -1)
    return sum(w * value for w, value in zip(weights, past, strict=True)) / sum(weights)


# Each makes one number of those of the past, the newest first. Earlier ones win a tie.
METHODS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "weighted": _weighted,
    "median": median,  # a holiday among the weeks does not move it
    "last_week": lambda past: past[0],
}


@dataclass(frozen=True)
class Compared:
    """A day that is over: what came, what would have been foretold, and the error.

    `wape`: the sum of the half hours' errors, whatever their sign, / the calls that came. `bias`:
    (foretold - came) / came. None where nothing came.
    """

    day: date
    came: float
    foretold: float
    missed: float

    @property
    def wape(self) -> float | None:
        return self.missed / self.came if self.came else None

    @property
    def bias(self) -> float | None:
        return (self.foretold - self.came) / self.came if self.came else None


@dataclass(frozen=True)
class Tested:
    """A method, tried on the weeks that are over."""

    method: str
    days: list[Compared]

    @property
    def wape(self) -> float | None:
        return self._all().wape

    @property
    def bias(self) -> float | None:
        return self._all().bias

    def _all(self) -> Compared:
        return Compared(
            date.min,
            sum(one.came for one in self.days),
            sum(one.foretold for one in self.days),
            sum(one.missed for one in self.days),
        )


@dataclass(frozen=True)
class Forecast:
    """The calls of each half hour of the days asked for, by which method, and all methods tried.

    `weeks` is the fewest past weeks that a day rests on.
    """

    days: dict[date, dict[int, float]]
    method: str
    tested: dict[str, Tested]
    weeks: int


def history(halves: Iterable[Half]) -> dict[date, dict[int, float]]:
    """Return the calls by day and clock; where the clock shows an hour twice, the mean of both."""
    found: dict[date, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for half in halves:
        found[half.start.date()][half.clock].append(half.offered)
    return {
        day: {clock: fmean(counts) for clock, counts in clocks.items()}
        for day, clocks in found.items()
    }


def monday(day: date) -> date:
    """Return the Monday of this day's week."""
    return day - timedelta(days=day.weekday())


def next_week(
    known: History, today: date, *, weeks: int = WEEKS, method: str | None = None
) -> Forecast:
    """Foretell the week that begins next Monday, by one method or by that of the least error.

    Only days before today are known. A weekday that was never seen is left out.
    """
    target = monday(today) + WEEK
    ahead = target - today
    tested = {name: _try(known, today, ahead, weeks, name) for name in METHODS}
    chosen = method or best(tested)
    days, rests_on = {}, []
    for day in (target + timedelta(days=n) for n in range(7)):
        past = _same_weekdays(known, day, today, weeks)
        rests_on.append(len(past))
        if past:
            days[day] = _foretell(past, METHODS[chosen])
    return Forecast(days, chosen, tested, min(rests_on))


def best(tested: Mapping[str, Tested]) -> str:
    """Return the method of the least error; the plain mean where nothing could be tried."""
    errors = {name: one.wape for name, one in tested.items()}
    return min(errors, key=lambda name: error if (error := errors[name]) is not None else 9e9)


def _same_weekdays(known: History, day: date, until: date, weeks: int) -> list[Day]:
    """Return the last days of this weekday that were over by `until`, the newest first."""
    back = (day - number * WEEK for number in range(1, weeks + 3))
    return [known[one] for one in back if one < until and one in known][:weeks]


def _foretell(past: list[Day], combine: Callable[[Sequence[float]], float]) -> dict[int, float]:
    """Combine the past of each half hour; one that a day did not have is not asked of it."""
    clocks = sorted(set().union(*past))
    return {clock: combine([day[clock] for day in past if clock in day]) for clock in clocks}


def _try(known: History, today: date, ahead: timedelta, weeks: int, name: str) -> Tested:
    """Foretell each of the last whole weeks from what was known just as long ahead of it."""
    days = []
    for back in range(TESTED_WEEKS, 0, -1):
        start = monday(today) - back * WEEK
        for day in (start + timedelta(days=n) for n in range(7)):
            past = _same_weekdays(known, day, start - ahead, weeks)
            if day in known and past:
                days.append(_compare(day, known[day], _foretell(past, METHODS[name])))
    return Tested(name, days)


def _compare(day: date, came: Day, foretold: Day) -> Compared:
    """Compare the half hours that the day had."""
    told = {clock: foretold.get(clock, 0.0) for clock in came}
    missed = sum(abs(told[clock] - count) for clock, count in came.items())
    return Compared(day, sum(came.values()), sum(told.values()), missed)
