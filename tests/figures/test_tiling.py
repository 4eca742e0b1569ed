"""However a stretch is cut, its parts sum up to the whole; and stored is counted, come what may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from queues.models import Offer, QueuedCall
from reporting.figures import asked, report, upkeep
from tests.factories import T0, make_agent, make_queue, make_waiting
from tests.figures.made import LATER, after, answered, left, rest, spend

pytestmark = pytest.mark.django_db
ZONES = ["Africa/Nairobi", "UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe",
         "America/Havana", "Africa/Cairo", "Pacific/Apia"]  # fmt: skip
COUNTS = (*upkeep.COUNT_COLUMNS, "abandoned", "in_time", "late", "short_abandons")
SPANS = ("talk", "wrap_up")
STATES = ("available_idle", "ringing", "on_call", "wrap_up", "break_paid", "break_unpaid",
          "offline", "signed_in", "paid")  # fmt: skip
INTERVALS = st.sampled_from(asked.INTERVALS)
QUICKLY = settings(max_examples=12, deadline=None)

# Seconds from T0, over the two weeks around it: quarters' edges are met on purpose.
MOMENTS = st.one_of(
    st.integers(-700, 700).map(lambda n: n * 900), st.floats(-600_000, 600_000).map(round)
)
LENGTHS = st.one_of(st.sampled_from([0.0, 4.999999, 5.0, 20.0, 900.0]), st.floats(0, 4000))


class Undone(Exception):
    """Takes an example's rows back."""


def undone(test: Callable[[], None]) -> None:
    try:
        with transaction.atomic():
            test()
            rest()
            raise Undone
    except Undone:
        pass


def parts_and_whole(
    rows: Callable[..., list[dict[str, Any]]],
    zone: str,
    interval: str,
    days: tuple[str, str],
    names: Any,
) -> None:
    """Hold the sum over the intervals against the whole stretch."""
    query, place = {"from": days[0], "to": days[1], "tz": zone}, ZoneInfo("UTC")
    whole = rows(asked.read(query, at=T0, zone=place), at=LATER)
    cut = asked.read({**query, "interval": interval}, at=T0, zone=place)
    assert cut.notes == ()
    found = rows(cut, at=LATER)
    for name in names:
        total, parts = (sum(row[name] for row in each) for each in (whole, found))
        # Each part is rounded to a millisecond.
        assert abs(parts - total) <= 0.001 * (len(found) + len(whole)), name


@QUICKLY
@given(
    zone=st.sampled_from(ZONES), interval=INTERVALS,
    day=st.integers(13, 20), length=st.integers(0, 7),
    talks=st.lists(st.tuples(MOMENTS, LENGTHS, LENGTHS, LENGTHS), max_size=5),
    leavers=st.lists(st.tuples(MOMENTS, LENGTHS), max_size=5),
)  # fmt: skip
def test_calls_of_all_intervals_sum_up_to_the_whole(zone, interval, day, length, talks, leavers):
    def check() -> None:
        queue = make_queue(number=None)
        agent = make_agent(queue)
        for queued, wait, talk, wrap_up in talks:
            answered(queue, agent, queued=queued, wait=wait, talk=talk, wrap_up=wrap_up)
        for queued, wait in leavers:
            left(queue, queued=queued, wait=wait)
        first, last = f"2026-11-{day}", f"2026-11-{day + length}"
        parts_and_whole(report.queues, zone, interval, (first, last), (*COUNTS, *SPANS))
        [whole] = report.queues(
            asked.read({"from": first, "to": last, "tz": zone}, at=T0, zone=ZoneInfo("UTC")),
            at=LATER,
        )
        heat = report.heat(
            asked.read({"from": first, "to": last, "tz": zone}, at=T0, zone=ZoneInfo("UTC")),
            at=LATER,
        )
        assert sum(cell["offered"] for cell in heat) == whole["offered"]

    undone(check)


