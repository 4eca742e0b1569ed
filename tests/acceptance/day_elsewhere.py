"""The same day at another time: a copy of the database whose rows are shifted, wave by wave."""

from __future__ import annotations

import os
import subprocess
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from callcenter import embedded

# Rows of a day have their instants in these; what is counted of them is counted anew.
_TABLES = "agents\\_%|queues\\_%|reporting\\_callrecord"
_COUNTED = ("queue", "offer", "agent", "cost", "disposition", "stale")


class Shift:
    """Moves each stretch between two lulls so that one instant of it comes to lie on an edge."""

    def __init__(self, cuts: list[float], pairs: list[tuple[float, float]]) -> None:
        self.cuts = cuts  # the first one is the beginning; what is earlier stays where it is
        self.by = [edge - instant for instant, edge in pairs]

    def __call__(self, at: float) -> float:
        place = bisect_right(self.cuts, at) - 1
        return at + self.by[place] if place >= 0 else at

    def as_sql(self, column: str) -> sql.Composed:
        """The same of a column."""
        whens = [
            sql.SQL("WHEN {} >= to_timestamp({}) THEN {} + make_interval(secs => {})").format(
                sql.Identifier(column), cut, sql.Identifier(column), by
            )
            for cut, by in reversed(list(zip(self.cuts, self.by, strict=True)))
        ]
        return sql.SQL("CASE {} ELSE {} END").format(
            sql.SQL(" ").join(whens), sql.Identifier(column)
        )


@contextmanager
def copied(url: str, directory: Path, shift: Shift) -> Iterator[str]:
    """A copy of the database, with its rows shifted; its URL. It is dropped afterwards."""
    name = f"{urlsplit(url).path.lstrip('/')}_elsewhere"
    copy = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    dump = directory / "day.dump"
    program = embedded.postgres_program
    _run(program("pg_dump"), "-Fc", "-f", dump, "-d", url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        _run(program("pg_restore"), "--no-owner", "-d", copy, dump)
        with psycopg.connect(copy) as connection:
            _shift(connection, shift)
        yield copy
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, timeout=120, env={**os.environ})


def _shift(connection: psycopg.Connection, shift: Shift) -> None:
    """Update every instant; triggers are for people's own changes, and the order of updates too.

    What excludes overlapping rows is put back afterwards, so it must hold again.
    """
    found = connection.execute(
        "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
        "JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND is_generated = 'NEVER' "
        "AND data_type = 'timestamp with time zone' AND table_name LIKE ANY(%s) GROUP BY 1",
        [_TABLES.split("|")],
    ).fetchall()
    excluding = connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype = 'x' AND connamespace = 'public'::regnamespace"
    ).fetchall()
    for table, name, _rule in excluding:
        _alter(connection, table, "DROP CONSTRAINT {}", sql.Identifier(name))
    for table, columns in found:
        _alter(connection, table, "DISABLE TRIGGER USER")
        changes = [
            sql.SQL("{} = {}").format(sql.Identifier(column), shift.as_sql(column))
            for column in columns
        ]
        connection.execute(
            sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), sql.SQL(", ").join(changes))
        )
    for kind in _COUNTED:
        table = sql.Identifier(f"reporting_{kind}quarter")
        connection.execute(sql.SQL("TRUNCATE {}").format(table))
    connection.commit()
    for table, name, rule in excluding:
        _alter(connection, table, f"ADD CONSTRAINT {{}} {rule}", sql.Identifier(name))
    for table, _columns in found:
        _alter(connection, table, "ENABLE TRIGGER USER")


def _alter(connection: psycopg.Connection, table: str, how: str, *names: sql.Identifier) -> None:
    change = sql.SQL("ALTER TABLE {} ").format(sql.Identifier(table))
    connection.execute(change + sql.SQL(how).format(*names))
