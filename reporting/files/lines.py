"""Reports as CSV: one line for each row, in portions, for programs and for spreadsheets alike.

UTF-8 with its mark (BOM), because without it spreadsheet programs take letters for something
else; commas; CRLF (RFC 4180). The first line has the columns' names, the same in every language.
Times are ISO 8601 with the offset of the report's zone, spans are seconds, shares 0 to 1, money in
whole units with two decimals; what is not known is empty.

No text is taken for a formula (callcenter.sheets.formats): one that begins with = + - @ gets an
apostrophe before it. A phone number in E.164 is nothing but + and digits, and stays as it is.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from callcenter.sheets.formats import harmless
from reporting.figures.asked import Asked
from reporting.files.columns import Table

BOM = b"\xef\xbb\xbf"


def text(value: Any) -> str:
    """Return a value as it stands in a CSV file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    if isinstance(value, int | float):
        return repr(value)
    return harmless(str(value))


def portions(table: Table, asked: Asked, *, at: datetime) -> Iterator[bytes]:
    """Return the file in portions; nothing of the database is held between two of them."""
    yield BOM + _lines([[column.key for column in table.columns]])
    for page in table.pages(asked, at):
        if page:
            yield _lines([[text(value) for value in table.cells(row)] for row in page])


def _lines(rows: list[list[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
