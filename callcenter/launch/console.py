"""What the person at the console reads."""

import contextlib
import errno
import time
from collections.abc import Iterator
from pathlib import Path

from callcenter.launch import ROOT


def say(text: str = "", *, end: str = "\n") -> None:
    """Print at once; a console that has gone away stops nothing."""
    with contextlib.suppress(OSError):
        print(text, end=end, flush=True)  # noqa: T201  # the one place


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Say what is being done and, when it is done, how many seconds it took."""
    began = time.monotonic()
    say(f"  {name:<22}", end="")
    try:
        yield
    except BaseException:
        say("   stopped")
        raise
    say(f"{time.monotonic() - began:6.1f} s")


def shown(path: Path) -> str:
    """Return a path as a person in the checkout would write it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def sentence(problem: Exception) -> str:
    """Say what is wrong and what to do."""
    if isinstance(problem, OSError) and problem.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full ({problem.filename or ROOT}): free some space and start again."
    if isinstance(problem, OSError) and problem.errno in {errno.EACCES, errno.EPERM}:
        return (
            f"{problem.filename or ROOT} cannot be written ({problem.strerror}): it belongs to "
            "another user, or was made by one. Start as that user, or move it away."
        )
    if isinstance(problem, OSError) and problem.errno == errno.EROFS:
        return f"{problem.filename or ROOT} is on a disk that is read-only: mount it for writing."
    if isinstance(problem, OSError) and problem.errno in {errno.ENOTDIR, errno.EEXIST}:
        return f"{problem.filename} is in the way of a directory of ours: move it away."
    return str(problem)
