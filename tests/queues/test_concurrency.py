"""Several workers at once, on real connections: promises 1 and 3 hold whoever comes first."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from unittest import mock

import pytest
import requests
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from agents import presence
from agents.models import Agent
from callcenter import bell
from callcenter.sautikit.callbacks import Outcome
from queues import calls, dialling, offers, reconcile, sweeping
from queues.inbox import Arrival
from queues.models import CallEvent, Leg, Number, Offer, Queue, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import LINE, T0, make_agent, make_menu, make_queue, make_waiting

from .telephone import Telephone, actions, agent_leg, argument, the_call, the_offer
from .threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)
CUSTOMER = "HD_000000000001"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def no_routing(monkeypatch):
    """Routing happens only where the test asks for it."""
    monkeypatch.setitem(bell._answers, "route", lambda: None)


class TestManyWorkers:
    @pytest.mark.parametrize("strategy", ["longest_idle", "round_robin"])
    def test_20_callers_and_20_agents_are_paired_once_each(self, strategy):
        queue = make_queue(strategy=strategy)
        for n in range(20):
            make_waiting(queue, arrived_at=T0 - timedelta(seconds=n))
            make_agent(queue)
        at_once(*[lambda: match(T0)] * 4)
        while match(T0):  # what a locked agent left over is the sweep's
            pass
        pairs = list(Offer.objects.values_list("call", "agent"))
        assert len(pairs) == len({call for call, _ in pairs}) == 20
        assert len({agent for _, agent in pairs}) == 20
        assert Leg.objects.filter(role="agent").count() == 20
        assert not QueuedCall.objects.exclude(state="offered").exists()
        assert set(Agent.objects.values_list("engagement", flat=True)) == {"ringing"}

    def test_four_workers_and_one_agent_serve_the_first_in_line(self):
        queue = make_queue()
        first = make_waiting(queue, arrived_at=T0 - timedelta(minutes=1))
        for n in range(5):
            make_waiting(queue, arrived_at=T0 - timedelta(seconds=n))
        make_agent(queue)
        assert sum(at_once(*[lambda: match(T0)] * 4)) == 1
        assert the_offer().call == first

    def test_agents_who_share_queues_take_nobody_twice_and_nothing_deadlocks(self):
        sales, support = make_queue("sales", number=None), make_queue("support", number=None)
        for n in range(10):
            make_waiting(sales if n % 2 else support, arrived_at=T0 - timedelta(seconds=n))
            make_agent(sales, support)
        at_once(*[lambda: match(T0)] * 4)
        while match(T0):
            pass
        assert Offer.objects.count() == 10

    def test_arrivals_and_the_router_never_take_the_same_agent(self, no_routing):
        sales = make_queue("sales", number=None)
        queue = make_queue()
        for n in range(4):
            make_agent(queue, sales)
            make_waiting(sales, arrived_at=timezone.now() - timedelta(seconds=n))
        arrivals = [lambda n=n: Telephone().inbound(f"HD_{n}00000000000") for n in range(1, 4)]
        replies = at_once(*arrivals, lambda: match(timezone.now()))
        assert all(reply.status_code == 200 for reply in replies[:3])
        taken = list(Offer.objects.values_list("agent", flat=True))
        assert len(taken) == len(set(taken)) == 4


class TestOneCallToldTwice:
    def test_two_identical_first_posts_are_one_call_and_one_agent_with_the_same_bytes(self):
        queue = make_queue()
        for _ in range(4):
            make_agent(queue)
        replies = at_once(*[lambda: Telephone().inbound()] * 4)
        assert len({reply.content for reply in replies}) == 1
        assert "dial" in replies[0].content.decode()
        assert QueuedCall.objects.count() == Offer.objects.count() == Leg.objects.count() == 1
        assert Agent.objects.filter(engagement="ringing").count() == 1

    def test_the_same_into_the_hold_room(self):
        make_queue()
        replies = at_once(*[lambda: Telephone().inbound()] * 4)
        assert len({reply.content for reply in replies}) == 1
        assert (the_call().state, the_call().step) == ("waiting", 1)

    def test_no_input_and_redirect_at_the_same_instant_count_one_try(self):
        make_menu(("1", make_queue()), tries=3)
        Number.objects.filter(menu=None).delete()
        phone = Telephone()
        line = {"destinationNumber": "+254200000100"}
        url = argument(phone.inbound(**line), "redirect")["url"]
        replies = at_once(
            lambda: Telephone().inbound(Digits="", **line),
            lambda: Telephone().post(url, {"sessionId": CUSTOMER}),
        )
        assert replies[0].content == replies[1].content
        assert (the_call().menu_tries, the_call().step) == (1, 2)

    def test_the_same_end_from_three_sources_ends_the_call_once(self):
        make_queue()
        phone = Telephone()
        url = argument(phone.inbound(), "conference")["statusEventsCallbackUrl"]
        phone.event(url, "join", CUSTOMER)
        leg = Leg.objects.get()
        at_once(
            lambda: Telephone().hang_up(),
            lambda: reconcile.observe(
                Leg.objects.get(), Outcome.COMPLETED, at=timezone.now(), source="record"
            ),
            lambda: Telephone().event(url, "leave", CUSTOMER),
        )
        assert the_call().state == "abandoned"
        assert CallEvent.objects.filter(call=leg.call, kind="abandoned").count() == 1


class TestWhileBeingOffered:
    @pytest.fixture
    def waiting(self, no_routing):
        queue = make_queue()
        make_agent(queue)
        return make_waiting(queue)

    def leave(self, pk):
        with scene(pk, at=after(1), source="test") as opened:
            calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=after(1))

    def test_a_caller_who_hangs_up_leaves_nobody_ringing(self, waiting):
        for _ in range(5):
            at_once(lambda: match(T0), partial(self.leave, waiting.pk))
            waiting.refresh_from_db()
            assert waiting.state == "abandoned"
            assert not Offer.objects.open().exists()
            agent = Agent.objects.get()
            assert (agent.engagement, agent.strikes, agent.hold_off_until) == ("idle", 0, None)
            stray = Leg.objects.filter(role="agent", hang_up_at=None, ended_at=None)
            assert not stray.exists()
            waiting = make_waiting(waiting.queue)  # again, with another caller

    def test_an_agent_who_goes_on_break_is_offered_the_call_or_not_but_wholly(self, waiting):
        agent = Agent.objects.get()
        for _ in range(5):
            at_once(
                lambda: match(T0), lambda: presence.change(agent.pk, "break", at=T0, cause="page")
            )
            agent.refresh_from_db()
            call = the_call()
            assert agent.presence == "break"
            both = (call.state, agent.engagement, Offer.objects.open().count())
            assert both in {("offered", "ringing", 1), ("waiting", "idle", 0)}
            # again, from the start
            if call.state == "offered":
                with scene(call.pk, at=T0, source="test") as opened:
                    calls.not_answered(opened, "caller_gone")
            presence.change(agent.pk, "available", at=T0, cause="page")
            Leg.objects.filter(role="agent").delete()

    def test_answer_and_ring_timer_at_the_same_instant_give_one_outcome(self, waiting):
        match(T0)
        Leg.objects.filter(role="agent").update(
            state="ringing", session_id="HD_a", placed_at=T0, ask_at=T0
        )
        Offer.objects.update(state="ringing")
        pk = the_offer().pk

        def answer():
            reconcile.observe(agent_leg(), Outcome.ANSWERED, at=after(15), source="test")

        at_once(answer, lambda: reconcile.check_offer(pk, at=after(15)))
        outcome = (the_offer().state, the_call().state, Agent.objects.get().engagement)
        assert outcome in {("answered", "offered", "ringing"), ("no_answer", "waiting", "idle")}

    def test_two_ends_of_one_talk_make_one_wrap_up(self, waiting):
        match(T0)
        with scene(waiting.pk, at=after(5), source="test") as opened:
            calls.connect(opened, at=after(5))
        customer = Leg.objects.get(role="customer")
        at_once(
            lambda: reconcile.observe(customer, Outcome.COMPLETED, at=after(60), source="customer"),
            lambda: reconcile.observe(agent_leg(), Outcome.COMPLETED, at=after(60), source="agent"),
        )
        assert (the_call().state, the_offer().state) == ("completed", "ended")
        assert CallEvent.objects.filter(kind="completed").count() == 1
        assert Agent.objects.get().wrap_up_until == after(70)

    def test_two_ends_of_one_wrap_up_are_one(self, waiting):
        Agent.objects.update(engagement="wrap_up", wrap_up_until=after(10))
        pk = Agent.objects.get().pk
        ended = at_once(*[lambda: offers.end_wrap_up(pk, at=after(11))] * 3)
        assert sorted(ended) == [False, False, True]


class TestPlacing:
    def test_of_two_tasks_for_a_new_leg_one_sends(self, no_routing, sautikit_api):
        """Even where they would not agree on the body: the shape may be learnt in between."""
        queue = make_queue()
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        keys = []

        def answer(request):
            keys.append((request.headers["Idempotency-Key"], request.body))
            time.sleep(0.3)  # the other task comes meanwhile
            return 201, {}, '{"call_id": "c-1", "session_id": "HD_1"}'

        sautikit_api.add_callback("POST", "https://api.sautikit.test/v1/calls", answer)
        pk = agent_leg().pk
        read = dialling._read
        both_read = threading.Barrier(2)

        def read_together(*args):
            found = read(*args)
            both_read.wait(5)
            return found

        with mock.patch.object(dialling, "_read", read_together):
            at_once(*[lambda: dialling.place(pk, at=after(1))] * 2)
        assert len(keys) == 1
        assert (agent_leg().state, the_offer().state) == ("ringing", "ringing")

    def test_two_repeats_for_one_leg_use_one_key_and_leave_one_leg(self, no_routing, sautikit_api):
        """Both POST: the same key and the same bytes, so that the second is a replay."""
        queue = make_queue()
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        sautikit_api.post("https://api.sautikit.test/v1/calls", body=requests.ReadTimeout())
        dialling.place(agent_leg().pk, at=T0)
        sautikit_api.reset()
        both_out = threading.Barrier(2)
        keys = []

        def answer(request):
            keys.append((request.headers["Idempotency-Key"], request.body))
            both_out.wait(5)  # each task has read the leg before either has stored the answer
            return 201, {}, '{"call_id": "c-1", "session_id": "HD_1"}'

        sautikit_api.add_callback("POST", "https://api.sautikit.test/v1/calls", answer)
        pk = agent_leg().pk
        at_once(*[lambda: dialling.place(pk, at=after(1))] * 2)
        assert len(keys) == 2
        assert len(set(keys)) == 1  # a replay for the provider
        leg = agent_leg()
        assert (leg.state, leg.provider_id, the_offer().state) == ("ringing", "c-1", "ringing")


def _waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return cursor.fetchone()[0]


def test_a_leg_that_is_sent_as_its_caller_leaves_keeps_the_agent_until_it_is_down(no_routing):
    agent = make_agent(make_queue(ring_timeout=25))
    call = make_waiting(Queue.objects.get())
    match(T0)

    def leave():
        with scene(call.pk, at=after(1), source="test") as opened:
            calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=after(1))
        connection.close()

    leaving = threading.Thread(target=leave)
    with transaction.atomic():
        Leg.objects.filter(role="agent").update(sent_at=after(1))
        leaving.start()
        for _ in range(200):
            if _waits_for_a_lock():
                break
            time.sleep(0.05)
    leaving.join(20)
    assert Agent.objects.get(pk=agent.pk).hold_off_reason == "hanging_up"


class TestSweeping:
    def test_two_sweeps_at_once_ring_each_bell_once(self, bells, no_routing):
        queue = make_queue(max_wait_seconds=30)
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        make_waiting(queue, arrived_at=T0 - timedelta(minutes=5))
        bells.rung.clear()
        at_once(*[lambda: sweeping.sweep(at=after(20))] * 3)
        assert bells.of("place") == [str(agent_leg().pk)]
        assert len(bells.of("check_offer")) == 1
        assert QueuedCall.objects.filter(state="expired").count() == 1
        assert CallEvent.objects.filter(kind="expired").count() == 1


def test_numbers_of_one_line_never_lead_to_two_queues():
    """The database refuses it, whoever writes."""
    make_queue()
    other = make_queue("other", number=None)

    def take():
        try:
            Number.objects.create(e164=LINE, queue=other)
        except IntegrityError:
            return "refused"
        return "taken"

    assert at_once(take, take) == ["refused", "refused"]
    assert Queue.objects.get(numbers__e164=LINE).slug == "support"
    assert actions(Telephone().inbound())


def test_an_event_that_only_refers_to_a_locked_call_does_not_wait_for_it():
    """Else it would hold its leg's row while it waits for the call, and the scene the other way."""
    call = make_waiting(make_queue())
    handle = Leg.objects.get().session_id

    def tell():
        try:
            body = {"kind": "call.answered", "event_id": "e-1", "data": {"call_id": handle}}
            arrival = Arrival("events", T0, body, {}, "/calls/events", kind="call.answered")
            return arrival.store_unless_news([handle], None, Outcome.ANSWERED)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, scene(call.pk, at=T0, source="test") as opened:
        told = pool.submit(tell).result(timeout=2)
        Leg.objects.filter(call=opened.call).update(asks=1)
    assert (told.is_news, told.is_first) == (False, True)
