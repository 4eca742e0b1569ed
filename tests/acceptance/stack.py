"""The whole product as real processes, with the simulator for a provider.

The programs are started by the very code behind `make demo`, in a directory and on ports of their
own; PostgreSQL and Valkey are those of the test session, with a database and a number of our own.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from callcenter import embedded
from callcenter.launch import ROOT
from callcenter.launch import stack as launch
from callcenter.launch.place import Address, Place
from callcenter.launch.processes import wait_until

SPEED = 10  # phone seconds in one second of the clock
NUMBERS = [f"+2542010{n:05}" for n in range(400)]
SECRETS = ["acceptance-secret-new", "acceptance-secret-old"]  # the simulator signs when told to
ADMIN, PASSWORD = "root-of-tests", "a-good-password-of-tests"
_DATABASE, _REDIS_DB = "callcenter_acceptance", 9


@dataclass(frozen=True)
class Somewhere(Place):
    """A place outside `var/`."""

    root: Path = Path()

    @property
    def directory(self) -> Path:
        return self.root


class _Quiet:
    """Stands for the signals that `up.py` takes over and a test session must not."""

    hurry = False

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    wait = pause


class WholeStack(launch.Stack):
    """Web, worker, beat and simulator; start() returns when a call can be taken."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        settings = {
            **environment,
            "DATABASE_URL": _fresh_database(environment["DATABASE_URL"]),
            "REDIS_URL": _other_redis(environment["REDIS_URL"]),
            "WEB_WORKERS": "2",
            "WORKER_THREADS": "8",
        }
        place = Somewhere("demo", root)
        place.make()
        address = Address("127.0.0.1", embedded.free_port())
        super().__init__(place, address, settings, _Quiet())  # type: ignore[arg-type]
        self.token = ""  # of the API, an administrator's
        self.webhook_token = place.kept_secret("webhook-token")
        self.simulator_url = ""
        self.seconds = 0.0  # that the start took

    @property
    def url(self) -> str:
        return self.address.url

    @property
    def database_url(self) -> str:
        return self.settings["DATABASE_URL"]

    def start(self) -> None:
        """Start all of it; what was started is stopped again when something fails."""
        began = time.monotonic()
        try:
            self._for_manage = {
                **self._demo_settings(),
                "DATABASE_URL": self.settings["DATABASE_URL"],
                "REDIS_URL": self.settings["REDIS_URL"],
                "SAUTIKIT_SIGNING_SECRETS": ",".join(SECRETS),
                "LOG_LEVEL": "INFO",
            }
            self.simulator_url = f"http://127.0.0.1:{embedded.free_port()}"
            self._for_manage["SAUTIKIT_API_BASE_URL"] = self.simulator_url
            self._environment = {**self._base_environment(), **self._for_manage}
            self._manage("migrate", "--noinput", "--verbosity", "0")
            self._start_the_simulator()
            self._start_programs()
            self._make_token()
            wait_until(self._is_all_ready, children=self._programs, seconds=60, pause=time.sleep)
        except BaseException:
            self.stop()
            raise
        self.seconds = time.monotonic() - began

    def audit(self) -> None:
        """Recount the running product's books: they are balanced."""
        self.finds_none("audit")

    def finds_none(self, *command: str) -> None:
        """Run a command of manage.py that prints what is wrong: it says that nothing is."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": self.database_url},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        told = (done.stdout + done.stderr)[-20_000:]
        assert (done.returncode, done.stdout) == (0, "none\n"), f"{command} says:\n{told}"

    def tails(self, lines: int = 15) -> str:
        """The end of each log."""
        logs = (f"{child.name}:\n{child.last_lines(lines)}" for child in self._programs)
        return "\n".join(logs)

    def _start_the_simulator(self) -> None:
        voice = f"{self.url}/calls/inbound?token={self.webhook_token}"
        events = f"{self.url}/calls/events?token={self.webhook_token}"
        ours = [self._for_manage["SAUTIKIT_NUMBER"], *NUMBERS]
        config = {
            "port": urlsplit(self.simulator_url).port,
            "api_key": self._for_manage["SAUTIKIT_API_KEY"],
            "speed": SPEED,
            "answer_delay": 0.05,
            "keep_finished": 0,
            "default_phone": {"action": "fail"},  # every phone that rings was told how
            "numbers": [
                {"e164": number, "voice_callback_url": voice, "events_url": events}
                for number in ours
            ],
        }
        path = self.place.directory / "simulator.json"
        path.write_text(json.dumps(config))
        self._start("simulator", "-m", "simulator", "--config", path)

    def _make_token(self) -> None:
        """An administrator and their API token, by the commands that the manual names."""
        outer = self._environment
        named = {"USERNAME": ADMIN, "PASSWORD": PASSWORD, "EMAIL": "root@example.test"}
        self._environment = {
            **outer, **{f"DJANGO_SUPERUSER_{name}": text for name, text in named.items()}
        }  # fmt: skip
        self._manage("createsuperuser", "--noinput")
        self._manage("drf_create_token", ADMIN)
        self._environment = outer
        # "Generated token <key> for user <name>"
        said = self.place.log("manage").read_text().rpartition("Generated token ")[2]
        self.token = said.split()[0]

    def _is_all_ready(self) -> bool:
        return self._is_ready() and self._answers() and "ok" in self._worker()

    def _answers(self) -> bool:
        try:
            return bool(_get(self.simulator_url, "/_sim/health"))
        except (OSError, http.client.HTTPException):
            return False

    def _worker(self) -> str:
        try:
            return str(json.loads(_get(self.url, "/health/ready"))["worker"])
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return ""


def _get(url: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def _fresh_database(url: str) -> str:
    """Make an empty database beside the one at `url`, in place of an earlier one; its URL."""
    name = f"{_DATABASE}_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        old = connection.execute(
            "SELECT datname FROM pg_database d WHERE starts_with(datname, %s) AND NOT EXISTS"
            " (SELECT 1 FROM pg_stat_activity a WHERE a.datname = d.datname)",
            [_DATABASE],
        ).fetchall()
        for (left,) in old:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(left)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _other_redis(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{_REDIS_DB}"))
