"""Our own limits on placing calls: shared by all workers, agents first, and nobody is lost."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from queues import dialling, outbound, pace, reconcile, sweeping
from queues.models import CallEvent, Leg, Offer, Pace, QueuedCall
from queues.routing import match
from tests.factories import T0, make_agent, make_queue, make_waiting

pytestmark = pytest.mark.django_db
CONTACT = "+254733000001"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue(ring_timeout=15)


@pytest.fixture
def sent(provider):
    """The legs in the order in which they were sent; every POST is taken."""
    provider.takes_calls()

    def keys():
        return [key.split("-")[0] for key in provider.keys]

    return keys


def plan(queue, count=1):
    """So many callers in line are offered; their agents' legs, in order."""
    for _ in range(count):
        make_agent(queue)
        make_waiting(queue, arrived_at=after(-60 + QueuedCall.objects.count()))
    assert match(T0) == count
    return list(Leg.objects.filter(role="agent", sent_at=None).order_by("planned_at", "id"))


def dial_a_contact(n, *, at):
    """An agent calls somebody; the contact's leg."""
    call = outbound.click_to_call(make_agent().pk, f"{CONTACT}{n}", queue=None, at=at)
    return call.legs.get()


def place_due(at):
    """What one sweep and its tasks do."""
    for leg in Leg.objects.filter(state="planned", ask_at__lte=at).order_by("?"):
        dialling.place(leg.pk, at=at)


def test_off_it_costs_no_statement(queue, sent):
    [leg] = plan(queue)
    with CaptureQueriesContext(connection) as captured:
        dialling.place(leg.pk, at=T0)
    assert not any("queues_pace" in one["sql"] for one in captured)
    assert not Pace.objects.exists()


class TestCallsPerSecond:
    @pytest.fixture(autouse=True)
    def two_a_second(self, settings):
        settings.SAUTIKIT_CALLS_PER_SECOND = 2.0

    def test_so_many_go_out_and_the_rest_as_the_seconds_pass(self, queue, sent):
        legs = plan(queue, 5)
        for leg in legs:
            dialling.place(leg.pk, at=T0)
        assert sent() == [leg.pk.hex for leg in legs[:2]]
        assert {leg.state for leg in Leg.objects.filter(pk__in=[leg.pk for leg in legs[2:]])} == {
            "planned"
        }
        at = 0.0
        counts = []
        while at < 2:
            at += 0.25
            place_due(after(at))
            counts.append(len(sent()))
        assert counts == [2, 3, 3, 4, 4, 5, 5, 5]
        assert sent() == [leg.pk.hex for leg in legs]  # in their order

    def test_a_bucket_that_was_left_alone_holds_one_second_and_no_more(self, queue, sent):
        first, *rest = plan(queue, 5)
        dialling.place(first.pk, at=T0)
        for leg in rest:
            dialling.place(leg.pk, at=after(25))
        assert len(sent()) == 3

    def test_below_one_a_second_calls_go_out_that_far_apart(self, queue, sent, settings):
        settings.SAUTIKIT_CALLS_PER_SECOND = 0.5
        first, second = plan(queue, 2)
        dialling.place(first.pk, at=T0)
        for tenth in range(5, 30, 5):
            dialling.place(second.pk, at=after(tenth / 10))
        assert second.pk.hex in sent()
        second.refresh_from_db()
        assert second.sent_at == after(2)

    def test_agents_go_before_contacts_even_those_who_came_later(self, queue, sent):
        contacts = []
        for n in range(3):
            contacts.append(dial_a_contact(n, at=after(-1)))
        for leg in contacts:
            dialling.place(leg.pk, at=T0)
        agents = plan(queue, 2)
        Leg.objects.filter(state="planned").update(ask_at=T0)
        for step in range(1, 20):
            place_due(after(step / 4))
        assert sent()[2:4] == [leg.pk.hex for leg in agents]
        assert len(sent()) == 5

    def test_the_ringing_time_begins_when_the_leg_is_placed(self, queue, sent):
        *_, last = plan(queue, 3)
        for leg in Leg.objects.filter(role="agent"):
            Leg.objects.filter(pk=leg.pk).update(ask_at=T0)
        for leg in sorted(Leg.objects.filter(role="agent"), key=lambda leg: leg.planned_at):
            dialling.place(leg.pk, at=T0)
        last.refresh_from_db()
        assert last.sent_at is None
        assert last.offer.ring_until == after(15.5)
        dialling.place(last.pk, at=after(0.6))
        last = Leg.objects.select_related("offer").get(pk=last.pk)
        assert (last.state, last.offer.state) == ("ringing", "ringing")
        assert last.offer.ring_until == last.offer.check_at == after(15.6)
        reconcile.check_offer(last.offer_id, at=after(15.5))
        assert Offer.objects.get(pk=last.offer_id).state == "ringing"

    def test_a_contact_who_waits_for_long_is_seen_to_wait_and_not_lost(self, sent, settings):
        settings.SAUTIKIT_CALLS_PER_SECOND = 0.02  # one in 50 s
        legs = []
        for n in range(2):
            legs.append(dial_a_contact(n, at=T0))
        for second in range(51):
            for leg in legs:
                dialling.place(leg.pk, at=after(second))
        assert len(sent()) == 2
        told = CallEvent.objects.filter(kind="held_back")
        assert told.count() == 1  # once, however often it was held back
        assert set(QueuedCall.objects.values_list("state", flat=True)) == {"dialling"}

    def test_a_leg_that_nobody_wants_any_more_is_in_nobodys_way(self, queue, sent):
        legs = plan(queue, 4)
        for leg in legs:
            dialling.place(leg.pk, at=T0)
        Leg.objects.filter(pk=legs[2].pk).update(hang_up_at=after(0.1))
        dialling.place(legs[3].pk, at=after(0.6))
        assert legs[3].pk.hex in sent()

    def test_the_sweep_finds_a_leg_that_was_held_back(self, queue, sent, bells, commits):
        *_, last = plan(queue, 3)
        for leg in Leg.objects.filter(role="agent").order_by("planned_at", "id"):
            dialling.place(leg.pk, at=T0)
        bells.rung.clear()
        with commits():
            sweeping.sweep(at=after(1))
        assert bells.of("place") == [str(last.pk)]


