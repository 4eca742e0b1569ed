"""Next week from the weeks before, and what the error was so far."""

from datetime import date, timedelta

import pytest

from reporting.planning import forecast

TODAY = date(2026, 11, 18)  # a Wednesday
NEXT = date(2026, 11, 23)


def weeks(*counts: float, clock: int = 480, today: date = TODAY) -> dict:
    """So many calls at 8:00 of every day: the last count is that of the 7 days before today."""
    days = {}
    for back, count in enumerate(reversed(counts)):
        for n in range(1, 8):
            days[today - timedelta(days=7 * back + n)] = {clock: count}
    return days


def test_a_day_is_the_mean_the_weighted_mean_or_the_median_of_its_weekdays():
    known = weeks(40, 10, 10, 20)  # the newest is 20
    told = {
        name: forecast.next_week(known, TODAY, method=name).days[NEXT][480]
        for name in forecast.METHODS
    }
    # (20 x 4 + 10 x 3 + 10 x 2 + 40 x 1) / 10
    assert told == {"mean": 20, "weighted": 17, "median": 15, "last_week": 20}


def test_a_day_that_is_not_over_is_not_known():
    known = weeks(10, 10) | {TODAY: {480: 999}, TODAY + timedelta(days=1): {480: 999}}
    found = forecast.next_week(known, TODAY, method="last_week")
    assert [found.days[NEXT + timedelta(days=n)][480] for n in range(7)] == [10] * 7


def test_only_so_many_weeks_are_looked_back():
    known = weeks(1000, 10, 20)
    assert forecast.next_week(known, TODAY, weeks=2, method="mean").days[NEXT][480] == 15


def test_the_error_is_that_of_forecasts_made_as_long_ahead():
    """Of 5 weeks at 10 and one at 20, by hand: what was known then, not what is known now."""
    known = weeks(10, 10, 10, 10, 10, 20, today=date(2026, 11, 16))
    found = forecast.next_week(known, date(2026, 11, 16), method="last_week")
    tested = found.tested["last_week"]
    assert len(tested.days) == 28
    assert tested.days[-1].foretold == 10
    assert tested.days[-1].bias == -0.5
    assert tested.days[-1].wape == 0.5
    # 3 weeks of 70 calls foretold exactly, one of 140 foretold as 70
    assert tested.wape == pytest.approx(70 / 350)
    assert tested.bias == pytest.approx(-70 / 350)


def test_on_a_wednesday_a_test_knows_no_thursday_of_the_week_before():
    counts = {date(2026, 9, 21) + timedelta(days=n): {480: n} for n in range(58)}  # to 17 November
    found = forecast.next_week(counts, TODAY, method="last_week").tested["last_week"]
    told = {one.day: one.foretold for one in found.days}
    # The week of the 9th, foretold on Wednesday the 4th: Tuesday from the 3rd, Thursday from 29th.
    assert told[date(2026, 11, 10)] == counts[date(2026, 11, 3)][480]
    assert told[date(2026, 11, 12)] == counts[date(2026, 10, 29)][480]


def test_errors_of_half_hours_do_not_cancel_out():
    compared = forecast._compare(NEXT, {480: 10, 510: 10}, {480: 15, 510: 5})
    assert (compared.wape, compared.bias) == (0.5, 0)
    assert forecast._compare(NEXT, {480: 0}, {480: 3}).wape is None


def test_the_method_of_the_least_error_is_taken():
    steps = forecast.next_week(weeks(*range(10, 130, 10)), TODAY)
    assert steps.method == "last_week"  # what grows steadily is best told by the newest
    holiday = forecast.next_week(weeks(50, 50, 50, 50, 50, 0, 50, 50, 50, 50, 50), TODAY)
    assert holiday.method == "median"
    still = forecast.next_week(weeks(*[30] * 10), TODAY)
    assert still.method == "mean"  # all are right
    asked = forecast.next_week(weeks(*range(10, 130, 10)), TODAY, method="mean")
    assert asked.method == "mean"
    assert asked.tested["last_week"].wape < asked.tested["mean"].wape


def test_without_a_past_there_is_no_forecast_and_with_little_it_says_how_little():
    nothing = forecast.next_week({}, TODAY)
    assert (nothing.days, nothing.weeks, nothing.method) == ({}, 0, "mean")
    assert nothing.tested["mean"].wape is None
    assert forecast.next_week(weeks(10, 10), TODAY).weeks == 2
    one_day = {TODAY - timedelta(days=1): {480: 4}}
    found = forecast.next_week(one_day, TODAY)
    assert list(found.days) == [date(2026, 11, 24)]
    assert found.weeks == 0


def test_an_hour_that_a_day_did_not_have_is_left_out_of_the_mean():
    """The night on which clocks went forward has no 2:30."""
    known = {
        date(2026, 11, 1): {150: 4, 480: 10},
        date(2026, 11, 8): {480: 20},
        date(2026, 11, 15): {150: 2, 480: 30},
    }
    told = forecast.next_week(known, TODAY, method="mean").days[date(2026, 11, 29)]
    assert told == {150: 3, 480: 20}
