"""The pool of connections to PostgreSQL, and how it takes the server's absence.

A voice webhook has its answer within a second, whatever has become of the database: nobody waits
long for a connection, least of all while the server is known to be away; and a connection that
died with the server is found out before it is used, without a round trip.
"""

from __future__ import annotations

import select
from typing import Any

from django.db.backends.postgresql import base
from psycopg_pool import ConnectionPool

PATIENCE = 0.4  # seconds for a connection; a voice webhook may have waited for a thread as long
SHORT_PATIENCE = 0.1  # while the server is known to be away
TRY_AGAIN_AFTER = 0.2  # seconds to a second attempt; after it, each request makes one at once


def pool_options(*, size: int) -> dict[str, Any]:
    """Return the options of the pool of one process, of `size` connections at the most."""
    return {
        "min_size": 1,
        "max_size": size,
        "timeout": PATIENCE,
        "reconnect_timeout": TRY_AGAIN_AFTER,
        "reconnect_failed": _be_short,
    }


def _be_short(pool: ConnectionPool[Any]) -> None:
    pool.timeout = SHORT_PATIENCE


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection from the pool that is alive as far as can be seen from here."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Take one from the pool; once one of them is dead, the pool forgets all it had."""
        connection = super().get_new_connection(conn_params)
        pool = self.pool
        if pool is None:
            return connection
        if _has_been_hung_up(connection):
            connection.close()
            pool.putconn(connection)
            pool.drain()
            connection = super().get_new_connection(conn_params)
        if pool.timeout != PATIENCE:
            pool.timeout = PATIENCE
        return connection


def _has_been_hung_up(connection: Any) -> bool:
    """An idle connection has nothing to be read, unless the server has ended it."""
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    if not idle.poll(0):
        return False
    try:
        ConnectionPool.check_connection(connection)
    except Exception:  # noqa: BLE001 - whatever it is, it is not alive
        return True
    return False
