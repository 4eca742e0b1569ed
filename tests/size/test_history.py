"""`make_history`: what it makes holds all constraints, and the audit finds nothing on it."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from agents.models import Agent, AgentInterval
from queues.models import CallEvent, Leg, Offer, QueuedCall, WebhookEvent, WrapUp
from reporting.audit import Audit
from reporting.figures import upkeep
from reporting.history import day, making, people, wish
from reporting.models import AgentQuarter, CallRecord, QueueQuarter, StaleQuarter
from tests.factories import make_queue, make_waiting

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def some(calls=300, days=6, queues=3, agents=8, seed=7, timelines=3, at=AT):
    zone = timezone.get_default_timezone()
    return wish.Wish(calls, days, queues, agents, seed, zone, at, timelines)


def make(asked=None, at=AT):
    return making.make(asked or some(), at=at, told=lambda text: None)


@pytest.fixture
def made():
    make()
    connection.check_constraints()  # what waits for the commit


def test_it_makes_exactly_as_many_calls_as_asked_for_within_the_days(made):
    assert QueuedCall.objects.count() == 300
    arrived = QueuedCall.objects.order_by("arrived_at")
    first, last = arrived.first().arrived_at, arrived.last().arrived_at
    assert first >= datetime(2026, 11, 13, 21, tzinfo=UTC)  # midnight in Nairobi
    assert last < datetime(2026, 11, 19, 21, tzinfo=UTC)


def test_there_is_something_of_everything(made):
    states = set(QueuedCall.objects.values_list("state", flat=True))
    assert {"completed", "abandoned", "no_answer", "rejected"} <= states
    assert {"ended", "no_answer", "declined"} <= set(Offer.objects.values_list("state", flat=True))
    assert {"direct", "room"} <= set(Offer.objects.values_list("kind", flat=True))
    assert WrapUp.objects.exclude(disposition=None).exists()
    assert CallRecord.objects.filter(cost_minor__gt=0).exists()
    assert Leg.objects.count() == CallRecord.objects.count()
    inbound = QueuedCall.objects.filter(state="abandoned").values_list("abandoned_in", flat=True)
    assert {"menu", "queue"} <= set(inbound)


def test_the_audit_finds_nothing_and_says_what_is_too_old_to_be_recounted(made):
    audit = Audit(at=AT)
    assert list(audit.lines()) == []
    told = CallEvent.objects.values("call").distinct().count()
    assert audit.calls == 300
    assert 0 < told < 300
    assert audit.not_recountable == 300 - told


def test_with_timelines_on_all_days_everything_is_recounted():
    make(some(timelines=6))
    audit = Audit(at=AT)
    assert list(audit.lines()) == []
    assert (audit.calls, audit.not_recountable) == (300, 0)


def test_a_timeline_that_is_missing_after_the_mark_is_still_found(made):
    call = CallEvent.objects.order_by("-at").first().call
    CallEvent.objects.filter(call=call).delete()
    assert any(call.public_id in line for line in Audit(at=AT).lines())


def test_the_interval_tables_are_counted_and_no_mark_is_left(made):
    assert not StaleQuarter.objects.exists()
    assert sum(QueueQuarter.objects.values_list("arrived", flat=True)) == 300
    assert AgentQuarter.objects.filter(engagement="on_call").exists()
    assert list(upkeep.compare(some().midnight(some().first), AT)) == []


def test_webhooks_and_timelines_are_of_the_last_days_only(made):
    oldest = datetime(2026, 11, 16, 21, tzinfo=UTC)
    assert CallEvent.objects.exists()
    assert not CallEvent.objects.filter(at__lt=oldest).exists()
    assert not WebhookEvent.objects.filter(received_at__lt=oldest).exists()


def test_each_agent_has_one_open_interval_and_is_as_it_says(made):
    for agent in Agent.objects.all():
        now = AgentInterval.objects.get(agent=agent, ended_at=None)
        assert (now.presence, now.engagement) == (agent.presence, agent.engagement)


def test_what_the_last_day_leaves_to_an_agent_is_recounted_too(monkeypatch):
    monkeypatch.setattr(day, "REFUSALS", [("no_answer", 0.8)])
    make()
    assert Agent.objects.filter(strikes__gt=0).exists()
    assert list(Audit(at=AT).lines()) == []


def test_the_same_seed_gives_the_same_history_and_another_one_another():
    def told(seed):
        centre = people.set_up(2, 6, seed=seed, since=AT)
        asked = some(seed=seed)
        from random import Random

        from reporting.history.day import play, shifts

        rng, midnight = Random(seed), asked.midnight(asked.last)
        shifts(centre, midnight, 2, rng)
        calls = list(play(centre, 50, midnight, rng, 20))
        return [(call.customer, call.arrived_at, call.state, call.ended_at) for call in calls]

    first = told(1)
    assert told(2) != first
    assert told(1) == first


@pytest.mark.parametrize("calls", [1, 7, 1000])
def test_the_calls_of_the_days_are_the_calls_asked_for(calls):
    assert sum(some(calls=calls, days=30).calls_by_day()) == calls


def test_it_stands_beside_what_is_there():
    queue = make_queue()
    call = make_waiting(queue, arrived_at=AT)
    make()
    call.refresh_from_db()
    assert call.state == "waiting"
    assert QueuedCall.objects.filter(queue=queue).count() > 50
    told = [line for line in Audit(at=AT).lines() if "2026-11-20" not in line]
    assert not [line for line in told if call.public_id not in line]  # which has no timeline


class TestTheCommand:
    def run(self, *arguments):
        out = StringIO()
        call_command("make_history", *arguments, stdout=out)
        return out.getvalue()

    def test_it_makes_what_is_asked_for(self):
        told = self.run("--calls", "40", "--days", "3", "--agents", "4", "--queues", "2", "--yes")
        assert "40 calls made" in told
        assert QueuedCall.objects.count() == 40

    def test_a_place_that_is_no_demo_must_be_meant(self):
        with pytest.raises(CommandError, match="no demo"):
            self.run("--calls", "10")
        assert not QueuedCall.objects.exists()

    def test_a_demo_needs_no_yes(self, settings):
        settings.DEMO = True
        assert "10 calls made" in self.run("--calls", "10", "--days", "2", "--agents", "3")

    def test_where_calls_are_it_must_be_meant(self):
        make_waiting(make_queue())
        with pytest.raises(CommandError, match="calls already"):
            self.run("--calls", "10", "--yes")
        assert "10 calls made" in self.run("--calls", "10", "--days", "2", "--yes", "--beside")

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--calls", "0"], ["--calls", "-5"], ["--calls", "20000001"], ["--days", "0"],
            ["--days", "3651"], ["--queues", "0"], ["--queues", "51"], ["--agents", "0"],
            ["--timelines", "0"],
        ],
    )  # fmt: skip
    def test_a_number_out_of_range_is_refused(self, wrong):
        with pytest.raises(CommandError, match=f"{wrong[0]} is a number from 1 to"):
            self.run(*wrong, "--yes")

    def test_what_is_no_number_is_refused(self):
        with pytest.raises(CommandError, match="invalid int"):
            self.run("--calls", "many", "--yes")
