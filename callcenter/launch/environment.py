"""The environment in `.venv/`: made where missing, kept equal to the pinned requirements."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from callcenter.launch import ROOT, VAR, VENV
from callcenter.launch.console import say, step
from callcenter.launch.processes import CannotStart, Child, run

PYTHON = VENV / "bin" / "python"
_UV = "uv==0.13.9"
_STAMP = VENV / ".requirements"
_LOG = VAR / "install.log"
_UNFINISHED = VAR / "install.unfinished"
_FILES = {"run": ROOT / "requirements.txt", "dev": ROOT / "requirements-dev.txt"}
_MEGABYTES = {"run": 450, "dev": 900}
# uv reads no setting of pip's; these four are the same thing under another name.
_UV_NAMES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
}


def inside() -> bool:
    """True when this very process runs in `.venv`."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def enter(arguments: Sequence[str]) -> None:
    """Go on with `arguments` under the Python of `.venv`; return if this is it."""
    if not inside():
        sys.stdout.flush()
        os.execv(PYTHON, [str(PYTHON), *arguments])  # noqa: S606  # our own interpreter


def ensure(kind: str) -> None:
    """See to it that `.venv` holds the requirements: `run`, or `dev`, which includes them."""
    if _is_current(kind):
        return
    VAR.mkdir(exist_ok=True)
    with _only_one():
        if _is_current(kind):  # somebody else has just done it
            return
        need_space(_FILES[kind].parent, _MEGABYTES[kind])
        _LOG.write_bytes(b"")
        say(f"Installing into {VENV} (half a minute the first time; log: {_LOG})")
        _STAMP.unlink(missing_ok=True)
        was_interrupted = _UNFINISHED.exists()
        _UNFINISHED.touch()  # stays there if we are stopped: who knows what is half written
        if was_interrupted or not _works("-m", "pip", "--version"):
            _make(afresh=was_interrupted)
        try:
            _install(kind)
        except CannotStart as problem:
            if "disk is full" not in str(problem):
                _UNFINISHED.unlink()  # no network, say: what is installed is whole
            raise
        _STAMP.write_text(f"{kind} {_digest(kind)} {_python_version()}\n")
        _UNFINISHED.unlink()


def need_space(place: Path, megabytes: int) -> None:
    """Refuse to start on a disk that is as good as full."""
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // 1_000_000
    if free < megabytes:
        raise CannotStart(
            f"The disk that holds {place} is nearly full: {free} MB are free and this takes "
            f"{megabytes} MB. Free some space."
        )


def _digest(kind: str) -> str:
    return hashlib.sha256(_FILES[kind].read_bytes()).hexdigest()


def _is_current(kind: str) -> bool:
    try:
        installed = _STAMP.read_text().split()
    except OSError:
        return False
    if not os.access(PYTHON, os.X_OK):
        return False
    if inside() and installed[2:] != [_own_version()]:
        return False  # the system's Python has become another one behind .venv's back
    return installed[:2] in ([kind, _digest(kind)], ["dev", _digest("dev")])


def _own_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _python_version() -> str:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.check_output([str(PYTHON), "-c", program], text=True).strip()  # noqa: S603


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Let one installation run at a time."""
    with (VAR / "install.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another installation to end …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(*, afresh: bool) -> None:
    """Make the environment; one whose Python works is kept and mended unless `afresh`."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotStart(
            f"This Python ({sys.executable}) has no `{missing[0]}` module: install it "
            "(on Debian and Ubuntu: `apt-get install python3-venv`)."
        )
    base = getattr(sys, "_base_executable", sys.executable)
    keep = not afresh and _works("-c", "import sys; sys.exit(sys.version_info < (3, 11))")
    with step("virtual environment"):
        _run("venv", base, "-m", "venv", *([] if keep else ["--clear"]), VENV)


def _install(kind: str) -> None:
    requirements: list[str | Path] = ["--require-hashes", "-r", _FILES[kind]]
    pip: list[str | Path] = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    uv: list[str | Path] = [
        VENV / "bin" / "uv",
        "pip",
        "install",
        "--python",
        PYTHON,
        "--compile-bytecode",
    ]
    for_uv = {
        uv_name: os.environ[name] for name, uv_name in _UV_NAMES.items() if name in os.environ
    }
    try:
        with step("installer (uv)"):
            _run("pip", *pip, _UV)
        with step("packages"):
            _run("uv", *uv, *requirements, env={**for_uv, **os.environ})
    except CannotStart as problem:
        if "disk is full" in str(problem):
            raise
        say("  uv did not manage it; once more with pip, which takes a little longer.")
        with step("packages (pip)"):
            _run("pip", *pip, *requirements)


def _works(*arguments: str) -> bool:
    try:
        done = subprocess.run([PYTHON, *arguments], capture_output=True, check=False)  # noqa: S603
    except OSError:
        return False
    return done.returncode == 0


def _run(name: str, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
    run(Child(name, command, _LOG, env=env))
