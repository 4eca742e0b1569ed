"""Child processes that end when we end: started, watched, stopped in order, never left behind.

Standard library only: `up.py` and the test session use it before Django is there.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

Pause = Callable[[float], None]

_PR_SET_PDEATHSIG = 1
_LOG_LIMIT = 10 * 1024 * 1024
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class CannotStart(Exception):
    """Starting failed; the text is a sentence for the person at the console."""


class Stopped(Exception):
    """Ctrl-C, SIGTERM or a closed terminal asks for the end."""


class Signals:
    """Stop requests as a count that every wait looks at, so that none comes at a bad moment."""

    def __init__(self) -> None:
        """Take over SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGCHLD; main thread only."""
        self.stops = 0
        self.reload = False  # `up.py reload` asks for new code and settings
        self.hurry = False  # Ctrl-C once more, while stopping
        self._wake, writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGTERM, self._stop)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup means it
            signal.signal(signal.SIGHUP, self._stop)
        signal.signal(signal.SIGUSR1, self._reload)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _reload(self, number: int, _: object) -> None:
        self.reload = True

    def _stop(self, number: int, _: object) -> None:
        if self.stops and number == signal.SIGINT:
            self.hurry = True
        self.stops += 1

    def wait(self, seconds: float) -> None:
        """Sleep, or less when a signal or the end of a child arrives."""
        if select.select([self._wake], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)

    def pause(self, seconds: float) -> None:
        """Sleep as `wait` does; raise Stopped once a stop was asked for."""
        if not self.stops:
            self.wait(seconds)
        if self.stops:
            raise Stopped


@dataclass(eq=False)
class Child:
    """One process in a session of its own, writing to a log file of its own."""

    name: str
    command: Sequence[str | Path]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 15.0  # seconds between asking and SIGKILL
    user: int | None = None  # run as this uid and gid (root only)
    group: int | None = None
    become: Callable[[], None] | None = None  # runs in the child, before exec
    before_start: Callable[[], None] | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _log_from: int = field(default=0, init=False)

    @property
    def pid(self) -> int:
        """The process id of the last start; 0 before the first."""
        return self.process.pid if self.process else 0

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll() if self.process else 0

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self.exit_code is None

    def start(self) -> None:
        """Start it; the caller sees to it that it isn't running."""
        if self.before_start:
            self.before_start()
        trim(self.log)
        with open_private(self.log, os.O_APPEND) as log:
            self._log_from = os.fstat(log.fileno()).st_size
            self.process = subprocess.Popen(  # noqa: S603  # our own command lines
                [str(part) for part in self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if self.env is None else dict(self.env),
                cwd=self.cwd,
                start_new_session=True,
                preexec_fn=self._before_exec(),  # safe: we have one thread
                user=self.user,
                group=self.group,
                extra_groups=None if self.user is None else [],
            )

    def _before_exec(self) -> Callable[[], None]:
        """Return what the child does first: become somebody else, then promise to die with us."""
        become, wanted, parent = self.become, int(self.stop_signal), os.getpid()

        def prepare() -> None:
            if become:
                become()
            if _libc:  # last: a change of user clears it
                _libc.prctl(_PR_SET_PDEATHSIG, wanted, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        return prepare

    def ask_to_stop(self) -> None:
        """Send the stop signal."""
        if self.process and self.alive:
            self.process.send_signal(self.stop_signal)

    def kill(self) -> None:
        """Kill it, and what is left of its process group."""
        if self.process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def last_lines(self, count: int = 12) -> str:
        """Return the end of what it logged since its last start."""
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(size - 16_384, self._log_from))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(
            f"    {line}" for line in [text for text in lines if text.strip()][-count:]
        )

    def failure(self, lines_shown: int = 12) -> CannotStart:
        """Return the sentence for a child that ended though it should not have."""
        lines = self.last_lines(lines_shown)
        if "No space left on device" in lines:
            return CannotStart(f"The disk is full ({self.log.parent}): free some space.\n{lines}")
        code = self.exit_code or 0
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return CannotStart(f"{self.name} ended ({how}); its log {self.log} ends with:\n{lines}")


def stop(
    children: Sequence[Child],
    *,
    wait: Pause = time.sleep,
    hurry: Callable[[], bool] = lambda: False,
) -> None:
    """Ask `children` to stop, newest first, and wait for all; SIGKILL after each one's grace.

    Once `hurry()` is true nobody is waited for.
    """
    for child in reversed(children):
        child.ask_to_stop()
    began = time.monotonic()
    while running := [child for child in children if child.alive]:
        for child in running:
            if hurry() or time.monotonic() - began > child.grace:
                child.kill()
        wait(0.02)
    for child in reversed(children):
        child.kill()  # what a dead leader left in its group


def run(child: Child, *, pause: Pause = time.sleep) -> None:
    """Run `child` to its end; raise CannotStart unless it succeeds, kill it when interrupted."""
    child.start()
    try:
        while child.alive:
            pause(0.05)
    except BaseException:
        child.kill()
        raise
    if child.exit_code:
        raise child.failure()


def wait_until(
    ready: Callable[[], bool], *, children: Sequence[Child], seconds: float, pause: Pause
) -> None:
    """Wait for `ready()`; raise CannotStart when a child ends first or the time is over."""
    began = time.monotonic()
    while not ready():
        for child in children:
            if not child.alive:
                raise child.failure()
        if time.monotonic() - began > seconds:
            names = ", ".join(child.name for child in children)
            logs = "\n".join(f"  {child.log}:\n{child.last_lines(4)}" for child in children)
            raise CannotStart(
                f"Not ready after {seconds:.0f} s: {names}. The logs end with:\n{logs}"
            )
        pause(0.05)


def open_private(path: Path, flags: int = os.O_TRUNC) -> BinaryIO:
    """Open a file for writing that only we may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600), "wb")


def trim(log: Path) -> None:
    """Keep a log below its limit: the older part moves to `<log>.1`; safe while it is written.

    Where the disk has no room for that part, it is given up: the log is cut all the same.
    """
    old = log.with_name(log.name + ".1")
    with contextlib.suppress(OSError):
        if log.stat().st_size <= _LOG_LIMIT:
            return
        try:
            shutil.copyfile(log, old)
        except OSError:
            old.unlink(missing_ok=True)
        os.truncate(log, 0)


def started_at(pid: int) -> str:
    """Return when `pid` started, in the kernel's ticks: pid and this name one process.

    Empty when there is none, when it is a zombie, or where there is no /proc.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
