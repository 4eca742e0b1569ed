"""What a queue's past says of calls, handling times and patience."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reporting.models import AgentQuarter, QueueQuarter
from reporting.planning import own_data
from tests.factories import make_agent, make_queue
from tests.planning.rows import NAIROBI, make_days, make_quarter

pytestmark = pytest.mark.django_db
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = date(2026, 11, 16)


def read_day(queue, day, zone=NAIROBI):
    return own_data.read(queue, day, day + timedelta(days=1), zone)


def test_two_quarters_make_a_half_hour_of_the_sites_clock():
    queue = make_queue()
    at = datetime(2026, 11, 16, 5, 0, tzinfo=UTC)  # 8:00 in Nairobi
    QueueQuarter.objects.bulk_create([
        make_quarter(queue, at, 3, waits=[10, 20], left=[30], handled=[100, 200]),
        make_quarter(queue, at + timedelta(minutes=15), 2, waits=[5, 5], handled=[60, 60]),
        make_quarter(queue, at + timedelta(minutes=30), 1, left=[7]),
        make_quarter(queue, at, 9, direction="outbound"),
        make_quarter(make_queue("sales", number=None), at, 9),
    ])  # fmt: skip
    halves = read_day(queue, MONDAY)
    assert len(halves) == 48
    first, second = (half for half in halves if half.offered)
    assert first.start.isoformat() == "2026-11-16T08:00:00+03:00"
    assert (first.clock, first.offered, first.abandoned) == (480, 5, 1)
    assert (first.waited, first.talks, first.handled) == (70, 4, 420)
    assert (second.clock, second.offered, second.waited) == (510, 1, 7)


def test_handling_time_and_patience_are_means_that_say_of_how_many():
    queue = make_queue()
    make_days(queue, MONDAY, 1, lambda day, hour: 10)
    halves = read_day(queue, MONDAY)
    assert own_data.handle_time(halves) == own_data.Measured(180, 180, 50)
    found = own_data.patience(halves)  # 20 half hours of 9 who waited 10 s and 1 who left at 50 s
    assert (found.value, found.count, found.is_enough) == (140, 20, False)
    assert own_data.patience([]) == own_data.Measured(None, 0, 30)
    assert own_data.handle_time([]).value is None


def test_a_patience_without_anybody_who_left_is_unknown():
    queue = make_queue()
    make_days(queue, MONDAY, 1, lambda day, hour: 9)
    assert own_data.patience(read_day(queue, MONDAY)).value is None


@pytest.mark.parametrize(("day", "count"), [
    (date(2026, 3, 29), 46), (date(2026, 10, 25), 50), (date(2026, 10, 26), 48),
])  # fmt: skip
def test_a_day_on_which_the_clock_changes_has_46_or_50_half_hours(day, count):
    starts = own_data.halves_of(day, BERLIN)
    assert len(starts) == count
    assert starts[0].isoformat()[:16] == f"{day}T00:00"
    assert starts[-1].isoformat()[:16] == f"{day}T23:30"
    assert all(b - a == timedelta(minutes=30) for a, b in zip(
        [one.astimezone(UTC) for one in starts], [one.astimezone(UTC) for one in starts[1:]],
        strict=False,
    ))  # fmt: skip


def test_a_call_in_the_hour_that_comes_twice_counts_once():
    queue = make_queue()
    make = [make_quarter(queue, datetime(2026, 10, 25, hour, 30, tzinfo=UTC), hour + 1)
            for hour in (0, 1)]  # 2:30 before, and 2:30 after the change  # fmt: skip
    QueueQuarter.objects.bulk_create(make)
    found = [half for half in read_day(queue, date(2026, 10, 25), BERLIN) if half.offered]
    assert [(half.start.isoformat(), half.offered) for half in found] == [
        ("2026-10-25T02:30:00+02:00", 1), ("2026-10-25T02:30:00+01:00", 2),
    ]  # fmt: skip


def test_a_zone_of_three_quarters_of_an_hour():
    queue = make_queue()
    make_quarter(queue, datetime(2026, 11, 16, 2, 15, tzinfo=UTC), 1).save()
    make_quarter(queue, datetime(2026, 11, 16, 2, 30, tzinfo=UTC), 1).save()
    found = [half for half in read_day(queue, MONDAY, ZoneInfo("Asia/Kathmandu")) if half.offered]
    assert [(half.start.isoformat(), half.offered) for half in found] == [
        ("2026-11-16T08:00:00+05:45", 2)
    ]


def test_the_agents_at_work_are_those_of_the_queue_who_were_available():
    queue = make_queue()
    here, away = make_agent(queue), make_agent()
    at = datetime(2026, 11, 16, 5, 0, tzinfo=UTC)
    for agent, presence, minutes in [
        (here, "available", 15), (away, "available", 15), (here, "break", 3),
    ]:  # fmt: skip
        AgentQuarter.objects.create(
            start=at, agent=agent, presence=presence, is_paid=True, engagement="idle",
            time=timedelta(minutes=minutes),
        )  # fmt: skip
    assert [half.at_work for half in read_day(queue, MONDAY) if half.at_work] == [0.5]


def test_the_first_day_is_the_first_whole_one():
    queue = make_queue()
    assert own_data.first_day(queue, NAIROBI) is None
    make_quarter(queue, datetime(2026, 11, 15, 22, 0, tzinfo=UTC), 1).save()  # 1:00 on the 16th
    assert own_data.first_day(queue, NAIROBI) == date(2026, 11, 17)


def test_half_hours_are_found_by_weekday_and_clock():
    queue = make_queue()
    make_days(queue, MONDAY, 14, lambda day, hour: day.day)
    found = own_data.by_weekday_and_clock(own_data.read(queue, MONDAY, date(2026, 11, 30), NAIROBI))
    assert [half.offered for half in found[2, 480]] == [18, 25]  # Wednesdays at 8:00
    assert len(found) == 7 * 48