class TestConcurrentLegs:
    @pytest.fixture(autouse=True)
    def two_at_a_time(self, settings):
        settings.SAUTIKIT_CONCURRENT_LEGS = 2

    def test_the_next_goes_out_when_one_is_over(self, queue, sent):
        legs = plan(queue, 3)
        for leg in legs:
            dialling.place(leg.pk, at=T0)
        assert len(sent()) == 2
        dialling.place(legs[2].pk, at=after(5))
        assert len(sent()) == 2
        Leg.objects.filter(pk=legs[0].pk).update(
            state="ended", ended_at=after(6), ask_at=None, hang_up_at=None
        )
        dialling.place(legs[2].pk, at=after(6))
        assert len(sent()) == 3

    def test_a_request_whose_answer_is_out_counts_and_its_repeat_is_not_held_back(
        self, queue, provider
    ):
        legs = plan(queue, 3)
        provider.answers_placing(503)
        for leg in legs:
            dialling.place(leg.pk, at=T0)
        assert len(provider.keys) == 2
        dialling.place(legs[0].pk, at=after(1))
        assert len(provider.keys) == 3

    def test_callers_legs_do_not_count(self, queue, sent):
        for n in range(5):
            make_waiting(queue, arrived_at=after(-600 + n), public_id=f"caller-{n}")
        make_agent(queue)
        match(T0)
        dialling.place(Leg.objects.get(role="agent").pk, at=T0)
        assert len(sent()) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("limit", "value"), [("SAUTIKIT_CONCURRENT_LEGS", 3), ("SAUTIKIT_CALLS_PER_SECOND", 3.0)]
)
def test_eight_workers_at_once_keep_to_the_limit_together(
    queue, sautikit_api, settings, limit, value
):
    setattr(settings, limit, value)
    legs = plan(queue, 8)
    sautikit_api.post("https://api.sautikit.test/v1/calls", json={"status": "ringing"}, status=201)
    start = threading.Barrier(8)
    take = pace.take

    def take_slowly(*args, **kwargs):
        found = take(*args, **kwargs)
        time.sleep(0.05)  # the others come while this one has counted and not yet written
        return found

    def place(leg):
        connection.ensure_connection()
        start.wait(10)
        try:
            dialling.place(leg.pk, at=after(0.1))
        finally:
            connection.close()

    pytest.MonkeyPatch().setattr(pace, "take", take_slowly)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(place, legs))
        for leg in Leg.objects.filter(role="agent", state="planned").order_by(
            "id"
        ):  # who came too early
            dialling.place(leg.pk, at=after(0.1))
    finally:
        pace.take = take
    assert len(sautikit_api.calls) == 3
