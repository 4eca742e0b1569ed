"""What a report is asked for: what is meant by what is typed, and days on which clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict

from reporting.figures import asked
from reporting.figures.asked import Asked, midnight, quarter_after, quarter_of
from tests.factories import T0, make_agent, make_queue

pytestmark = pytest.mark.django_db
NAIROBI = ZoneInfo("Africa/Nairobi")
BERLIN = ZoneInfo("Europe/Berlin")


def read(zone: ZoneInfo = NAIROBI, **query: object) -> Asked:
    return asked.read({name.rstrip("_"): value for name, value in query.items()}, at=T0, zone=zone)


def ends(found: Asked) -> tuple[str, str]:
    return tuple(
        one.astimezone(found.zone).strftime("%Y-%m-%d %H:%M") for one in (found.since, found.until)
    )  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("query", "since", "until", "wrong"),
    [
        ({}, "2026-11-20 00:00", "2026-11-21 00:00", ()),
        ({"from_": "2026-11-01"}, "2026-11-01 00:00", "2026-11-21 00:00", ()),
        ({"from_": "2026-11-25"}, "2026-11-25 00:00", "2026-11-26 00:00", ()),
        ({"to": "2026-11-05"}, "2026-11-05 00:00", "2026-11-06 00:00", ()),
        ({"from_": "01.11.2026", "to": "3/11/2026"}, "2026-11-01 00:00", "2026-11-04 00:00", ()),
        ({"from_": "2026-02-30", "to": "2026-03-01"}, "2026-02-28 00:00", "2026-03-02 00:00",
         ("from",)),
        ({"from_": "2026-11-05", "to": "2026-11-03"}, "2026-11-03 00:00", "2026-11-06 00:00",
         ("to",)),
        ({"from_": "soon"}, "2026-11-20 00:00", "2026-11-21 00:00", ("from",)),
        ({"from_": "2016-11-20", "to": "2026-11-20"}, "2024-11-20 00:00", "2026-11-21 00:00",
         ("from",)),
        ({"from_": "2026-11-20T08:00", "to": "2026-11-20T09:30"}, "2026-11-20 08:00",
         "2026-11-20 09:30", ()),
        ({"from_": "2026-11-20T08:07", "to": "2026-11-20T09:31"}, "2026-11-20 08:00",
         "2026-11-20 09:45", ("from", "to")),
        ({"from_": "2026-11-20T09:00", "to": "2026-11-20T08:00"}, "2026-11-20 08:00",
         "2026-11-20 09:00", ("to",)),
        ({"from_": "2026-11-20T05:00:00+00:00", "to": "2026-11-20T06:00:00 00:00"},
         "2026-11-20 08:00", "2026-11-20 09:00", ()),
        ({"from_": "9999-12-31T23:59"}, "2026-11-20 00:00", "2026-11-21 00:00", ("from",)),
        ({"from_": "9999-12-31"}, "2100-12-31 00:00", "2101-01-01 00:00", ("from",)),
        ({"from_": "2026-11-20T99:99"}, "2026-11-20 00:00", "2026-11-21 00:00", ("from",)),
        ({"from_": "\x00"}, "2026-11-20 00:00", "2026-11-21 00:00", ()),
    ],
)  # fmt: skip
def test_a_stretch_is_what_was_meant(query, since, until, wrong):
    found = read(**query)
    assert ends(found) == (since, until)
    assert found.wrong == wrong
    assert len(found.notes) == len(wrong)
    assert all(note.endswith(".") for note in found.notes)


def test_a_zone_that_does_not_exist_is_told_and_the_nearest_is_taken():
    found = read(tz="Africa/Nairoby")
    assert (found.zone.key, found.wrong) == ("Africa/Nairobi", ("tz",))
    found = read(tz="Nowhere at all")
    assert (found.zone.key, found.wrong) == ("Africa/Nairobi", ("tz",))
    assert read(tz="Europe/Berlin").zone == BERLIN


def test_queues_and_agents_are_known_by_key_or_name_and_forgiven_a_letter():
    support, sales = make_queue(), make_queue("sales", number=None)
    asha = make_agent(username="asha")
    assert read(queue="support").queues == (support,)
    assert read(queue=["sales", "Support"]).queues == (sales, support)
    found = read(queue="suport", agent="asha")
    assert (found.queues, found.agents, found.wrong) == ((support,), (asha,), ("queue",))
    found = read(queue="xyz")
    assert (found.queues, found.wrong) == ((), ("queue",))


def test_a_repeated_field_of_an_address():
    support, sales = make_queue(), make_queue("sales", number=None)
    query = QueryDict("queue=support&queue=sales&from=2026-11-01&to=2026-11-02&interval=day")
    found = asked.read(query, at=T0, zone=NAIROBI)
    assert (found.queues, found.interval) == ((sales, support), "day")


def test_parts_of_an_hour_are_not_shown_of_a_year():
    found = read(from_="2026-01-01", to="2026-12-31", interval="15m")
    assert (found.interval, found.wrong) == ("hour", ("interval",))
    found = read(interval="fortnight")
    assert (found.interval, found.wrong) == (None, ("interval",))


@pytest.mark.parametrize(
    "query",
    [
        {"from_": "2026-10-24", "to": "2026-10-26", "interval": "hour"},
        {"from_": "2026-10-25T00:15", "to": "2026-10-25T07:45", "interval": "15m"},
        {"from_": "2026-03-29", "queue": "support", "interval": "day"},
    ],
)
def test_the_address_gives_the_same_again(query):
    make_queue()
    first = read(BERLIN, **query)
    again = asked.read(QueryDict(first.address()), at=T0, zone=NAIROBI)
    assert again == first


# --- Clocks that are set -------------------------------------------------------------------------


def starts(zone: str, interval: str, first: str, last: str) -> list[datetime]:
    found = asked.read(
        {"from": first, "to": last, "interval": interval, "tz": zone}, at=T0, zone=NAIROBI
    )
    assert found.notes == ()
    return found.starts()


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23), ("Europe/Berlin", "2026-10-25", 25),
        ("Africa/Cairo", "2026-04-24", 23),  # the clock skips midnight
        ("America/Havana", "2026-11-01", 25),  # midnight comes twice
        ("Africa/Nairobi", "2026-10-25", 24), ("Asia/Kathmandu", "2026-10-25", 24),
    ],
)  # fmt: skip
def test_a_day_on_which_clocks_are_set_has_its_own_hours(zone, day, hours):
    found = starts(zone, "hour", day, day)
    assert len(found) == hours
    assert len({one.astimezone(UTC) for one in found}) == hours
    assert starts(zone, "day", day, day) == found[:1]
    assert len(starts(zone, "15m", day, day)) == 4 * hours


def test_the_hour_that_comes_twice_has_two_rows():
    found = starts("Europe/Berlin", "hour", "2026-10-25", "2026-10-25")
    assert [one.isoformat() for one in found[1:5]] == [
        "2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00",
    ]  # fmt: skip


def test_where_clocks_are_set_by_half_an_hour_the_parts_still_tile_the_day():
    found = starts("Australia/Lord_Howe", "hour", "2026-10-04", "2026-10-04")
    utc = [one.astimezone(UTC) for one in found]
    assert sorted(set(utc)) == utc
    # 02:00 becomes 02:30: a part of half an hour
    assert [f"{one:%H:%M}" for one in found[:4]] == ["00:00", "01:00", "02:30", "03:00"]


def test_weeks_begin_on_monday_and_months_on_the_first():
    assert [f"{one:%m-%d}" for one in starts("UTC", "week", "2026-11-20", "2026-11-30")] == [
        "11-16", "11-23", "11-30",
    ]  # fmt: skip
    assert [f"{one:%m-%d}" for one in starts("UTC", "month", "2026-11-20", "2027-02-01")] == [
        "11-01", "12-01", "01-01", "02-01",
    ]  # fmt: skip


def test_quarters():
    at = T0 + timedelta(minutes=14, seconds=59)
    assert (quarter_of(at), quarter_after(at)) == (T0, T0 + timedelta(minutes=15))
    assert quarter_after(T0) == quarter_of(T0) == T0
    assert midnight(datetime(2026, 4, 24, tzinfo=UTC).date(), ZoneInfo("Africa/Cairo")) == datetime(
        2026, 4, 23, 22, tzinfo=UTC
    )
