"""The circuit breaker: when it opens, what stops then, and how work goes on."""

from datetime import timedelta

import pytest
import requests
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent
from agents.refusals import Refused
from callcenter.sautikit import errors
from queues import breaker, dialling, outbound, provider, reconcile, sweeping
from queues.models import Alert, Breaker, Leg, Offer, QueuedCall
from queues.routing import match, why_waiting
from tests.factories import T0, make_agent, make_queue, make_waiting

from .telephone import Telephone, agent_leg, the_call, the_offer, verbs

pytestmark = pytest.mark.django_db
AWAY = errors.Unavailable("no answer in time", code="timeout")


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def clock(time_machine):
    time_machine.move_to(T0, tick=False)
    return time_machine


@pytest.fixture
def queue():
    return make_queue(ring_timeout=15)


@pytest.fixture
def agent(queue):
    return make_agent(queue)


def fail(times=1, *, placing=True, at=T0):
    for _ in range(times):
        breaker.heard(AWAY, placing=placing, at=at)


def row():
    return Breaker.objects.get(pk="api")


@pytest.fixture
def opened():
    fail(5)
    assert row().state == "open"


class TestOpening:
    def test_five_failures_in_a_row_open_it_and_four_do_not(self):
        fail(4)
        assert (row().state, row().failures) == ("closed", 4)
        assert not Alert.objects.exists()
        fail(at=after(1))
        assert (row().state, row().opened_at) == ("open", after(1))
        [alert] = Alert.objects.all()
        assert (alert.kind, alert.subject, alert.count) == ("provider", "away", 1)

    @pytest.mark.parametrize(
        "error",
        [
            errors.Unavailable("x", code="timeout"),
            errors.Unavailable("x", code="unreachable"),
            errors.Unavailable("x", status=500),
            errors.Unavailable("x", status=503, retry_after=1),
        ],
        ids=str,
    )
    def test_a_time_out_a_broken_connection_and_5xx_count(self, error):
        breaker.heard(error, placing=True, at=T0)
        assert row().failures == 1

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            errors.RateLimited("x", status=429),
            errors.Unavailable("x", status=408),
            errors.Rejected("x", status=400),
            errors.OutOfFunds("x", status=402),
            errors.NotFound("x", status=404),
        ],
        ids=str,
    )
    def test_any_other_answer_begins_the_count_anew(self, answer):
        fail(4)
        breaker.heard(answer, placing=True, at=T0)
        fail(4)
        assert (row().state, row().failures) == ("closed", 4)

    def test_a_question_that_is_answered_does_not_excuse_calls_that_cannot_be_placed(self):
        for _ in range(5):
            for _ in range(2):
                breaker.heard(None, placing=False, at=T0)
            fail()
        assert row().state == "open"

    def test_failures_more_than_a_minute_apart_are_not_in_a_row(self):
        for minute in range(8):
            fail(at=after(61 * minute))
        assert (row().state, row().failures) == ("closed", 1)

    def test_another_workers_success_counts(self):
        """What this process believes is a second old at the most."""
        fail(4)
        breaker.forget()  # as in a process that has not failed
        breaker.heard(None, placing=True, at=T0)
        assert row().failures == 0

    def test_more_failures_while_it_is_open_are_one_alert_written_once(self, opened):
        with CaptureQueriesContext(connection) as captured:
            fail(3, at=after(1))
        assert len(captured) == 3  # one each
        assert Alert.objects.get().count == 1

    def test_a_good_call_costs_no_statement(self, agent, queue, provider):
        make_waiting(queue)
        match(T0)
        provider.takes_calls(call_id="c-1")
        with CaptureQueriesContext(connection) as captured:
            dialling.place(agent_leg().pk, at=T0)
        said = [one["sql"] for one in captured if "SAVEPOINT" not in one["sql"]]
        # The test's own look at the leg; the leg; what is sent; what was taken; the shape, once.
        assert len([sql for sql in said if "queues_breaker" in sql]) == 1  # with the leg
        assert len([sql for sql in said if "queues_leg" in sql]) == 4

    def test_a_request_is_not_lost_where_the_breaker_cannot_be_told(self, monkeypatch, provider):
        from django.db import OperationalError

        def broken(*args, **kwargs):
            raise OperationalError("away")

        monkeypatch.setattr(breaker, "heard", broken)
        provider.hangs_up("c-1")
        from queues.provider import client

        assert client().hang_up("c-1") is True


