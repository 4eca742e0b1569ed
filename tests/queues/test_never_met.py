"""A customer whose end is told late: the agent came into an empty room, and nobody talked."""

from datetime import timedelta

import pytest

from agents.models import Agent
from callcenter.sautikit.callbacks import Outcome
from queues import agent_legs, calls, reconcile
from queues.models import CallEvent, Leg, Offer
from queues.routing import match
from queues.scene import scene
from reporting import audit
from tests.factories import T0, make_agent, make_queue, make_waiting

from .telephone import agent_leg, the_call, the_offer

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def joined(db):
    """Offered at 10 s, and an agent who came into the room at 20 s."""
    queue = make_queue(wrap_up_seconds=30)
    make_agent(queue)
    make_waiting(queue)
    with scene(the_call().pk, at=T0, source="inbound") as opened:
        opened.note("arrived")
        opened.note("holding", queued_at=T0, queue_id=queue.pk)
    assert match(after(10)) == 1
    Leg.objects.filter(role="agent").update(state="ringing", session_id="HD_a", ask_at=after(20))
    with scene(the_call().pk, at=after(20), source="queue-events") as opened:
        agent_legs.joined(opened, the_offer().pk)
    assert the_call().state == "connected"


def customer():
    return Leg.objects.get(role="customer")


def told(ended, at, source="record"):
    reconcile.observe(
        customer(), Outcome.COMPLETED, at=after(at), source=source, ended_at=after(ended)
    )


def disagreements():
    return list(audit.Audit(at=after(100)).lines())


@pytest.mark.parametrize(("ended", "where"), [(5, "queue"), (12, "ringing")])
def test_while_connected_it_is_an_abandon_and_no_strike(joined, ended, where, bells):
    told(ended, 50)
    call = the_call()
    assert (call.state, call.abandoned_in, call.ended_at) == ("abandoned", where, after(ended))
    assert (call.connected_at, call.agent) == (None, None)
    assert the_offer().state == "caller_gone"
    agent = Agent.objects.get()
    assert (agent.engagement, agent.hold_off_until, agent.strikes) == ("idle", None, 0)
    assert agent_leg().hang_up_at == after(50)
    assert disagreements() == []


@pytest.mark.parametrize(("ended", "where"), [(5, "queue"), (12, "ringing")])
def test_after_the_agent_has_left_the_empty_room_it_is_corrected(joined, ended, where):
    with scene(the_call().pk, at=after(25), source="queue-events") as opened:
        calls.finish(opened, reason="agent left the room")
    told(ended, 50)
    call = the_call()
    assert (call.state, call.abandoned_in, call.ended_at) == ("abandoned", where, after(ended))
    assert CallEvent.objects.filter(kind="corrected").count() == 1
    assert Agent.objects.get().engagement == "wrap_up"
    assert disagreements() == []


@pytest.mark.parametrize("ended", [16, 20, 21])
def test_a_short_talk_by_clocks_that_differ_is_a_talk(joined, ended):
    told(ended, 50)
    assert (the_call().state, the_call().ended_at) == ("completed", max(after(20), after(ended)))
    assert Offer.objects.get().state == "ended"
