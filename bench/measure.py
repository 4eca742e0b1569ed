"""Percentiles, and the table in which a run of the benchmarks ends."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TITLES = ("row", "figure", "bar", "raw", "ratio", "")


@dataclass
class Row:
    """One line of the table; `passed` is None where there is no bar."""

    name: str
    figure: str
    bar: str = ""
    raw: str = ""
    ratio: str = ""
    passed: bool | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in the columns."""
        verdict = {True: "pass", False: "MISS", None: ""}[self.passed]
        return (self.name, self.figure, self.bar, self.raw, self.ratio, verdict)


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which `share` of all lie, as the simulator reckons it."""
    ranked = sorted(values)
    if not ranked:
        return float("nan")
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def median(values: Iterable[float]) -> float:
    """Return the middle value."""
    return percentile(values, 0.5)


def table(rows: Sequence[Row]) -> str:
    """Set the rows under their titles, and below it the notes of each."""
    lines = [TITLES, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TITLES))]
    text = [_line(TITLES, widths), "  ".join("-" * width for width in widths)]
    text += [_line(row.cells, widths) for row in rows]
    noted = [row for row in rows if row.notes]
    for row in noted:
        text += ["", f"{row.name}:"]
        for note in row.notes:
            text += textwrap.wrap(note, 98, initial_indent="  - ", subsequent_indent="    ")
    return "\n".join(text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
