"""The provider's own sums over calls (contract 3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callcenter.sautikit import bodies

_WRAPPERS = ("stats", "data")


@dataclass(frozen=True)
class Slot:
    """The sums of one hour or day from `start`; None where a sum was not told or is no number."""

    start: datetime
    total: int | None = None
    inbound: int | None = None
    outbound: int | None = None
    completed: int | None = None
    missed: int | None = None
    failed: int | None = None
    spend_minor: int | None = None


@dataclass(frozen=True)
class Stats:
    """All sums of a range; money in minor units (100 is KES 1). `bad` slots were left out."""

    total: int | None = None
    failed: int | None = None
    spend_minor: int | None = None
    currency: str = ""
    series: tuple[Slot, ...] = ()
    bad: int = 0


def parse(answer: object) -> Stats | None:
    """Return the sums in `answer`, wrapped or flat; None where it holds none."""
    where = _layers(answer)
    rows = next((layer["series"] for layer in where if "series" in layer), None)
    if not any("total" in layer for layer in where) and not isinstance(rows, list):
        return None
    slots = [_slot(row) for row in rows] if isinstance(rows, list) else []
    read = sorted((slot for slot in slots if slot is not None), key=lambda slot: slot.start)
    return Stats(
        total=bodies.pick_whole(where, ("total",)),
        failed=bodies.pick_whole(where, ("failed",)),
        spend_minor=_money(where),
        currency=bodies.pick(where, ("currency", "cost_currency"), 8).upper(),
        series=tuple(read),
        bad=len(slots) - len(read) + (rows is not None and not isinstance(rows, list)),
    )


def _layers(answer: object) -> list[Mapping[str, Any]]:
    layers: list[Mapping[str, Any]] = []
    while isinstance(answer, dict) and len(layers) < 4:
        layers.append(answer)
        answer = next((answer[name] for name in _WRAPPERS if name in answer), None)
    return layers


def _slot(row: object) -> Slot | None:
    if not isinstance(row, dict):
        return None
    start = bodies.pick_instant([row], ("start", "bucket", "date", "day"))
    if start is None:
        return None
    counts = ("total", "inbound", "outbound", "completed", "missed", "failed")
    told = {name: bodies.pick_whole([row], (name,)) for name in counts}
    return Slot(start=start, spend_minor=_money([row]), **told)


def _money(where: list[Any]) -> int | None:
    found = (bodies.signed(layer.get("spend_minor")) for layer in where)
    return next((amount for amount in found if amount is not None), None)
