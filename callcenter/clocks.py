"""The two clocks of the machine: the wall clock, which can be set, and one that cannot."""

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TOGETHER = 0.2  # seconds within which both clocks are read


@dataclass(frozen=True)
class Reading:
    """Both clocks at one instant.

    `steady` are seconds since the machine started, its sleep included; `apart` is how far the wall
    clock is from them; `boot` names that start: steady times of another one mean something else.
    """

    steady: float
    apart: float
    boot: str


def read() -> Reading:
    """Read both clocks."""
    while True:
        before, wall, after = steady(), time.time(), steady()
        if after - before < _TOGETHER:  # else we were put to sleep between the two
            return Reading(before, wall - before, boot())


def steady() -> float:
    """Seconds on a clock that nobody sets and that counts while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@cache
def boot() -> str:
    """Name this start of this machine; empty where it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def in_words(seconds: float) -> str:
    """Say a length of time as a person would: 45 s, 7 min, 3 h, 2 days."""
    seconds = abs(seconds)
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
