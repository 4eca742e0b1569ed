"""Reading a past range into the mirror, slice by slice from its end to its beginning.

A slice is claimed by compare-and-set on `next_at`, which is then the time at which the claim runs
out; each page puts that off. So of two workers one reads, a worker that was killed is followed by
another within a minute, and a back-fill that a person stops ends at the next page. What has been
read is stored with each slice; a slice that is read twice changes nothing.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext_noop

from callcenter.sautikit import errors
from queues import alerts, breaker
from reporting.mirror import differences, noting, reading
from reporting.models import BackFill

SLICE = timedelta(hours=6)
MOST_PAGES = 20  # of one slice; where it holds more, the rest is the next slice
CLAIM = timedelta(seconds=60)
PAUSE = 0.2  # seconds between pages: live calls need the provider more
LONGEST = timedelta(days=2 * 366)
AWAY = timedelta(seconds=10)  # until it is tried again while the provider is away
LONGEST_WAIT = timedelta(minutes=5)
TOLD_AFTER = 5  # failures in a row

State = BackFill.State


class Refused(Exception):
    """It cannot be begun; the text says why."""


class _Lost(Exception):
    """Another worker has the claim, or a person has stopped it."""


def begin(since: datetime, until: datetime, *, at: datetime, user: Any = None) -> BackFill:
    """Begin a back-fill. Raises Refused: the range makes no sense, or one is running."""
    until = min(until, at)
    if since >= until:
        raise Refused(gettext_noop("The range must begin before it ends, and in the past."))
    if until - since > LONGEST:
        raise Refused(gettext_noop("At most two years can be read back at once."))
    try:
        with transaction.atomic():
            return BackFill.objects.create(
                since=since, until=until, reached=until, next_at=at, started_at=at,
                requested_by=user,
            )  # fmt: skip
    except IntegrityError:
        raise Refused(
            gettext_noop("Another back-fill is running. Wait for its end, or stop it.")
        ) from None


def stop(pk: int, *, at: datetime) -> bool:
    """Have a person stop it; False where it has ended already. What was read is kept."""
    running = BackFill.objects.filter(pk=pk, state=State.RUNNING)
    return bool(running.update(state=State.STOPPED, ended_at=at))


def due(*, at: datetime) -> list[int]:
    """Return the back-fills (one at most) whose next slice is due and claimed by nobody."""
    running = BackFill.objects.filter(state=State.RUNNING, next_at__lte=at)
    return list(running.values_list("pk", flat=True))


def read_slice(pk: int, *, at: datetime) -> bool:
    """Read the next slice if it is due and nobody does; True where another is due at once."""
    fill = BackFill.objects.filter(pk=pk, state=State.RUNNING, next_at__lte=at).first()
    if fill is None or not _move_claim(fill, at + CLAIM):
        return False
    if reading.is_away(at):
        _save(fill, next_at=at + AWAY, error=gettext_noop("The provider is away."))
        return False
    begun = time.monotonic()

    def after_page() -> None:
        spent = timedelta(seconds=time.monotonic() - begun)
        if not _move_claim(fill, at + spent + CLAIM):
            raise _Lost
        time.sleep(PAUSE)

    first = max(fill.since, fill.reached - SLICE)
    try:
        part = reading.read(
            reading.client(), first, fill.reached, at=at, looks_back=True,
            most_pages=MOST_PAGES, after_page=after_page,
        )  # fmt: skip
    except _Lost:
        return False
    except errors.SautikitError as error:
        _failed(fill, error, at)
        return False
    return _advance(fill, part, at)


def _move_claim(fill: BackFill, until: datetime) -> bool:
    """Take the claim, or put its end off, unless somebody else has it."""
    if not _mine(fill).update(next_at=until):
        return False
    fill.next_at = until
    return True


def _save(fill: BackFill, **changes: Any) -> bool:
    return bool(_mine(fill).update(**changes))


def _mine(fill: BackFill) -> QuerySet[BackFill]:
    """The row while it stands as it was read: the claim, and how far it had come."""
    return BackFill.objects.filter(
        pk=fill.pk, state=State.RUNNING, next_at=fill.next_at, reached=fill.reached
    )


def _advance(fill: BackFill, part: reading.Read, at: datetime) -> bool:
    is_done = part.reached <= fill.since
    end = {"state": State.DONE, "ended_at": at} if is_done else {}
    saved = _save(
        fill, reached=part.reached, seen=F("seen") + part.seen, news=F("news") + part.news,
        tries=0, error="", next_at=at, **end,
    )  # fmt: skip
    if saved:
        differences.find(part.reached, fill.reached, at=at)
        alerts.withdraw("provider", "back_fill", at=at)
    return saved and not is_done


def _failed(fill: BackFill, error: errors.SautikitError, at: datetime) -> None:
    """Try again later: as the provider asks, or after 2, 4, 8 s and so on to five minutes."""
    wait = min(timedelta(seconds=2 ** min(fill.tries + 1, 10)), LONGEST_WAIT)
    if isinstance(error, errors.Unavailable) and error.retry_after:
        wait = max(wait, timedelta(seconds=error.retry_after))
    if isinstance(error, errors.RateLimited):
        breaker.heard(error, placing=False, at=at)
    if error.code == "unreadable":
        noting.malformed(
            "list", str(error), at=at, done=gettext_noop("It is asked for again."), is_told=True
        )
    _save(
        fill, tries=F("tries") + 1, error=f"{error}"[:200],
        next_at=at + wait,
    )  # fmt: skip
    if fill.tries + 1 >= TOLD_AFTER:
        alerts.raise_alert(
            "provider", "back_fill",
            f"The back-fill gets no further ({error}). It goes on trying; see Reports, Provider.",
            at=at,
        )  # fmt: skip


def progress(fill: BackFill) -> float:
    """Return how much of the range has been read, 0 to 1."""
    return (fill.until - fill.reached) / (fill.until - fill.since)