class TestOpen:
    def test_callers_in_the_hold_room_stay_in_line_and_are_told_why(self, queue, agent, opened):
        call = make_waiting(queue)
        assert match(after(1)) == 0
        assert "provider is away" in why_waiting(call, after(1))
        agent.refresh_from_db()
        assert agent.engagement == "idle"

    def test_a_new_caller_is_dialled_through_to_a_free_agent(self, queue, agent, opened):
        assert "dial" in verbs(Telephone().inbound())
        assert the_offer().kind == "direct"

    def test_an_offer_that_was_not_sent_yet_is_let_go_and_nothing_is_posted(
        self, queue, agent, provider
    ):
        make_waiting(queue)
        match(T0)
        fail(5)
        dialling.place(agent_leg().pk, at=after(0.1))
        assert provider.asked == []
        assert (the_call().state, the_offer().state, agent_leg().state) == (
            "waiting", "expired", "ended",
        )  # fmt: skip
        agent.refresh_from_db()
        assert (agent.engagement, agent.strikes, agent.hold_off_until) == ("idle", 0, None)
        assert match(after(1)) == 0

    def test_a_leg_that_may_be_ringing_stays_until_its_ringing_time_is_over(
        self, queue, agent, provider
    ):
        make_waiting(queue)
        match(T0)
        provider.fails_placing(requests.ReadTimeout())
        dialling.place(agent_leg().pk, at=T0)
        fail(4)
        dialling.place(agent_leg().pk, at=after(1))
        assert len(provider.asked) == 1
        assert (agent_leg().state, the_offer().state) == ("planned", "dialling")
        reconcile.check_offer(the_offer().pk, at=after(15))
        assert (the_offer().state, agent_leg().hang_up_at) == ("expired", after(15))

    def test_hang_ups_are_still_asked_for(self, queue, agent, provider, opened):
        make_waiting(queue)
        Breaker.objects.update(state="closed")
        match(T0)
        Breaker.objects.update(state="open")
        Leg.objects.filter(role="agent").update(
            state="ringing", provider_id="c-1", hang_up_at=T0, ask_at=T0
        )
        provider.hangs_up("c-1", status=503)
        dialling.hang_up(agent_leg().pk, at=T0)
        assert provider.asked == ["POST /v1/calls/c-1/hangup"]
        assert T0 < agent_leg().hang_up_at <= after(2)

    def test_click_to_call_and_pulling_a_call_are_refused_at_once(self, queue, agent, opened):
        call = make_waiting(queue)
        with pytest.raises(Refused, match="provider is away"):
            outbound.click_to_call(agent.pk, "+254733000001", queue=queue, at=after(1))
        with pytest.raises(Refused, match="provider is away"):
            outbound.connect_agent(call.public_id, agent.destination, at=after(1))
        assert QueuedCall.objects.count() == 1
        assert not Offer.objects.exists()


