"""What a file or a mail says of itself: range, time zone, filters, definitions, totals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from reporting.figures import definitions, report
from reporting.figures.asked import Asked
from reporting.files.columns import COUNT, MONEY, SECONDS, SHARE, Column, Table
from reporting.files.tables import QUEUES

TOTALS = (
    "offered", "answered", "in_time", "abandoned", "short_abandons", "still_open",
    "service_level", "abandon_rate", "asa_seconds", "longest_wait_seconds", "aht_seconds",
    "talk_seconds", "hold_seconds", "wrap_up_seconds", "cost", "currency", "costs_not_in_yet",
)  # fmt: skip
DEFINED = ("service_level", "abandon_rate", "asa", "aht")


def totals(asked: Asked, *, at: datetime) -> list[tuple[Column, Any]]:
    """Return the figures of all queues asked for together, as on the page."""
    row = report.totals(asked, at=at)
    columns = {column.key: column for column in QUEUES.columns}
    return [(columns[key], columns[key].read(row)) for key in TOTALS]


def filters(asked: Asked) -> list[tuple[str, str]]:
    """Return what was asked for, in words."""
    since, until = (end.astimezone(asked.zone) for end in (asked.since, asked.until))
    everything = _("All")
    return [
        (_("From"), since.isoformat(timespec="minutes")),
        (_("To, not included"), until.isoformat(timespec="minutes")),
        (_("Time zone"), asked.zone.key),
        (_("Queues"), ", ".join(queue.name for queue in asked.queues) or everything),
        (_("Agents"), ", ".join(agent.name for agent in asked.agents) or everything),
        (_("Interval"), asked.interval or _("None")),
    ]


def lines(table: Table, asked: Asked, *, at: datetime, rows: int) -> Iterator[list[Any]]:
    """Return the sheet that says what is in a spreadsheet."""
    yield [_("Table"), str(table.title), str(table.about)]
    for name, value in filters(asked):
        yield [name, value]
    yield [_("Rows"), rows]
    yield [_("As of"), at.astimezone(asked.zone).isoformat(timespec="seconds")]
    for note in asked.notes:
        yield [_("Note"), note]
    yield []
    yield [_("Totals of the inbound calls")]
    for column, value in totals(asked, at=at):
        yield [str(column.heading), value, unit(column.kind)]
    yield []
    yield [_("Definitions")]
    for key in DEFINED:
        one = definitions.ALL[key]
        yield [str(one.name), str(one.formula), f"{one.key}, {one.version}"]
    yield [
        "", _("T is the service level's seconds of the queue, s its seconds of a short abandon."),
    ]  # fmt: skip


def unit(kind: str) -> str:
    """Say in which unit the values of a kind are."""
    return {
        COUNT: "", SECONDS: _("seconds"), SHARE: _("0 to 1"), MONEY: _("whole units"),
    }.get(kind, "")  # fmt: skip
