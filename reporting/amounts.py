"""Spans, offsets, shares and money as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from reporting.models import CallRecord

NONE = "–"
_LIVE = {"ringing", "started", "answered"}  # a record's words for a leg that is still there


def clock(span: timedelta | float | None) -> str:
    """Write seconds or a span as 0:07, 12:34 or 1:02:03."""
    if span is None:
        return NONE
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def offset(at: datetime, start: datetime) -> str:
    """Write how long after `start` something was."""
    return f"+{clock(at - start)}" if at >= start else f"-{clock(start - at)}"


def percent(share: float | None) -> str:
    """Write a share between 0 and 1; a dash where it is undefined."""
    return NONE if share is None else f"{share * 100:.0f} %"


def money(minor: int | None, currency: str) -> str:
    """Write an amount in minor units."""
    return NONE if minor is None else f"{currency} {minor / 100:,.2f}".strip()


def is_not_in_yet(status: str, minor: int | None) -> bool:
    """Whether a record has no cost yet; a leg that is still there is told as costing 0."""
    return minor is None or (not minor and status in _LIVE)


def cost(records: Iterable[CallRecord]) -> dict[str, Any]:
    """Sum up what the provider has charged so far; `is_open` while a record has no cost yet."""
    records = list(records)
    known = [record for record in records if not is_not_in_yet(record.status, record.cost_minor)]
    sums: dict[str, int] = {}
    for record in known:
        sums[record.cost_currency] = sums.get(record.cost_currency, 0) + (record.cost_minor or 0)
    return {
        "text": ", ".join(money(minor, currency) for currency, minor in sums.items()),
        "is_open": len(known) < len(records),
    }
