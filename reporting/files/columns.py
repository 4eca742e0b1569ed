"""What a table of a report is made of: columns, each with a kind of value, and where it is from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise

from reporting.figures.asked import Asked

TEXT, TIME, COUNT, SECONDS, SHARE, MONEY, YES = (
    "text", "time", "count", "seconds", "share", "money", "yes",
)  # fmt: skip
Word = str | Promise
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its name in files, its heading for people, its kind, and how to read it.

    Values are None, or by kind: a str; an aware datetime in the report's zone; an int; seconds as
    a float; a share from 0 to 1; a Decimal in whole units of the currency; a bool.
    """

    key: str
    heading: Word
    kind: str
    read: Callable[[Row], Any]


def column(key: str, heading: Word, kind: str = TEXT, of: str = "") -> Column:
    """A column whose value is in the row under `of`, or under its own key."""
    name = of or key
    return Column(key, heading, kind, lambda row: row[name])


@dataclass(frozen=True)
class Table:
    """A table of a report: the same rows on the page, as CSV, as a spreadsheet and in a mail.

    `pages` gives the rows in portions. Each portion is one or a few questions to the database;
    nothing of it is held between two of them.
    """

    key: str
    title: Word
    about: Word
    columns: tuple[Column, ...]
    pages: Callable[[Asked, datetime], Iterator[list[Row]]]
    count: Callable[[Asked], int] | None = None  # of the long ones: how many rows there will be

    def cells(self, row: Row) -> list[Any]:
        """Return the values of a row, in the order of the columns."""
        return [each.read(row) for each in self.columns]

    def rows(self, asked: Asked, *, at: datetime) -> Iterator[list[Any]]:
        """Return all rows as values in the order of the columns."""
        for page in self.pages(asked, at):
            for row in page:
                yield self.cells(row)
