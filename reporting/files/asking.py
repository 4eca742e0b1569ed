"""What a file or a mail is asked for: a query kept with it, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from django.utils import timezone
from django.utils.text import slugify

from reporting.figures import asked as asking
from reporting.figures.asked import Asked
from reporting.files.columns import Table

NAMES = ("from", "to", "queue", "agent", "interval", "tz")
LONGEST = 4000  # characters of all values together


def kept(params: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what a query asks for, to be kept: names and their values, nothing else of it."""
    getlist = getattr(params, "getlist", None)
    found: dict[str, list[str]] = {}
    for name in NAMES:
        value = getlist(name) if getlist else params.get(name) or []
        values = [value] if isinstance(value, str) else [str(each) for each in value]
        if values := [each for each in values if each]:
            found[name] = values
    return found


def read(query: Mapping[str, Any], *, at: datetime, zone: tzinfo | None = None) -> Asked:
    """Read a kept query; days are of `zone`, or of the current one."""
    return asking.read(query, at=at, zone=zone or timezone.get_current_timezone())


def file_name(table: Table, asked: Asked, ending: str) -> str:
    """Name a file by its table, its queues where they are few, and the range."""
    queues = "-".join(sorted({queue.slug for queue in asked.queues}))[:40]
    first, last = asked.days()
    if asked.is_whole_days:
        span = f"{first}" if first == last else f"{first}_{last}"
    else:
        ends = (asked.since.astimezone(asked.zone), asked.until.astimezone(asked.zone))
        span = "_".join(f"{end:%Y-%m-%dT%H%M}" for end in ends)
    parts = [table.key, slugify(queues), asked.interval or "", span]
    return "_".join(part for part in parts if part) + f".{ending}"