@QUICKLY
@given(
    zone=st.sampled_from(ZONES),
    interval=INTERVALS,
    steps=st.lists(
        st.tuples(
            st.sampled_from(["available", "break:Lunch!", "break:Tea", "break", "offline"]),
            st.sampled_from(["idle", "ringing", "on_call", "wrap_up"]),
            st.one_of(st.sampled_from([0.0, 900.0, 1e-06, 3600.0]), st.floats(0, 90_000)),
        ),
        max_size=8,
    ),
)
def test_agents_time_sums_up_at_any_edges(zone, interval, steps):
    def check() -> None:
        agent = make_agent()
        spend(agent, *steps)
        parts_and_whole(report.agents, zone, interval, ("2026-11-18", "2026-11-24"), STATES)
        stretch = asked.read(
            {"from": "2026-11-18", "to": "2026-11-24", "tz": zone}, at=T0, zone=ZoneInfo("UTC")
        )
        [row] = report.agents(stretch, at=LATER)
        known = min(stretch.until, LATER) - max(stretch.since, T0 - timedelta(hours=1))
        spent = sum(row[name] for name in STATES[:7])
        assert abs(spent - known.total_seconds()) < 0.01  # no gap, no overlap
        strips = report.strips(stretch, at=LATER)
        drawn = sum(
            (part["end"].timestamp() - part["start"].timestamp()) for part in strips[0]["parts"]
        )
        assert abs(drawn - spent) < 0.01

    undone(check)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23), ("Europe/Berlin", "2026-10-25", 25),
        ("Africa/Cairo", "2026-04-24", 23), ("America/Havana", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5), ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ],
)  # fmt: skip
def test_a_day_on_which_clocks_are_set_has_all_its_seconds(zone, day, hours):
    agent = make_agent(presence_since=T0 - timedelta(days=400),
                       engagement_since=T0 - timedelta(days=400))  # fmt: skip
    upkeep.freshen(at=LATER)
    for interval in ("", "hour", "day", "15m", "30m"):
        stretch = asked.read(
            {"from": day, "to": day, "tz": zone, "interval": interval}, at=T0, zone=ZoneInfo("UTC")
        )
        rows = report.agents(stretch, at=LATER)
        assert {row["agent"] for row in rows} == {agent}
        assert sum(row["available_idle"] for row in rows) == hours * 3600
        if interval == "15m":
            assert len(rows) == hours * 4


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            ["talk", "leave", "arrive", "enter", "wrap up", "correct", "freshen", "move", "agent"]
        ),
        MOMENTS, LENGTHS,
    ),
    min_size=1, max_size=14,
)  # fmt: skip


@QUICKLY
@given(changes=CHANGES)
def test_what_is_stored_is_what_is_counted_after_any_changes(changes):
    def check() -> None:
        queue, other = make_queue(number=None), make_queue("other", number=None)
        agent = make_agent(queue)
        for what, moment, length in changes:
            _change(what, moment, length, queue, other, agent)
        span = timedelta(days=9)
        assert list(upkeep.compare(T0 - span, T0 + span)) == []  # what is marked is left out
        rest()
        upkeep.freshen(at=LATER)
        assert not upkeep.is_stale(T0 - span, T0 + span)
        assert list(upkeep.compare(T0 - span, T0 + span)) == []

    undone(check)


def _change(what: str, moment: float, length: float, queue: Any, other: Any, agent: Any) -> None:
    calls, span = QueuedCall.objects.order_by("pk"), timedelta(seconds=length)
    call = calls.last()
    offer = Offer.objects.order_by("pk").last()
    if what == "talk":
        answered(queue, agent, queued=moment, wait=length, talk=length, wrap_up=None)
    elif what == "leave":
        left(queue, queued=moment, wait=length)
    elif what == "arrive":
        make_waiting(queue, arrived_at=after(moment), state="greeting", queued_at=None)
    elif what == "freshen":
        upkeep.freshen(at=LATER, since=after(moment), until=after(moment + length + 1))
    elif what == "agent":
        agent.refresh_from_db()
        agent.engagement = "ringing" if agent.engagement == "idle" else "idle"
        agent.engagement_since = max(after(moment), agent.engagement_since)
        agent.save()
    elif what == "wrap up" and offer and offer.ended_at:
        Offer.objects.filter(pk=offer.pk).update(wrap_up_ended_at=offer.ended_at + span)
    elif call is None:
        return
    elif what == "enter" and call.queued_at is None:
        calls.filter(pk=call.pk).update(queued_at=call.arrived_at + span)
    elif what == "move":
        calls.filter(pk=call.pk).update(queue=other)
    elif what == "correct" and call.state == "completed":
        calls.filter(pk=call.pk).update(state="abandoned", abandoned_in="ringing",
                                        connected_at=None)  # fmt: skip
