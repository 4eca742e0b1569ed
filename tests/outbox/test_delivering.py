"""Delivering: in order for each subject, at least once, whatever the receiver or a worker does."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from callcenter.outbox import apps, delivering, sending
from callcenter.outbox import tasks as outbox_tasks
from callcenter.outbox.models import Delivery, Endpoint, Message
from callcenter.outbox.topics import TOPICS
from queues import sweeping
from queues.models import Alert
from tests.factories import T0

from .receiver import answers
from .worker import AWAY, REFUSED, TAKEN, after, deliver_all, states

pytestmark = pytest.mark.django_db


class TestOverARealWire:
    def test_a_message_arrives_signed_and_with_its_number(self, endpoint, receiver, tell):
        tell("a", topic="call.ended")
        assert deliver_all() == 1
        [got] = receiver.got
        message = Message.objects.get()
        assert got.told == {
            "id": str(message.uid), "sequence": message.pk, "type": "call.ended",
            "timestamp": "2026-11-20T11:00:00+03:00", "data": {"n": 1},
        }  # fmt: skip
        assert got.headers["webhook-id"] == str(message.uid)
        assert got.headers["webhook-timestamp"] == "1795161600"
        assert got.headers["webhook-signature"].startswith("v1,")
        [delivery] = Delivery.objects.all()
        assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 204)

    def test_a_failure_in_between_keeps_the_order_of_its_call_and_no_other_waits(
        self, endpoint, receiver, tell, no_jitter
    ):
        tell("a", "a", "b", "a", "b")
        first = Message.objects.earliest("pk").pk

        def fails_once(handler, number):
            is_first = receiver.got[-1].told["sequence"] == first
            answers(500 if is_first and number < 4 else 204)(handler, number)

        receiver.behave = fails_once
        deliver_all()
        assert sorted(n - first for n in receiver.sequences) == [0, 2, 4]
        deliver_all(after(30))
        assert [n - first for n in receiver.sequences if n - first in (0, 1, 3)] == [0, 0, 1, 3]
        assert states() == ["delivered"] * 5

    def test_a_secret_that_is_being_replaced_signs_beside_the_new_one(
        self, endpoint, receiver, tell
    ):
        endpoint.secrets = ["whsec_bmV3bmV3", *endpoint.secrets]
        endpoint.save()
        tell("a")
        deliver_all()
        assert len(receiver.got[0].headers["webhook-signature"].split(" ")) == 2

    def test_a_receivers_words_are_kept_short_and_its_redirect_is_not_followed(
        self, endpoint, receiver, tell
    ):
        receiver.behave = answers(302, b"<script>\x00" + b"x" * 9999, Location=receiver.url)
        tell("a")
        deliver_all()
        assert len(receiver.got) == 1
        [delivery] = Delivery.objects.all()
        assert (delivery.state, delivery.last_status) == ("pending", 302)
        assert delivery.last_error.startswith("answered 302, a redirect, which is not followed: <s")
        assert len(delivery.last_error) < 200

    @pytest.mark.parametrize(("setting", "tick"), [(False, True), (True, False)])
    def test_a_private_address_needs_the_hosts_setting_and_the_endpoints_tick(
        self, endpoint, receiver, tell, settings, setting, tick
    ):
        settings.OUTBOX_ALLOW_PRIVATE = setting
        Endpoint.objects.update(allow_private=tick)
        tell("a")
        deliver_all()
        assert receiver.got == []
        [delivery] = Delivery.objects.all()
        assert delivery.last_error == "The host leads to 127.0.0.1, a private address."


class TestRetries:
    def test_the_waits_grow_and_after_eight_attempts_the_message_is_dead(
        self, make_endpoint, wire, tell, no_jitter
    ):
        make_endpoint()
        tell("a", "a")
        wire.answers = [REFUSED]
        at, waits = T0, []
        while not Delivery.objects.filter(dead_at__isnull=False).exists():
            assert delivering.deliver_next(at=at)
            first = Delivery.objects.earliest("message_id")
            if first.next_at:
                waits.append(round((first.next_at - at).total_seconds()))
                assert not delivering.deliver_next(at=first.next_at - timedelta(seconds=0.01))
                at = first.next_at
        assert waits == [
            5,
            24,
            115,
            553,
            2654,
            12740,
            61153,
        ]  # 5 s, and 4.8 times as long each time
        assert wire.order == [1] * 8
        assert (first.state, first.attempts) == ("dead", 8)
        wire.answers = [TAKEN]
        deliver_all(at + timedelta(days=1))
        assert wire.order == [1] * 8 + [2]

    def test_the_waits_are_spread_by_a_fifth(self):
        waits = {delivering.retry_after(2).total_seconds() for _ in range(200)}
        assert len(waits) > 100
        assert 19.2 <= min(waits) < 21
        assert 27 < max(waits) <= 28.8

    def test_the_supervisors_hear_of_it_after_four_attempts_and_when_it_is_given_up(
        self, make_endpoint, wire, tell, commits, no_jitter
    ):
        make_endpoint()
        tell("a")
        wire.answers = [REFUSED]
        told = []
        for attempt in range(8):
            with commits():
                assert deliver_all(T0 + timedelta(days=attempt)) == 1
            told.append(Alert.objects.count() and Alert.objects.get().text)
        assert told[:3] == [0, 0, 0]
        assert told[3] == "Webhooks to CRM: a message was not taken yet (answered 500)."
        assert told[7] == "Webhooks to CRM: a message was given up after a day (answered 500)."
        assert Alert.objects.get().count == 5

    def test_an_endpoint_out_of_reach_is_left_alone_for_a_while_and_the_others_are_not(
        self, make_endpoint, wire, tell
    ):
        make_endpoint(topics=["call.ended"])
        tell("a", "b", "c", topic="call.ended")
        wire.answers = [AWAY]
        assert deliver_all() == 1
        held = Endpoint.objects.get()
        assert (held.failures, held.held_until) == (
            1,
            pytest.approx(after(5), abs=timedelta(seconds=1)),
        )
        make_endpoint(topics=["call.answered"])
        tell("d", topic="call.answered")
        wire.answers = [TAKEN]
        assert deliver_all() == 1
        assert wire.order == [1, 4]
        assert deliver_all(after(60)) == 3
        held.refresh_from_db()
        assert (held.failures, held.held_until) == (0, None)

    def test_the_hold_grows_to_five_minutes_at_the_most(self, make_endpoint, wire, tell):
        make_endpoint(failures=50)
        tell("a")
        wire.answers = [AWAY]
        deliver_all()
        assert Endpoint.objects.get().held_until <= after(301)


class TestSwitchedOff:
    def test_an_endpoint_that_is_off_stops_and_on_again_it_resumes(self, make_endpoint, wire, tell):
        endpoint = make_endpoint()
        tell("a", "a")
        Endpoint.objects.update(is_active=False)
        assert deliver_all() == 0
        tell("b")
        Endpoint.objects.update(is_active=True)
        assert deliver_all() == 2
        assert wire.order == [1, 2]
        assert endpoint.pk


class TestTheSweep:
    def test_it_finds_what_a_lost_bell_left_and_only_what_can_be_sent(
        self, make_endpoint, wire, tell, bells, commits, no_jitter
    ):
        def rung(at):
            bells.rung.clear()
            with commits():
                sweeping.sweep(at=at)
            return bells.rung.count(("tell",))

        make_endpoint()
        assert rung(T0) == 0
        tell("a", "a")
        assert rung(T0 - timedelta(seconds=1)) == 0
        assert rung(T0) == 1
        wire.answers = [REFUSED]
        deliver_all()
        first, second = Delivery.objects.order_by("message_id")
        assert second.next_at == first.next_at > after(4)  # nobody looks at it in vain
        assert rung(after(4)) == 0
        assert rung(after(7)) == 1
        Endpoint.objects.update(held_until=after(60))
        assert rung(after(7)) == 0
        Endpoint.objects.update(held_until=None, is_active=False)
        assert rung(after(7)) == 0

    def test_a_lease_that_was_never_settled_runs_out(self, make_endpoint, wire, tell):
        """The worker was killed after the post: the message goes out once more."""
        make_endpoint()
        tell("a", "a")
        assert delivering._lease(T0).attempts == 1
        assert deliver_all(after(59)) == 0
        assert deliver_all(after(61)) == 2
        assert wire.order == [1, 2]


class TestTheBell:
    def test_a_process_sends_for_a_worker_four_times_a_second_at_the_most(self, monkeypatch):
        sent, clock = [], [100.0]
        monkeypatch.setattr(outbox_tasks.deliver, "delay", lambda: sent.append(clock[0]))
        monkeypatch.setattr(apps.time, "monotonic", lambda: clock[0])
        ringer = apps.Ringer()
        for now in (100.0, 100.1, 100.24, 100.25, 100.3, 101.0):
            clock[0] = now
            ringer()
        assert sent == [100.0, 100.25, 101.0]

    def test_the_task_delivers_what_is_due(self, endpoint, receiver, tell):
        tell("a", "a")
        outbox_tasks.deliver()
        assert len(receiver.got) == 2


class TestRoomForCalls:
    def test_one_endpoint_has_three_leases_at_the_most(self, make_endpoint, tell):
        make_endpoint(topics=["call.ended"])
        tell(*"abcde", topic="call.ended")
        leases = [delivering._lease(T0) for _ in range(4)]
        assert [bool(lease) for lease in leases] == [True, True, True, False]
        other = make_endpoint(topics=["call.queued"])
        tell("f")
        assert delivering._lease(T0).endpoint == other.pk

    def test_a_process_delivers_in_four_threads_at_the_most(self, monkeypatch):
        running, seen, go = threading.Semaphore(0), [], threading.Event()

        def deliver_next(*, at):
            seen.append(at)
            running.release()
            go.wait(20)
            return False

        monkeypatch.setattr(delivering, "deliver_next", deliver_next)
        with ThreadPoolExecutor(6) as pool:
            work = [pool.submit(delivering.deliver_due, lambda: T0) for _ in range(6)]
            for _ in range(4):
                assert running.acquire(timeout=20)
            assert not running.acquire(timeout=0.3)
            go.set()
            for each in work:
                each.result(20)
        assert len(seen) == 4

    def test_a_long_stint_ends_and_rings_for_the_next(self, monkeypatch, bells, commits):
        monkeypatch.setattr(delivering, "STINT", 0.0)
        monkeypatch.setattr(delivering, "deliver_next", lambda *, at: True)
        with commits():
            delivering.deliver_due(lambda: T0)
        assert bells.rung == [("tell",)]


@pytest.mark.django_db(transaction=True)
class TestTwoWorkers:
    def work(self, workers, at):
        start = threading.Barrier(workers)

        def run():
            try:
                connection.ensure_connection()
                start.wait(20)
                return deliver_all(at)
            finally:
                connection.close()

        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(run) for _ in range(workers)]
            return sum(each.result(60) for each in futures)

    def test_each_message_goes_out_once_and_in_order_for_its_call(
        self, endpoint, receiver, tell, monkeypatch
    ):
        monkeypatch.setattr(delivering, "AT_ONCE_EACH", 10)
        tell(*"abcabcabcdddabcabc")
        assert self.work(4, T0) == 18
        while deliver_all():  # what was locked at the wrong moment
            pass
        assert len(receiver.got) == len({got.told["id"] for got in receiver.got}) == 18
        subjects = dict(Message.objects.values_list("pk", "subject"))
        for subject in "abcd":
            sent = [n for n in receiver.sequences if subjects[n] == subject]
            assert sent == sorted(sent)

    def test_no_row_is_locked_while_the_receiver_is_asked(self, endpoint, receiver, tell):
        tell("a")
        asked, go = threading.Event(), threading.Event()

        def waits(handler, number):
            asked.set()
            go.wait(20)
            answers(204)(handler, number)

        receiver.behave = waits
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(self.work, 1, T0)
            assert asked.wait(20)
            with connection.cursor() as cursor:
                cursor.execute("SELECT id FROM outbox_delivery FOR UPDATE NOWAIT")
                cursor.execute("SELECT id FROM outbox_endpoint FOR UPDATE NOWAIT")
            go.set()
            assert future.result(60) == 1


@trying(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    subjects=st.lists(st.sampled_from("abc"), min_size=1, max_size=8),
    fates=st.lists(st.sampled_from([TAKEN, REFUSED, AWAY, "killed"]), max_size=25),
)
def test_whatever_fails_each_message_is_delivered_and_in_order_per_call(
    subjects, fates, make_endpoint, monkeypatch, tell
):
    """`killed`: the receiver has taken it, and the worker dies before it can say so."""
    for model in (Delivery, Message, Endpoint):
        model.objects.all().delete()
    make_endpoint(topics=list(TOPICS))
    tell(*subjects)
    about = dict(Message.objects.values_list("pk", "subject"))
    order: list[int] = []
    coming = iter(fates)

    class Killed(Exception):
        pass

    def send(lease, at):
        fate = next(coming, TAKEN)
        if fate in (TAKEN, "killed"):
            order.append(lease.sequence)
        if fate == "killed":
            raise Killed
        return fate

    monkeypatch.setattr(delivering, "_send", send)
    monkeypatch.setattr(delivering, "MOST_ATTEMPTS", 100)
    at = T0
    for _ in range(1000):
        try:
            if not delivering.deliver_next(at=at):
                at += timedelta(days=365)
        except Killed:
            continue
        if not Delivery.objects.filter(next_at__isnull=False).exists():
            break
    assert states() == ["delivered"] * len(subjects)
    assert set(order) == set(about)
    for subject in set(subjects):
        firsts = list(dict.fromkeys(n for n in order if about[n] == subject))
        sent = [n for n in order if about[n] == subject]
        assert firsts == sorted(firsts)
        assert sent == sorted(sent)  # a repeat never follows a later message


def test_an_answer_within_the_deadline_settles_within_the_lease():
    longest = delivering.LOOK_UP_PATIENCE + sending.DEADLINE
    assert timedelta(seconds=longest + 10) < delivering.LEASE
