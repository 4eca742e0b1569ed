"""Bells: what should happen right after a commit, beside the rows that make it happen anyway.

The domain rings, the edges answer: `queues.apps` and `callcenter.live` say what a bell does (a
Celery task, a nudge to the browsers). A bell that is lost loses no work, because a sweep finds
the same rows; so a broker that is away is logged and never an error for whoever rang.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction

log = logging.getLogger(__name__)

_answers: dict[str, Callable[..., None]] = {}


def answer(name: str, do: Callable[..., None]) -> None:
    """Say what happens when the bell `name` rings; a later answer replaces an earlier one."""
    _answers[name] = do


def ring(name: str, *args: Any) -> None:
    """Ring once after the running transaction has committed (at once outside of one)."""
    pending = partial(_ring_now, name, *args)
    connection = transaction.get_connection()
    for _, waiting, _ in connection.run_on_commit:
        if (
            isinstance(waiting, partial)
            and waiting.func is _ring_now
            and waiting.args == pending.args
        ):
            return
    transaction.on_commit(pending)


def _ring_now(name: str, *args: Any) -> None:
    do = _answers.get(name)
    if do is None:
        return
    try:
        do(*args)
    except Exception:
        log.exception("bell %s was not heard; the sweep will find the work", name)
