"""Exports: a report written into a spreadsheet by a worker, kept for a week.

Claimed by compare-and-set, with a lease that is renewed with every portion of rows: a worker that
was killed leaves an export that another one takes when the lease runs out, from the beginning. It
is written beside its place and moved there when it is whole.
"""

from __future__ import annotations

import errno
import logging
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError
from django.db.models import F, Q, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from callcenter import bell
from reporting.figures.asked import Asked
from reporting.files import about, asking
from reporting.files.columns import TIME, Table
from reporting.files.tables import TABLES
from reporting.files.xlsx import Book
from reporting.models import Export

log = logging.getLogger(__name__)
State = Export.State
LEASE = timedelta(minutes=2)
KEEP = timedelta(days=7)
MOST_TRIES = 5
MOST_WAITING = 10  # of one person; who asks again meanwhile is told
AT_ONCE = 200  # rows between two rests
REST = 0.01  # seconds that are left to the tasks of calls in the same process, after each of these
TOLD_EVERY = 2000  # rows
UNFINISHED = ".unfinished"

Clock = Callable[[], datetime]


class TooMany(Exception):
    """Somebody waits for enough exports already."""


class Lost(Exception):
    """Another worker has this export, or nobody wants it any more."""


def ask(
    table: Table, asked: Asked, *, user: Any, language: str, at: datetime
) -> Export:  # fmt: skip
    """Have a table written into a spreadsheet; raise TooMany."""
    waiting = Export.objects.filter(
        requested_by=user, state__in=[State.WANTED, State.RUNNING]
    ).count()
    if waiting >= MOST_WAITING:
        raise TooMany
    export = Export.objects.create(
        report=table.key, query=fixed(asked), language=language,
        zone=asked.zone.key, requested_by=user, created_at=at,
    )  # fmt: skip
    bell.ring("export")
    return export


def fixed(asked: Asked) -> dict[str, list[str]]:
    """Return a query for exactly this, whatever the day on which it is read."""
    return asking.kept(parse_qs(asked.address()))


# --- Writing -------------------------------------------------------------------------------------


def due(at: datetime) -> QuerySet[Export]:
    """Exports that wait for a worker, or whose worker has been silent for too long."""
    lapsed = Q(state=State.RUNNING) & (Q(claimed_until=None) | Q(claimed_until__lte=at))
    return Export.objects.filter(Q(state=State.WANTED) | lapsed).order_by("created_at", "pk")


def write_due(clock: Clock) -> None:
    """Write what is due, one after the other; leave it alone while another worker does."""
    while not _is_busy(at := clock()):
        pk = due(at).values_list("pk", flat=True).first()
        if pk is None:
            return
        write(pk, clock)


def _is_busy(at: datetime) -> bool:
    """Whether an export is being written: they must not take all threads of the workers."""
    return Export.objects.filter(state=State.RUNNING, claimed_until__gt=at).exists()


