"""The web processes stand in for worker and beat while those, or Redis, are away.

Each web process looks once a second when the worker swept last. Where that is too long ago, what
the bells would send to the worker is done here, in a few threads, and so is what beat would start.
One web process at a time sweeps: it holds an advisory lock in PostgreSQL. All of it is safe to run
twice, so nothing breaks where two do all the same, or where the worker was only slow.
docs/decisions/0016-the-web-stands-in-for-worker-and-beat.md has the reasons.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import celery
from django.db import connection
from kombu.exceptions import OperationalError

from callcenter import bell, pulse

log = logging.getLogger(__name__)
PATIENCE = 3.0  # seconds without a sweep after which a web process stands in
LOOK_EVERY = 1.0
TELL_AFTER = 10.0  # seconds of standing in after which the supervisors are told
BROKER_REST = 2.0  # seconds for which a broker that refused is not asked again
THREADS = 6
AT_MOST = 200  # tasks that wait or run here; of more, the sweep finds the work again
_LOCK = 1_886_613_611  # the advisory lock of who sweeps


class Standby:
    """What one web process does about an absent worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._swept_at = clock()
        self._since: float | None = None
        self._told: bool | None = None  # what the supervisors were told last
        self._broker_rests_until = 0.0
        self._due: dict[str, float] = {}
        self._room = threading.BoundedSemaphore(AT_MOST)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="standby")
        self._end = threading.Event()

    @property
    def on_duty(self) -> bool:
        """Whether this process does the worker's and beat's work just now."""
        return self._since is not None

    def start(self) -> None:
        """Look every second, in a thread of its own."""
        threading.Thread(target=self._watch, name="standby-watch", daemon=True).start()

    def stop(self) -> None:
        """Take no more work; what runs is finished."""
        self._end.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _watch(self) -> None:
        while not self._end.wait(LOOK_EVERY):
            try:
                self.look(pulse.age())
            except Exception:
                log.exception("standing in for worker and beat failed; once more in a second")
            finally:
                connection.close()

    def look(self, swept_ago: float | None) -> None:
        """Begin or end standing in, by when the worker swept last; do what is due meanwhile."""
        now = self._clock()
        if swept_ago is not None:
            self._swept_at = max(self._swept_at, now - swept_ago)
        if now - self._swept_at < PATIENCE:
            self._rest(swept_ago is not None)
            return
        if self._since is None:
            self._since = now
            log.warning("no sweep for %.0f s: standing in for worker and beat", PATIENCE)
        if now - self._since >= TELL_AFTER:
            self._tell(True)
        self._do_what_is_due(now)

    def _rest(self, is_known: bool) -> None:
        if self.on_duty:
            log.warning("the worker sweeps again: standing in is over")
            self._since = None
            self._due.clear()
        if is_known:
            self._tell(False)

    def _tell(self, begins: bool) -> None:
        if self._told is not begins:  # at the start too: who told it last may be gone
            bell.ring("standing_in", begins)
            self._told = begins

    def _do_what_is_due(self, now: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                return
        try:
            from callcenter.celery import app

            app.loader.import_default_modules()  # all tasks, also those that no page sends
            for name, entry in app.conf.beat_schedule.items():
                every, task = entry["schedule"], app.tasks[entry["task"]]
                if name == "sweep":
                    task()
                elif not isinstance(every, int | float):
                    continue  # what has its time of day can wait for beat
                elif self._due.setdefault(name, now + every) <= now:
                    self._due[name] = now + every
                    self.run(task, (), {})
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])

    # --- Tasks

    def send(self, task: Any, send: Callable[[], Any], args: Any, kwargs: Any, later: bool) -> Any:
        """Send a task to the worker; run it here where there is none, or no broker to send by."""
        if not self.on_duty and self._clock() >= self._broker_rests_until:
            try:
                return send()
            except OperationalError as error:
                log.warning("the broker is away (%s): what it should carry is done here", error)
                self._broker_rests_until = self._clock() + BROKER_REST
        if not later:  # what is for later is found by the sweep, which runs every second
            self.run(task, args, kwargs)
        return None

    def run(self, task: Any, args: Any, kwargs: Any) -> None:
        """Run a task here, as soon as a thread is free."""
        if not self._room.acquire(blocking=False):
            log.warning("%s is left to the sweep: too much is waiting here", task.name)
            return
        try:
            self._threads.submit(self._run, task, args, kwargs)
        except RuntimeError:  # the process ends
            self._room.release()

    def _run(self, task: Any, args: Any, kwargs: Any) -> None:
        try:
            task(*args, **kwargs)
        except Exception:
            log.exception("%s failed", task.name)
        finally:
            connection.close()
            self._room.release()


_standby: Standby | None = None  # only in web processes


def start() -> None:
    """Stand in from now on, whenever it is needed: called once by each web process."""
    global _standby
    if _standby is None:
        _standby = Standby()
        _standby.start()


def stop() -> None:
    """Stop standing in: the web process ends."""
    global _standby
    if _standby is not None:
        _standby.stop()
        _standby = None


def on_duty() -> bool:
    """Whether this process stands in just now."""
    return _standby is not None and _standby.on_duty


class Task(celery.Task):  # type: ignore[type-arg]
    """A task of ours: where a web process sends it, it is done even without worker and broker."""

    def apply_async(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> Any:
        """Send it to the worker, or run it here."""

        def send() -> Any:
            return super(Task, self).apply_async(args, kwargs, **options)

        if _standby is None:
            return send()
        later = bool(options.get("countdown"))
        return _standby.send(self, send, args or (), kwargs or {}, later)
