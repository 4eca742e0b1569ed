"""How much room is left on the disks that the call centre writes to.

Standard library only: the launcher, the health page and the wallboard ask. Nothing here writes, so
that it can be told when nothing can be written any more.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NEARLY_FULL_MB = 1000
FULL_MB = 50  # PostgreSQL makes files of 16 MB; below this the next one may fail
FEW_FILES = 1000


@dataclass(frozen=True)
class Space:
    """One file system: a directory on it, and what is free there for us."""

    directory: Path
    free: int  # bytes
    total: int
    files_left: int | None = None  # None: the file system does not count them

    def level(self, nearly_full_mb: int = NEARLY_FULL_MB) -> str:
        """Return `ok`, `nearly full` or `full`."""
        if self.free < FULL_MB * 1_000_000 or self.files_left == 0:
            return "full"
        few = self.files_left is not None and self.files_left < FEW_FILES
        return "nearly full" if few or self.free < nearly_full_mb * 1_000_000 else "ok"


def spaces(directories: Iterable[Path]) -> list[Space]:
    """Return each file system that one of these directories is on, once."""
    found: dict[int, Space] = {}
    for directory in directories:
        try:
            device = directory.stat().st_dev
            if device in found:
                continue
            usage, counts = shutil.disk_usage(directory), os.statvfs(directory)
        except OSError:  # not there yet, or gone with its disk
            continue
        files = counts.f_favail if counts.f_files else None
        found[device] = Space(directory, usage.free, usage.total, files)
    return list(found.values())


def written_to(place: Path) -> list[Path]:
    """Return the directories of a place that may be disks of their own."""
    data = place / "postgres"
    return [place, data, data / "pg_wal", place / "valkey", place / "log"]


def trouble(place: Path, nearly_full_mb: int = NEARLY_FULL_MB) -> str:
    """Say in a sentence which disk runs out of room; empty while none does."""
    told = [
        f"The disk that holds {space.directory} is {level}: {space.free // 1_000_000} MB and "
        f"{'' if space.files_left is None else f'{space.files_left} files '}are left. "
        "Calls cannot be taken once it is full: free some space."
        for space in spaces(written_to(place))
        if (level := space.level(nearly_full_mb)) != "ok"
    ]
    return " ".join(told)
