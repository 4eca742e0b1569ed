"""Keeping the mirror: poll `GET /v1/calls`, and look again at what is older."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.utils.translation import gettext_noop

from callcenter import bell
from callcenter.sautikit import errors
from queues import adoption, alerts, breaker, clock, provider
from reporting.alone import alone
from reporting.mirror import noting, reading
from reporting.models import CallRecord

log = logging.getLogger(__name__)
POLLED_UNTIL = "records_polled_until"
OVERLAP = timedelta(minutes=3)  # a record may be listed late
FIRST_LOOK_BACK = timedelta(hours=24)
LONG_CALL = timedelta(hours=4)  # what is open for longer is found by the second look
OPEN = ("ringing", "started", "answered", "unknown")

SECOND_LOOKS = {"hour": timedelta(days=3), "night": timedelta(days=35)}
AT_MOST = {"hour": 600.0, "night": 3600.0}  # seconds of one look; the next goes on from there
SLICE = timedelta(hours=6)
PAUSE = 0.2  # seconds between pages of old records: live calls need the provider more
_LOCKS = {"poll": 7_301_010, "hour": 7_301_011, "night": 7_301_012}


def poll(*, at: datetime) -> int:
    """Take over the records since the last poll, and the older ones that are still open.

    Returns how many were new or had changed. The provider not answering leaves the mark where it
    was, so the next poll covers the gap.
    """
    with alone(_LOCKS["poll"]) as is_alone:
        return _poll(at) if is_alone else 0


def _poll(at: datetime) -> int:
    mark = provider.recall(POLLED_UNTIL)
    since = datetime.fromisoformat(mark) if mark else at - FIRST_LOOK_BACK
    live = CallRecord.objects.filter(
        status__in=OPEN, ended_at=None, started_at__gte=at - LONG_CALL, started_at__lte=at
    )
    oldest = live.order_by("started_at").values_list("started_at", flat=True).first()
    window_from = min(since, oldest or since) - OVERLAP
    done = reading.Read(reached=at)
    try:
        reading.read_all(provider.client(), window_from, None, at=at, done=done)
    except errors.SautikitError as error:
        alerts.raise_alert(
            "provider", "records", f"The call records could not be read: {error}", at=at
        )
        if error.code == "unreadable":
            noting.malformed(
                "list", str(error), at=at, done=gettext_noop("It is asked for again."), is_told=True
            )
        return done.news
    if mark is None:  # what was over before the centre was there is not its own
        provider.learn(adoption.ADOPTS_SINCE, at.isoformat(), at=at)
    provider.learn(POLLED_UNTIL, at.isoformat(), at=at)
    clock.compare_with_provider(provider.client().clock_ahead, at=at)
    if done.news:
        bell.ring("board")
    return done.news


def look_again(which: str, *, at: datetime) -> int:
    """Read the last days once more, because a record may change long after its end.

    `which` is hour or night. Slice by slice into the past; a look that is cut short or refused
    is gone on with by the next. Returns how many records were new or had changed.
    """
    with alone(_LOCKS[which]) as is_alone:
        return _look_again(which, at) if is_alone else 0


def _look_again(which: str, at: datetime) -> int:
    name, began, news = f"second_look_{which}", time.monotonic(), 0
    first = at - SECOND_LOOKS[which]
    mark = provider.recall(name)
    reached = datetime.fromisoformat(mark) if mark else at
    while reached > first and time.monotonic() - began < AT_MOST[which]:
        if reading.is_away(at):
            break
        try:
            part = reading.read(
                reading.client(), max(first, reached - SLICE), reached, at=at, looks_back=True,
                after_page=lambda: time.sleep(PAUSE),
            )  # fmt: skip
        except errors.SautikitError as error:
            log.info("the second look (%s) ends at %s: %s", which, reached, error)
            if isinstance(error, errors.RateLimited):
                breaker.heard(error, placing=False, at=at)
            break
        news, reached = news + part.news, part.reached
        provider.learn(name, reached.isoformat(), at=at)
    if reached <= first:
        provider.learn(name, "", at=at)
    return news
