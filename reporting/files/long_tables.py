"""The tables with a row for each call, offer or record: any number of rows, in constant memory.

A portion begins after the last row of the one before (its time and key), so it costs the same
anywhere in the table, and no cursor or transaction is held between two portions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from queues.models import Offer, QueuedCall, WrapUp
from reporting.amounts import is_not_in_yet
from reporting.figures import counts
from reporting.figures.asked import Asked
from reporting.files.columns import COUNT, MONEY, SECONDS, TIME, YES, Column, Row, Table, column
from reporting.models import CallRecord

PAGE = 1000  # rows of one portion
IN_MENU = timedelta(days=1)  # nobody enters a queue longer than this after having arrived


def _after(rows: QuerySet[Any], time: str, last: dict[str, Any] | None) -> QuerySet[Any]:
    """Narrow to the next portion of rows in the order of a time and the key."""
    if last is not None:
        later = Q(**{f"{time}__gt": last[time]}) | Q(**{time: last[time], "pk__gt": last["pk"]})
        rows = rows.filter(later, **{f"{time}__gte": last[time]})  # what the index is searched by
    return rows.order_by(time, "pk")[:PAGE]


def _portions(rows: QuerySet[Any], time: str, *names: str) -> Iterator[list[dict[str, Any]]]:
    last: dict[str, Any] | None = None
    while True:
        found = list(_after(rows, time, last).values("pk", *names))
        if found:
            yield found
        if len(found) < PAGE:
            return
        last = found[-1]


def _local(row: dict[str, Any], asked: Asked, *names: str) -> None:
    for name in names:
        if row[name] is not None:
            row[name] = row[name].astimezone(asked.zone)


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Return how long it was from one to the other; None where one is missing."""
    if start is None or end is None:
        return None
    return round(max(0.0, (end - start).total_seconds()), 3)


# --- Calls ---------------------------------------------------------------------------------------

_CALL = (
    "public_id", "direction", "state", "abandoned_in", "customer", "line", "arrived_at",
    "queued_at", "connected_at", "connected_is_estimated", "ended_at", "is_provisional",
    "queue__slug", "queue__name", "agent__user__username", "agent__name",
)  # fmt: skip


def _calls(asked: Asked) -> QuerySet[QueuedCall]:
    """The calls that count in what is asked, both directions."""
    calls = counts.counted(asked.since, asked.until)
    calls = calls.filter(arrived_at__gte=asked.since - IN_MENU, arrived_at__lt=asked.until)
    if asked.queues:
        calls = calls.filter(queue__in=asked.queues)
    if asked.agents:
        calls = calls.filter(agent__in=asked.agents)
    return calls


def _call_pages(asked: Asked, at: datetime) -> Iterator[list[Row]]:
    for page in _portions(_calls(asked), "arrived_at", *_CALL):
        keys = [row["pk"] for row in page]
        talks, charged = _talks(keys), _charged(keys)
        for row in page:
            row["wait"] = seconds(row["queued_at"], row["connected_at"] or row["ended_at"])
            row["talk"] = seconds(row["connected_at"], row["ended_at"])
            row |= talks.get(row["pk"], {"offers": 0, "wrap_up": None, "disposition": None})
            row |= charged.get(row["pk"], {"cost": None, "currency": "", "not_in_yet": 0})
            _local(row, asked, "arrived_at", "queued_at", "connected_at", "ended_at")
        yield [*page]


