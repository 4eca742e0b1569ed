"""The history of a row as people read it: who, when, by which door, and what became of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, Q

MOST = 300  # rows of history on one page
_VERBS = {"+": "added", "~": "changed", "-": "removed"}


@dataclass(frozen=True)
class Difference:
    """One field: its label, and its value before and after."""

    field: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """One row of history."""

    at: datetime
    who: str
    door: str
    verb: str  # added, changed, removed
    what: str  # the kind of thing and its name
    differences: Sequence[Difference]


def of(model: type[Model], pk: Any, parts: Sequence[tuple[type[Model], str]] = ()) -> list[Change]:
    """Return what happened to a row and to its parts, newest first.

    A part belongs to the row if it ever did: a number that moved to another queue is in both.
    """
    found = _read(model, Q(**{str(model._meta.pk.attname): pk}))
    for part, key in parts:
        history: Any = part
        ever = history.history.filter(**{f"{key}_id": pk}).values("id")
        found += _read(part, Q(id__in=ever))
    return sorted(found, key=lambda change: change.at, reverse=True)[:MOST]


def _read(model: Any, which: Q) -> list[Change]:
    rows = list(
        model.history.filter(which).select_related("history_user").order_by("-history_id")[:MOST]
    )
    key = model._meta.pk.attname
    changes = []
    for n, row in enumerate(rows):
        older = next((r for r in rows[n + 1 :] if getattr(r, key) == getattr(row, key)), None)
        changes.append(
            Change(
                at=row.history_date,
                who=row.history_user.get_username() if row.history_user else "",
                door=row.history_change_reason or "",
                verb=_VERBS[row.history_type],
                what=f"{model._meta.verbose_name} {_name(row)}".strip(),
                differences=_between(older, row) if row.history_type == "~" else (),
            )
        )
    return changes


def _name(row: Any) -> str:
    fields = {field.attname: getattr(row, field.attname) for field in row.tracked_fields}
    try:
        return str(row.instance_type(**fields))
    except ObjectDoesNotExist:  # its name is that of something that has been removed
        return f"({getattr(row, row.instance_type._meta.pk.attname)})"


def _between(older: Any, newer: Any) -> list[Difference]:
    if older is None:
        return []
    try:
        delta = newer.diff_against(older, foreign_keys_are_objs=True)
    except ObjectDoesNotExist:
        delta = newer.diff_against(older)
    return [
        Difference(_label(newer, each.field), _value(each.old), _value(each.new))
        for each in delta.changes
    ]


def _label(row: Any, field: str) -> str:
    return str(getattr(row.instance_type._meta.get_field(field), "verbose_name", field))


def _value(value: Any) -> str:
    if isinstance(value, list):  # of a many-to-many: a dict for each, with the other's row in it
        return ", ".join(sorted(str(list(each.values())[-1]) for each in value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value in (None, "") else str(value)
