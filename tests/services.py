"""A pytest plugin: the servers and the settings of a test run, there before Django looks.

`-p tests.services` in pyproject.toml loads it; pytest-django reads the settings before any
conftest.py. PostgreSQL and Valkey are the embedded ones, without durability and in a fresh
private directory, unless DATABASE_URL or REDIS_URL name others. No `.env` is read.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from callcenter import embedded
from callcenter.launch.processes import CannotStart, started_at

SETTINGS = {
    "DOTENV": "off",
    "DEBUG": "false",
    "DEMO": "false",
    "SECRET_KEY": "a-key-for-tests-that-is-long-enough-and-protects-nothing",
    "PUBLIC_BASE_URL": "https://calls.example.test",
    "SAUTIKIT_API_BASE_URL": "https://api.sautikit.test",
    "SAUTIKIT_API_KEY": "test-key",
    "SAUTIKIT_NUMBER": "+254200000100",
    "SAUTIKIT_WEBHOOK_TOKEN": "test-webhook-token",
    "SAUTIKIT_SIGNING_SECRETS": "",
}
_DEFAULTED = (
    "ALLOWED_HOSTS", "DB_POOL_SIZE", "DEFAULT_FROM_EMAIL", "DISK_WARN_MB", "EMAIL_URL",
    "HOLD_MUSIC_URL", "KEEP_CALLS_DAYS", "KEEP_NOTES_DAYS", "KEEP_NUMBERS_DAYS", "LOG_LEVEL",
    "OUTBOX_ALLOW_PRIVATE", "PORT", "RECORDING_MAX_MB",
    "REQUIRE_SECOND_FACTOR",
    "SAUTIKIT_ALLOW_BARE_SIGNATURE", "SAUTIKIT_CALLS_PER_SECOND", "SAUTIKIT_CALL_SCHEMA",
    "SAUTIKIT_CONCURRENT_LEGS", "SAUTIKIT_EMPTY_REPLY", "SAUTIKIT_LOW_BALANCE_MINOR",
    "SAUTIKIT_REQUIRE_SIGNATURE", "SECRET_KEY_FALLBACKS", "STATE_DIR", "STATIC_ROOT", "TIME_ZONE",
    "WEBHOOK_KEEP_DAYS",
)  # fmt: skip
_PREFIX = "callcenter-test-"


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Start the servers before pytest-django, whose own hook this one wraps."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # the servers are there; a Redis of its own
        base = os.environ["REDIS_URL"].rsplit("/", 1)[0]
        os.environ["REDIS_URL"] = f"{base}/{1 + int(worker.removeprefix('gw'))}"
    else:
        stop = start()
        early_config.add_cleanup(stop)
        atexit.register(stop)  # where pytest gives up before it is configured
    return (yield)


def start() -> Callable[[], None]:
    """Set the settings, start what is not given; return what stops it."""
    for name in (*SETTINGS, *_DEFAULTED):
        os.environ.pop(f"{name}_FILE", None)
    for name in _DEFAULTED:
        os.environ.pop(name, None)
    os.environ.update(SETTINGS)
    servers: list[embedded.Server] = []
    directory: Path | None = None

    def stop() -> None:
        while servers:
            servers.pop().stop()
        if directory:
            shutil.rmtree(directory, ignore_errors=True)

    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        return stop
    _sweep()
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    directory.chmod(0o711)  # `nobody` may have to get through; what is inside is private
    try:
        if not os.environ.get("DATABASE_URL"):
            servers.append(embedded.start_postgres(directory / "postgres", fast=True))
            os.environ["DATABASE_URL"] = servers[-1].url
        if not os.environ.get("REDIS_URL"):
            servers.append(embedded.start_valkey(directory / "valkey", fast=True))
            os.environ["REDIS_URL"] = servers[-1].url
    except BaseException as problem:
        stop()
        if isinstance(problem, CannotStart):
            raise pytest.UsageError(str(problem)) from None
        raise
    return stop


def _sweep() -> None:
    """Remove the directories of test runs that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if left.stat().st_uid == os.geteuid() and not started_at(int(left.name.split("-")[2])):
                shutil.rmtree(left)