def _talks(keys: list[Any]) -> dict[Any, dict[str, Any]]:
    """Return by call: how many offers, the wrap-up, and what it came to."""
    found: dict[Any, dict[str, Any]] = defaultdict(
        lambda: {"offers": 0, "wrap_up": None, "disposition": None}
    )
    offers = Offer.objects.filter(call__in=keys).order_by("created_at", "pk")
    for call, state, ended, over in offers.values_list(
        "call_id", "state", "ended_at", "wrap_up_ended_at"
    ):
        row = found[call]
        row["offers"] += 1
        if state == Offer.State.ENDED and over:
            row["wrap_up"] = round((row["wrap_up"] or 0) + (seconds(ended, over) or 0), 3)
    written = WrapUp.objects.filter(offer__call__in=keys, disposition__isnull=False)
    for wrap_up in written.select_related("offer", "disposition__parent").order_by(
        "offer__created_at"
    ):
        found[wrap_up.offer.call_id]["disposition"] = str(wrap_up.disposition)
    return found


def _charged(keys: list[Any]) -> dict[Any, dict[str, Any]]:
    """Return by call what its records cost; in several currencies, that of most records."""
    records = CallRecord.objects.filter(call__in=keys).order_by("pk")
    sums: dict[Any, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    missing: dict[Any, int] = defaultdict(int)
    for call, status, minor, currency in records.values_list(
        "call_id", "status", "cost_minor", "cost_currency"
    ):
        if is_not_in_yet(status, minor):
            missing[call] += 1
        else:
            sums[call][currency].append(minor or 0)
    found = {}
    for call in {*sums, *missing}:
        most = max(sums[call].items(), key=lambda each: len(each[1]), default=None)
        found[call] = {
            "cost": Decimal(sum(most[1])) / 100 if most else None,
            "currency": most[0] if most else "",
            "not_in_yet": missing[call],
        }
    return found


CALLS = Table(
    "calls", _("Calls"),
    _("One row for each call, in and out, of the time in which it counts."),
    (
        column("call", _("Call"), of="public_id"),
        column("direction", _("Direction")),
        column("state", _("Status")),
        column("abandoned_in", _("Left in")),
        column("queue", _("Queue"), of="queue__slug"),
        column("queue_name", _("Name of the queue"), of="queue__name"),
        column("agent", _("Agent"), of="agent__user__username"),
        column("agent_name", _("Name of the agent"), of="agent__name"),
        column("customer", _("Customer")),
        column("line", _("Our number")),
        column("arrived_at", _("Arrived"), TIME),
        column("queued_at", _("Entered the queue"), TIME),
        column("connected_at", _("Connected"), TIME),
        column("connected_is_estimated", _("Connected is estimated"), YES),
        column("ended_at", _("Ended"), TIME),
        column("is_provisional", _("End may be corrected"), YES),
        column("wait_seconds", _("Wait"), SECONDS, "wait"),
        column("talk_seconds", _("Talk"), SECONDS, "talk"),
        column("wrap_up_seconds", _("Wrap-up"), SECONDS, "wrap_up"),
        column("offers", _("Offers"), COUNT),
        column("disposition", _("Disposition")),
        column("cost", _("Cost"), MONEY),
        column("currency", _("Currency")),
        column("costs_not_in_yet", _("Costs not in yet"), COUNT, "not_in_yet"),
    ),
    _call_pages,
    lambda asked: _calls(asked).count(),
)  # fmt: skip

# --- Offers --------------------------------------------------------------------------------------

_OFFER = (
    "call_id", "call__public_id", "call__direction", "kind", "state", "queue__slug",
    "agent__user__username", "agent__name", "created_at", "answered_at", "joined_at", "ended_at",
    "wrap_up_ended_at",
)  # fmt: skip


def _offers(asked: Asked) -> QuerySet[Offer]:
    offers = Offer.objects.filter(created_at__gte=asked.since, created_at__lt=asked.until)
    if asked.queues:
        offers = offers.filter(queue__in=asked.queues)
    if asked.agents:
        offers = offers.filter(agent__in=asked.agents)
    return offers


def _offer_pages(asked: Asked, at: datetime) -> Iterator[list[Row]]:
    """The offers of one portion of calls after the other: these have an index by time."""
    calls = QueuedCall.objects.filter(
        arrived_at__gte=asked.since - IN_MENU, arrived_at__lt=asked.until
    )
    for page in _portions(calls, "arrived_at", "arrived_at"):
        mine = _offers(asked).filter(call__in=[row["pk"] for row in page])
        yield [*_offer_rows(mine.order_by("created_at", "pk").values(*_OFFER), asked)]


def _offer_rows(rows: Iterable[dict[str, Any]], asked: Asked) -> Iterator[Row]:
    for row in rows:
        row["ring"] = seconds(row["created_at"], row["answered_at"] or row["ended_at"])
        row["talk"] = seconds(row["joined_at"], row["ended_at"])
        row["wrap_up"] = seconds(row["ended_at"], row["wrap_up_ended_at"])
        _local(row, asked, "created_at", "answered_at", "joined_at", "ended_at")
        yield row


OFFER_LIST = Table(
    "offer-list", _("List of offers"),
    _("One row for each attempt to put an agent on a call, by when it was made."),
    (
        column("call", _("Call"), of="call__public_id"),
        column("direction", _("Direction"), of="call__direction"),
        column("kind", _("Kind")),
        column("state", _("Status")),
        column("queue", _("Queue"), of="queue__slug"),
        column("agent", _("Agent"), of="agent__user__username"),
        column("agent_name", _("Name of the agent"), of="agent__name"),
        column("created_at", _("Made"), TIME),
        column("answered_at", _("Picked up"), TIME),
        column("joined_at", _("Connected"), TIME),
        column("ended_at", _("Ended"), TIME),
        column("ring_seconds", _("Ringing"), SECONDS, "ring"),
        column("talk_seconds", _("Talk"), SECONDS, "talk"),
        column("wrap_up_seconds", _("Wrap-up"), SECONDS, "wrap_up"),
    ),
    _offer_pages,
    lambda asked: _offers(asked).count(),
)  # fmt: skip

# --- The provider's records ----------------------------------------------------------------------

_RECORD = (
    "session_id", "provider_id", "call__public_id", "call__queue__slug", "leg__role", "direction",
    "local", "remote", "status", "started_at", "answered_at", "ended_at", "duration_seconds",
    "cost_minor", "cost_currency", "failure_code",
)  # fmt: skip


def _records(asked: Asked) -> QuerySet[CallRecord]:
    records = CallRecord.objects.filter(started_at__gte=asked.since, started_at__lt=asked.until)
    if asked.queues:
        records = records.filter(call__queue__in=asked.queues)
    if asked.agents:
        records = records.filter(call__agent__in=asked.agents)
    return records


def _record_pages(asked: Asked, at: datetime) -> Iterator[list[Row]]:
    for page in _portions(_records(asked), "started_at", *_RECORD):
        for row in page:
            is_open = is_not_in_yet(row["status"], row["cost_minor"])
            row["cost"] = None if is_open else Decimal(row["cost_minor"]) / 100
            _local(row, asked, "started_at", "answered_at", "ended_at")
        yield [*page]


RECORDS = Table(
    "records", _("Sautikit's call records"),
    _("One row for each record of the provider, by its start."),
    (
        column("session_id", _("Session")),
        column("provider_id", _("Call id of Sautikit")),
        column("call", _("Call"), of="call__public_id"),
        column("queue", _("Queue"), of="call__queue__slug"),
        column("role", _("Party"), of="leg__role"),
        column("direction", _("Direction")),
        column("local", _("Our number")),
        column("remote", _("Other party")),
        column("status", _("Status")),
        column("started_at", _("Started"), TIME),
        column("answered_at", _("Answered"), TIME),
        column("ended_at", _("Ended"), TIME),
        column("duration_seconds", _("Duration"), SECONDS),
        Column("cost", _("Cost"), MONEY, lambda row: row["cost"]),
        column("currency", _("Currency"), of="cost_currency"),
        column("failure_code", _("Failure")),
    ),
    _record_pages,
    lambda asked: _records(asked).count(),
)  # fmt: skip
