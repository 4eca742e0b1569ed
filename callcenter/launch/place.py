"""Where a mode, `run` or `demo`, lives: its directory and its address."""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from callcenter.launch import VAR, dotenv
from callcenter.launch.processes import CannotStart, open_private

KEPT_SECRETS = ("secret-key", "webhook-token")  # made once; a backup has them too


@dataclass(frozen=True)
class Place:
    """Where one mode, `run` or `demo`, keeps its data: `var/<mode>/`."""

    mode: str

    @property
    def directory(self) -> Path:
        """The directory itself."""
        return VAR / self.mode

    @property
    def services(self) -> Path:
        """What runs now, for `manage.py`; there only while it does, or after a kill -9."""
        return self.directory / "services.json"

    @property
    def reloaded(self) -> Path:
        """How the last `up.py reload` went: empty, or what went wrong."""
        return self.directory / "reloaded"

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.directory / "log" / f"{name}.log"

    def make(self) -> None:
        """Make the directories; `nobody`, who may run PostgreSQL, must get through them."""
        (self.directory / "log").mkdir(parents=True, exist_ok=True)
        (self.directory / "log").chmod(0o700)
        self.directory.chmod(0o711)

    @contextlib.contextmanager
    def claimed(self, address: str = "") -> Iterator[None]:
        """Hold this place; raise CannotStart with the holder's name where somebody else does."""
        self.make()
        with (self.directory / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                pid, _, where = lock.read().strip().partition(" ")
                raise CannotStart(
                    f"`{self.mode}` is already running (process {pid or 'unknown'}"
                    f"{', ' + where if where else ''}). Stop it with Ctrl-C there, or with "
                    f"`python3 up.py down {self.mode}`."
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()} {address}")
            lock.flush()
            yield
            lock.truncate(0)

    def holder(self) -> int:
        """Return the process that holds this place; 0 when nobody does."""
        try:
            with (self.directory / "lock").open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read().split()[0])
        except (OSError, ValueError, IndexError):
            pass
        return 0

    def kept_secret(self, name: str) -> str:
        """Return a random text that stays the same from start to start."""
        path = self.directory / name
        with contextlib.suppress(FileNotFoundError):
            if text := path.read_text().strip():
                return text
        text = secrets.token_urlsafe(50)
        with open_private(path) as file:
            file.write(text.encode())
        return text


def running_environment(mode: str) -> dict[str, str]:
    """Return the settings that lead to the servers of a running stack; {} when none runs."""
    place = Place(mode)
    try:
        services = json.loads(place.services.read_text()) if place.holder() else {}
    except (OSError, ValueError):
        return {}
    environment: dict[str, str] = services.get("environment", {})
    return environment


@dataclass(frozen=True)
class Address:
    """Where the web server listens."""

    host: str
    port: int

    @classmethod
    def of(cls, mode: str, settings: Mapping[str, str]) -> "Address":
        """Read PORT and HOST; the demo, whose passwords everybody knows, stays on loopback."""
        host = "127.0.0.1" if mode == "demo" else settings.get("HOST", "").strip()
        return cls(host or "127.0.0.1", dotenv.number(settings, "PORT", 8000, most=65535))

    @property
    def nearby(self) -> str:
        """The host under which this machine itself reaches it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        host = f"[{self.nearby}]" if ":" in self.nearby else self.nearby
        return f"http://{host}:{self.port}"

    def check_free(self, patience: float = 0) -> None:
        """Raise CannotStart unless the port can be listened on, within `patience` seconds."""
        began = time.monotonic()
        while problem := self._problem():
            if problem.errno != errno.EADDRINUSE or time.monotonic() - began >= patience:
                raise self._refusal(problem)
            time.sleep(0.1)

    def _problem(self) -> OSError | None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
                probe.listen(1)
            except OSError as problem:
                return problem
        return None

    def _refusal(self, problem: OSError) -> CannotStart:
        other = 8080 if self.port == 8000 else 8000
        if problem.errno == errno.EADDRINUSE:
            return CannotStart(
                f"Port {self.port} is in use by another program: stop that, or set PORT to "
                f"another number (in the environment or in .env), like PORT={other}."
            )
        if problem.errno == errno.EACCES:
            return CannotStart(
                f"PORT is {self.port}, and an ordinary user may not listen below 1024: set PORT "
                f"to a number above, like PORT={other}."
            )
        return CannotStart(
            f"HOST is {self.host!r}, and this machine cannot listen there "
            f"({problem.strerror}): set HOST to one of its addresses, or leave it out."
        )
