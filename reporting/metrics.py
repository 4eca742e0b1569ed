"""Figures of a stretch of time, from our own rows. Definitions: docs/glossary.md.

A call belongs to the interval in which it entered the queue (`queued_at`). Inbound only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Avg,
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
)
from django.db.models.functions import Coalesce, TruncDay, TruncHour, TruncWeek
from django.utils import timezone

from queues.models import Offer, Queue, QueuedCall

RECENT = timedelta(hours=1)  # for the estimated wait
INTERVALS = ("15m", "hour", "day", "week")
WAIT = ExpressionWrapper(F("connected_at") - F("queued_at"), output_field=DurationField())
LEFT_AFTER = ExpressionWrapper(F("ended_at") - F("queued_at"), output_field=DurationField())
TALK = ExpressionWrapper(F("ended_at") - F("connected_at"), output_field=DurationField())


def seconds_of(field: str) -> Func:
    """Return a queue's setting in seconds as a duration, for comparing in SQL."""
    return Func(
        F(field), template="make_interval(secs => %(expressions)s)", output_field=DurationField()
    )


ANSWERED = Q(connected_at__isnull=False)
ABANDONED = Q(state=QueuedCall.State.ABANDONED)
SHORT = ABANDONED & Q(left_after__lt=seconds_of("queue__short_abandon_seconds"))
IN_TIME = ANSWERED & Q(wait__lte=seconds_of("queue__service_level_seconds"))


def today(at: datetime) -> tuple[datetime, datetime]:
    """Return the present day in TIME_ZONE: from midnight to midnight."""
    start = timezone.localtime(at, timezone.get_default_timezone()).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return start, start + timedelta(days=1)


def offered_calls(since: datetime, until: datetime) -> QuerySet[QueuedCall]:
    """The inbound calls that entered a queue in this stretch."""
    return QueuedCall.objects.filter(
        direction=QueuedCall.Direction.INBOUND, queued_at__gte=since, queued_at__lt=until
    ).annotate(wait=WAIT, left_after=LEFT_AFTER, talk=TALK)


def counts(calls: QuerySet[QueuedCall], *group: str) -> QuerySet[Any]:
    """Group calls and count them: offered and every end, waits and handling times."""
    wrap_up = (
        Offer.objects.filter(call=OuterRef("pk"), state=Offer.State.ENDED)
        .values("call")
        .annotate(
            total=Sum(
                F("wrap_up_ended_at") - F("ended_at"), output_field=DurationField(),
                filter=Q(wrap_up_ended_at__isnull=False),
            )
        )
        .values("total")
    )  # fmt: skip
    calls = calls.annotate(
        wrap_up=Coalesce(
            Subquery(wrap_up, output_field=DurationField()), Value(timedelta()),
            output_field=DurationField(),
        )
    )  # fmt: skip
    ends = {
        state.value: Count("pk", filter=Q(state=state))
        for state in QueuedCall.State
        if state not in QueuedCall.OPEN and state != QueuedCall.State.ABANDONED
    }
    grouped: QuerySet[Any] = (
        calls.order_by()
        .values(*group)
        .annotate(
            offered=Count("pk"),
            answered=Count("pk", filter=ANSWERED),
            abandoned=Count("pk", filter=ABANDONED),
            short_abandons=Count("pk", filter=SHORT),
            in_time=Count("pk", filter=IN_TIME),
            still_open=Count("pk", filter=Q(ended_at=None)),
            mean_wait=Avg("wait", filter=ANSWERED),
            talk_total=Sum("talk", filter=ANSWERED),
            wrap_up_total=Sum("wrap_up", filter=ANSWERED),
            **ends,
        )
        .order_by(*group)
    )
    return grouped


def service_level(in_time: int, offered: int, short_abandons: int) -> float | None:
    """Return answered within threshold / (offered - short abandons); None without any."""
    base = offered - short_abandons
    return round(in_time / base, 4) if base > 0 else None


def _seconds(span: timedelta | None) -> float | None:
    return round(span.total_seconds(), 3) if span is not None else None


class Quarter(Func):
    """The start of the quarter of an hour."""

    template = "date_bin('15 minutes', %(expressions)s, TIMESTAMPTZ '2001-01-01 00:00+00')"
    output_field = DateTimeField()


def _start(interval: str) -> Any:
    zone = timezone.get_default_timezone()
    return {
        "15m": Quarter(F("queued_at")),
        "hour": TruncHour("queued_at", tzinfo=zone),
        "day": TruncDay("queued_at", tzinfo=zone),
        "week": TruncWeek("queued_at", tzinfo=zone),
    }[interval]


def queue_rows(
    since: datetime, until: datetime, interval: str | None = None
) -> list[dict[str, Any]]:
    """Return one row per queue (and interval): counts, seconds as numbers, ratios 0 to 1.

    Without an interval each queue has its row, also one that nobody called.
    """
    calls = offered_calls(since, until)
    group = ["queue__slug"]
    if interval:
        calls = calls.annotate(start=_start(interval))
        group.append("start")
    rows = [_row(counted, since) for counted in counts(calls, *group)]
    if not interval:
        seen = {row["queue"] for row in rows}
        missing = Queue.objects.filter(retired_at=None).exclude(slug__in=seen)
        rows += [_row({"queue__slug": queue.slug}, since) for queue in missing]
    zone = timezone.get_default_timezone()
    rows.sort(key=lambda row: (row["start"], row["queue"]))
    return [{**row, "start": row["start"].astimezone(zone).isoformat()} for row in rows]


def recent_handle_time(at: datetime) -> dict[int, float]:
    """Return the mean seconds of talk and wrap-up by queue's key, of the last hour's talks.

    A queue without a talk that is over is left out.
    """
    over = offered_calls(at - RECENT, at).filter(connected_at__isnull=False, ended_at__isnull=False)
    return {
        row["queue"]: (row["talk_total"] + row["wrap_up_total"]).total_seconds() / row["answered"]
        for row in counts(over, "queue")
    }


def estimated_wait(ahead: int, handle_time: float | None, signed_in: int) -> float | None:
    """Return the seconds that a caller behind `ahead` others may wait; None where it is unknown.

    Definition: docs/glossary.md, "estimated wait".
    """
    if handle_time is None or not signed_in:
        return None
    return round(ahead * handle_time / signed_in, 1)


def overall_service_level(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the service level of several queues together, each as `queue_rows` tells it."""
    told = [
        (row["service_level"], row["offered"] - row["short_abandons"])
        for row in rows
        if row["service_level"] is not None
    ]
    base = sum(count for _, count in told)
    return round(sum(share * count for share, count in told) / base, 4) if base else None


def _row(counted: dict[str, Any], since: datetime) -> dict[str, Any]:
    offered = counted.get("offered", 0)
    answered = counted.get("answered", 0)
    handled = (counted.get("talk_total") or timedelta()) + (
        counted.get("wrap_up_total") or timedelta()
    )
    ends = {
        state.value: counted.get(state.value, 0)
        for state in QueuedCall.State
        if state in QueuedCall.FINAL and state != QueuedCall.State.ABANDONED
    }
    short = counted.get("short_abandons", 0)
    return {
        "queue": counted["queue__slug"],
        "start": counted.get("start") or since,
        "offered": offered,
        "answered": answered,
        "abandoned": counted.get("abandoned", 0),
        "short_abandons": short,
        "still_open": counted.get("still_open", 0),
        **ends,
        "asa": _seconds(counted.get("mean_wait")),
        "aht": round(handled.total_seconds() / answered, 3) if answered else None,
        "service_level": service_level(counted.get("in_time", 0), offered, short),
    }
