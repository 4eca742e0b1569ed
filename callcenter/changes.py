"""The history of a row as people read it: who, when, by which door, and what became of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Max, Model, Q

from callcenter import undo

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
    key: str  # the model and the number of the row of history
    can_undo: bool

    def in_words(self) -> str:
        """What was done, in one line."""
        told = ", ".join(f"{each.field}: {each.before} → {each.after}" for each in self.differences)
        return f"{self.what} {self.verb}" + (f" ({told})" if told else "")


def of(model: type[Model], pk: Any, parts: Sequence[tuple[type[Model], str]] = ()) -> list[Change]:
    """Return what happened to a row and to its parts, newest first.

    A part belongs to the row if it ever did: a number that moved to another queue is in both.
    """
    found = []
    for each, which in _histories(model, pk, parts):
        found += _read(each, which, is_part=each is not model)
    return sorted(found, key=lambda change: change.at, reverse=True)[:MOST]


def version(row: Model, parts: Sequence[tuple[type[Model], str]] = ()) -> str:
    """Return the numbers of the newest changes of a row and of its parts: another, once changed."""
    numbers = [
        each.history.filter(which).aggregate(newest=Max("history_id"))["newest"] or 0
        for each, which in _histories(type(row), row.pk, parts)
    ]
    return "-".join(map(str, numbers))


def since(row: Model, parts: Sequence[tuple[type[Model], str]], seen: str) -> list[Change]:
    """Return the changes after a version, newest first; none where `seen` is no version."""
    labels = [each._meta.label for each, _ in _histories(type(row), row.pk, parts)]
    numbers = seen.split("-")
    if len(numbers) != len(labels) or not all(n.isascii() and n.isdecimal() for n in numbers):
        return []
    newest = dict(zip(labels, map(int, numbers), strict=True))
    split = ((change, change.key.split(":")) for change in of(type(row), row.pk, parts))
    return [change for change, (label, number) in split if int(number) > newest[label]]


def _histories(
    model: Any, pk: Any, parts: Sequence[tuple[type[Model], str]]
) -> list[tuple[Any, Q]]:
    """Each model with a history of this row, and which rows of it are meant."""
    found: dict[Any, Q] = {model: Q(**{str(model._meta.pk.attname): pk})}
    for part, key in parts:
        history: Any = part
        theirs = Q(id__in=history.history.filter(**{f"{key}_id": pk}).values("id"))
        found[part] = found[part] | theirs if part in found else theirs
    return list(found.items())


def _read(model: Any, which: Q, *, is_part: bool) -> list[Change]:
    rows = list(
        model.history.filter(which).select_related("history_user").order_by("-history_id")[:MOST]
    )
    key = model._meta.pk.attname
    changes = []
    for n, row in enumerate(rows):
        older = next((r for r in rows[n + 1 :] if getattr(r, key) == getattr(row, key)), None)
        delta = _delta(older, row) if row.history_type == "~" and older else []
        changes.append(
            Change(
                at=row.history_date,
                who=row.history_user.get_username() if row.history_user else "",
                door=row.history_change_reason or "",
                verb=_VERBS[row.history_type],
                what=f"{model._meta.verbose_name} {_name(row)}".strip(),
                differences=[_difference(row, each) for each in delta],
                key=f"{model._meta.label}:{row.pk}",
                can_undo=undo.can_undo(row, [each.field for each in delta], is_part),
            )
        )
    return changes


def _name(row: Any) -> str:
    fields = {field.attname: getattr(row, field.attname) for field in row.tracked_fields}
    try:
        return str(row.instance_type(**fields))
    except ObjectDoesNotExist:  # its name is that of something that has been removed
        return f"({getattr(row, row.instance_type._meta.pk.attname)})"


def _delta(older: Any, newer: Any) -> Any:
    try:
        return newer.diff_against(older, foreign_keys_are_objs=True).changes
    except ObjectDoesNotExist:
        return newer.diff_against(older).changes


def _difference(row: Any, change: Any) -> Difference:
    return Difference(_label(row, change.field), _value(change.old), _value(change.new))


def _label(row: Any, field: str) -> str:
    return str(getattr(row.instance_type._meta.get_field(field), "verbose_name", field))


def _value(value: Any) -> str:
    if isinstance(value, list):  # of a many-to-many: a dict for each, with the other's row in it
        return ", ".join(sorted(str(list(each.values())[-1]) for each in value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value in (None, "") else str(value)
