"""What the person at the console reads."""

import contextlib
import errno
import time
from collections.abc import Iterator

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


def sentence(problem: Exception) -> str:
    """Say what is wrong and what to do."""
    if isinstance(problem, OSError) and problem.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full ({problem.filename or ROOT}): free some space and start again."
    if isinstance(problem, OSError) and problem.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"{problem.filename or ROOT} cannot be written ({problem.strerror}): it belongs to "
            "another user, or was made by one. Start as that user, or move it away."
        )
    return str(problem)
