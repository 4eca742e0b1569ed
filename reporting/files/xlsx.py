"""Spreadsheets of any length in constant memory: each portion of rows goes into the file at once.

Written here and not by a library, because those keep all rows in memory, or write each sheet as
plain XML into a second file first: gigabytes, for a million calls. Only the few parts that every
spreadsheet program reads are used (ECMA-376): texts within their cells, numbers, and five formats.

A sheet holds 1,048,576 rows; what is more goes on in the next one. The last sheet, "About", says
what is in the file. No text is ever a formula: its cell says that it is text.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from xml.sax.saxutils import escape

from reporting.files.columns import COUNT, MONEY, SECONDS, SHARE, TIME

MOST_ROWS = 1_048_576  # of one sheet, its heading included
MOST_BYTES = 1_900_000_000  # of one sheet before it is packed; beyond 2 GiB not all can read it
LONGEST_TEXT = 32_767  # characters of a cell
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - day 0 of spreadsheets, by the clock on the wall
_STYLES = {None: 0, TIME: 1, SHARE: 2, MONEY: 3, SECONDS: 4, COUNT: 5}
BOLD = 6
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
CONTENT_TYPE = f"{_TYPE}.sheet"


class Book:
    """A spreadsheet that is being written. A block: left by an error, it is no spreadsheet."""

    def __init__(self, path: Path, title: str, headings: Sequence[str], kinds: Sequence[str]):
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._title, self._headings = title, list(headings)
        self._styles = [_STYLES.get(kind, 0) for kind in kinds]
        self._sheets: list[str] = []
        self._open: IO[bytes] | None = None
        self._row = self._bytes = 0

    def __enter__(self) -> Book:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if kind is None:
            self._close_sheet()
            self._finish()
            self._zip.close()
            return
        try:
            if self._open:
                self._open.close()
            self._zip.close()
        except OSError:  # a full disk is full for the end of the file too
            pass

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write a portion of rows, into further sheets where one is full."""
        part: list[str] = []
        for values in rows:
            if self._open is None or self._row >= MOST_ROWS or self._bytes >= MOST_BYTES:
                self._send(part)
                part = []
                self._close_sheet()
                number = len(self._sheets) + 1
                self._begin(self._title if number == 1 else f"{self._title[:26]} {number}")
            self._row += 1
            part.append(_row(self._row, values, self._styles))
        self._send(part)

    def about(self, title: str, lines: Iterable[Sequence[Any]]) -> None:
        """Write the last sheet: lines of a name and its values."""
        if not self._sheets:
            self._begin(self._title)  # a table without rows still has its heading
        self._close_sheet()
        self._headings = []
        self._begin(title, widths=(34, 60))
        for values in lines:
            self._row += 1
            self._send([_row(self._row, values, [BOLD])])

    # --- Parts ---

    def _begin(self, title: str, widths: Sequence[int] = ()) -> None:
        self._sheets.append(_sheet_name(title, self._sheets))
        name = f"xl/worksheets/sheet{len(self._sheets)}.xml"
        self._open, self._row, self._bytes = self._zip.open(name, "w"), 0, 0
        pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
        widths = widths or [max(11, min(40, len(heading) + 2)) for heading in self._headings]
        wide = "".join(
            f'<col min="{at}" max="{at}" width="{width}" customWidth="1"/>'
            for at, width in enumerate(widths, 1)
        )
        self._send([
            f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
            f'{pane if self._headings else ""}</sheetView></sheetViews><cols>{wide}</cols>'
            "<sheetData>"
        ])  # fmt: skip
        if self._headings:
            self._row = 1
            self._send([_row(1, self._headings, [BOLD] * len(self._headings))])

    def _send(self, parts: list[str]) -> None:
        if parts and self._open:
            data = "".join(parts).encode()
            self._bytes += len(data)
            self._open.write(data)

    def _close_sheet(self) -> None:
        if self._open:
            self._send(["</sheetData></worksheet>"])
            self._open.close()
            self._open = None

    def _finish(self) -> None:
        numbers = range(1, len(self._sheets) + 1)
        sheets = "".join(
            f'<sheet name="{escape(title, _QUOTES)}" sheetId="{n}" r:id="rId{n}"/>'
            for n, title in zip(numbers, self._sheets, strict=True)
        )
        relations = "".join(
            f'<Relationship Id="rId{n}" Type="{_REL}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in numbers
        )
        kinds = "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" '
            f'ContentType="{_TYPE}.worksheet+xml"/>'
            for n in numbers
        )
        last = len(self._sheets) + 1
        for name, content in {
            "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_REL}">'
            f"<sheets>{sheets}</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
            f'{relations}<Relationship Id="rId{last}" Type="{_REL}/styles" Target="styles.xml"/>'
            "</Relationships>",
            "xl/styles.xml": _STYLE_SHEET,
            "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship '
            f'Id="rId1" Type="{_REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType='
            '"application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
            f"{kinds}</Types>",
        }.items():
            self._zip.writestr(name, _XML + content)


_QUOTES = {'"': "&quot;"}
_PLAIN = '<xf numFmtId="{}" fontId="{}" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
_FORMATS = [(0, 0), (164, 0), (10, 0), (4, 0), (165, 0), (1, 0), (0, 1)]  # in the order of _STYLES
_STYLE_SHEET = (
    f'<styleSheet xmlns="{_MAIN}"><numFmts count="2">'
    '<numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/>'
    '<numFmt numFmtId="165" formatCode="0.0##"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    f'<cellXfs count="{len(_FORMATS)}">'
    + "".join(_PLAIN.format(number, font) for number, font in _FORMATS)
    + '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/>'
    "</cellStyles></styleSheet>"
)


def _sheet_name(title: str, taken: Sequence[str]) -> str:
    name = re.sub(r"[\[\]:*?/\\']", " ", title)[:31].strip() or "1"
    return name if name not in taken else f"{name[:27]} ({len(taken) + 1})"


def _row(number: int, values: Sequence[Any], styles: Sequence[int]) -> str:
    cells = "".join(
        _cell(f"{_letters(at)}{number}", value, styles[at] if at < len(styles) else 0)
        for at, value in enumerate(values)
        if value is not None and value != ""
    )
    return f'<row r="{number}">{cells}</row>'


def _cell(place: str, value: Any, style: int) -> str:
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float | Decimal):
        return f'<c r="{place}" s="{style}"><v>{value}</v></c>'
    if isinstance(value, datetime):
        days = (value.replace(tzinfo=None) - _EPOCH).total_seconds() / 86400
        return f'<c r="{place}" s="1"><v>{days:.10f}</v></c>'
    text = escape(_ILLEGAL.sub("\ufffd", str(value)[:LONGEST_TEXT]))
    bold = f' s="{style}"' if style == BOLD else ""
    return f'<c r="{place}"{bold} t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _letters(at: int) -> str:
    before, last = divmod(at, 26)
    return (_letters(before - 1) if before else "") + chr(65 + last)
