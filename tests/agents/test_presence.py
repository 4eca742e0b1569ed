"""What an agent asks to be: three separate facts, and a history with actor and cause."""

from datetime import timedelta

import pytest

from agents import presence
from agents.models import Agent, PresencePeriod
from tests.factories import T0, make_agent, make_queue, make_supervisor

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def test_each_change_has_an_actor_and_a_cause_and_closes_the_one_before():
    agent, sarah = make_agent(presence="offline"), make_supervisor()
    presence.change(agent.pk, "available", at=after(0), actor=agent.user, cause="page")
    presence.change(agent.pk, "break", at=after(60), actor=sarah, cause="api", reason=" Lunch ")
    periods = PresencePeriod.objects.order_by("started_at")
    assert [(p.presence, p.reason, p.actor, p.cause) for p in periods] == [
        ("available", "", agent.user, "page"),
        ("break", "Lunch", sarah, "api"),
    ]
    assert [(p.started_at, p.ended_at) for p in periods] == [
        (after(0), after(60)), (after(60), None),
    ]  # fmt: skip


def test_asking_for_what_one_is_already_changes_nothing():
    agent = make_agent(presence="offline")
    presence.change(agent.pk, "available", at=after(0), cause="page")
    presence.change(agent.pk, "available", at=after(60), cause="page")
    agent.refresh_from_db()
    assert (agent.presence_since, agent.idle_since) == (after(0), after(0))
    assert PresencePeriod.objects.count() == 1


def test_another_reason_for_a_break_is_a_new_stretch():
    agent = make_agent(presence="offline")
    presence.change(agent.pk, "break", at=after(0), cause="page", reason="Lunch")
    presence.change(agent.pk, "break", at=after(60), cause="page", reason="Training")
    assert PresencePeriod.objects.count() == 2


def test_a_reason_belongs_to_a_break_only():
    agent = make_agent(presence="offline")
    presence.change(agent.pk, "available", at=after(0), cause="page", reason="Lunch")
    agent.refresh_from_db()
    assert agent.presence_reason == ""


@pytest.mark.parametrize("engagement", ["ringing", "on_call", "wrap_up"])
@pytest.mark.parametrize("wish", ["break", "offline"])
def test_engagement_goes_on_whatever_is_asked_for(engagement, wish):
    until = after(30) if engagement == "wrap_up" else None
    agent = make_agent(engagement=engagement, wrap_up_until=until)
    presence.change(agent.pk, wish, at=after(0), cause="page")
    agent.refresh_from_db()
    assert (agent.presence, agent.engagement, agent.wrap_up_until) == (wish, engagement, until)


def test_an_agent_is_routable_when_available_and_idle_and_past_the_hold_off():
    queue = make_queue()
    states = {
        "": {},
        "break": {"presence": "break"},
        "offline": {"presence": "offline"},
        "on_call": {"engagement": "on_call"},
        "ringing": {"engagement": "ringing"},
        "wrap_up": {"engagement": "wrap_up", "wrap_up_until": after(9)},
        "hold_off:busy": {"hold_off_until": after(9), "hold_off_reason": "busy"},
    }
    for why_not, values in states.items():
        agent = make_agent(queue, **values)
        assert agent.why_not_routable(T0) == why_not
        assert Agent.objects.routable(T0).filter(pk=agent.pk).exists() is (why_not == "")
    assert Agent.objects.routable(after(9)).count() == 2  # the hold-off is over
