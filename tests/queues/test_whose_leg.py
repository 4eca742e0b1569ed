"""An agent who is offered call after call: the leg of one is never taken for that of another, and
the phone does not ring while it is still being hung up."""

from datetime import timedelta

import pytest
import requests

from agents import presence
from agents.models import Agent
from callcenter.sautikit.callbacks import Outcome
from queues import adoption, calls, dialling, reconcile
from queues.models import Leg, Offer, QueuedCall
from queues.routing import match
from queues.scene import scene
from reporting import audit
from tests.factories import LINE, T0, make_agent, make_queue, make_waiting

from .telephone import agent_leg

pytestmark = pytest.mark.django_db
AMINA, LEG = "+254711000001", "HD_00000000000a"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue(ring_timeout=25)


@pytest.fixture
def agent(queue):
    return make_agent(queue, destination=AMINA)


def leave(call, at):
    with scene(call.pk, at=at, source="test") as opened:
        calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=at)


def record(at, **values):
    return {
        "id": "c-9", "session_id": LEG, "direction": "outbound", "local_e164": LINE,
        "remote_e164": AMINA, "status": "ringing", "started_at": after(at).isoformat(), **values,
    }  # fmt: skip


@pytest.fixture
def lost(queue, agent, provider):
    """The POST for a first caller was never answered, and that caller has gone."""
    first = make_waiting(queue)
    match(T0)
    leg = agent_leg()
    provider.fails_placing(requests.ReadTimeout())
    dialling.place(leg.pk, at=T0)
    leave(first, after(1))
    return leg


def second_offer(queue, at):
    """The next caller is dialled straight through to the same agent."""
    Agent.objects.update(hold_off_until=None, hold_off_reason="")
    call = make_waiting(queue, arrived_at=after(at))
    assert match(after(at)) == 1
    offer = Offer.objects.get(call=call)
    offer.legs.all().delete()
    Offer.objects.filter(pk=offer.pk).update(kind="direct")
    return offer


class TestWhoseLeg:
    def test_a_lost_leg_does_not_take_and_hang_up_the_leg_of_the_next_call(
        self, lost, queue, provider
    ):
        second_offer(queue, 11)
        provider.lists(record(11.5))
        dialling.hang_up(lost.pk, at=after(12))
        assert not [one for one in provider.asked if one.endswith("/hangup")]
        assert Leg.objects.get(pk=lost.pk).handle == ""

    def test_it_is_found_by_the_time_at_which_it_was_placed(self, lost, queue, provider):
        second_offer(queue, 11)
        provider.lists(record(0.3))
        provider.hangs_up(LEG)
        dialling.hang_up(lost.pk, at=after(12))
        assert Leg.objects.get(pk=lost.pk).session_id == LEG

    @pytest.mark.parametrize(("lived_at", "owner"), [(0.4, 0), (1.9, 0), (10.5, 1), (14, 1)])
    def test_it_is_of_the_offer_that_was_open_or_the_nearest(self, lost, queue, lived_at, owner):
        second_offer(queue, 11)
        offers = list(Offer.objects.order_by("created_at"))
        assert adoption.owner(AMINA, LINE, after(lived_at)) == offers[owner]

    def test_where_the_offer_has_its_leg_another_is_nobodys(self, lost, queue):
        offer = second_offer(queue, 11)
        taken = adoption.adopt_outbound((LEG,), LINE, AMINA, at=after(12), lived_at=after(11.2))
        assert taken.offer == offer
        other = adoption.adopt_outbound(("HD_b",), LINE, AMINA, at=after(13), lived_at=after(11.2))
        assert other is None


class TestPhoneBeingHungUp:
    @pytest.fixture
    def ringing(self, queue, agent):
        """Amina's phone rings for a caller who leaves."""
        call = make_waiting(queue)
        match(T0)
        Leg.objects.filter(role="agent").update(
            state="ringing", session_id=LEG, sent_at=T0, placed_at=T0, ask_at=after(3)
        )
        leave(call, after(5))
        return agent_leg()

    def test_no_call_comes_until_it_is_done(self, ringing, queue):
        make_waiting(queue, arrived_at=after(5))
        assert match(after(5.1)) == 0
        reconcile.observe(ringing, Outcome.CANCELED, at=after(5.2), source="events")
        held = Agent.objects.get()
        assert (held.hold_off_until, held.hold_off_reason, held.strikes) == (None, "", 0)
        assert match(after(5.2)) == 1

    def test_the_provider_s_word_that_it_is_hung_up_is_enough(self, ringing, queue, provider):
        provider.hangs_up(LEG)
        dialling.hang_up(ringing.pk, at=after(5.1))
        make_waiting(queue, arrived_at=after(5))
        assert match(after(5.1)) == 1

    def test_a_hang_up_that_failed_is_tried_again_at_once_and_the_agent_waits(
        self, ringing, queue, provider, bells
    ):
        provider.hangs_up(LEG, status=503)
        dialling.hang_up(ringing.pk, at=after(5))
        assert after(5.1) < agent_leg().hang_up_at <= after(5.5)
        for _ in range(3):
            dialling.hang_up(ringing.pk, at=after(6))
        assert after(7) <= agent_leg().hang_up_at <= after(8)
        make_waiting(queue, arrived_at=after(5))
        assert match(after(14.9)) == 0
        assert match(after(15)) == 1

    def test_becoming_available_does_not_make_the_phone_free(self, ringing, queue, agent):
        presence.change(agent.pk, "break", at=after(5.1), cause="test")
        presence.change(agent.pk, "available", at=after(5.2), cause="test")
        make_waiting(queue, arrived_at=after(5))
        assert match(after(5.3)) == 0
        reconcile.observe(ringing, Outcome.CANCELED, at=after(5.4), source="events")
        assert match(after(5.5)) == 1

    def test_the_audit_takes_it_for_what_it_is(self, ringing):
        assert [line for line in audit.Audit(at=after(6)).lines() if "hold-off" in line] == []

    def test_a_phone_that_was_never_rung_is_free_at_once(self, queue, agent):
        call = make_waiting(queue)
        match(T0)
        leave(call, after(0.1))
        make_waiting(queue, arrived_at=after(0.2))
        assert match(after(0.2)) == 1
        assert QueuedCall.objects.filter(state="offered").count() == 1


def test_no_offer_is_older_than_the_freedom_of_its_agent(queue, agent):
    """Two requests overtake each other by some milliseconds: the later in time is served first."""
    call = make_waiting(queue)
    match(after(10))
    leave(call, after(12))
    Agent.objects.update(hold_off_until=None, hold_off_reason="")
    make_waiting(queue, arrived_at=after(9))
    assert match(after(11.9)) == 1
    assert Offer.objects.latest("created_at").created_at == after(12)
    assert [line for line in audit.Audit(at=after(20)).lines() if "engaged" in line] == []
