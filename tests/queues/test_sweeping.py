"""What falls due is found in the rows, whatever message was lost; twice is as good as once."""

from datetime import timedelta

import pytest

from agents.models import Agent
from callcenter.sautikit.callbacks import Outcome
from queues import calls, dialling, inbox, reconcile, sweeping
from queues.models import Alert, CallEvent, Leg, Offer, ProviderFact, QueuedCall, WebhookEvent
from queues.routing import match
from queues.scene import scene
from tests.factories import T0, make_agent, make_queue, make_waiting

from .telephone import agent_leg, the_call, the_offer

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue(max_wait_seconds=60)


@pytest.fixture
def sweep(commits, bells):
    """Sweep at an instant; return the bells that rang, by name."""

    def swept(at):
        bells.rung.clear()
        with commits():
            sweeping.sweep(at=at)
        return [name for name, *_ in bells.rung if name != "sweep_at"]

    return swept


def test_a_quiet_centre_takes_one_statement(queue, django_assert_num_queries):
    make_agent(queue)
    with django_assert_num_queries(1):
        sweeping.sweep(at=T0)


class TestTheRouter:
    def test_a_free_agent_and_a_waiting_caller_meet_without_any_bell(self, queue, sweep):
        make_agent(queue)
        make_waiting(queue)
        assert sweep(after(1)) == ["place"]
        assert the_call().state == "offered"

    def test_the_end_of_a_hold_off_is_seen(self, queue, sweep):
        make_agent(queue, hold_off_until=after(10), hold_off_reason="busy")
        make_waiting(queue)
        sweep(after(9))
        assert the_call().state == "waiting"
        sweep(after(10))
        assert the_call().state == "offered"

    def test_a_caller_whose_join_was_never_told_is_offered(self, queue, sweep):
        make_agent(queue)
        make_waiting(queue, offerable_from=after(8))
        sweep(after(7))
        assert the_call().state == "waiting"
        sweep(after(8))
        assert the_call().state == "offered"

    def test_the_end_of_a_wrap_up_frees_the_agent_for_the_next_caller_in_the_same_sweep(
        self, queue, sweep
    ):
        make_agent(queue, engagement="wrap_up", wrap_up_until=after(10))
        make_waiting(queue)
        sweep(after(9.9))
        assert Agent.objects.get().engagement == "wrap_up"
        sweep(after(10))
        assert (Agent.objects.get().engagement, the_call().state) == ("ringing", "offered")


class TestLostBells:
    def test_a_planned_leg_whose_bell_was_lost_is_placed_after_two_seconds(self, queue, sweep):
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        assert sweep(after(1.9)) == []
        assert sweep(after(2)) == ["place"]

    def test_a_bell_is_not_rung_again_while_the_worker_has_it(self, queue, sweep):
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        rung = [sweep(after(seconds)) for seconds in (2, 3, 11.9, 12)]
        assert rung == [["place"], [], [], ["place"]]

    def test_an_offer_whose_ring_timer_is_over_is_looked_at(self, queue, sweep):
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        Leg.objects.filter(role="agent").update(
            state="ringing", session_id="HD_a", ask_at=after(60)
        )
        assert sweep(after(14.9)) == []
        assert sweep(after(15)) == ["check_offer"]
        assert sweep(after(16)) == []

    def test_a_leg_that_is_due_is_asked_about(self, queue, sweep):
        make_waiting(queue)
        Leg.objects.update(ask_at=after(30))
        assert sweep(after(29)) == []
        assert sweep(after(30)) == ["ask"]

    def test_a_leg_that_is_to_be_hung_up_is_hung_up_until_it_has_ended(self, queue, sweep):
        make_waiting(queue)
        Leg.objects.update(hang_up_at=after(5), ask_at=None)
        assert sweep(after(5)) == ["hang_up"]
        assert sweep(after(6)) == []
        assert sweep(after(15)) == ["hang_up"]
        Leg.objects.update(state="ended", ended_at=after(16))
        assert sweep(after(40)) == []


