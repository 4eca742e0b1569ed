"""Keeps the views of the schema `reports` beside the migrations: dropped before, made after.

PostgreSQL refuses to change a column that a view reads. So whenever migrations are to run the views
go first, and come back after the last one; where nothing is to be migrated, they are made only if
they are missing or of another version. Grants to readers come from the default privileges of the
schema, so they outlive this.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from django.db import connections, transaction
from django.db.utils import DatabaseError, InternalError, OperationalError, ProgrammingError

SCHEMA = "reports"
_SQL = Path(__file__).with_name("views.sql")
_PATIENCE = "70s"  # longer than a reader's statement may last


def names() -> list[str]:
    """Return the names of the views, in the order in which they are made."""
    return re.findall(r"^CREATE VIEW reports\.(\w+) AS", _SQL.read_text(), re.MULTILINE)


def version() -> str:
    """Return what tells these views from those of another version."""
    return hashlib.sha256(_SQL.read_bytes()).hexdigest()[:16]


def before_migrations(*, plan: Any = (), using: str = "default", **kwargs: Any) -> None:
    """Drop the views if anything is to be migrated."""
    if plan:
        drop(using)


def after_migrations(
    *, plan: Any = None, using: str = "default", verbosity: int = 1, **kwargs: Any
) -> None:
    """Make the views if they are not there as they should be; not after a mere flush."""
    if plan is None or is_current(using):
        return
    try:
        drop(using)
        make(using)
    except (ProgrammingError, InternalError, OperationalError) as error:
        if verbosity:  # an older state of the tables, or no right to make a schema
            print(f"The SQL views of reports are not there: {error}".strip())  # noqa: T201


def is_current(using: str = "default") -> bool:
    """Whether the views are there, in this version."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT obj_description(to_regnamespace(%s)::oid, 'pg_namespace')", [SCHEMA])
        return bool(cursor.fetchone()[0] == version())


def drop(using: str = "default") -> None:
    """Take the views away; what others have built upon them is an error that names it."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s)", [SCHEMA])
        if cursor.fetchone()[0] is None:
            return
        cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        cursor.execute(f"COMMENT ON SCHEMA {SCHEMA} IS NULL")
        # Those of another version too.
        cursor.execute("SELECT viewname FROM pg_views WHERE schemaname = %s", [SCHEMA])
        if found := [row[0] for row in cursor.fetchall()]:
            views = ", ".join(f'{SCHEMA}."{name}"' for name in found)
            try:
                cursor.execute(f"DROP VIEW {views}")
            except DatabaseError as error:
                error.add_note(
                    "Views of your own are built upon those in the schema reports. Drop them, "
                    "migrate, and make them again (docs/sql-views.md)."
                )
                raise


def make(using: str = "default") -> None:
    """Make the schema and its views."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s)", [SCHEMA])
        if cursor.fetchone()[0] is None:
            cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        cursor.execute(_SQL.read_text())
        cursor.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{version()}'")
