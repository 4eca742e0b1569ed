"""The commands of `python3 up.py`, which the targets of the Makefile call."""

import argparse
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from callcenter.launch import ROOT, VAR, VENV, audit, backup, dotenv, environment, stack
from callcenter.launch.console import say, sentence
from callcenter.launch.place import Address, Place
from callcenter.launch.processes import CannotStart

_USAGE = """python3 up.py COMMAND

  demo             everything on this machine, with simulated callers
  run              everything, for a real Sautikit account; settings from .env
  test [...]       all checks and tests but the long ones; with arguments: only pytest with them
  test-long [...]  the tests that take minutes
  lint [...]       ruff, mypy and the migrations; with names: only those
  bench [...]      the benchmarks
  shots [DIR]      pictures of every page, at three widths, light and dark; into var/shots/
  audit-dependencies [--strict]
                   known vulnerabilities of what is installed
  reload           new code and settings into a `run` that was started elsewhere; no call is lost
  down [MODE]      stop a `demo` or `run` that was started elsewhere
  backup [--keep N] [FILE or DIRECTORY]
                   everything in one file, while it runs or not; into var/backups/
  restore [--replace] FILE
                   a backup into the place of the data, with the centre stopped
"""
_CHECKS = {
    "ruff": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy", "."],
    "migrations": ["python", "-W", "ignore", "manage.py", "makemigrations", "--check", "--dry-run"],
}


def main(arguments: Sequence[str]) -> int:
    """Do what `arguments` ask for; return the exit code."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in {"", "-h", "--help", "help"}:
        say(_USAGE)
        return 0 if command else 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if command in {"demo", "run"} and not rest:
            return _serve(command)
        if command == "reload" and not rest:
            return _reload()
        if command == "down":
            return _down(rest or ["demo", "run"])
        if command in {"backup", "restore"}:
            return {"backup": _backup, "restore": _restore}[command](rest)
        if command == "audit-dependencies" and set(rest) <= {"--strict"}:
            environment.ensure("dev")
            return audit.audit(strict=bool(rest))
        if command in _FOR_DEVELOPERS:
            environment.ensure("dev")
            return _FOR_DEVELOPERS[command](rest)
    except (CannotStart, OSError) as problem:
        say(sentence(problem))
        return 1
    except KeyboardInterrupt:
        say("\nStopped.")
        return 130
    say(f"There is no command {' '.join(arguments)!r}.\n\n{_USAGE}")
    return 2


def _serve(mode: str) -> int:
    """Check what can be checked before anything is installed or started; then start it."""
    settings = dotenv.effective()
    if mode == "run":
        _check_settings(settings)
    else:
        port = settings.get("PORT")  # all that the demo takes from .env
        settings = {**os.environ, **({"PORT": port} if port else {})}
    place, address = Place(mode), Address.of(mode, settings)
    with place.claimed():
        address.check_free(patience=10 if place.services.exists() else 0)
    environment.ensure("run")
    environment.enter([str(ROOT / "up.py"), mode])
    return stack.serve(place, settings)


def _check_settings(settings: dict[str, str]) -> None:
    problems = dotenv.problems(settings)
    if not problems:
        return
    lines = "\n".join(f"  {problem}" for problem in problems)
    first = "" if (ROOT / ".env").exists() else "First: cp .env.example .env\n"
    raise CannotStart(
        f"{first}Settings in .env or the environment keep the call centre from starting:\n{lines}\n"
        "docs/install.md goes through them; `make demo` needs none."
    )


def _reload() -> int:
    _check_settings(dotenv.effective())
    environment.ensure("run")
    reload(Place("run"))
    return 0


def reload(place: Place) -> None:
    """Have a running centre take over the code and the settings of now; wait until it has."""
    pid = place.holder()
    if not pid:
        raise CannotStart(f"`{place.mode}` is not running: start it.")
    place.reloaded.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    say(f"Reloading `{place.mode}` (process {pid}) …")
    while not place.reloaded.exists():
        if place.holder() != pid:
            raise CannotStart(f"`{place.mode}` has ended meanwhile: see its logs.")
        time.sleep(0.1)
    if outcome := place.reloaded.read_text():
        raise CannotStart(f"Not all of it was reloaded. {outcome}")
    say("Reloaded: every process has the code and the settings of now.")


def _down(modes: Sequence[str]) -> int:
    for mode in modes:
        if mode not in {"demo", "run"}:
            raise CannotStart(f"There is no mode {mode!r}: `down`, `down demo` or `down run`.")
        place = Place(mode)
        if pid := place.holder():
            say(f"Stopping `{mode}` (process {pid}) …")
            os.kill(pid, signal.SIGTERM)
            began = time.monotonic()
            while place.holder() == pid:
                if time.monotonic() - began > 60:
                    raise CannotStart(f"Process {pid} does not stop: `kill -9 {pid}` ends it.")
                time.sleep(0.1)
        else:
            say(f"`{mode}` is not running.")
    return 0


# --- Backup and restore ------------------------------------------------------------------------


def _backup(arguments: Sequence[str]) -> int:
    parser = _parser("backup")
    parser.add_argument("target", nargs="?", type=_path)
    parser.add_argument("--keep", type=int)
    options = parser.parse_args(arguments)
    if options.keep is not None and options.keep < 1:
        raise CannotStart("--keep wants a number of backups from 1.")
    backup.backup(_centre("backup", arguments, options.demo), options.target, keep=options.keep)
    return 0


def _restore(arguments: Sequence[str]) -> int:
    parser = _parser("restore")
    parser.add_argument("file", type=_path)
    parser.add_argument("--replace", action="store_true")
    options = parser.parse_args(arguments)
    centre = _centre("restore", arguments, options.demo)
    backup.restore(centre, options.file, replace=options.replace)
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"python3 up.py {command}", allow_abbrev=False)
    parser.add_argument("--demo", action="store_true", help="that of the demo")
    return parser


def _path(text: str) -> Path:
    return Path(text).absolute()


def _centre(command: str, arguments: Sequence[str], demo: bool) -> backup.Centre:
    """Go on in the environment, where PostgreSQL's programs are."""
    environment.ensure("run")
    environment.enter([str(ROOT / "up.py"), command, *arguments])
    return backup.Centre(Place("demo" if demo else "run"), dotenv.effective())


