"""A backup is a day old: the calls that were open in it are asked about and settled."""

from datetime import timedelta

import pytest

from agents.models import Agent
from queues import calls, reconcile, sweeping
from queues.models import Leg
from queues.routing import match
from queues.scene import scene
from tests.factories import T0, make_agent, make_queue, make_waiting

from .telephone import the_call

pytestmark = pytest.mark.django_db
LATER = T0 + timedelta(days=1)


@pytest.fixture
def settle(bells):
    """Let the sweep run for two minutes from a day later on, and do what it rings for."""

    def settled():
        for seconds in range(0, 120, 5):
            at = LATER + timedelta(seconds=seconds)
            bells.rung.clear()
            sweeping.sweep(at=at)
            for leg in Leg.objects.filter(ended_at=None, ask_at__gt=at).exclude(state="planned"):
                if leg.ask_at - at == sweeping.LEASE:  # its bell rang
                    reconcile.ask(leg.pk, at=at)

    return settled


@pytest.fixture
def talking(provider):
    """Customer and agent talked when the backup was made."""
    queue = make_queue(max_wait_seconds=10**6)
    make_agent(queue)
    call = make_waiting(queue)
    match(T0)
    Leg.objects.filter(role="agent").update(
        state="answered", provider_id="c-agent", answered_at=T0, ask_at=T0 + timedelta(seconds=30)
    )
    Leg.objects.filter(role="customer").update(provider_id="c-customer", ask_at=T0)
    with scene(call.pk, at=T0 + timedelta(seconds=5), source="test") as opened:
        calls.connect(opened, at=T0 + timedelta(seconds=5))
    return call


def ended(seconds):
    times = {"started_at": T0, "answered_at": T0, "ended_at": T0 + timedelta(seconds=seconds)}
    return {"status": "completed", **{name: at.isoformat() for name, at in times.items()}}


def test_a_talk_ends_when_the_provider_says_that_it_ended(talking, provider, settle):
    provider.knows("c-customer", **ended(65))
    provider.knows("c-agent", **ended(65))
    settle()
    call = the_call()
    assert (call.state, call.talk_seconds) == ("completed", 60)
    assert Agent.objects.get().engagement == "idle"
    assert not Leg.objects.filter(ended_at=None).exists()


def test_a_talk_that_the_provider_has_forgotten_ends_too(talking, provider, settle):
    provider.knows_nothing_of("c-customer")
    provider.knows_nothing_of("c-agent")
    provider.lists()
    settle()
    assert the_call().state == "completed"
    assert Agent.objects.get().engagement == "idle"


def test_a_caller_who_waited_then_waits_no_more(provider, settle):
    queue = make_queue()
    make_waiting(queue)
    Leg.objects.update(provider_id="c-customer")
    provider.knows("c-customer", **ended(40))
    provider.hangs_up("c-customer")
    settle()
    assert the_call().ended_at is not None
