"""What arrived: every webhook is stored once, with what we made of it."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from callcenter.ids import new_id
from callcenter.sautikit.callbacks import event_key
from queues.models import QueuedCall, WebhookEvent

log = logging.getLogger(__name__)
KEEP_FOR = timedelta(days=7)

_STORE = """
INSERT INTO queues_webhookevent
    (id, key, endpoint, kind, verdict, note, call_id, body, repeats, received_at, handled_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, %s, %s)
ON CONFLICT (key) DO UPDATE SET repeats = queues_webhookevent.repeats + 1
RETURNING xmax = 0
"""

# The same, together with the leg that an event names.
_STORE_WITH_LEG = """
WITH leg AS (
    SELECT id, call_id FROM queues_leg
    WHERE session_id = ANY(%s) OR provider_id = ANY(%s) OR id = %s LIMIT 1
), stored AS (
    INSERT INTO queues_webhookevent
        (id, key, endpoint, kind, verdict, note, call_id, body, repeats, received_at, handled_at)
    VALUES (%s, %s, %s, %s, %s, %s, (SELECT call_id FROM leg), %s, 0, %s, %s)
    ON CONFLICT (key) DO UPDATE SET repeats = queues_webhookevent.repeats + 1
    RETURNING xmax = 0 AS is_new
)
SELECT stored.is_new, l.state, l.answered_at
FROM stored LEFT JOIN queues_leg l ON l.id = (SELECT id FROM leg)
"""
_STORE_IF_OVER = """
INSERT INTO queues_webhookevent
    (id, key, endpoint, kind, verdict, note, call_id, body, repeats, received_at, handled_at)
SELECT %s, %s, %s, %s, %s, %s, c.id, %s, 0, %s, %s
FROM queues_queuedcall c WHERE c.id = %s AND c.ended_at IS NOT NULL AND c.offer_id IS NULL
ON CONFLICT (key) DO UPDATE SET repeats = queues_webhookevent.repeats + 1
RETURNING xmax = 0
"""


@dataclass
class Arrival:
    """One request from the provider, parsed and judged, not yet handled."""

    endpoint: str
    at: datetime
    fields: dict[str, Any]
    headers: Mapping[str, str]
    url: str
    verdict: str = WebhookEvent.Verdict.TRUSTED
    note: str = ""
    kind: str = ""
    signature: str = ""  # genuine: the same one again is the same request again
    is_new: bool | None = field(default=None, init=False)

    def store(self, call: QueuedCall | None = None, *, about: str = "") -> bool:
        """Keep this request; return whether it is the first of its kind.

        `about` tells apart requests that look alike and are not repeats: the step of a menu, the
        leg of a room's event. What was not believed is kept under a key of its own, so that it
        never makes a repeat of the genuine request.
        """
        with connection.cursor() as cursor:
            cursor.execute(*self.insertion(call, about=about))
            self.is_new = bool(cursor.fetchone()[0])
        return self.is_new

    def insertion(self, call: QueuedCall | None, *, about: str) -> tuple[str, list[Any]]:
        """Return the statement that keeps this request, and its values."""
        values = self._values(about)
        values.insert(6, call.pk if call else None)
        return _STORE, values

    def store_with_leg(
        self, handles: Sequence[str], label: uuid.UUID | None
    ) -> tuple[bool, str | None, datetime | None]:
        """Keep this request, and find the leg it names, in one statement.

        Returns whether it is the first of its kind, the leg's state (None: no leg of ours), and
        when the leg was answered.
        """
        known = list(handles)
        with connection.cursor() as cursor:
            cursor.execute(_STORE_WITH_LEG, [known, known, label, *self._values("")])
            is_new, state, answered_at = cursor.fetchone()
        self.is_new = bool(is_new)
        return self.is_new, state, answered_at

    def store_if_over(self, call_pk: uuid.UUID, *, about: str) -> bool:
        """Keep this request if its call has ended, so that nothing is left to do; say whether."""
        with connection.cursor() as cursor:
            cursor.execute(_STORE_IF_OVER, [*self._values(about), call_pk])
            return cursor.fetchone() is not None

    def _values(self, about: str) -> list[Any]:
        if self.verdict != WebhookEvent.Verdict.TRUSTED:
            about = f"{about}:{self.verdict}"
        key = event_key(self.headers, self.fields, f"{self.endpoint}{about}")[:160]
        return [
            new_id(), key, self.endpoint, self.kind[:48], self.verdict, self.note[:200],
            json.dumps(self.fields)[:65536], self.at, self.at,
        ]  # fmt: skip


def forget_old(at: datetime) -> int:
    """Remove what arrived before the time for which bodies are kept."""
    removed, _ = WebhookEvent.objects.filter(received_at__lt=at - KEEP_FOR).delete()
    return removed
