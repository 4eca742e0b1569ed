"""Asking for help: one alert per call, for as long as the call goes on."""

from datetime import timedelta

import pytest

from agents.refusals import Refused
from queues import alerts, calls, help, sweeping
from queues.models import Alert, CallEvent
from queues.routing import match
from queues.scene import scene
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def talk():
    """Amina of Support talks from second 5 on."""
    queue = make_queue()
    agent, call = make_agent(queue, username="amina"), make_waiting(queue)
    match(T0)
    with scene(call.pk, at=after(5), source="test") as opened:
        calls.connect(opened, at=after(5))
    return agent, call


def asked_for():
    return Alert.objects.filter(kind="help", dismissed_at=None)


def test_the_supervisors_see_who_and_of_which_queue(talk):
    agent, call = talk
    help.ask(agent.pk, at=after(20))
    alert = asked_for().get()
    assert alert.subject == call.public_id
    assert alert.text == "Amina (Support) asks for help with a call."
    assert help.is_asked(call)
    assert CallEvent.objects.get(kind="help_asked").at == after(20)


def test_asked_twice_it_is_one_alert_and_one_event(talk):
    agent, _ = talk
    help.ask(agent.pk, at=after(20))
    help.ask(agent.pk, at=after(21))
    assert asked_for().get().count == 1
    assert CallEvent.objects.filter(kind="help_asked").count() == 1


def test_the_agent_takes_it_back(talk):
    agent, call = talk
    help.withdraw(agent.pk, at=after(19))
    help.ask(agent.pk, at=after(20))
    help.withdraw(agent.pk, at=after(30))
    assert not help.is_asked(call)
    assert CallEvent.objects.filter(kind="help_withdrawn").count() == 1


def test_dismissed_by_a_supervisor_it_can_be_asked_for_again(talk):
    agent, _ = talk
    help.ask(agent.pk, at=after(20))
    alerts.dismiss(asked_for().get().pk, at=after(25), actor=make_supervisor())
    help.ask(agent.pk, at=after(30))
    assert asked_for().count() == 1


def test_it_goes_with_the_call(talk):
    agent, call = talk
    help.ask(agent.pk, at=after(20))
    sweeping.sweep(at=after(21))
    assert asked_for().exists()
    with scene(call.pk, at=after(60), source="test") as opened:
        calls.finish(opened)
    sweeping.sweep(at=after(61))
    assert not asked_for().exists()


def test_without_a_talk_there_is_nothing_to_help_with(talk):
    ringing = make_agent(queue := make_queue("billing", number=None))
    make_waiting(queue)
    match(T0)
    for agent in (make_agent(), ringing):
        with pytest.raises(Refused, match="not on a call"):
            help.ask(agent.pk, at=after(2))
    assert not Alert.objects.exists()
