"""What `make run` and `make demo` start: in order, watched, and stopped in reverse order."""

import contextlib
import hashlib
import http.client
import json
import math
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from callcenter import disk, embedded
from callcenter.launch import ROOT, dotenv
from callcenter.launch.backup import finish_swap
from callcenter.launch.console import say, sentence, shown, step
from callcenter.launch.environment import need_space
from callcenter.launch.place import Address, Place
from callcenter.launch.processes import (
    CannotStart,
    Child,
    Signals,
    Stopped,
    open_private,
    run,
    started_at,
    stop,
    trim,
    wait_until,
)

_BACK_OFF = (1, 2, 5, 10, 30)  # seconds before a child that died is started again
_SAY_AGAIN = 600.0  # seconds between two sentences about a disk that stays full
_SETTLED = 60.0  # seconds alive after which it counts as new
_DEMO_AGENTS = "amina brian chebet david esther faisal"


def serve(place: Place, settings: Mapping[str, str]) -> int:
    """Start the mode of `place`, keep it up until Ctrl-C, stop it; return the exit code."""
    address = Address.of(place.mode, settings)
    signals = Signals()
    stack = Stack(place, address, settings, signals)
    code = 0
    with place.claimed(address.url):
        try:
            stack.run()
        except Stopped:
            code = 0 if stack.is_up else 130
            say("\nStopping …" if stack.is_up else "\nStopped before it was up.")
        except (CannotStart, OSError) as problem:
            code = 1
            say(f"\n{sentence(problem)}")
        finally:
            began = time.monotonic()
            stack.stop()
        if not code:
            say(
                f"Stopped after {time.monotonic() - began:.1f} s. "
                f"The data stays in {shown(place.directory)}/."
            )
    return code


