"""Writes that go out together: several rows of one transaction in one statement.

A transaction that has locked its rows knows what a write to them will do, so the write can wait for
the next ones. What is held back goes out before the connection's next statement, whatever that is,
or as a part of the scene's last one: nobody who reads can tell the difference. A statement costs
about a millisecond of this process and of PostgreSQL, however little it says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.expressions import DatabaseDefault
from django.db.models.sql import UpdateQuery


class Unwritten(Exception):
    """A row that was locked did not take a write: it was not as the instance had it."""


class Together:
    """What is held back for a few rows of one transaction.

    In one statement nothing says what is written first, so a table has one write in it: a second
    one sends the first ones off.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._updates: dict[str, tuple[str, list[Any]]] = {}  # by table
        self._inserts: dict[str, Model] = {}
        self._others: dict[str, tuple[str, list[Any]]] = {}  # by what they are about

    def begin(self) -> None:
        """Hold back from now on."""
        self._is_open = True

    def end(self) -> None:
        """Hold back no more; what has not been sent or taken is dropped, as after a failure."""
        self._forget()
        self._is_open = False

    def hold(self, *rows: Model | None) -> None:
        """Hold back writes to these rows, which the transaction has locked, from now on."""
        for row in rows:
            if row is not None:
                row.__dict__["together"] = self

    def insert(self, row: Model) -> None:
        """Insert a new row, with the values that it has when it goes out."""
        self._expect(table := row._meta.db_table)
        self._inserts[table] = row
        row._state.adding, row._state.db = False, connection.alias
        self.hold(row)

    def update(self, row: Model, changes: Mapping[str, Any], states: Collection[str] = ()) -> None:
        """Write plain values to a row that has one of these states, and to the instance."""
        table = row._meta.db_table
        if self._inserts.get(table) is not row:
            self._expect(table)
            self._updates[table] = _update(row, changes, states)
        for name, value in changes.items():
            setattr(row, name, value)

    def update_all(self, about: str, rows: QuerySet[Any], **changes: Any) -> None:
        """Write `changes` to those of `rows` that there are by then, however many.

        `about` names them; writes with different names are to different rows.
        """
        if not self._is_open:
            rows.update(**changes)
            return
        self._expect(about)
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(changes)
        self._others[about] = query.get_compiler(connection=connection).as_sql()

    @property
    def _held(self) -> dict[str, Any]:
        return {**self._updates, **self._inserts, **self._others}

    def _expect(self, about: str) -> None:
        if about in (held := self._held):
            self.send()
        if about in held or not held:
            connection.execute_wrappers.append(self._before)

    def _before(self, execute: Callable[..., Any], *args: Any) -> Any:
        self.send()
        return execute(*args)

    def send(self) -> None:
        """Write what is held back, if anything is."""
        if not self._held:
            return
        clauses, values, count = self.take()
        with connection.cursor() as cursor:
            cursor.execute(f"WITH {', '.join(clauses)} SELECT {count}", values)
            self.check(cursor.fetchone()[0])

    def take(self) -> tuple[list[str], list[Any], str]:
        """Hand over what is held back, to be part of a larger statement.

        Returns the clauses for its WITH, their values, and an expression that counts the rows
        which were not written: to be selected, and given to `check`.
        """
        rows = [*(_insert(row) for row in self._inserts.values()), *self._updates.values()]
        others = [*self._others.values()]
        self._forget()
        clauses = [f"row{n} AS ({sql} RETURNING 1)" for n, (sql, _) in enumerate(rows)]
        clauses += [f"other{n} AS ({sql})" for n, (sql, _) in enumerate(others)]
        values = [value for _, own in [*rows, *others] for value in own]
        counts = [f"(SELECT count(*) FROM row{n})" for n in range(len(rows))]  # noqa: S608 - a number
        return clauses, values, " - ".join([str(len(rows)), *counts])

    def check(self, unwritten: int) -> None:
        """Raise Unwritten, so that the transaction is rolled back, where rows were not written."""
        if unwritten:
            raise Unwritten(f"{unwritten} rows were not as they had been locked")

    def _forget(self) -> None:
        self._updates, self._inserts, self._others = {}, {}, {}
        if self._before in connection.execute_wrappers:
            connection.execute_wrappers.remove(self._before)


def holder(row: Model) -> Together | None:
    """Return what holds back writes to this row just now, or None."""
    held: Together | None = row.__dict__.get("together")
    return held if held is not None and held._is_open else None


def update(row: Model, **changes: Any) -> None:
    """Write to a row and its instance: at once, or with the other writes of its scene.

    A row that is not saved yet changes in memory only.
    """
    if held := holder(row) if not row._state.adding else None:
        held.update(row, changes)
        return
    if not row._state.adding:
        type(row)._default_manager.filter(pk=row.pk).update(**changes)
    for name, value in changes.items():
        setattr(row, name, value)


def insert(row: Model, held: Together | None) -> None:
    """Insert a new row: at once, or with the other writes of the scene that `held` is of."""
    if held is not None and held._is_open:
        held.insert(row)
    else:
        row.save(force_insert=True)


def _update(row: Model, changes: Mapping[str, Any], states: Collection[str]) -> tuple[str, Any]:
    sets, values = [], []
    for name, value in changes.items():
        field: Any = row._meta.get_field(name)
        value = value.pk if isinstance(value, Model) else value
        sets.append(f'"{field.column}" = %s')
        values.append(field.get_db_prep_save(value, connection))
    statement = f'UPDATE "{row._meta.db_table}" SET {", ".join(sets)} WHERE id = %s'  # noqa: S608
    values.append(row.pk)
    if states:
        statement += " AND state = ANY(%s)"
        values.append(sorted(states))
    return statement, values


def _insert(row: Model) -> tuple[str, list[Any]]:
    fields: Any = row._meta.concrete_fields
    columns, places, values = [], [], []
    for field in fields:
        value = field.pre_save(row, add=True)
        columns.append(f'"{field.column}"')
        if isinstance(value, DatabaseDefault):
            places.append("DEFAULT")
            continue
        places.append("%s")
        values.append(field.get_db_prep_save(value, connection))
    statement = (
        f'INSERT INTO "{row._meta.db_table}" ({", ".join(columns)}) VALUES ({", ".join(places)})'  # noqa: S608
    )
    return statement, values
