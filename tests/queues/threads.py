"""Threads that start together, each on a connection of its own; a deadlock is always seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import OperationalError, connection

DEADLOCK, LOCK_TIMEOUT = "40P01", "55P03"
PATIENCE = 120  # seconds; a slow machine is no failure


class Contention(AssertionError):
    """Transactions have waited for each other in a circle, or for too long."""


def at_once(*tasks: Callable[[], object]) -> list[Any]:
    """Run the tasks together; return what each returns, in their order.

    Raises Contention when any statement ended in a deadlock or a lock timeout, also where the
    code under test has caught it and tried again.
    """
    start = threading.Barrier(len(tasks))
    seen: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        try:
            return execute(sql, params, many, context)
        except OperationalError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state in {DEADLOCK, LOCK_TIMEOUT}:
                seen.append(f"{state} in {' '.join(sql.split())[:200]}")
            raise

    def run(task: Callable[[], object]) -> object:
        connection.ensure_connection()
        start.wait(PATIENCE)
        try:
            with connection.execute_wrapper(watch):
                return task()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(tasks)) as pool:
        done = [pool.submit(run, task) for task in tasks]
        results = []
        for each in done:
            try:
                results.append(each.result(PATIENCE))
            except Exception as error:
                if seen:
                    raise Contention("; ".join(seen)) from error
                raise
    if seen:
        raise Contention("; ".join(seen))
    return results
