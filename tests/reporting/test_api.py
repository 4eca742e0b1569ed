"""`/api/live/`: the wallboard's snapshot; and the schema of the whole API."""

from datetime import timedelta

import pytest
from django.utils import timezone
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from queues import alerts
from queues.models import Queue, QueuedCall, WebhookEvent
from queues.routing import match
from reporting.models import CallRecord
from tests.api import Api, api
from tests.factories import (
    CALLER,
    LINE,
    T0,
    make_agent,
    make_offered,
    make_queue,
    make_supervisor,
    make_waiting,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def now(time_machine):
    time_machine.move_to(T0, tick=False)
    return T0


@pytest.fixture
def supervisor():
    return api(make_supervisor())


@pytest.fixture
def live(now, supervisor):
    return lambda: supervisor.get("/api/live/").json()


def ago(seconds):
    return T0 - timedelta(seconds=seconds)


class TestLive:
    def test_a_queue_at_rest(self, live):
        make_queue()
        snapshot = live()
        assert snapshot["at"] == "2026-11-20T08:00:00+00:00"
        [queue] = snapshot["queues"]
        assert {
            "slug": "support", "waiting": 0, "longest_wait_seconds": 0,
            "agents": {"idle": 0, "ringing": 0, "on_call": 0, "wrap_up": 0, "break": 0,
                       "offline": 0},
            "today": {"offered": 0, "answered": 0, "abandoned": 0, "short_abandons": 0,
                      "service_level": None},
        }.items() <= queue.items()  # fmt: skip

    def test_waiting_counts_those_being_offered_and_the_longest_wait_is_theirs_too(self, live):
        queue = make_queue()
        make_agent(queue)
        make_waiting(queue, arrived_at=ago(75))
        make_waiting(queue, arrived_at=ago(30))
        match(T0)
        [shown] = live()["queues"]
        assert (shown["waiting"], shown["longest_wait_seconds"]) == (2, 75.0)
        assert shown["today"]["offered"] == 2

    def test_outbound_calls_of_a_queue_do_not_wait(self, live):
        make_offered(make_queue(), arrived_at=ago(75), direction="outbound")
        [shown] = live()["queues"]
        assert (shown["waiting"], shown["longest_wait_seconds"]) == (0, 0)

    def test_agents_are_counted_by_engagement_first_and_then_by_what_they_asked_for(self, live):
        queue = make_queue()
        until = T0 + timedelta(seconds=9)
        make_agent(queue)
        make_agent(queue, engagement="ringing")
        make_agent(queue, engagement="on_call", presence="break")  # still talks
        make_agent(queue, engagement="wrap_up", wrap_up_until=until)
        make_agent(queue, presence="break")
        make_agent(queue, presence="offline"), make_agent(queue, presence="offline")
        make_agent(queue, retired_at=T0)
        make_agent(make_queue("sales", number=None))
        support = next(q for q in live()["queues"] if q["slug"] == "support")
        assert support["agents"] == {
            "idle": 1, "ringing": 1, "on_call": 1, "wrap_up": 1, "break": 1, "offline": 2,
        }  # fmt: skip

    def test_a_live_call_and_its_agent_are_shown_with_running_clocks(self, live):
        queue = make_queue()
        agent = make_agent(queue, username="amina")
        call = make_waiting(queue, arrived_at=ago(75))
        match(ago(5))
        [shown] = live()["calls"]
        assert {
            "id": call.public_id, "direction": "inbound", "status": "offered",
            "customer": CALLER, "line": LINE, "queue": "Support", "agent": agent.name,
            "seconds": 75.0,
        }.items() <= shown.items()  # fmt: skip
        [person] = live()["agents"]
        assert (person["state"], person["seconds"]) == ("ringing", 5.0)

    def test_why_a_caller_waits_is_told(self, live):
        make_waiting(make_queue(), arrived_at=ago(75))
        assert live()["calls"][0]["why"] == "The queue has no agents."

    def test_the_providers_status_duration_and_cost_are_shown_of_a_live_call(self, live):
        call = make_waiting(make_queue(), arrived_at=ago(75))
        CallRecord.objects.create(
            call=call, session_id="HD_1", status="answered", duration_seconds=70, cost_minor=350,
            cost_currency="KES", remote=CALLER, first_seen_at=T0, changed_at=T0,
        )  # fmt: skip
        [record] = live()["calls"][0]["provider"]
        assert record == {
            "status": "answered", "duration_seconds": 70, "cost_minor": 350,
            "cost_currency": "KES", "remote": CALLER,
        }  # fmt: skip

    def test_todays_figures_are_those_of_the_report(self, live, supervisor):
        queue = make_queue()
        make_waiting(queue, arrived_at=ago(100), state="abandoned", abandoned_in="queue",
                     ended_at=ago(10), offerable_from=None)  # fmt: skip
        [row] = supervisor.get("/api/reports/queues/").json()["results"]
        [shown] = live()["queues"]
        assert shown["today"] == {name: row[name] for name in shown["today"]}
        assert shown["today"] == {
            "offered": 1, "answered": 0, "abandoned": 1, "short_abandons": 0, "service_level": 0.0,
        }  # fmt: skip

    def test_quarantined_and_unknown_webhooks_are_counted(self, live):
        for n, verdict in enumerate(["quarantined", "quarantined", "unknown", "trusted"]):
            WebhookEvent.objects.create(key=str(n), endpoint="events", verdict=verdict,
                                        received_at=T0)  # fmt: skip
        counted = live()["webhooks"]
        assert (counted["quarantined"], counted["unknown"]) == (2, 1)

    def test_alerts_are_shown_until_they_are_dismissed(self, live):
        alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
        alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
        [alert] = live()["alerts"]
        assert (alert["text"], alert["count"]) == ("The wallet is empty.", 2)
        alerts.dismiss(alert["id"], at=timezone.now())
        assert live()["alerts"] == []

    def test_it_costs_the_same_for_many(self, supervisor, now, django_assert_max_num_queries):
        """Those who wait are explained one by one today; agents and live calls are not."""
        queue = make_queue()
        for n in range(15):
            make_agent(queue)
            make_waiting(queue, arrived_at=ago(n))
        match(T0)
        with django_assert_max_num_queries(14):
            assert len(supervisor.get("/api/live/").json()["calls"]) == 15

    def test_a_long_line_costs_the_same_too(self, supervisor, now, django_assert_max_num_queries):
        queue = make_queue()
        for n in range(40):
            make_waiting(queue, arrived_at=ago(n))
        with django_assert_max_num_queries(15):
            assert len(supervisor.get("/api/live/").json()["calls"]) == 40

    def test_a_call_without_a_queue_is_no_error(self, live):
        make_waiting(None, state="greeting", queued_at=None, offerable_from=None)
        assert live()["calls"][0]["queue"] is None


class TestSchema:
    def test_it_is_made_without_a_warning_and_is_valid(self):
        GENERATOR_STATS.reset()
        GENERATOR_STATS.enable_trace_lineno()
        with GENERATOR_STATS.silence():
            schema = SchemaGenerator().get_schema(request=None, public=True)
        said = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
        assert said == []
        validate_schema(schema)

    def test_every_promised_route_is_in_it(self):
        with GENERATOR_STATS.silence():
            paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
        found = {path: sorted(methods) for path, methods in paths.items()}
        promised = {
            "/api/queues/": ["get", "post"],
            "/api/queues/{slug}/": ["delete", "get", "patch"],
            "/api/agents/": ["get", "post"],
            "/api/agents/{username}/": ["delete", "get", "patch"],
            "/api/agents/{username}/presence/": ["post"],
            "/api/menus/": ["get", "post"],
            "/api/menus/{slug}/": ["delete", "get", "patch"],
            "/api/calls/": ["get", "post"],
            "/api/calls/{id}/": ["get"],
            "/api/live/": ["get"],
            "/api/reports/queues/": ["get"],
        }
        assert promised.items() <= found.items()

    def test_schema_and_page_open_for_who_is_signed_in(self):
        client = Api()
        client.force_login(make_supervisor())
        assert client.get("/api/schema/").status_code == 200
        page = client.get("/api/docs/")
        assert page.status_code == 200
        assert b"swagger" in page.content.lower()

    def test_no_route_is_forgotten_by_these_tests(self):
        from callcenter.api_urls import router

        assert {prefix for prefix, *_ in router.registry} == {
            "queues", "agents", "menus", "calls", "contacts", "dispositions", "break-reasons",
            "notices",
        }  # fmt: skip
        assert Queue.objects.count() == QueuedCall.objects.count() == 0
