"""The call centre inside this process, with every SQL statement written down.

A small web server hands the simulator's webhooks to Django, so that the sequence is the true one;
what the bells would have a Celery worker do is done in threads here, and written down as well.
"""

from __future__ import annotations

import contextlib
import cProfile
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

VOICE = {"inbound", "menu", "dial-result", "agent-join", "outbound-answer"}
TASKS = {
    "place": "place_leg",
    "hang_up": "hang_up_leg",
    "ask": "ask_leg",
    "check_offer": "check_offer",
    "ask_handle": "ask_handle",
}


@dataclass
class Step:
    """A statement as Django gave it to psycopg, or `begin`, `commit`, `rollback`."""

    kind: str
    sql: str = ""
    params: Any = None
    seconds: float = 0.0
    routing: bool = False  # by the router, after the commit


@dataclass
class Exchange:
    """One webhook or task, from its first statement to its last."""

    label: str
    at: float  # time.time()
    voice: bool = False
    webhook: bool = False
    steps: list[Step] = field(default_factory=list)
    seconds: float = 0.0
    bells: dict[str, float] = field(default_factory=dict)  # seconds inside each bell's answer

    @property
    def statements(self) -> list[Step]:
        """What is counted: statements, savepoints with them, but no BEGIN or COMMIT."""
        return [step for step in self.steps if step.kind == "sql"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Recorder:
    """Use as a context manager, after django.setup(); `exchanges` is what happened."""

    def __init__(self, port: int, profiler: cProfile.Profile | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self._port = port
        self._local = threading.local()
        self._undo = contextlib.ExitStack()
        self._timers: list[threading.Timer] = []
        self._profiler = profiler
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Recorder:
        self._watch_transactions()
        self._answer_bells()
        server = make_server("127.0.0.1", self._port, self._app(), _Server, _Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._undo.callback(server.server_close)
        self._undo.callback(server.shutdown)
        return self

    def __exit__(self, *args: object) -> None:
        for timer in self._timers:
            timer.cancel()
        self._undo.close()

    def take(self) -> list[Exchange]:
        """Return what happened since the last time, in order of its beginning."""
        found, self.exchanges = self.exchanges, []
        return sorted(found, key=lambda exchange: exchange.at)

    # --- Writing down --------------------------------------------------------------------------

    @contextlib.contextmanager
    def during(self, exchange: Exchange) -> Iterator[None]:
        """Write down what this thread does to the database."""
        from django.db import connection

        self._local.exchange, self._local.routing = exchange, False
        began = time.perf_counter()
        try:
            with connection.execute_wrapper(self._note):
                yield
        finally:
            exchange.seconds = time.perf_counter() - began
            self._local.exchange = None
            self.exchanges.append(exchange)

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        exchange = self._local.exchange
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            if exchange is not None:
                took = time.perf_counter() - began
                step = Step("sql", str(sql), params, took, self._local.routing)
                exchange.steps.append(step)

    def _mark(self, kind: str, seconds: float) -> None:
        exchange = getattr(self._local, "exchange", None)
        if exchange is not None:
            exchange.steps.append(Step(kind, seconds=seconds, routing=self._local.routing))

    def _watch_transactions(self) -> None:
        """BEGIN and COMMIT are no statements to Django: they are seen where it decides on them."""
        from django.db.backends.postgresql.base import DatabaseWrapper

        begin = DatabaseWrapper.set_autocommit

        def set_autocommit(connection: Any, autocommit: bool, *args: Any, **kwargs: Any) -> None:
            if not autocommit:
                self._mark("begin", 0.0)
            begin(connection, autocommit, *args, **kwargs)

        def timed(kind: str, function: Callable[..., None]) -> Callable[..., None]:
            def call(connection: Any) -> None:
                began = time.perf_counter()
                function(connection)
                self._mark(kind, time.perf_counter() - began)

            return call

        self._replace(DatabaseWrapper, "set_autocommit", set_autocommit)
        self._replace(DatabaseWrapper, "commit", timed("commit", DatabaseWrapper.commit))
        self._replace(DatabaseWrapper, "rollback", timed("rollback", DatabaseWrapper.rollback))

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        self._undo.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)

    # --- Bells ---------------------------------------------------------------------------------

    def _answer_bells(self) -> None:
        from callcenter import bell
        from queues import tasks

        before = dict(bell._answers)
        self._undo.callback(bell._answers.update, before)
        for name, task in TASKS.items():
            work = getattr(tasks, task)
            bell.answer(name, self._timed(name, lambda key, work=work: self._in_thread(work, key)))
        bell.answer("sweep_at", self._timed("sweep_at", self._sweep_later))
        for name in ("board", "desk"):
            bell.answer(name, self._timed(name, before[name]))
        bell.answer("route", self._timed("route", lambda: self._route(before["route"])))

    def _timed(self, name: str, do: Callable[..., None]) -> Callable[..., None]:
        def answer(*args: Any) -> None:
            exchange = getattr(self._local, "exchange", None)
            began = time.perf_counter()
            do(*args)
            if exchange is not None:
                took = time.perf_counter() - began
                exchange.bells[name] = exchange.bells.get(name, 0.0) + took

        return answer

    def _route(self, route: Callable[[], None]) -> None:
        self._local.routing = True
        try:
            route()
        finally:
            self._local.routing = False

    def _in_thread(self, task: Any, key: str) -> None:
        threading.Thread(target=self._task, args=(task, key), daemon=True).start()

    def _task(self, task: Any, *args: Any) -> None:
        from django.db import connection

        label = f"task {task.name.rpartition('.')[2]}"
        try:
            with self.during(Exchange(label, time.time())):
                task(*args)
        finally:
            connection.close()

    def _sweep_later(self, when: datetime) -> None:
        from queues import tasks

        timer = threading.Timer(max(0.0, when.timestamp() - time.time()), self._task, [tasks.sweep])
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    # --- The web server ------------------------------------------------------------------------

    def _app(self) -> Callable[..., Any]:
        from callcenter.wsgi import application

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            exchange = _named(environ["PATH_INFO"], environ, body)
            with self.during(exchange), self._profiled(exchange):
                response = application(environ, start_response)
                try:
                    return [b"".join(response)]
                finally:
                    response.close()  # gives the connection back

        return app

    @contextlib.contextmanager
    def _profiled(self, exchange: Exchange) -> Iterator[None]:
        if self._profiler is None or not exchange.webhook:
            yield
            return
        with self._one_at_a_time:
            self._profiler.enable()
            try:
                yield
            finally:
                self._profiler.disable()


def _named(path: str, environ: dict[str, Any], body: bytes) -> Exchange:
    """Name a webhook by its URL and what it tells."""
    endpoint = path.rpartition("/")[2]
    form = parse_qs(body.decode(errors="replace"))
    what = form.get("callSessionState", [""])[0] or environ.get("HTTP_X_SAUTIKIT_EVENT_KIND", "")
    if endpoint == "queue-events":
        text = body.decode(errors="replace")
        what = next((word for word in ("join", "leave", "start", "end") if f'"{word}"' in text), "")
    label = f"{endpoint} {what}".strip()
    posted = environ["REQUEST_METHOD"] == "POST"
    return Exchange(label, time.time(), voice=posted and endpoint in VOICE, webhook=posted)
