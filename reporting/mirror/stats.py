"""The provider's sums of each day against those of the mirror."""

from __future__ import annotations

import itertools
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils.translation import gettext_noop

from callcenter.sautikit import errors
from callcenter.sautikit.stats import Slot, Stats
from queues import adoption, provider
from reporting.alone import alone
from reporting.mirror import noting, polling, reading
from reporting.mirror.noting import Kind
from reporting.mirror.taking_over import is_not_kept
from reporting.models import BackFill, CallRecord, Difference

log = logging.getLogger(__name__)
COMPARED = "stats_compared"  # the fact: the table of the last comparison
RANGE = "7d"
A_DAY = timedelta(days=1)
SETTLED_AFTER = timedelta(minutes=10)  # after its end the sums of a day are complete
READ_AGAIN_AT_ONCE = 3  # days
SUMS = ("total", "failed", "spend_minor")
_LOCK = 7_301_014


def compare(*, at: datetime) -> int:
    """Compare each whole day that the provider tells of; return how many differ.

    A day that differs is read again first; what is still so then is a difference.
    """
    with alone(_LOCK) as is_alone:
        return _compare(at) if is_alone else 0


def _compare(at: datetime) -> int:
    try:
        told = reading.client().stats(RANGE, "day")
    except errors.SautikitError as error:
        log.info("the provider's sums could not be read: %s", error)
        if error.code == "unreadable":
            noting.malformed(
                "stats", str(error), at=at, done=gettext_noop("They are asked for again.")
            )
        return 0
    if told.bad:
        noting.malformed(
            "stats",
            f"{told.bad} of the sums by day",
            at=at,
            done=gettext_noop("The other days are compared."),
        )
    rows, read_again, differ = [], 0, 0
    for slot, end in whole_days(told, at):
        theirs: dict[str, Any] = {name: getattr(slot, name) for name in SUMS}
        ours: dict[str, int] | None = None
        if _is_read(slot.start, end, at):
            ours = _ours(slot.start, end)
            if _differ(theirs, ours) and read_again < READ_AGAIN_AT_ONCE:
                read_again += 1
                if _read_again(slot.start, end, at):
                    ours = _ours(slot.start, end)
            differ += _keep(slot, theirs, ours, told.currency, at)
        rows.append({"start": slot.start.isoformat(), "theirs": theirs, "ours": ours})
    table = {"at": at.isoformat(), "currency": told.currency, "days": rows}
    provider.learn(COMPARED, table, at=at)
    return differ


def whole_days(told: Stats, at: datetime) -> list[tuple[Slot, datetime]]:
    """Return each day that is told of from its beginning to its end, with that end.

    The range begins in the middle of its first day.
    """
    days = [(slot, following.start) for slot, following in itertools.pairwise(told.series)] + [
        (slot, slot.start + A_DAY) for slot in told.series[-1:]
    ]
    return [(slot, end) for slot, end in days[1:] if end <= at - SETTLED_AFTER]


def _is_read(start: datetime, end: datetime, at: datetime) -> bool:
    """Whether the mirror has been read for the whole of this time."""
    if is_not_kept(start, at):
        return False
    begun = provider.recall(adoption.ADOPTS_SINCE)
    if begun and start >= datetime.fromisoformat(begun) - polling.FIRST_LOOK_BACK:
        return True
    return BackFill.objects.filter(since__lte=start, reached__lte=start, until__gte=end).exists()


def _ours(start: datetime, end: datetime) -> dict[str, int]:
    records = CallRecord.objects.filter(started_at__gte=start, started_at__lt=end)
    sums = records.aggregate(
        total=Count("pk"), failed=Count("pk", filter=Q(status="failed")),
        spend_minor=Sum("cost_minor", default=0),
    )  # fmt: skip
    return {name: int(sums[name]) for name in SUMS}


def _differ(theirs: dict[str, Any], ours: dict[str, int]) -> bool:
    return any(theirs[name] is not None and theirs[name] != ours[name] for name in SUMS)


def _read_again(start: datetime, end: datetime, at: datetime) -> bool:
    try:
        reading.read_all(
            reading.client(), start, end, at=at, looks_back=True, done=reading.Read(reached=end)
        )
    except errors.SautikitError as error:
        log.info("%s could not be read again: %s", start, error)
        return False
    return True


def _keep(
    slot: Slot, theirs: dict[str, Any], ours: dict[str, int], currency: str, at: datetime
) -> bool:  # fmt: skip
    subject = slot.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
    if _differ(theirs, ours):
        noting.note(
            Kind.STATS, subject, at=at, happened_at=slot.start, theirs=_told(theirs, currency),
            ours=_told(ours, currency),
            done=gettext_noop("Nothing: the day was read again, and it is still so."),
        )  # fmt: skip
        return True
    same = Difference.objects.filter(kind=Kind.STATS, subject=subject, settled_at=None)
    same.update(
        settled_at=at, done=gettext_noop("The day was read again: both have the same sums now.")
    )
    return False


def _told(sums: dict[str, Any], currency: str) -> str:
    spent = sums["spend_minor"]
    money = "–" if spent is None else f"{currency} {spent / 100:.2f}".strip()
    counts = [f"{name} {'–' if sums[name] is None else sums[name]}" for name in SUMS[:2]]
    return ", ".join([*counts, f"spent {money}"])
