"""The processes that are measured: what `make run` starts, on data of its own in `var/bench/`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psycopg

from callcenter import embedded
from callcenter.launch import ROOT, VAR
from callcenter.launch.place import Address, Place
from callcenter.launch.processes import CannotStart, Child, Signals, stop, wait_until
from callcenter.launch.stack import Stack

SIGNING_SECRET = "whsec-of-the-benchmark"
TOKEN = "token-of-the-benchmark"
API_KEY = "sim-key"
RAW_DATABASE = "raw"
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
_TUNING = ("WEB_WORKERS", "WEB_THREADS", "WORKER_THREADS", "DB_POOL_SIZE")


class BenchPlace(Place):
    """`var/bench/`, started in the way of `make run`."""

    @property
    def directory(self) -> Path:
        """The directory itself."""
        return VAR / "bench"


class _NoSignals(Signals):
    """Ctrl-C is a KeyboardInterrupt here, and everything is stopped on the way out."""

    def __init__(self) -> None:
        self.stops, self.hurry = 0, False

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


class House:
    """The servers, the programs of `make run`, the simulators and the raw server."""

    def __init__(self) -> None:
        self.place = BenchPlace("run")
        self.url = f"http://127.0.0.1:{embedded.free_port(8700)}"
        self.simulator_url = f"http://127.0.0.1:{embedded.free_port(9700)}"
        port = int(self.url.rsplit(":", 1)[1])
        kept = {name: os.environ[name] for name in (*_KEPT, *_TUNING) if name in os.environ}
        self._settings = {
            **kept,
            "SECRET_KEY": "a-key-of-the-benchmark-that-is-long-enough-and-protects-nothing",
            "PORT": str(port),
            "PUBLIC_BASE_URL": self.url,
            "SAUTIKIT_API_BASE_URL": self.simulator_url,
            "SAUTIKIT_API_KEY": API_KEY,
            "SAUTIKIT_NUMBER": "+254200000100",
            "SAUTIKIT_WEBHOOK_TOKEN": TOKEN,
            "SAUTIKIT_SIGNING_SECRETS": SIGNING_SECRET,
        }
        self._stack = Stack(self.place, Address("127.0.0.1", port), self._settings, _NoSignals())
        self._others: list[Child] = []
        self._claim = contextlib.ExitStack()

    def __enter__(self) -> House:
        self._claim.enter_context(self.place.claimed(self.url))
        return self

    def __exit__(self, *args: object) -> None:
        stop(self._others)
        self._stack.stop()
        self._claim.close()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the programs."""
        return self._stack._environment

    @property
    def database_url(self) -> str:
        """Where PostgreSQL answers."""
        return self.environment["DATABASE_URL"]

    @property
    def raw_url(self) -> str:
        """The same server, the database of the raw comparison."""
        return self.database_url.replace(f"/{embedded.DATABASE}?", f"/{RAW_DATABASE}?")

    # --- Starting ------------------------------------------------------------------------------

    def start_servers(self, *, fresh: bool = True) -> None:
        """Start PostgreSQL, durable, and Redis; migrate; collect the static files.

        Not `fresh`: on the data that the last run has left behind.
        """
        stack, directory = self._stack, self.place.directory
        for name in ("postgres", "valkey") if fresh else ():
            shutil.rmtree(directory / name, ignore_errors=True)
        self._remember_commit_times()
        stack._for_manage = stack._run_settings()
        stack._start_servers()
        stack._environment = {**stack._base_environment(), **stack._for_manage}
        stack._manage("migrate", "--noinput", "--verbosity", "0")
        stack._collect_static()

    def _remember_commit_times(self) -> None:
        """Have PostgreSQL keep the time of each commit: what row 3 counts from."""
        server = embedded.start_postgres(
            self.place.directory / "postgres", log=self.place.log("postgres")
        )
        try:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        finally:
            server.stop()

    def start_programs(self) -> None:
        """Start web, worker and beat as `make run` does, and wait until they take calls."""
        stack = self._stack
        stack._start_programs()
        wait_until(stack._is_ready, children=stack._programs, seconds=90, pause=time.sleep)
        wait_until(self._worker_is_up, children=stack._programs, seconds=60, pause=time.sleep)

    def stop_programs(self) -> None:
        """Stop them; PostgreSQL and Redis stay."""
        stop(self._stack._programs)
        self._stack._programs.clear()

    def _worker_is_up(self) -> bool:
        return bool(get(f"{self.url}/health/ready")["worker"] == "ok")

    def start(self, name: str, *arguments: str | Path, ready: Callable[[], bool]) -> Child:
        """Start a process that is no part of the product, and wait until it answers."""
        command = [sys.executable, *arguments]
        child = Child(name, command, self.place.log(name), env=self.environment, cwd=ROOT)
        self._others.append(child)
        child.start()
        wait_until(ready, children=[child], seconds=30, pause=time.sleep)
        return child

    def start_simulator(self, name: str, url: str, config: Mapping[str, Any]) -> Child:
        """Start a simulator that answers at `url`."""
        path = self.place.directory / f"{name}.json"
        port = int(url.rsplit(":", 1)[1])
        path.write_text(json.dumps({**config, "port": port, "api_key": API_KEY}))
        return self.start(
            name, "-m", "simulator", "--config", path, ready=lambda: answers(f"{url}/_sim/health")
        )

    def end(self, child: Child) -> None:
        """Stop one of our own processes."""
        stop([child])
        self._others.remove(child)

    # --- Looking at it ---------------------------------------------------------------------------

    @property
    def processes(self) -> dict[str, int]:
        """The processes of the product by name, with their ids; their children are not named."""
        children = [*self._stack._servers, *self._stack._programs]
        return {child.name: child.pid for child in children}

    @property
    def all_processes(self) -> dict[str, int]:
        """Those, our own beside them, and this one."""
        others = {child.name: child.pid for child in self._others}
        return {**self.processes, **others, "bench": os.getpid()}

    def check(self) -> None:
        """Raise CannotStart when something has ended by itself."""
        for child in [*self._stack._servers, *self._stack._programs, *self._others]:
            if not child.alive:
                raise child.failure()


def get(url: str) -> Any:
    """GET some JSON of this machine."""
    with urlopen(url, timeout=60) as response:
        return json.load(response)


def send(method: str, url: str, body: Any, **headers: str) -> Any:
    """Send some JSON to this machine, and return what is answered."""
    request = Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers},
        method=method,
    )  # fmt: skip
    with urlopen(request, timeout=60) as response:
        return json.load(response)


def answers(url: str) -> bool:
    """Whether something answers there."""
    try:
        with urlopen(url, timeout=2):
            return True
    except OSError:
        return False


__all__ = ["ROOT", "CannotStart", "House", "answers", "get", "send"]
