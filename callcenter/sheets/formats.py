"""The two kinds of file, read and written so that a spreadsheet program does no harm.

A cell of ours never becomes a formula in somebody's spreadsheet: in XLSX every text is a text cell;
in CSV, which knows no types, a text that begins like a formula gets an apostrophe before it. A
phone number begins with + too, can be nothing but a number, and stays as it is.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import openpyxl
import tablib
from import_export.formats.base_formats import Format

MOST_BYTES = 512 * 1024  # of a file that is read
_MOST_UNPACKED = 20 * 1024 * 1024  # of an XLSX, which is a zip
_FORMULA = re.compile(r"[=+\-@\t\r]")
_E164 = re.compile(r"\+[0-9]{8,15}")


class Unreadable(ValueError):
    """The file cannot be read; the message is a sentence that says why."""


class Table(Format):  # type: ignore[misc]  # no types shipped
    """A file that is read: CSV with any usual separator, or XLSX; its bytes say which."""

    def __init__(self, encoding: str | None = None) -> None:
        pass

    def get_title(self) -> str:
        return "CSV or Excel (.xlsx)"

    def get_extension(self) -> str:
        return "csv"

    def can_import(self) -> bool:
        return True

    def create_dataset(self, in_stream: bytes) -> tablib.Dataset:
        """Return the rows as texts; raise Unreadable."""
        if len(in_stream) > MOST_BYTES:
            raise Unreadable("The file is larger than 512 KB: split it.")
        rows = _read_xlsx(in_stream) if in_stream.startswith(b"PK") else _read_csv(in_stream)
        rows = [row for row in rows if any(row)]
        if len(rows) < 2:
            raise Unreadable("The file has no rows: the first line names the columns.")
        heads = [head.lower().replace(" ", "_") for head in rows[0]]
        while heads and not heads[-1]:
            heads.pop()
        if doubled := sorted({head for head in heads if heads.count(head) > 1}):
            raise Unreadable(f"Two columns have the name “{doubled[0]}”.")
        table = tablib.Dataset(headers=heads)
        for number, row in enumerate(rows[1:], 2):
            if any(row[len(heads) :]):
                raise Unreadable(f"Line {number} has more cells than the first line has columns.")
            table.append((row + [""] * len(heads))[: len(heads)])
        return table


class CSV(Format):  # type: ignore[misc]  # no types shipped
    """Written as UTF-8 with its mark, so that spreadsheet programs read the letters right."""

    def get_title(self) -> str:
        return "CSV"

    def get_extension(self) -> str:
        return "csv"

    def get_content_type(self) -> str:
        return "text/csv"

    def can_export(self) -> bool:
        return True

    def export_data(self, dataset: tablib.Dataset, **kwargs: Any) -> bytes:
        lines = io.StringIO()
        writer = csv.writer(lines)
        writer.writerow(dataset.headers)
        writer.writerows([harmless(str(cell)) for cell in row] for row in dataset)
        return lines.getvalue().encode("utf-8-sig")


class XLSX(Format):  # type: ignore[misc]  # no types shipped
    """Written with every cell as text: no formula, and no phone number becomes a sum."""

    def get_title(self) -> str:
        return "Excel (.xlsx)"

    def get_extension(self) -> str:
        return "xlsx"

    def get_content_type(self) -> str:
        return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def can_export(self) -> bool:
        return True

    def export_data(self, dataset: tablib.Dataset, **kwargs: Any) -> bytes:
        book = openpyxl.Workbook()
        sheet = book.active
        for at, row in enumerate([dataset.headers, *dataset], 1):
            for column, value in enumerate(row, 1):
                cell = sheet.cell(at, column)
                cell.value = openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE.sub("\ufffd", str(value))
                cell.data_type = "s"
                cell.number_format = "@"  # text, also after somebody has typed in it
                cell.quotePrefix = bool(_FORMULA.match(str(value)))
        sheet.freeze_panes = "A2"
        written = io.BytesIO()
        book.save(written)
        return written.getvalue()


def harmless(text: str) -> str:
    """Return `text` as a CSV cell that no spreadsheet program takes for a formula."""
    if not _FORMULA.match(text) or _E164.fullmatch(text):
        return text
    return f"'{text}"


def _as_it_was(text: str) -> str:
    """Take off the apostrophe that `harmless` or a spreadsheet program has put there."""
    text = text.strip()
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def _read_csv(raw: bytes) -> list[list[str]]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")  # what older programs write
    if "\0" in text:
        raise Unreadable("This is neither CSV nor XLSX.")
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        return [
            [_as_it_was(cell) for cell in row]
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        ]
    except csv.Error as error:
        raise Unreadable(f"The CSV file cannot be read: {error}.") from error


def _read_xlsx(raw: bytes) -> list[list[str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            if sum(part.file_size for part in packed.infolist()) > _MOST_UNPACKED:
                raise Unreadable("The file is too large when unpacked: split it.")
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
        return [_texts(row) for row in book.worksheets[0].iter_rows(values_only=True)]
    except Unreadable:
        raise
    except Exception as error:  # openpyxl raises whatever it meets in a broken file
        raise Unreadable("The Excel file cannot be read: save it again as .xlsx.") from error


def _texts(row: Sequence[Any]) -> list[str]:
    return [_as_it_was(_text(value)) for value in row]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():  # a number that was typed as one
        return str(int(value))
    return str(value)