class TestComingBack:
    def test_one_look_at_a_time(self, opened, bells, commits):
        looks = []
        for seconds in (0.5, 1, 1.5, 5, 7):
            with commits():
                sweeping.sweep(at=after(seconds))
            looks.append(len(bells.of("look_at_provider")))
        assert looks == [0, 1, 1, 1, 2]  # the first one was never heard of: 6 s later the next

    def test_a_look_that_finds_nobody_is_followed_by_the_next_a_second_later(
        self, opened, sautikit_api
    ):
        sautikit_api.get("https://api.sautikit.test/v1/calls", body=requests.ConnectTimeout())
        breaker.look_due(at=after(1))
        provider.look(at=after(1))
        assert (row().state, row().look_at) == ("open", after(2))

    @pytest.mark.parametrize("status", [200, 403, 404, 429])
    def test_any_answer_makes_it_half_open(self, opened, sautikit_api, status):
        sautikit_api.get("https://api.sautikit.test/v1/calls", json={"data": []}, status=status)
        provider.look(at=after(1))
        assert row().state == "half_open"
        assert Alert.objects.get().dismissed_at is None  # no call was placed yet

    def test_half_open_one_call_at_a_time_is_placed(self, queue, provider, opened, commits):
        for n in range(3):
            make_agent(queue)
            make_waiting(queue, arrived_at=after(-10 + n))
        with commits():
            breaker.heard(None, placing=False, at=after(1))  # rings the router
        assert Offer.objects.count() == 1
        assert the_offer().call.arrived_at == after(-10)
        leg = agent_leg()
        assert breaker.begin_trial(at=after(1))  # somebody else is at it
        dialling.place(leg.pk, at=after(1))
        assert provider.asked == []
        assert agent_leg().ask_at == after(2)
        breaker.end_trial()
        provider.takes_calls()
        with commits():
            dialling.place(leg.pk, at=after(2))
        assert (row().state, row().failures) == ("closed", 0)
        assert Alert.objects.get().dismissed_at is not None
        assert Offer.objects.count() == 3  # all go on at once

    def test_a_call_that_cannot_be_placed_opens_it_again(self, queue, agent, provider, opened):
        make_waiting(queue)
        breaker.heard(None, placing=False, at=after(1))
        match(after(1))
        provider.fails_placing(requests.ConnectTimeout())
        dialling.place(agent_leg().pk, at=after(1))
        assert (row().state, row().trial_until) == ("open", None)
        assert Alert.objects.get().count == 2

    def test_a_trial_that_died_ends_by_itself(self, opened):
        breaker.heard(None, placing=False, at=after(1))
        assert breaker.begin_trial(at=after(1))
        assert not breaker.begin_trial(at=after(15))
        assert breaker.begin_trial(at=after(16))

    def test_a_leg_that_is_only_looked_for_does_not_hold_up_the_trial(
        self, queue, agent, provider, opened
    ):
        breaker.heard(None, placing=False, at=after(1))
        call = make_waiting(queue)
        Leg.objects.create(
            call=call, role="agent", is_placed_by_us=True, party="+254711999999", line=call.line,
            planned_at=T0, sent_at=T0, hang_up_at=after(2),
        )  # fmt: skip
        assert match(after(1)) == 1

    def test_with_nobody_to_call_for_a_minute_it_is_closed(self, opened):
        breaker.heard(None, placing=False, at=after(1))
        sweeping.sweep(at=after(60))
        assert row().state == "half_open"
        sweeping.sweep(at=after(61))
        assert row().state == "closed"
        assert Alert.objects.get().dismissed_at == after(61)

    def test_where_only_questions_failed_the_first_answer_closes_it(self):
        fail(5, placing=False)
        assert row().state == "open"
        breaker.heard(None, placing=False, at=after(1))
        assert row().state == "closed"


class TestToldToWait:
    def test_429_holds_every_worker_and_the_router_for_as_long(self, queue, provider, clock):
        make_agent(queue)
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        provider.answers_placing(429, headers={"Retry-After": "7"})
        dialling.place(agent_leg().pk, at=T0)
        assert agent_leg().ask_at == after(7)
        assert row().paused_until == after(7)
        make_waiting(queue, arrived_at=after(1), public_id="second")
        assert match(after(6.9)) == 0
        assert match(after(7)) == 1

    def test_a_leg_planned_before_waits_without_asking(self, queue, provider):
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        breaker.heard(errors.RateLimited("x", status=429, retry_after=7), placing=True, at=T0)
        dialling.place(agent_leg().pk, at=after(1))
        assert provider.asked == []
        assert (agent_leg().ask_at, the_offer().state) == (after(2), "dialling")

    def test_an_hour_is_taken_for_a_minute(self):
        breaker.heard(errors.RateLimited("x", status=429, retry_after=3600), placing=True, at=T0)
        assert row().paused_until == after(60)


def test_how_the_provider_stands_is_told(opened, client):
    told = provider.standing(after(1))
    assert (told["breaker"], told["failures"], told["since"]) == ("open", 5, T0.isoformat())
    assert "no answer in time" in told["error"]
    metrics = client.get("/metrics").content.decode()
    assert 'callcenter_provider_breaker{state="open"} 1' in metrics
    assert 'callcenter_provider_breaker{state="closed"} 0' in metrics
    assert metrics.count("# TYPE callcenter_provider_breaker gauge") == 1


def test_the_agents_are_idle_through_all_of_it(queue, agent, opened):
    make_waiting(queue)
    for second in range(30):
        sweeping.sweep(at=after(second))
    assert not Offer.objects.exists()
    assert Agent.objects.get().engagement == "idle"