class TestAWaitThatIsTooLong:
    def test_it_expires_at_the_queues_limit_and_the_leg_is_hung_up(self, queue, sweep):
        make_waiting(queue)
        sweep(after(59))
        assert the_call().state == "waiting"
        assert "hang_up" in sweep(after(60))
        call = the_call()
        assert (call.state, call.ended_at) == ("expired", after(60))
        assert Leg.objects.get().hang_up_at == after(60)

    def test_a_caller_who_is_being_offered_is_not_cut_off(self, queue, sweep):
        make_agent(queue)
        make_waiting(queue)
        match(after(55))
        sweep(after(61))
        assert the_call().state == "offered"

    def test_who_holds_by_laps_hears_it_at_the_end_of_the_lap_and_is_cut_off_only_after_that(
        self, queue, sweep
    ):
        ProviderFact.objects.create(name="sip_to_refused", value=True, at=T0)
        make_agent(queue, destination="sip:amina@pbx.example.com", presence="break")
        make_waiting(queue)
        sweep(after(79))
        assert the_call().state == "waiting"
        with scene(the_call().pk, at=after(70), source="test") as opened:
            document = calls.after_dial(opened, answered=False)
        assert "hangup" in document
        assert the_call().state == "expired"


def test_sweeping_twice_at_the_same_instant_does_nothing_more(queue, sweep):
    make_agent(queue)
    make_agent(queue, engagement="wrap_up", wrap_up_until=after(1))
    for n in range(4):
        make_waiting(queue, arrived_at=after(-n))
    make_waiting(queue, arrived_at=after(-100))
    sweep(after(3))

    def state():
        return (
            list(QueuedCall.objects.order_by("pk").values_list("state", "offer", "ended_at")),
            list(Offer.objects.order_by("pk").values_list("state", "agent")),
            list(Agent.objects.order_by("pk").values_list("engagement", "wrap_up_until")),
            CallEvent.objects.count(),
        )

    once = state()
    assert set(sweep(after(3))) <= {"hang_up"}  # which the provider takes twice without harm
    assert state() == once
    assert Offer.objects.count() == 2


def test_an_agent_is_not_left_busy_by_any_lost_message(queue, sweep, provider):
    """Promise 4, for the room: only the sweep and the provider's record bring the news."""
    make_agent(queue)
    make_waiting(queue)
    match(T0)
    provider.takes_calls(call_id="c-1", session_id="HD_a")
    dialling.place(agent_leg().pk, at=T0)
    with scene(the_call().pk, at=after(2), source="test") as opened:
        calls.connect(opened, at=after(2))
    Leg.objects.filter(role="agent").update(
        state="answered", answered_at=after(2), ask_at=after(30)
    )
    handle = Leg.objects.get(role="customer").handle
    provider.knows(handle, session_id=handle, direction="inbound", status="answered")
    over = after(20).isoformat()
    provider.knows("c-1", status="completed", answered_at=after(2).isoformat(), ended_at=over)
    for second in range(2, 40):
        if "ask" in sweep(after(second)):
            for leg in Leg.objects.filter(ended_at=None).exclude(state="planned"):
                reconcile.ask(leg.pk, at=after(second))
    assert (the_call().state, the_offer().state) == ("completed", "ended")
    assert Agent.objects.get().engagement == "idle"  # wrap-up, 10 s, is over too


def test_a_call_whose_every_message_is_lost_is_asked_about_within_half_a_minute(queue, phone):
    phone.inbound()
    call = the_call()
    assert (Leg.objects.get().ask_at - call.arrived_at).total_seconds() == 30


def test_webhooks_are_kept_for_a_week_and_their_calls_for_ever(queue, phone):
    phone.inbound()
    received = WebhookEvent.objects.get().received_at
    assert inbox.forget_old(received + timedelta(days=6, hours=23)) == 0
    assert inbox.forget_old(received + timedelta(days=7, seconds=1)) == 1
    assert QueuedCall.objects.count() == 1
    assert not Alert.objects.exists()


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED, Outcome.CANCELED])
def test_whatever_word_ends_a_waiting_customer_it_is_an_abandon(queue, outcome):
    call = make_waiting(queue)
    with scene(call.pk, at=after(9), source="test") as opened:
        calls.customer_ended(opened, outcome=outcome, ended_at=after(8))
    call = the_call()
    assert (call.state, call.abandoned_in, call.ended_at) == ("abandoned", "queue", after(8))