# --- Checks, tests and benchmarks --------------------------------------------------------------


def _test(arguments: Sequence[str]) -> int:
    if arguments:
        return _pytest(*arguments)
    _check_browser()
    failed = _run_checks(_CHECKS)
    # Two at a time what needs no quiet machine; then, one by one, what runs the whole stack.
    code = _pytest("-n", "2", "-m", "not long and not acceptance and not browser")
    code = _pytest("-m", "not long and (acceptance or browser)") or code
    if failed:
        say(f"Failed: {', '.join(failed)}{' and the tests' if code else ''}.")
    return code or (1 if failed else 0)


def _test_long(arguments: Sequence[str]) -> int:
    return _pytest("-m", "long", *arguments)


def _lint(arguments: Sequence[str]) -> int:
    if unknown := set(arguments) - set(_CHECKS):
        raise CannotStart(f"No such check: {', '.join(unknown)}; there are {', '.join(_CHECKS)}.")
    failed = _run_checks(arguments or _CHECKS)
    if failed:
        say(f"Failed: {', '.join(failed)}.")
    return 1 if failed else 0


def _bench(arguments: Sequence[str]) -> int:
    return _call("python", "-m", "bench", *arguments)


def _shots(arguments: Sequence[str]) -> int:
    _check_browser()
    return _call("python", "-m", "tests.pages.shots", *(arguments or [str(VAR / "shots")]))


_FOR_DEVELOPERS = {
    "test": _test,
    "test-long": _test_long,
    "lint": _lint,
    "bench": _bench,
    "shots": _shots,
}


def _pytest(*arguments: str) -> int:
    return _call("python", "-m", "pytest", *arguments)


def _run_checks(names: Iterable[str]) -> list[str]:
    """Run each check to its end, show what the failing ones say, return their names."""
    settings = {**os.environ, **dotenv.PLACEHOLDERS, "DOTENV": "off"}
    failed = []
    for name in names:
        program, *arguments = _CHECKS[name]
        began = time.monotonic()
        say(f"  {name:<22}", end="")
        done = subprocess.run(  # noqa: S603  # our own command lines
            [VENV / "bin" / program, *arguments],
            cwd=ROOT,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        say(f"{time.monotonic() - began:6.1f} s{'   failed' if done.returncode else ''}")
        if done.returncode:
            failed.append(name)
            say(done.stdout)
    return failed


def _call(program: str, *arguments: str) -> int:
    """Run a program of the environment in the foreground, where Ctrl-C reaches it by itself."""
    process = subprocess.Popen([VENV / "bin" / program, *arguments], cwd=ROOT)  # noqa: S603
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
    return process.wait()


def _check_browser() -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    if any(shutil.which(name) for name in names):
        return
    advice = "there is no Chromium (on Debian: `apt-get install chromium`)"
    if os.environ.get("CALLCENTER_REQUIRE_BROWSER") == "1":
        raise CannotStart(f"The browser tests must run, and {advice}.")
    say(f"The browser tests will be skipped: {advice}.")
