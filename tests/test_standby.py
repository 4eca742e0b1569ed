"""The web processes stand in for an absent worker; and nobody waits for what is away."""

from __future__ import annotations

import time

import psycopg
import pytest
from celery import shared_task
from django.conf import settings
from django.db import connection
from kombu import Connection
from kombu.exceptions import OperationalError

from callcenter import standby
from callcenter.standby import PATIENCE, TELL_AFTER, Standby
from queues import sweeping
from queues.models import Alert

done: list[str] = []


@shared_task(name="tests.note")
def note(word: str) -> None:
    done.append(word)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def web(clock, monkeypatch):
    """A web process's standby, which runs at once what it would run in a thread."""
    done.clear()
    one = Standby(clock)
    monkeypatch.setattr(standby, "_standby", one)
    monkeypatch.setattr(one, "run", lambda task, args, kwargs: task(*args, **kwargs))
    return one


def swept(monkeypatch) -> list[float]:
    """The times at which the sweep ran."""
    times: list[float] = []
    monkeypatch.setattr(sweeping, "sweep", lambda *, at: times.append(at))
    return times


@pytest.mark.django_db(transaction=True)
class TestDuty:
    def test_it_begins_when_no_sweep_was_seen_for_three_seconds(self, web, clock, monkeypatch):
        times = swept(monkeypatch)
        clock.now += 60
        web.look(0.5)
        clock.now += PATIENCE - 0.6
        web.look(None)
        assert (web.on_duty, times) == (False, [])
        clock.now += 0.2
        web.look(None)
        assert (web.on_duty, len(times)) == (True, 1)
        clock.now += 1
        web.look(4.0)
        assert len(times) == 2

    def test_it_ends_with_the_first_sweep_of_the_worker(self, web, clock, monkeypatch):
        times = swept(monkeypatch)
        clock.now += PATIENCE
        web.look(None)
        web.look(0.3)
        assert (web.on_duty, len(times)) == (False, 1)

    def test_one_process_at_a_time_sweeps(self, web, clock, monkeypatch):
        times = swept(monkeypatch)
        url = connection.get_connection_params()
        with psycopg.connect(
            host=url["host"], dbname=url["dbname"], user=url["user"]
        ) as other:  # another web process, in its round
            other.execute("SELECT pg_advisory_lock(%s)", [standby._LOCK])
            clock.now += PATIENCE
            web.look(None)
            assert times == []
            other.execute("SELECT pg_advisory_unlock(%s)", [standby._LOCK])
            web.look(None)
        assert len(times) == 1

    def test_supervisors_are_told_after_ten_seconds_and_when_it_is_over(
        self, web, clock, monkeypatch
    ):
        swept(monkeypatch)
        clock.now += PATIENCE
        web.look(None)
        assert not Alert.objects.exists()
        clock.now += TELL_AFTER
        web.look(None)
        web.look(None)
        [alert] = Alert.objects.all()
        assert (alert.kind, alert.count, alert.dismissed_at) == ("standing_in", 1, None)
        web.look(0.1)
        alert.refresh_from_db()
        assert alert.dismissed_at

    def test_other_jobs_of_beat_come_after_their_interval(self, web, clock, monkeypatch):
        swept(monkeypatch)
        polled: list[float] = []
        from reporting.tasks import polling

        monkeypatch.setattr(polling, "poll", lambda *, at: polled.append(clock.now))
        clock.now += PATIENCE
        began = clock.now
        for _ in range(32):
            web.look(None)
            clock.now += 1
        assert polled == [began + 15, began + 30]


class TestTasks:
    def test_on_duty_a_task_runs_here(self, web, clock):
        web._since = clock.now
        note.delay("here")
        assert done == ["here"]

    def test_a_refused_task_runs_here_and_the_broker_has_a_rest(self, web, clock, monkeypatch):
        asked: list[str] = []

        def refuse(*args, **kwargs):
            asked.append("asked")
            raise OperationalError("connection refused")

        monkeypatch.setattr("celery.Task.apply_async", refuse)
        note.delay("first")
        note.delay("second")
        assert (done, asked) == (["first", "second"], ["asked"])
        clock.now += standby.BROKER_REST
        note.delay("third")
        assert (done, asked) == (["first", "second", "third"], ["asked", "asked"])

    def test_what_is_for_later_is_left_to_the_sweep(self, web, clock):
        web._since = clock.now
        note.apply_async(["later"], countdown=5)
        assert done == []

    def test_more_than_it_has_room_for_is_left_to_the_sweep(self, clock):
        full = Standby(clock)
        full._room.acquire()
        for _ in range(standby.AT_MOST - 1):
            full._room.acquire()
        full.run(note, ["too much"], {})
        full.stop()
        assert "too much" not in done

    def test_outside_of_web_processes_an_absent_broker_is_an_error_at_once(self):
        nowhere = Connection(
            "redis://127.0.0.1:1/0", transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS
        )
        began = time.monotonic()
        with pytest.raises(OperationalError):
            note.apply_async(["nobody"], connection=nowhere)
        assert time.monotonic() - began < 2


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_died_in_the_pool_is_not_handed_out():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [dead] = cursor.fetchone()
        parameters = connection.get_connection_params()
    connection.close()
    with psycopg.connect(
        host=parameters["host"], dbname=parameters["dbname"], user=parameters["user"]
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [dead])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone()[0] != dead
