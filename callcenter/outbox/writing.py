"""Telling: messages are written in the transaction of what they tell, and only if somebody hears.

Whether an active endpoint wants a topic is found out by the statement that writes, so a centre
without endpoints pays no statement and writes no row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from callcenter import bell


@dataclass(frozen=True)
class News:
    """One thing to tell: `extra` is an SQL expression (jsonb) with values, added to the payload.

    Whoever writes holds a lock on the subject, so that the numbers of its messages rise in the
    order in which things happened.
    """

    topic: str
    subject: str
    at: datetime
    payload: dict[str, Any]
    extra: str = ""
    values: tuple[Any, ...] = ()


_ONE = """jsonb_build_object('topic', %s::text, 'subject', %s::text, 'at', %s::timestamptz,
    'payload', %s::jsonb{extra})"""


def telling(news: Sequence[News]) -> tuple[str, list[Any]]:
    """Return a SELECT that writes these news in order, and its values.

    Its one column `count` says how many messages came of it. It can be a part of the statement
    that writes what happened: the function in the database (migration 0001) is planned once for
    each connection, which a statement that said the same would be every time.
    """
    parts = [_ONE.format(extra=f" || {one.extra}" if one.extra else "") for one in news]
    values: list[Any] = []
    for one in news:
        values += [one.topic, one.subject, one.at, json.dumps(one.payload), *one.values]
    return f"SELECT outbox_tell(jsonb_build_array({', '.join(parts)})) AS count", values


def tell(*news: News) -> None:
    """Write these news in the running transaction, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(*telling(news))
        [count] = cursor.fetchone()
    if count:
        bell.ring("tell")


def moment(at: datetime | None) -> str | None:
    """Write an instant as the API does: in the centre's time zone, with its offset."""
    return (
        timezone.localtime(at, timezone.get_default_timezone()).isoformat().replace("+00:00", "Z")
        if at
        else None
    )
