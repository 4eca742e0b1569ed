"""The reports' API and the calls behind a number: the same figures, and exactly those calls."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.test import Client

from queues.models import QueuedCall
from reporting import call_log
from reporting.figures import report
from reporting.figures.counts import COUNTS
from tests.api import api
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting
from tests.figures.made import LATER, NAIROBI, after, answered, ask, left, spend

pytestmark = pytest.mark.django_db
QUEUES, AGENTS = "/api/reports/queues/", "/api/reports/agents/"
DAY = {"since": "2026-11-20", "until": "2026-11-21"}


@pytest.fixture
def queue():
    return make_queue(service_level_seconds=20, short_abandon_seconds=5)


@pytest.fixture
def supervisor():
    return api(make_supervisor())


@pytest.fixture
def busy(queue):
    """A day with calls of every kind, at the edges of quarters, days and queues."""
    agent = make_agent(queue, username="asha")
    other = make_queue("other", number=None, service_level_seconds=5)
    midnight = -11 * 3600
    for each in (queue, other):
        for queued in (midnight - 1, midnight, 0, 899, 900, 13 * 3600 - 1, 13 * 3600):
            left(each, queued=queued, wait=4)
            left(each, queued=queued, wait=20)
            left(each, queued=queued, wait=30, abandoned_in="ringing")
            left(each, queued=queued, wait=30, abandoned_in="menu")
            left(each, queued=queued, wait=600, state="expired")
            left(each, queued=queued, wait=1, state="rejected")
            answered(each, agent, arrived=queued - 2, queued=queued, wait=20, talk=9)
            answered(each, agent, arrived=queued - 2, queued=queued, wait=21, talk=9)
            left(each, queued=queued, wait=30, state="busy", direction="outbound")
            answered(each, agent, queued=queued, wait=1, talk=9, direction="outbound")
    make_waiting(queue, arrived_at=after(1))
    return agent


class TestTheApi:
    def test_queues_are_the_rows_of_the_report(self, supervisor, busy, time_machine):
        time_machine.move_to(LATER)
        reply = supervisor.get(QUEUES, {**DAY, "interval": "hour"}).json()
        rows = report.queues(ask(interval="hour"), at=LATER)
        assert reply["results"] == [
            {**row, "queue": row["queue"].slug, "start": row["start"].isoformat()} for row in rows
        ]
        assert {name: reply[name] for name in ("since", "until", "time_zone", "next")} == {
            "since": "2026-11-20T00:00:00+03:00", "until": "2026-11-21T00:00:00+03:00",
            "time_zone": "Africa/Nairobi", "next": None,
        }  # fmt: skip

    def test_agents_are_the_rows_of_the_report(self, supervisor, busy, time_machine):
        time_machine.move_to(LATER)
        spend(busy, ("available", "idle", 60), ("break:Tea", "idle", 60))
        reply = supervisor.get(AGENTS, {**DAY, "interval": "day", "agent": "asha"}).json()
        [row] = report.agents(ask(interval="day"), at=LATER)
        agent = row.pop("agent")
        told = {**row, "agent": "asha", "name": agent.name, "start": row["start"].isoformat()}
        assert reply["results"] == [told]
        assert told["break_paid"] > 0

    def test_narrowed_to_a_queue_and_in_another_zone(self, supervisor, busy, time_machine):
        time_machine.move_to(LATER)
        found = supervisor.get(QUEUES, {"queue": "other", "tz": "UTC", **DAY}).json()
        assert [row["queue"] for row in found["results"]] == ["other"]
        assert found["since"] == "2026-11-20T00:00:00+00:00"

    @pytest.mark.parametrize("url", [QUEUES, AGENTS])
    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"interval": "decade"}, "interval"), ({"queue": "nowhere"}, "queue"),
            ({"tz": "Africa/Nowhere"}, "tz"), ({"agent": "nobody at all"}, "agent"),
            ({"since": "soon"}, "since"), ({"until": "2026-02-30"}, "until"),
            ({"since": "2026-11-21", "until": "2026-11-20"}, "until"),
            ({"since": "2016-01-01", "until": "2026-01-01"}, "since"),
            ({"since": "0001-01-01"}, "since"), ({"until": "9999-12-31T23:59:59"}, "until"),
            ({"since": "2026-01-01", "until": "2026-12-01", "interval": "15m"}, "interval"),
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_told_at_its_name(self, supervisor, url, query, field):
        reply = supervisor.get(url, query)
        assert (reply.status_code, list(reply.json())) == (400, [field])

    def test_times_are_taken_to_whole_quarters(self, supervisor, queue):
        reply = supervisor.get(QUEUES, {"since": "2026-11-20T08:01", "until": "2026-11-20T08:16"})
        told = reply.json()
        assert (told["since"][11:16], told["until"][11:16]) == ("08:00", "08:30")

    def test_agents_may_not_see_it(self, queue):
        agent = make_agent(queue)
        assert api(agent.user).get(AGENTS).status_code == 403


class TestCallsBehindANumber:
    def found(self, **query: str) -> list[QueuedCall]:
        return list(call_log.ask(query, call_log.choices(), at=LATER, zone=NAIROBI)[1])

    @pytest.mark.parametrize("figure", COUNTS)
    @pytest.mark.parametrize(
        "query",
        [
            {"from": "2026-11-20", "to": "2026-11-20"},
            {"from": "2026-11-20T11:00", "to": "2026-11-20T11:15"},
            {"from": "2026-11-19", "to": "2026-11-21", "tz": "UTC"},
        ],
        ids=["day", "quarter", "three days elsewhere"],
    )
    def test_the_list_is_what_is_counted(self, busy, figure, query):
        counted = report.totals(ask(**query), at=LATER)[figure]
        assert len(self.found(figure=figure, **query)) == counted
        for slug in ("support", "other"):
            counted = report.totals(ask(queue=slug, **query), at=LATER)[figure]
            assert len(self.found(figure=figure, queue=slug, **query)) == counted
        outbound = report.totals(ask(**query), at=LATER, direction="outbound")[figure]
        assert len(self.found(figure=figure, direction="outbound", **query)) == outbound

    def test_the_day_is_that_of_entering_the_queue(self, queue):
        midnight = -11 * 3600
        agent = make_agent(queue)
        call = answered(queue, agent, arrived=midnight - 60, queued=midnight, wait=9, talk=1)
        query = {"from": "2026-11-20", "to": "2026-11-20"}
        assert self.found(figure="offered", **query) == [call]
        assert self.found(**query) == []  # the log itself goes by the arrival

    def test_without_dates_it_is_of_today_as_the_report_is(self, busy):
        assert self.found(figure="offered") == []
        asked, _calls = call_log.ask({"figure": "offered"}, call_log.choices(), at=T0, zone=NAIROBI)
        assert (asked.meant["from"], asked.meant["to"]) == ("2026-11-20", "2026-11-20")

    def test_a_figure_that_does_not_exist_is_told(self, busy):
        asked, calls = call_log.ask({"figure": "xyzzy"}, call_log.choices(), at=T0, zone=NAIROBI)
        assert "figure" in asked.problems
        assert calls.count() == QueuedCall.objects.count()

    def test_the_page_has_a_chip_and_keeps_the_figure_when_searching(self, busy):
        client = Client()
        client.force_login(make_supervisor())
        query = {"figure": "answered", "from": "2026-11-20", "to": "2026-11-20", "queue": "other"}
        page = client.get(f"/calls-log/?{urlencode(query)}").content.decode()
        assert "Counted in a report as" in page
        assert '<input type="hidden" name="figure" value="answered">' in page
        wanted = report.totals(ask(queue="other"), at=LATER)["answered"]
        assert f"{wanted} calls" in page

    def test_two_queues_at_once(self, busy):
        client = Client()
        client.force_login(make_supervisor())
        answered(make_queue("third", number=None), busy, wait=1, talk=1)
        address = "figure=answered&from=2026-11-20&to=2026-11-20&queue=support&queue=other"
        page = client.get(f"/calls-log/?{address}").content.decode()
        wanted = report.totals(ask(queue=["support", "other"]), at=LATER)["answered"]
        assert f"{wanted} calls" in page
