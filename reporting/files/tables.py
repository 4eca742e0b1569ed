"""Every table of the reports: the one source of their columns, for pages, files and mails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _

from reporting.figures import report
from reporting.figures.asked import Asked
from reporting.figures.counts import COUNTS
from reporting.files import long_tables
from reporting.files.columns import (
    COUNT,
    MONEY,
    SECONDS,
    SHARE,
    TIME,
    YES,
    Column,
    Row,
    Table,
    column,
)

SHORT_PAGE = 1000  # rows of one portion


def _short(
    read: Callable[..., list[dict[str, Any]]],
) -> Callable[[Asked, datetime], Iterator[list[Row]]]:
    """The pages of a table that is counted all at once."""

    def pages(asked: Asked, at: datetime) -> Iterator[list[Row]]:
        rows = read(asked, at=at)
        for first in range(0, len(rows), SHORT_PAGE):
            yield [*rows[first : first + SHORT_PAGE]]

    return pages


def _queue(row: Row) -> str | None:
    return row["queue"].slug if row["queue"] else None


def _queue_name(row: Row) -> str | None:
    return row["queue"].name if row["queue"] else None


def _amount(of: str) -> Callable[[Row], Decimal | None]:
    return lambda row: None if row[of] is None else Decimal(row[of]) / 100


def _seconds(of: str, heading: Any) -> Column:
    return column(f"{of}_seconds", heading, SECONDS, of)


START = column("start", _("Start"), TIME)
QUEUE = (
    Column("queue", _("Queue"), "text", _queue),
    Column("queue_name", _("Name of the queue"), "text", _queue_name),
)
_RONA = tuple(
    Column(f"missed_{state}", heading, COUNT, lambda row, state=state: row["rona"][state])  # type: ignore[misc]  # bound here
    for state, heading in {
        "no_answer": _("Not answered"), "busy": _("Busy"), "failed": _("Not reached"),
        "declined": _("Declined"), "no_keypress": _("1 not pressed"), "expired": _("Expired"),
    }.items()
)  # fmt: skip

QUEUES = Table(
    "queues", _("Queues"),
    _("One row for each queue and interval. Inbound calls, by when they entered the queue."),
    (
        START, *QUEUE,
        *(
            column(key, COUNTS[key].label, COUNT)
            for key in (
                "arrived", "offered", "answered", "in_time", "abandoned", "short_abandons",
                "abandoned_menu", "abandoned_queue", "abandoned_ringing", "overflowed",
                "callback", "voicemail", "expired", "closed_hours", "rejected", "failed",
                "still_open", "not_offered_ends",
            )
        ),
        column("service_level", _("Service level"), SHARE),
        column("abandon_rate", _("Abandon rate"), SHARE),
        _seconds("asa", _("Average speed of answer")),
        _seconds("asa_median", _("Median speed of answer")),
        _seconds("asa_p90", _("Nine of ten answered within")),
        _seconds("longest_wait", _("Longest wait")),
        _seconds("aht", _("Average handle time")),
        _seconds("aht_median", _("Median handle time")),
        _seconds("aht_p90", _("Nine of ten handled within")),
        _seconds("talk", _("Talk time")),
        _seconds("hold", _("Hold time")),
        _seconds("wrap_up", _("Wrap-up time")),
        Column("cost", _("Cost"), MONEY, _amount("cost")),
        column("currency", _("Currency"), of="cost_currency"),
        column("costs_not_in_yet", _("Costs not in yet"), COUNT, "cost_not_in_yet"),
    ),
    _short(report.queues),
)  # fmt: skip

AGENTS = Table(
    "agents", _("Agents"),
    _("One row for each agent and interval. Time is split exactly where an interval ends."),
    (
        START,
        Column("agent", _("Agent"), "text", lambda row: row["agent"].user.get_username()),
        Column("agent_name", _("Name of the agent"), "text", lambda row: row["agent"].name),
        _seconds("signed_in", _("Signed in")),
        _seconds("available_idle", _("Available and idle")),
        _seconds("ringing", _("Ringing")),
        _seconds("on_call", _("On a call")),
        column("in_wrap_up_seconds", _("In wrap-up"), SECONDS, "wrap_up"),
        _seconds("break_paid", _("Paid break")),
        _seconds("break_unpaid", _("Unpaid break")),
        _seconds("offline", _("Offline")),
        column("occupancy", _("Occupancy"), SHARE),
        column("utilisation", _("Utilisation"), SHARE),
        column("offers", _("Offers"), COUNT),
        column("accepted", _("Accepted"), COUNT),
        column("acceptance", _("Offer acceptance"), SHARE),
        *_RONA,
        column("caller_gone", _("Caller gone"), COUNT),
        column("callers_waited_in_vain_seconds", _("Ringing in vain"), SECONDS, "ring_lost"),
        _seconds("ring_to_accept_median", _("Median ringing until accepted")),
        _seconds("talk", _("Talk time")),
        _seconds("hold", _("Hold time")),
        column("wrap_up_seconds", _("Wrap-up time"), SECONDS, "wrap_up_time"),
        _seconds("aht", _("Average handle time")),
    ),
    _short(report.agents),
)  # fmt: skip

OFFERS = Table(
    "offers", _("Offers"), _("One row for each queue: how its offers to agents ended."),
    (
        *QUEUE,
        column("offers", _("Offers"), COUNT),
        column("accepted", _("Accepted"), COUNT),
        column("acceptance", _("Offer acceptance"), SHARE),
        *_RONA,
        column("caller_gone", _("Caller gone"), COUNT),
        _seconds("caller_seconds_lost", _("Callers' time lost")),
        _seconds("ring_to_accept_median", _("Median ringing until accepted")),
    ),
    _short(report.offers),
)  # fmt: skip

DISPOSITIONS = Table(
    "dispositions", _("Dispositions"), _("What the talks of each queue came to."),
    (
        *QUEUE,
        Column("disposition", _("Disposition"), "text",
               lambda row: str(row["disposition"]) if row["disposition"] else None),
        column("talks", _("Talks"), COUNT),
        column("share", _("Share"), SHARE),
    ),
    _short(report.dispositions),
)  # fmt: skip

COSTS = Table(
    "costs", _("Costs"),
    _("What Sautikit charged, by queue, party and kind of connection. Never an own estimate."),
    (
        *QUEUE,
        column("role", _("Party")),
        column("kind", _("Connection")),
        Column("cost", _("Cost"), MONEY, _amount("minor")),
        column("currency", _("Currency")),
        column("legs", _("Connections"), COUNT),
        column("costs_not_in_yet", _("Costs not in yet"), COUNT, "not_in_yet"),
        column("is_estimate", _("Will still grow"), YES),
    ),
    _short(report.costs),
)  # fmt: skip

WAITS = Table(
    "waits", _("Waiting times"), _("How many were answered, and how many left, after how long."),
    (
        column("from_seconds", _("From"), SECONDS, "from_s"),
        column("to_seconds", _("To, not included"), SECONDS, "to_s"),
        column("answered", _("Answered"), COUNT),
        column("abandoned", _("Abandoned"), COUNT),
    ),
    _short(report.waits),
)  # fmt: skip

HEAT = Table(
    "hours", _("Hours of the week"), _("Calls by day of the week and hour of the report's zone."),
    (
        Column("weekday", _("Weekday, Monday is 1"), COUNT, lambda row: row["weekday"] + 1),
        column("hour", _("Hour"), COUNT),
        column("offered", _("Offered"), COUNT),
        column("abandoned", _("Abandoned"), COUNT),
        column("service_level", _("Service level"), SHARE),
    ),
    _short(report.heat),
)  # fmt: skip

TABLES: dict[str, Table] = {
    each.key: each
    for each in (
        QUEUES, AGENTS, OFFERS, DISPOSITIONS, COSTS, WAITS, HEAT,
        long_tables.CALLS, long_tables.OFFER_LIST, long_tables.RECORDS,
    )
}  # fmt: skip


def choices() -> list[tuple[str, Any]]:
    """Return the tables as (key, title), for forms."""
    return [(table.key, table.title) for table in TABLES.values()]
