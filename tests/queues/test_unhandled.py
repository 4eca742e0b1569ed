"""Events whose handling failed: kept, handled again, given up at last and told."""

from datetime import timedelta

import pytest

from queues import calls, inbox, reconcile, sweeping, unhandled
from queues.models import Alert, CallEvent, WebhookEvent
from tests.factories import T0, make_agent, make_queue

from .telephone import TOKEN, argument, the_call

pytestmark = pytest.mark.django_db
ENDED = {"callSessionState": "Completed", "durationInSeconds": "10"}


@pytest.fixture(autouse=True)
def clock(time_machine):
    time_machine.move_to(T0, tick=False)
    return time_machine


@pytest.fixture
def broken(monkeypatch):
    """Break a function until `mend` is called."""

    def fail(*args, **kwargs):
        raise KeyError("a bug of ours")

    with monkeypatch.context() as patch:
        patch.setattr(calls, "customer_joined", fail)
        patch.setattr(reconcile, "take", fail)
        yield patch.undo


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def test_a_room_event_that_met_a_bug_is_handled_once_the_bug_is_gone(phone, broken, bells):
    make_queue()
    url = argument(phone.inbound(), "conference")["statusEventsCallbackUrl"]
    phone.event(url, "join")
    kept = WebhookEvent.objects.get(handled_at=None)
    assert "a bug of ours" in kept.note
    assert TOKEN not in str(kept.context)
    unhandled.handle_again(kept.pk, at=after(2))
    kept.refresh_from_db()
    assert (kept.attempts, kept.retry_at) == (1, after(7))
    broken()
    unhandled.handle_again(kept.pk, at=after(7))
    assert the_call().offerable_from == T0  # when it was told, not when it was handled
    assert not WebhookEvent.objects.filter(handled_at=None).exists()
    assert WebhookEvent.objects.filter(endpoint="queue-events").count() == 1
    phone.event(url, "join")
    assert CallEvent.objects.filter(kind="joined_room").count() == 1


def test_the_last_edge_of_a_call_that_met_a_bug_ends_the_call_later(phone, broken):
    make_queue()
    phone.inbound()
    reply = phone.inbound(**ENDED)
    assert (reply.status_code, reply.content) == (200, b"<Response></Response>")
    kept = WebhookEvent.objects.get(handled_at=None)
    broken()
    unhandled.handle_again(kept.pk, at=after(5))
    assert (the_call().state, the_call().ended_at) == ("abandoned", T0)


def test_the_sweep_leases_what_is_due_and_rings_once(phone, broken, bells, commits):
    def sweep(seconds):
        with commits():
            sweeping.sweep(at=after(seconds))

    make_queue()
    phone.inbound()
    phone.inbound(**ENDED)
    kept = str(WebhookEvent.objects.get(handled_at=None).pk)
    sweep(1)
    assert bells.of("handle_event") == []
    sweep(2)
    sweep(3)
    assert bells.of("handle_event") == [kept]
    sweep(13)
    assert bells.of("handle_event") == [kept, kept]


def test_what_fails_each_time_is_given_up_and_told(phone, broken):
    make_queue()
    phone.inbound()
    phone.inbound(**ENDED)
    kept = WebhookEvent.objects.get(handled_at=None)
    for n in range(len(unhandled.WAITS) + 1):
        assert not Alert.objects.exists()
        unhandled.handle_again(kept.pk, at=after(n))
    kept.refresh_from_db()
    assert (kept.retry_at, kept.handled_at) == (None, None)
    assert Alert.objects.get().kind == "unhandled"
    sweeping.sweep(at=after(300))
    assert the_call().state == "waiting"


def test_a_failed_try_leaves_nothing_half_done(phone, broken, monkeypatch):
    make_agent(make_queue())
    phone.inbound()
    phone.inbound(**ENDED)
    kept = WebhookEvent.objects.get(handled_at=None)
    broken()

    def half(opened, *args, **kwargs):
        calls.end(opened, "abandoned", abandoned_in="ringing")
        raise KeyError("too late")

    monkeypatch.setattr(reconcile, "take", half)
    unhandled.handle_again(kept.pk, at=after(5))
    assert (the_call().state, WebhookEvent.objects.filter(pk=kept.pk).count()) == ("offered", 1)


def test_bodies_are_kept_for_the_days_that_the_setting_says(settings):
    settings.WEBHOOK_KEEP_DAYS = 3
    for n, age in enumerate((1, 2.9, 3.1, 400)):
        WebhookEvent.objects.create(
            key=str(n), endpoint="events", verdict="trusted", received_at=T0 - timedelta(days=age)
        )
    assert inbox.forget_old(T0) == 2