def write(pk: uuid.UUID, clock: Clock) -> None:
    """Write one export, if nobody else has it. What goes wrong is told in its row."""
    export = _claim(pk, clock())
    if export is None:
        return
    unfinished = storage() / UNFINISHED / f"{export.pk}-{export.tries}.xlsx"
    own = Export.objects.filter(pk=pk, state=State.RUNNING, tries=export.tries)
    try:
        for folder in (storage(), unfinished.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        rows = _write(export, own, unfinished, clock)
        size = unfinished.stat().st_size
        path = f"{export.pk}.xlsx"
        at = clock()
        if not own.update(claimed_until=at + LEASE, rows_done=rows):
            raise Lost
        unfinished.replace(storage() / path)
        own.update(
            state=State.DONE, path=path, size_bytes=size, rows_total=rows, ended_at=at,
            claimed_until=None, remove_at=at + KEEP, error="",
        )  # fmt: skip
    except Lost:
        log.info("export %s was taken over", pk)
    except DatabaseError:
        raise  # the lease runs out, and it is tried again
    except OSError as error:
        log.warning("export %s was not written: %s", pk, error)
        _fail(own, error, clock())
    except Exception as error:
        log.exception("export %s failed", pk)
        _fail(own, error, clock())
    finally:
        unfinished.unlink(missing_ok=True)


def _fail(own: QuerySet[Export], error: Exception, at: datetime) -> None:
    own.update(state=State.FAILED, ended_at=at, claimed_until=None, error=why(error)[:200])


def _claim(pk: uuid.UUID, at: datetime) -> Export | None:
    given_up = due(at).filter(pk=pk, tries__gte=MOST_TRIES)
    text = f"The worker ended {MOST_TRIES} times while it was being written."
    given_up.order_by().update(state=State.FAILED, ended_at=at, claimed_until=None, error=text)
    mine = due(at).filter(pk=pk).order_by()
    if not mine.update(
        state=State.RUNNING, claimed_until=at + LEASE, tries=F("tries") + 1, rows_done=0, error=""
    ):
        return None
    return Export.objects.get(pk=pk)


def _write(export: Export, own: QuerySet[Export], path: Path, clock: Clock) -> int:
    """Write the file; return how many rows it has."""
    table, at = TABLES[export.report], clock()
    zone = ZoneInfo(export.zone or timezone.get_default_timezone_name())
    with translation.override(export.language or settings.LANGUAGE_CODE), timezone.override(zone):
        asked = asking.read(export.query, at=at, zone=zone)
        own.update(rows_total=table.count(asked) if table.count else None)
        headings = [
            f"{column.heading} ({zone.key})" if column.kind == TIME else str(column.heading)
            for column in table.columns
        ]
        done = told = 0
        with Book(path, str(table.title), headings, [c.kind for c in table.columns]) as book:
            for page in table.pages(asked, at):
                for first in range(0, len(page), AT_ONCE):
                    book.write(table.cells(row) for row in page[first : first + AT_ONCE])
                    time.sleep(REST)
                done += len(page)
                if done - told >= TOLD_EVERY:
                    told = done
                    if not own.update(rows_done=done, claimed_until=clock() + LEASE):
                        raise Lost
            if not own.update(rows_done=done, claimed_until=clock() + LEASE):
                raise Lost
            book.about(_("About"), about.lines(table, asked, at=at, rows=done))
        return done


def why(error: Exception) -> str:
    """Say in a sentence why nothing came of it."""
    if isinstance(error, OSError):
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return "The disk is full: free some space, and ask again."
        return f"The file could not be written: {error.strerror or error}."
    if isinstance(error, KeyError):
        return "There is no such table any more."
    return f"It could not be written: {type(error).__name__}. The log of the worker says more."


# --- Files ---------------------------------------------------------------------------------------


def storage() -> Path:
    """Return the directory that all exports are in."""
    return Path(settings.STATE_DIR) / "exports"


def file_of(export: Export) -> Path | None:
    """Return the file of a finished export, if it is there."""
    if export.state != State.DONE or not export.path:
        return None
    base = storage().resolve()
    path = (base / export.path).resolve()
    return path if path.is_relative_to(base) and path.is_file() else None


def remove_due(*, at: datetime) -> None:
    """Remove the files whose time is over, and what an end in mid-writing has left behind.

    The file goes first: a row never says that a file is gone which is still there.
    """
    for export in Export.objects.filter(state=State.DONE, remove_at__lte=at):
        remove(export)
    yesterday = (at - timedelta(days=1)).timestamp()
    for left in (storage() / UNFINISHED).glob("*"):
        if left.stat().st_mtime < yesterday:
            left.unlink(missing_ok=True)


def remove(export: Export) -> None:
    """Remove the file of a finished export."""
    (storage() / export.path).unlink(missing_ok=True)
    Export.objects.filter(pk=export.pk, state=State.DONE).update(state=State.REMOVED, path="")
