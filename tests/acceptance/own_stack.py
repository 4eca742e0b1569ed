"""A whole stack with a PostgreSQL and a Valkey of its own, so that everything in it may be killed.

The launcher of `make run` runs in a process of its own and does what it does on a real host: it
starts again what dies. The simulator stays outside: the provider does not go down with us.

As a program (`python -m tests.acceptance.own_stack DIRECTORY`) this is that launcher.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from callcenter import embedded
from callcenter.launch import ROOT, dotenv
from callcenter.launch import stack as launch
from callcenter.launch.place import Address
from callcenter.launch.processes import Child, stop, wait_until
from tests.acceptance.stack import SECRETS, Somewhere, WholeStack, _get, _Quiet

PARTS = ("web", "worker", "beat", "PostgreSQL", "Valkey")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")


class OwnStack(WholeStack):
    """PostgreSQL (durable), Valkey, web, worker and beat, all of them to be killed."""

    def __init__(self, root: Path) -> None:
        root.chmod(0o711)
        place = Somewhere("demo", root / "outside")
        place.make()
        address = Address("127.0.0.1", embedded.free_port())
        launch.Stack.__init__(self, place, address, {}, _Quiet())  # type: ignore[arg-type]
        self.inside = Somewhere("run", root / "inside")
        self.inside.make()
        self.token = ""
        self.webhook_token = "webhook-token-of-this-stack"
        self.simulator_url = f"http://127.0.0.1:{embedded.free_port()}"
        self.seconds = 0.0
        self.launcher = Child(
            "launcher",
            [sys.executable, "-m", "tests.acceptance.own_stack", self.inside.directory],
            self.place.log("launcher"),
            env={"DOTENV": "off", **{k: v for k, v in os.environ.items() if k in _KEPT}},
            cwd=ROOT,
            grace=60,
        )  # fmt: skip
        self.set(
            SECRET_KEY="the-first-secret-key-of-this-stack-0123456789",
            PUBLIC_BASE_URL=self.url,
            PORT=str(address.port),
            SAUTIKIT_API_BASE_URL=self.simulator_url,
            SAUTIKIT_API_KEY="sim-key",
            SAUTIKIT_NUMBER="+254200000100",
            SAUTIKIT_WEBHOOK_TOKEN=self.webhook_token,
            SAUTIKIT_SIGNING_SECRETS=",".join(SECRETS),
            WEB_WORKERS="2",
            WORKER_THREADS="8",
            STATIC_ROOT=str(root / "no-static"),
        )

    # --- settings

    @property
    def _dotenv(self) -> Path:
        return self.inside.directory / ".env"

    def set(self, **settings: str) -> None:
        """Change settings, as by editing `.env`: for the next start or reload."""
        told = {**dotenv.read(self._dotenv), **settings}
        self._dotenv.write_text("".join(f"{name}={text}\n" for name, text in told.items()))

    @property
    def database_url(self) -> str:
        return str(self.services()["environment"]["DATABASE_URL"])

    def services(self) -> dict[str, Any]:
        """What the launcher says of its children."""
        return dict(json.loads(self.inside.services.read_text()))

    # --- up and down

    def start(self) -> None:
        began = time.monotonic()
        try:
            settings = dotenv.read(self._dotenv)
            self._for_manage = {"SAUTIKIT_NUMBER": settings["SAUTIKIT_NUMBER"],
                                "SAUTIKIT_API_KEY": settings["SAUTIKIT_API_KEY"]}  # fmt: skip
            self._environment = dict(os.environ)
            self._start_the_simulator()
            self.launcher.start()
            self.until_up()
            self._environment = {
                **self._environment, **settings, **self.services()["environment"], "DOTENV": "off"
            }  # fmt: skip
            self._make_token()
        except BaseException:
            self.stop()
            raise
        self.seconds = time.monotonic() - began

    def until_up(self, seconds: float = 90) -> None:
        """Wait until the launcher's processes answer."""
        wait_until(
            self._is_all_up, children=[self.launcher, *self._programs], seconds=seconds,
            pause=time.sleep,
        )  # fmt: skip

    def health(self) -> dict[str, Any]:
        """What `/health/ready` says; empty where nobody answers."""
        try:
            return dict(json.loads(_get(self.url, "/health/ready")))
        except (OSError, ValueError):
            return {}

    def _is_all_up(self) -> bool:
        return self.health().get("status") == "ok" and self._answers()

    def stop(self) -> None:
        stop([self.launcher])
        stop(self._programs)

    def _write_services(self) -> None:
        """The launcher does."""

    def tails(self, lines: int = 15) -> str:
        told = []
        for log in [self.place.log("launcher"), *sorted(self.inside.directory.glob("log/*.log"))]:
            if log.exists():
                text = log.read_text(errors="replace").splitlines()[-lines:]
                told.append(f"{log.name}:\n  " + "\n  ".join(text))
        return "\n".join(told)

    # --- killing

    def pid(self, name: str) -> int:
        """The main process of a part."""
        return int(self.services()["processes"][name][0])

    def kill(self, name: str, *, whole: bool = True, number: int = signal.SIGKILL) -> None:
        """Kill a part: its main process, and unless told otherwise all that it has started."""
        main = self.pid(name)
        pids = [main, *_descendants(main)] if whole else [main]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_one_web_process(self) -> None:
        """Kill one of the two processes that serve requests."""
        serving = [pid for pid in _descendants(self.pid("web")) if _is(pid, "spawn_main")]
        os.kill(serving[0], signal.SIGKILL)

    def lose_valkeys_data(self) -> None:
        """Let Valkey come back empty."""
        shutil.rmtree(self.inside.directory / "valkey" / "appendonlydir", ignore_errors=True)

    @contextlib.contextmanager
    def without(self, *names: str, number: int = signal.SIGKILL) -> Iterator[None]:
        """Kill these parts; nobody starts them again before the end of the block."""
        os.kill(self.launcher.pid, signal.SIGSTOP)
        try:
            for name in names:
                self.kill(name, number=number)
            yield
        finally:
            os.kill(self.launcher.pid, signal.SIGCONT)

    def pull_the_plug(self) -> None:
        """Kill everything of ours at once, the launcher first: a host that loses its power."""
        pids = [self.launcher.pid, *_descendants(self.launcher.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.launcher.kill()
        limit = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in pids):
            assert time.monotonic() < limit
            time.sleep(0.05)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def _is(pid: int, word: str) -> bool:
    with contextlib.suppress(OSError):
        return word in Path(f"/proc/{pid}/cmdline").read_text()
    return False


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def main() -> int:
    """Be the launcher, with the settings of `.env` in the directory that is named."""
    root = Path(sys.argv[1])

    def effective() -> dict[str, str]:
        return {**os.environ, **dotenv.read(root / ".env")}

    dotenv.effective = effective
    launch._BACK_OFF = (1, 2)  # type: ignore[assignment]  # what dies here was killed, again and again
    launch.Stack._collect_static = lambda self: None  # type: ignore[method-assign]  # 8 s, no need
    return launch.serve(Somewhere("run", root), effective())


if __name__ == "__main__":
    sys.exit(main())
