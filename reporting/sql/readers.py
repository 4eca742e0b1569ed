"""Roles of PostgreSQL that may read the views in the schema `reports`, and nothing else."""

from __future__ import annotations

import re
import secrets

from django.db import connection, transaction
from psycopg import sql

from reporting.sql.database_views import SCHEMA

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
TIMEOUT = "60s"
MOST_CONNECTIONS = 5
_MARK = "reads the reports of the call centre"
_SETTINGS = {
    "statement_timeout": TIMEOUT,
    "idle_in_transaction_session_timeout": TIMEOUT,
    "lock_timeout": "3s",
    "default_transaction_read_only": "on",
    "search_path": SCHEMA,
}


# What a reader has: on the views that are there, and on those that come after a migration.
_PRIVILEGES = (
    "{} CONNECT ON DATABASE {database} {} {role}",
    "{} USAGE ON SCHEMA {schema} {} {role}",
    "{} SELECT ON ALL TABLES IN SCHEMA {schema} {} {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} {} SELECT ON TABLES {} {role}",
)


class NotPossible(Exception):
    """The role is not made; the message is a sentence that says why."""


def grant(name: str) -> tuple[str, bool]:
    """Make a reader, or give it a new password; return the password and whether it is new.

    Raises NotPossible. The password goes to the server as its digest only.
    """
    if not NAME.fullmatch(name) or name.startswith("pg_"):
        raise NotPossible("A name has small letters, digits and _, and begins with a letter.")
    password = secrets.token_urlsafe(24)
    with transaction.atomic(), connection.cursor() as cursor:
        is_new = not _is_there(cursor, name)
        role = sql.Identifier(name)
        make = "CREATE ROLE {} " if is_new else "ALTER ROLE {} "
        limits = (
            "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT "
            f"CONNECTION LIMIT {MOST_CONNECTIONS} PASSWORD {{}}"
        )
        _do(cursor, sql.SQL(make + limits).format(role, _digest(password, name)))
        _do(cursor, sql.SQL("COMMENT ON ROLE {} IS {}").format(role, sql.Literal(_MARK)))
        for setting, value in _SETTINGS.items():
            told = f"ALTER ROLE {{}} SET {setting} TO {{}}"
            _do(cursor, sql.SQL(told).format(role, sql.Literal(value)))
        # What everybody may do by default: make tables, and temporary ones.
        _do(cursor, sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        _do(
            cursor, sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(_database(cursor))
        )
        for privilege in _PRIVILEGES:
            _privilege(cursor, "GRANT", privilege, "TO", role)
    return password, is_new


def revoke(name: str) -> None:
    """Remove a reader. Raises NotPossible."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not NAME.fullmatch(name) or not _is_there(cursor, name):
            raise NotPossible(f"There is no reader {name}.")
        role = sql.Identifier(name)
        for privilege in reversed(_PRIVILEGES):
            _privilege(cursor, "REVOKE", privilege, "FROM", role)
        _do(cursor, sql.SQL("DROP ROLE {}").format(role))


def _is_there(cursor, name: str) -> bool:  # type: ignore[no-untyped-def]
    """Whether this reader is there; raises NotPossible where the role is something else."""
    cursor.execute("SELECT to_regnamespace(%s)", [SCHEMA])
    if cursor.fetchone()[0] is None:
        raise NotPossible("The views are not there: run `manage.py migrate` first.")
    cursor.execute(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", [name]
    )
    found = cursor.fetchone()
    if found and found[0] != _MARK:
        raise NotPossible(f"The role {name} is there already, and is no reader of reports.")
    return found is not None


def _digest(password: str, name: str) -> sql.Literal:
    connection.ensure_connection()
    digest = connection.connection.pgconn.encrypt_password(
        password.encode(), name.encode(), b"scram-sha-256"
    )
    return sql.Literal(digest.decode())


def _database(cursor) -> sql.Identifier:  # type: ignore[no-untyped-def]
    cursor.execute("SELECT current_database()")
    return sql.Identifier(cursor.fetchone()[0])


def _privilege(  # type: ignore[no-untyped-def]
    cursor, verb: str, privilege: str, word: str, role: sql.Identifier
) -> None:
    """Grant or revoke one of the privileges."""
    parts = {"database": _database(cursor), "schema": sql.Identifier(SCHEMA), "role": role}
    statement = sql.SQL(privilege).format(sql.SQL(verb), sql.SQL(word), **parts)
    _do(cursor, statement)


def _do(cursor, statement: sql.Composed | sql.SQL) -> None:  # type: ignore[no-untyped-def]
    cursor.execute(statement)
