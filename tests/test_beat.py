"""Beat goes on when the clock of the machine is set: the sweep must not pause for an hour."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from callcenter import beat
from callcenter.celery import app

T0 = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@pytest.fixture
def tick(tmp_path, monkeypatch):
    """Let seconds pass by both clocks, set one of them, and return what was sent."""
    sent: list[str] = []
    steady = 1000.0

    class Scheduler(beat.SteadyScheduler):
        def apply_entry(self, entry, producer=None):
            sent.append(entry.name)

    with time_machine.travel(T0, tick=False) as wall:
        monkeypatch.setattr(beat.time, "monotonic", lambda: steady)
        scheduler = Scheduler(app=app, schedule_filename=str(tmp_path / "schedule"))

        def ticked(seconds: float, set_by: timedelta = timedelta()) -> list[str]:
            nonlocal steady
            steady += seconds
            wall.shift(timedelta(seconds=seconds) + set_by)
            sent.clear()
            while (wait := scheduler.tick()) == 0:
                pass
            assert 0 < wait <= 5
            return list(sent)

        ticked.scheduler = scheduler
        yield ticked
        scheduler.close()


@pytest.mark.parametrize("by", [-timedelta(hours=1), timedelta(hours=1), -timedelta(days=400)])
def test_the_sweep_is_sent_right_after_the_clock_was_set_and_each_second_on(tick, by):
    tick(0)
    assert "sweep" in tick(1)
    assert "sweep" in tick(0.5, by)
    assert [tick(1).count("sweep") for _ in range(5)] == [1] * 5


def test_a_schedule_that_was_written_in_the_future_is_taken_up_at_once(tick):
    tick(1)
    for entry in tick.scheduler.schedule.values():
        entry.last_run_at = T0 + timedelta(hours=1)
    tick.scheduler._heap, tick.scheduler._apart = None, None  # as at a start
    assert "sweep" in tick(1)


def test_a_clock_that_goes_right_changes_nothing(tick):
    tick(1)
    rare = {"housekeeping", "celery.backend_cleanup"}
    for _ in range(10):
        assert not rare & set(tick(1))


def test_beat_is_started_with_it():
    assert app.conf.beat_scheduler == "callcenter.beat:SteadyScheduler"
