"""What arrived: every webhook is stored once, with what we made of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
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
    is_new: bool | None = field(default=None, init=False)

    def store(self, call: QueuedCall | None = None, *, about: str = "") -> bool:
        """Keep this request; return whether it is the first of its kind.

        `about` tells apart requests that look alike and are not repeats: the step of a menu, the
        leg of a room's event.
        """
        key = event_key(self.headers, self.fields, f"{self.endpoint}{about}")[:160]
        with connection.cursor() as cursor:
            cursor.execute(
                _STORE,
                [
                    new_id(), key, self.endpoint, self.kind[:48], self.verdict, self.note[:200],
                    call.pk if call else None, json.dumps(self.fields)[:65536], self.at, self.at,
                ],
            )  # fmt: skip
            self.is_new = bool(cursor.fetchone()[0])
        return self.is_new


def forget_old(at: datetime) -> int:
    """Remove what arrived before the time for which bodies are kept."""
    removed, _ = WebhookEvent.objects.filter(received_at__lt=at - KEEP_FOR).delete()
    return removed
