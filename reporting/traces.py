"""Where one person's number stands: in every text of every table, in the forms people write it.

Searching is generic, over the catalogue of the database, so a table that comes later is searched
too. It reads every row: seconds for a million calls. Only who erases a person, or proves it, pays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from psycopg.types.json import Json, Jsonb

from callcenter.sautikit import phone
from reporting import pseudonyms

_GAP = r"[ .()/-]*"  # what people put between digits
# Tables that grow with the calls, and the column that says of which call a row is.
OF_CALLS = {
    "queues_queuedcall": "id", "queues_leg": "call_id", "queues_offer": "call_id",
    "queues_callevent": "call_id", "queues_webhookevent": "call_id",
    "reporting_callrecord": "call_id",
}  # fmt: skip
_COLUMNS = """
SELECT c.table_name, c.column_name, c.udt_name, c.character_maximum_length
FROM information_schema.columns c JOIN information_schema.tables t
    ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
AND c.is_generated = 'NEVER'
AND c.udt_name IN ('text', 'varchar', 'bpchar', 'json', 'jsonb', '_text', '_varchar', '_jsonb')
ORDER BY c.table_name, c.ordinal_position
"""


@dataclass(frozen=True)
class Column:
    """One column that can hold a text."""

    name: str
    kind: str
    longest: int | None


@dataclass
class Person:
    """Somebody by their number or SIP address. Raises phone.BadDestination for what is neither."""

    number: str
    pattern: str = field(init=False)
    core: str = field(init=False)  # quicker to look for; what has the pattern has this too

    def __post_init__(self) -> None:
        self.number = phone.normalise(self.number)
        self.known_as = pseudonyms.all_of(self.number)
        if phone.is_sip(self.number):
            user, _, host = self.number.partition(":")[2].partition("@")
            core = f"{re.escape(user)}(?:@|%40){re.escape(host)}"
            own = f"(?:sips?(?::|%3a))?{core}(?![a-z0-9.-])"
        else:
            own, core = _of_number(self.number)
        names = [re.escape(name) for name in self.known_as]
        self.pattern = "(?i)" + "|".join([own, *names])
        self.core = ("(?i)" if phone.is_sip(self.number) else "") + "|".join([core, *names])
        self._compiled = re.compile(self.pattern)

    def is_in(self, text: str) -> bool:
        """Whether a text names this person."""
        return self._compiled.search(text) is not None

    def replaced(self, value: Any, name: str) -> Any:
        """Return a value, a JSON document or a text, with `name` for this person."""
        if isinstance(value, str):
            return self._in_text(value, name)
        if isinstance(value, dict):
            return {self.replaced(key, name): self.replaced(each, name)
                    for key, each in value.items()}  # fmt: skip
        if isinstance(value, list):
            return [self.replaced(each, name) for each in value]
        if isinstance(value, int) and not isinstance(value, bool) and self.is_in(str(value)):
            return name
        return value

    def _in_text(self, text: str, name: str) -> str:
        if text[:1] in "{[" and self.is_in(text):
            try:
                document = json.loads(text)
            except ValueError:
                pass
            else:
                return json.dumps(self.replaced(document, name))
        is_whole = phone.is_sip(self.number)
        return self._compiled.sub(pseudonyms.as_address(name) if is_whole else name, text)


def _of_number(number: str) -> tuple[str, str]:
    digits = number[1:]
    if digits.startswith("254") and len(digits) == 12:
        national = _GAP.join(digits[3:])
        code = _GAP.join("254")
        whole = rf"(?<![0-9])(?:(?:%2b|\+|00){_GAP})?{code}{_GAP}(?:0{_GAP})?{national}(?![0-9])"
        local = rf"(?<![0-9a-z])(?:0{_GAP})?{national}(?![0-9a-z])"
        return f"{whole}|{local}", national
    core = _GAP.join(digits)
    return rf"(?<![0-9])(?:(?:%2b|\+|00){_GAP})?{core}(?![0-9])", core


def columns() -> dict[str, list[Column]]:
    """Return every column of every table that can hold a text."""
    found: dict[str, list[Column]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        for table, *column in cursor.fetchall():
            found.setdefault(table, []).append(Column(*column))
    return found


def count(person: Person) -> dict[str, int]:
    """Return in how many rows of which `table.column` a person's number stands."""
    found: dict[str, int] = {}
    for table, own in columns().items():
        told = ", ".join(f'count(*) FILTER (WHERE "{each.name}"::text ~ %s)' for each in own)
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT {told} FROM "{table}" WHERE {_maybe(own)}',  # noqa: S608 - our own names
                [*[person.pattern] * len(own), person.core],
            )
            row = cursor.fetchone()
        found |= {f"{table}.{each.name}": n for each, n in zip(own, row, strict=True) if n}
    return found


def replace(
    person: Person,
    name: str,
    *,
    told: Callable[[str, int], None],
    calls: Sequence[Any] | None = None,
    tables: Collection[str] | None = None,
) -> None:
    """Write `name` in the place of a person's number; in the running transaction.

    In all tables or the given ones. With `calls`, tables that grow with the calls are looked at
    for these only, by an index.
    """
    for table, own in columns().items():
        if tables is not None and table not in tables:
            continue
        rows = _rows(table, own, person, name, calls)
        if changed := sum(_replace_in_row(table, *row) for row in rows):
            told(table, changed)


def _rows(
    table: str, own: list[Column], person: Person, name: str, calls: Sequence[Any] | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    names = ", ".join(f'"{each.name}"' for each in own)
    where = _maybe(own)
    values: list[Any] = [person.core]
    if calls is not None and table in OF_CALLS:
        where, values = f"{OF_CALLS[table]} = ANY(%s::uuid[]) AND {where}", [calls, person.core]
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT ctid::text, {names} FROM "{table}" '  # noqa: S608 - our own names
            f"WHERE {where} FOR NO KEY UPDATE",
            values,
        )
        rows = cursor.fetchall()
    for place, *row in rows:
        changes = {
            column.name: new
            for column, value in zip(own, row, strict=True)
            if (new := _changed(column, value, person, name)) is not None
        }
        if changes:
            yield place, changes


def _changed(column: Column, value: Any, person: Person, name: str) -> Any:
    """Return what is to stand in a column instead of its value; None to leave it."""
    is_json = column.kind in ("json", "jsonb")
    if is_json and isinstance(value, str):  # as Django's cursors hand it out
        value = json.loads(value)
    new = person.replaced(value, name)
    if value is None or new == value:
        return None
    if is_json:
        return Jsonb(new) if column.kind == "jsonb" else Json(new)
    return new[: column.longest] if isinstance(new, str) else new


def _replace_in_row(table: str, place: str, changes: dict[str, Any]) -> int:
    told = ", ".join(f'"{column}" = %s' for column in changes)
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{table}" SET {told} WHERE ctid = %s::tid',  # noqa: S608
            [*changes.values(), place],
        )
        return int(cursor.rowcount)


def _maybe(own: list[Column]) -> str:
    """A condition on the core, which is true wherever the pattern may be found: all at once."""
    names = ", ".join(f'"{each.name}"' for each in own)
    return f"concat_ws(E'\\n', {names}) ~ %s"
