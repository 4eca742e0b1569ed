"""Reading a stretch of the provider's list, to its beginning, whatever becomes of its cursors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings
from django.utils.translation import gettext_noop

from callcenter.sautikit.client import SautikitClient
from callcenter.sautikit.commands import Page
from queues import breaker
from queues.models import Breaker
from reporting.mirror import noting
from reporting.mirror.taking_over import take_over

READ_TIMEOUT = 20.0  # seconds; nobody waits for it, and the provider looks far back
MOST_PAGES = 50  # of one question


@dataclass
class Read:
    """What came of one question: `reached` is down to where nothing is missing."""

    reached: datetime
    seen: int = 0
    news: int = 0


@cache
def client() -> SautikitClient:
    """Return the client for old records: its failures say nothing of calls, and open no breaker."""
    return SautikitClient(
        settings.SAUTIKIT_API_BASE_URL, settings.SAUTIKIT_API_KEY, read_timeout=READ_TIMEOUT
    )


def is_away(at: datetime) -> bool:
    """Whether the provider is better left alone: it does not answer, or has asked for a pause."""
    if breaker.state() != Breaker.State.CLOSED:
        return True
    return Breaker.objects.filter(pk=breaker.API, paused_until__gt=at).exists()


def read(
    asked: SautikitClient,
    since: datetime,
    until: datetime | None,
    *,
    at: datetime,
    looks_back: bool = False,
    most_pages: int = MOST_PAGES,
    after_page: Callable[[], None] = lambda: None,
    done: Read | None = None,
) -> Read:
    """Take over the records from `since` to `until` (None: up to now), in one go through the pages.

    Where the list is cut off, what is older is left: ask again from `reached` down. Each answer
    gets further, so that this comes to its end. Counted on in `done`. Raises SautikitError.
    """
    done = done or Read(reached=until or at)
    top = oldest = until or at
    reached, met, dull, is_any = since, set[tuple[str, ...]](), 0, False
    for page in asked.iter_pages(since=since, until=until, max_pages=most_pages):
        known = {record.handles for record in page.records}
        dull = 0 if known - met or page.bad else dull + 1
        if page.next_cursor and dull >= (1 if known else 2):
            page = replace(page, cut_off="its pages bring nothing new")
        met |= known
        _tell_of(page, at)
        for record in page.records:
            done.seen += 1
            done.news += take_over(record, at=at, looks_back=looks_back)
            if record.started_at and since <= record.started_at < top + timedelta(seconds=1):
                is_any, oldest = True, min(oldest, record.started_at)
        after_page()
        if page.cut_off or page.has_more:
            if is_any:  # else nothing of what was asked for is there
                reached = oldest if oldest < top else _second_before(top)
            break
    done.reached = max(reached, since)
    return done


def _second_before(moment: datetime) -> datetime:
    """The whole second before, for a list that gets no further by itself."""
    return (moment - timedelta(microseconds=1)).replace(microsecond=0)


def read_all(
    asked: SautikitClient,
    since: datetime,
    until: datetime | None,
    *,
    at: datetime,
    done: Read,
    looks_back: bool = False,
    after_page: Callable[[], None] = lambda: None,
) -> None:
    """The same down to `since`, over as many questions as it takes."""
    done.reached = until or at
    while done.reached > since:
        read(asked, since, until, at=at, looks_back=looks_back, after_page=after_page, done=done)
        until = done.reached


def _tell_of(page: Page, at: datetime) -> None:
    """Keep what of a page could not be read."""
    for shown in page.strange:
        digest = hashlib.sha256(shown.encode()).hexdigest()[:12]
        noting.malformed(
            f"row {digest}",
            shown,
            at=at,
            done=gettext_noop("The other records of the page are taken."),
        )
    if page.cut_off:
        noting.malformed(
            "cursor", f"The list is cut off: {page.cut_off}", at=at,
            done=gettext_noop("Older records are asked for by their time."),
        )  # fmt: skip