@dataclass
class Stack:
    """The processes of one mode."""

    place: Place
    address: Address
    settings: Mapping[str, str]
    signals: Signals
    is_up: bool = field(default=False, init=False)
    _servers: list[Child] = field(default_factory=list, init=False)
    _programs: list[Child] = field(default_factory=list, init=False)
    _environment: dict[str, str] = field(default_factory=dict, init=False)
    _for_manage: dict[str, str] = field(default_factory=dict, init=False)
    _said_of_disk: float = field(default=-math.inf, init=False)

    def run(self) -> None:
        """Start everything in order, say so, and watch it until a signal raises Stopped."""
        demo = self.place.mode == "demo"
        began = time.monotonic()
        self._end_leftovers()
        finish_swap(self.place)
        self.address.check_free()
        need_space(
            self.place.directory, 50 if (self.place.directory / "postgres").exists() else 150
        )
        say("Starting the demo call centre" if demo else "Starting the call centre")
        self._for_manage = self._demo_settings() if demo else self._run_settings()
        self._start_servers()
        self._environment = {**self._base_environment(), **self._for_manage}
        self._write_services()
        with step("database"):
            self._manage("migrate", "--noinput", "--verbosity", "0")
        if demo:
            self._make_demo_centre()
        else:
            self._collect_static()
        self._start_programs()
        with step("web, worker and beat"):
            wait_until(
                self._is_ready, children=self._programs, seconds=90, pause=self.signals.pause
            )
        if demo:  # last: its callers ring at once
            self._start("simulator", "-m", "simulator", "--config", self._simulator_config)
        self.is_up = True
        self._say_it_is_up(time.monotonic() - began)
        self._watch()

    def stop(self) -> None:
        """Stop programs, then servers; a second Ctrl-C kills what is left."""
        for children in (self._programs, self._servers[1:], self._servers[:1]):
            stop(children, wait=self.signals.wait, hurry=lambda: self.signals.hurry)
        self.place.services.unlink(missing_ok=True)

    # --- Settings ------------------------------------------------------------------------------

    def _base_environment(self) -> dict[str, str]:
        ours_alone = {"PYTHONUNBUFFERED": "1", "STATE_DIR": str(self.place.directory)}
        if self.place.mode == "run":
            return {**self.settings, "DOTENV": "off", **ours_alone}
        # Nothing of a real account reaches the demo.
        ours = ("SAUTIKIT_", "SECRET_KEY", "PUBLIC_BASE_URL", "ALLOWED_HOSTS", "HOLD_MUSIC_URL")
        kept = {name: text for name, text in self.settings.items() if not name.startswith(ours)}
        return {**kept, **ours_alone}

    def _run_settings(self) -> dict[str, str]:
        return {
            "STATIC_ROOT": self.settings.get("STATIC_ROOT") or str(self.place.directory / "static")
        }

    def _demo_settings(self) -> dict[str, str]:
        return {
            "DOTENV": "off",
            "DEMO": "true",
            "DEBUG": "false",
            "PORT": str(self.address.port),
            "SECRET_KEY": self.place.kept_secret("secret-key"),
            "PUBLIC_BASE_URL": self.address.url,
            "SAUTIKIT_API_BASE_URL": f"http://127.0.0.1:{embedded.free_port(9100)}",
            "SAUTIKIT_API_KEY": "sim-key",
            "SAUTIKIT_NUMBER": "+254200000100",
            "SAUTIKIT_WEBHOOK_TOKEN": self.place.kept_secret("webhook-token"),
            # Never collected: the demo's static files come straight from where they are.
            "STATIC_ROOT": str(self.place.directory / "static"),
        }

    # --- Starting ------------------------------------------------------------------------------

    def _start_servers(self) -> None:
        directory, pause = self.place.directory, self.signals.pause
        if not dotenv.get(self.settings, "DATABASE_URL"):
            with step("PostgreSQL"):
                server = embedded.start_postgres(
                    directory / "postgres", log=self.place.log("postgres"), pause=pause
                )
            self._servers.append(server.child)
            self._for_manage["DATABASE_URL"] = server.url
        if not dotenv.get(self.settings, "REDIS_URL"):
            with step("Valkey"):
                server = embedded.start_valkey(
                    directory / "valkey", log=self.place.log("valkey"), pause=pause
                )
            self._servers.append(server.child)
            self._for_manage["REDIS_URL"] = server.url

    @property
    def _simulator_config(self) -> Path:
        return self.place.directory / "simulator.json"

    def _make_demo_centre(self) -> None:
        with step("demo centre"):
            self._manage(
                "demo_data",
                "--simulator-config", str(self._simulator_config),
                "--base-url", self.address.url,
                "--simulator-url", self._for_manage["SAUTIKIT_API_BASE_URL"],
            )  # fmt: skip

    def _collect_static(self) -> None:
        """Collect the static files where they, or the packages they come from, have changed."""
        root = Path(self._for_manage["STATIC_ROOT"])
        files = sorted(path for path in (ROOT / "static").rglob("*") if path.is_file())
        facts = [f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}" for path in files]
        facts.append((ROOT / "requirements.txt").read_text())
        stamp, now = root / ".stamp", hashlib.sha256("\n".join(facts).encode()).hexdigest()
        if stamp.is_file() and stamp.read_text() == now:
            return
        with step("static files"):
            root.mkdir(parents=True, exist_ok=True)
            # The settings take names with a hash in them once there is a manifest.
            if not (root / "staticfiles.json").exists():
                (root / "staticfiles.json").write_text(
                    '{"paths": {}, "version": "1.1", "hash": ""}'
                )
            self._manage("collectstatic", "--noinput", "--verbosity", "0")
            stamp.write_text(now)

    def _web(self) -> tuple[str, ...]:
        workers = dotenv.number(self.settings, "WEB_WORKERS", 2, most=64)
        return (
            "-m", "granian", "--interface", "asgi", "--host", self.address.host,
            "--port", str(self.address.port), "--workers", str(workers),
            "--workers-kill-timeout", "5", "--respawn-failed-workers", "--no-ws",
            "--log-level", "warning", "callcenter.asgi:application",
        )  # fmt: skip

    def _start_programs(self) -> None:
        threads = dotenv.number(self.settings, "WORKER_THREADS", 12, most=64)
        self._start("web", *self._web())
        celery = ("-m", "celery", "--quiet", "-A", "callcenter")
        self._start(
            "worker",
            *celery, "worker", "-P", "threads", "-c", str(threads), "--loglevel", "warning",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        )  # fmt: skip
        schedule = self.place.directory / "beat-schedule"
        self._start("beat", *celery, "beat", "-s", schedule, "--pidfile=", "--loglevel", "warning")

    def _start(self, name: str, *arguments: str | Path) -> None:
        child = self._child(name, *arguments)
        child.start()
        self._programs.append(child)
        self._write_services()

    def _child(self, name: str, *arguments: str | Path) -> Child:
        command = [sys.executable, *arguments]
        return Child(name, command, self.place.log(name), env=self._environment, cwd=ROOT)

    def _manage(self, *arguments: str) -> None:
        command = [sys.executable, "manage.py", *arguments]
        child = Child(
            f"manage.py {arguments[0]}",
            command,
            self.place.log("manage"),
            env=self._environment,
            cwd=ROOT,
        )
        run(child, pause=self.signals.pause)

    def _is_ready(self) -> bool:
        return self._get("/health/ready") is not None

    def _serves(self, web: Child) -> bool:
        """Whether this web takes requests: the one that answered is a process of its group."""
        try:
            process = json.loads(self._get("/health/live") or b"{}")["process"]
            return os.getpgid(process) == web.pid
        except (ValueError, KeyError, ProcessLookupError):
            return False

    def _get(self, path: str) -> bytes | None:
        connection = http.client.HTTPConnection(self.address.nearby, self.address.port, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": "127.0.0.1"})
            answer = connection.getresponse()
            return answer.read() if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _say_it_is_up(self, seconds: float) -> None:
        url, logs = self.address.url, shown(self.place.directory / "log")
        if self.place.mode == "demo":
            say(
                f"\n  The demo call centre is up ({seconds:.1f} s), and callers are ringing.\n\n"
                f"    Wallboard     {url}/\n"
                f"    Agent's desk  {url}/agent/\n"
                f"    Setting up    {url}/admin/\n\n"
                f"    Supervisor    supervisor\n"
                f"    Agents        {_DEMO_AGENTS}\n"
                f"    Password      demo (for all of them, at {url}/login/)\n"
            )
        else:
            public = dotenv.get(self.settings, "PUBLIC_BASE_URL")
            say(f"\n  The call centre is up ({seconds:.1f} s): {url}/, public address {public}\n")
        say(f"    Logs          {logs}/\n    Ctrl-C stops everything; the data stays.\n")

    # --- While it runs, and after --------------------------------------------------------------

    def _watch(self) -> None:
        """Start again what dies, later each time; return never."""
        fails: dict[Child, int] = {}
        since: dict[Child, float] = {}
        due: dict[Child, float] = {}
        while True:
            now = time.monotonic()
            for child in [*self._servers, *self._programs]:
                began = since.setdefault(child, now)
                if child in due or child.alive:
                    continue
                failed = 0 if now - began > _SETTLED else fails.get(child, 0)
                delay = _BACK_OFF[min(failed, len(_BACK_OFF) - 1)]
                fails[child] = failed + 1
                due[child] = now + delay
                say(f"{_clock()} {child.failure(3)}\n{_clock()} {child.name} again in {delay} s")
            for child in [child for child, at in due.items() if at <= now]:
                del due[child]
                since[child] = now
                self._start_again(child)
            for log in self.place.log("web").parent.glob("*.log"):
                trim(log)
            self._look_at_the_disk()
            if self.signals.reload:
                self.signals.reload = False
                self._reload()
            nearest = min(due.values(), default=now + 30)
            self.signals.pause(max(nearest - time.monotonic(), 0.05))

    def _reload(self) -> None:
        """Take over new code and new settings, with calls going on: migrate, then one by one."""
        say(f"{_clock()} Reloading")
        outcome = ""
        try:
            self.settings = dotenv.effective()
            self._environment = {**self._base_environment(), **self._for_manage}
            self._manage("migrate", "--noinput", "--verbosity", "0")
            self._collect_static()
            for child in self._programs:
                if child.name != "web":
                    stop([child], wait=self.signals.wait)
                    child.env = self._environment
                    child.start()
            self._renew_web()
        except (CannotStart, OSError) as problem:
            outcome = sentence(problem)
        say(f"{_clock()} {outcome or 'Reloaded'}")
        new = self.place.reloaded.with_suffix(".new")
        new.write_text(outcome)
        new.replace(self.place.reloaded)

    def _renew_web(self) -> None:
        """Start the new web beside the old, on the same port; then let the old one finish."""
        old = next(child for child in self._programs if child.name == "web")
        new = self._child("web", *self._web())
        new.start()
        try:
            wait_until(
                lambda: self._serves(new), children=[new], seconds=90, pause=self.signals.pause
            )
        except BaseException:
            stop([new])
            raise
        self._programs[self._programs.index(old)] = new
        self._write_services()
        stop([old], wait=self.signals.wait)

    def _look_at_the_disk(self) -> None:
        """Say that a disk fills up: at once, and every ten minutes while it is so."""
        warn = self.settings.get("DISK_WARN_MB", "").strip()
        warn_mb = int(warn) if warn.isdecimal() else disk.NEARLY_FULL_MB
        trouble = disk.trouble(self.place.directory, warn_mb)
        if not trouble:
            self._said_of_disk = -math.inf
        elif time.monotonic() - self._said_of_disk > _SAY_AGAIN:
            self._said_of_disk = time.monotonic()
            say(f"{_clock()} {trouble}")

    def _start_again(self, child: Child) -> None:
        child.kill()  # what may be left of its group, a port held by it above all
        try:
            child.start()
            self._write_services()
        except (CannotStart, OSError) as problem:  # a full disk, say: it is tried again
            say(f"{_clock()} {sentence(problem)}")

    def _write_services(self) -> None:
        """Tell `manage.py` how to reach the servers, and the next start what may be left of us."""
        children = [*self._servers, *self._programs]
        text = json.dumps(
            {
                "mode": self.place.mode,
                "pid": os.getpid(),
                "processes": {
                    child.name: [child.pid, started_at(child.pid), int(child.stop_signal)]
                    for child in children
                },
                "environment": self._for_manage,
            },
            indent=2,
        )
        new = self.place.services.with_suffix(".new")
        with open_private(new) as file:
            file.write(text.encode())
        new.replace(self.place.services)

    def _end_leftovers(self) -> None:
        """After a kill -9 of the last start: see its processes off before starting anew."""
        try:
            processes = json.loads(self.place.services.read_text())["processes"].values()
            left = {pid: (began, how) for pid, began, how in processes if began}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        for pid, (began, how) in left.items():
            if started_at(pid) == began:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
        waited = time.monotonic()
        while any(started_at(pid) == began for pid, (began, _) in left.items()):
            if time.monotonic() - waited > 15:
                for pid, (began, _) in left.items():
                    if started_at(pid) == began:
                        with contextlib.suppress(ProcessLookupError):
                            os.killpg(pid, signal.SIGKILL)
            self.signals.pause(0.1)


def _clock() -> str:
    return time.strftime("%H:%M:%S")
