"""A closed page: its agent is set offline where the queue asks for an open one, and only then."""

from datetime import timedelta

import pytest

from agents import heartbeat, presence
from agents.models import Agent, Heartbeat, PresencePeriod
from callcenter import bell
from queues import sweeping
from queues.models import Queue
from queues.routing import match
from tests.factories import T0, make_agent, make_queue, make_waiting

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue(heartbeat_seconds=60)


def seen(agent, at=T0):
    heartbeat.beat(agent.pk, at=at)
    return agent


def sweep_each_second(start, end):
    for second in range(start, end + 1):
        sweeping.sweep(at=after(second))


def is_now(agent):
    return Agent.objects.get(pk=agent.pk).presence


def test_after_the_queues_seconds_they_are_set_offline_by_policy(queue):
    amina = seen(make_agent(queue))
    sweep_each_second(1, 59)
    assert is_now(amina) == "available"
    sweep_each_second(60, 60)
    assert is_now(amina) == "offline"
    period = PresencePeriod.objects.get(agent=amina, ended_at=None)
    assert (period.cause, period.actor, period.started_at) == (
        "policy:page_closed",
        None,
        after(60),
    )
    amina.refresh_from_db()
    assert heartbeat.was_closed(amina)


def test_a_page_that_shows_itself_keeps_them(queue):
    amina = seen(make_agent(queue))
    for second in range(1, 200):
        if second % 30 == 0:
            seen(amina, after(second))
        sweeping.sweep(at=after(second))
    assert is_now(amina) == "available"


def test_the_smallest_of_several_queues_counts(queue):
    other = make_queue("billing", number=None, heartbeat_seconds=30)
    amina = seen(make_agent(queue, other))
    sweep_each_second(1, 30)
    assert is_now(amina) == "offline"


@pytest.mark.parametrize("change", [{"heartbeat_seconds": None}, {"retired_at": T0}])
def test_a_queue_that_asks_for_no_page_sets_nobody_offline(queue, change):
    Queue.objects.update(**change)
    amina = seen(make_agent(queue))
    sweep_each_second(1, 120)
    assert is_now(amina) == "available"


def test_who_was_never_seen_since_becoming_available_works_without_a_page(queue):
    amina = seen(make_agent(queue, presence="offline"))
    presence.change(amina.pk, "available", at=after(1), cause="api")
    never = make_agent(queue)
    sweep_each_second(2, 120)
    assert (is_now(amina), is_now(never)) == ("available", "available")


def test_who_is_called_is_left_alone(queue):
    amina = seen(make_agent(queue))
    make_waiting(queue, arrived_at=after(30))
    match(after(30))
    sweep_each_second(31, 44)
    heartbeat.sweep(after(100))
    heartbeat.sweep(after(130))
    amina.refresh_from_db()
    assert (amina.presence, amina.engagement) == ("available", "ringing")


def test_break_is_no_presence_that_a_closed_page_ends(queue):
    amina = seen(make_agent(queue))
    presence.change(amina.pk, "break", at=after(1), cause="page")
    seen(amina, after(2))
    sweep_each_second(3, 100)
    assert is_now(amina) == "break"


def test_after_an_outage_a_page_is_asked_first_and_has_time_to_answer(
    queue, monkeypatch, django_capture_on_commit_callbacks
):
    rung = []
    monkeypatch.setitem(bell._answers, "desk", rung.append)
    amina = seen(make_agent(queue))
    with django_capture_on_commit_callbacks(execute=True):
        sweeping.sweep(at=after(3600))
    assert (is_now(amina), rung) == ("available", [amina.pk])
    seen(amina, after(3605))
    sweep_each_second(3606, 3640)
    assert is_now(amina) == "available"


def test_after_an_outage_a_page_that_stays_silent_was_closed(queue):
    amina = seen(make_agent(queue))
    sweep_each_second(3600, 3619)
    assert is_now(amina) == "available"
    sweep_each_second(3620, 3620)
    assert is_now(amina) == "offline"


def test_a_page_that_is_asked_is_asked_once(queue, monkeypatch, django_capture_on_commit_callbacks):
    rung = []
    monkeypatch.setitem(bell._answers, "desk", rung.append)
    seen(make_agent(queue))
    for second in range(40, 60):
        with django_capture_on_commit_callbacks(execute=True):
            sweeping.sweep(at=after(second))
    assert len(rung) == 1


def test_a_late_beat_does_not_take_time_back():
    amina = seen(make_agent(), after(10))
    seen(amina, after(4))
    assert Heartbeat.objects.get().seen_at == after(10)


def test_nothing_is_asked_of_the_database_but_once(queue, django_assert_num_queries):
    seen(make_agent(queue))
    with django_assert_num_queries(1):
        sweeping.sweep(at=after(30))
