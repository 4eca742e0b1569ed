"""The writes of one scene go out in one statement, and nobody can tell."""

from datetime import timedelta

import pytest
from django.db import connection, transaction

from agents.models import Agent, AgentInterval
from callcenter import together
from callcenter.together import Unwritten
from callcenter.transitions import StaleTransition
from queues import calls, offers, routing
from queues.models import Leg, Offer, QueuedCall
from queues.routing import match
from queues.scene import Scene, scene
from tests.factories import T0, make_agent, make_queue, make_waiting

from .telephone import the_call, the_offer

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.fixture
def ringing(db):
    """A waiting caller for whom an agent's phone rings since 1 s."""
    queue = make_queue(wrap_up_seconds=30)
    make_agent(queue)
    make_waiting(queue)
    assert match(after(1)) == 1
    return the_call()


@pytest.fixture
def talking(ringing):
    with scene(ringing.pk, at=after(5), source="test") as opened:
        calls.connect(opened, at=after(5))
    return ringing


def opened_at(seconds):
    return scene(the_call().pk, at=after(seconds), source="test")


def test_the_end_of_a_talk_is_one_statement_after_the_lock(talking, django_assert_num_queries):
    # A savepoint, the lock, the writes, the savepoint's release.
    with django_assert_num_queries(4), scene(talking.pk, at=after(60), source="test") as opened:
        calls.finish(opened, ended_at=after(60))
    call, offer, agent = the_call(), the_offer(), Agent.objects.get()
    assert (call.state, call.ended_at, call.offer) == ("completed", after(60), None)
    assert (offer.state, offer.ended_at) == ("ended", after(60))
    assert (agent.engagement, agent.wrap_up_until) == ("wrap_up", after(90))
    assert Leg.objects.get(role="agent").hang_up_at == after(62)
    assert Leg.objects.get(role="customer").ask_at == after(75)


def test_an_offer_is_one_statement_after_the_locks(django_assert_num_queries):
    queue = make_queue()
    make_agent(queue)
    make_waiting(queue)
    routing.sip_to_is_refused()  # is remembered for some seconds
    with django_assert_num_queries(6):  # heads, agent, caller, writes; a savepoint and its release
        assert match(after(1)) == 1
    assert (the_call().state, the_offer().state) == ("offered", "dialling")
    assert Leg.objects.get(role="agent").state == "planned"


def test_who_reads_in_between_sees_what_was_written(ringing):
    with opened_at(5) as opened:
        calls.connect(opened, at=after(5))
        assert Offer.objects.get().state == "joined"
        assert Agent.objects.get().engagement == "on_call"
        assert QueuedCall.objects.get().state == "connected"


def test_a_statement_by_hand_does_not_lose_to_an_earlier_write(ringing):
    with opened_at(5) as opened:
        together.update(opened.offer, check_at=after(7))
        Offer.objects.filter(pk=opened.offer.pk).update(check_at=after(9))
    assert the_offer().check_at == after(9)


def test_two_steps_of_an_agent_are_two_intervals(ringing):
    with opened_at(20) as opened:
        calls.connect(opened, at=after(5))
        calls.finish(opened, ended_at=after(20))
    chain = AgentInterval.objects.order_by("id").values_list("engagement", flat=True)
    assert [*chain][-3:] == ["ringing", "on_call", "wrap_up"]


def test_a_scene_that_fails_writes_nothing(ringing):
    def fail():
        with transaction.atomic(), opened_at(5) as opened:
            calls.connect(opened, at=after(5))
            raise LookupError

    before = [*connection.execute_wrappers]
    with pytest.raises(LookupError):
        fail()
    assert connection.execute_wrappers == before
    assert (the_call().state, Agent.objects.get().engagement) == ("offered", "ringing")


def test_a_move_that_is_not_allowed_is_refused_at_once(talking):
    with opened_at(9) as opened:
        with pytest.raises(StaleTransition):
            opened.call.move_to(QueuedCall.State.WAITING)
        assert opened.call.state == "connected"
    assert the_call().state == "connected"


def test_a_row_that_is_not_as_it_was_locked_undoes_the_scene(ringing):
    def overtaken():
        with transaction.atomic(), opened_at(5) as opened:
            sql("UPDATE queues_offer SET state = 'answered', answered_at = %s", after(4))
            opened.offer.move_to(Offer.State.RINGING)

    with pytest.raises(Unwritten):
        overtaken()
    assert the_offer().state == "dialling"


def test_after_the_scene_a_row_is_written_at_once(ringing):
    with opened_at(5) as opened:
        pass
    together.update(opened.offer, check_at=after(8))
    assert the_offer().check_at == after(8)


def test_a_new_row_takes_what_becomes_of_it_before_it_is_written(ringing, agent_of_another_call):
    agent, call = agent_of_another_call
    with transaction.atomic(), Scene(call, None, None, after(2), "test") as opened:
        offer = Offer(
            call=call, agent=agent, queue=call.queue, kind="room", created_at=after(2),
            ring_until=after(30), check_at=after(30),
        )  # fmt: skip
        together.insert(offer, opened.together)
        offer.move_to(Offer.State.RINGING)
        opened.together.hold(agent)
        offers.set_engagement(agent, "ringing", after(2))
        call.move_to("offered", offer=offer, agent=agent, dialled_at=after(2))
    assert Offer.objects.get(pk=offer.pk).state == "ringing"


@pytest.fixture
def agent_of_another_call():
    queue = make_queue("sales", number=None)
    return make_agent(queue), make_waiting(queue)
