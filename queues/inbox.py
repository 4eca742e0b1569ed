"""What arrived: every webhook is stored once, with what we made of it."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from callcenter.ids import new_id
from callcenter.rows import from_row
from callcenter.sautikit.callbacks import Outcome, event_key
from queues.links import Reference
from queues.models import Leg, QueuedCall, WebhookEvent

log = logging.getLogger(__name__)
RETRY_AFTER = timedelta(seconds=2)

_POSTPONE = """
INSERT INTO queues_webhookevent
    (id, key, endpoint, kind, verdict, note, body, repeats, received_at, context, retry_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, 0, %s, %s, %s)
ON CONFLICT (key) DO UPDATE SET repeats = queues_webhookevent.repeats + 1
"""

_STORE = """
INSERT INTO queues_webhookevent
    (id, key, endpoint, kind, verdict, note, call_id, body, repeats, received_at, handled_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, %s, %s)
ON CONFLICT (key) DO UPDATE SET repeats = queues_webhookevent.repeats + 1
RETURNING xmax = 0
"""

# The same, together with the leg that an event names: stored unless there is more to do first.
_STORE_UNLESS_NEWS = """
WITH leg AS (
    SELECT * FROM queues_leg
    WHERE session_id = ANY(%(handles)s) OR provider_id = ANY(%(handles)s) OR id = %(label)s LIMIT 1
), news AS (
    SELECT EXISTS (
        SELECT 1 FROM leg JOIN queues_queuedcall c ON c.id = leg.call_id
        WHERE leg.ended_at IS NULL AND CASE
            WHEN leg.role = 'customer' OR leg.is_placed_by_us
            THEN %(is_end)s AND (c.ended_at IS NULL OR c.offer_id IS NOT NULL)
            ELSE %(is_end)s OR (%(is_answer)s AND leg.answered_at IS NULL) END
    ) AS told
), stored AS (
    INSERT INTO queues_webhookevent
        (id, key, endpoint, kind, verdict, note, call_id, body, repeats, received_at, handled_at)
    SELECT %(id)s, %(key)s, %(endpoint)s, %(kind)s, %(verdict)s, %(note)s,
        (SELECT call_id FROM leg), %(body)s, 0, %(at)s, %(at)s
    WHERE %(is_hint)s OR NOT (SELECT told FROM news)
        AND (%(is_early)s OR EXISTS (SELECT 1 FROM leg))
    ON CONFLICT (key) DO UPDATE SET repeats = queues_webhookevent.repeats + 1
    RETURNING xmax = 0 AS is_new
), answered AS (
    UPDATE queues_leg SET state = 'answered', answered_at = %(at)s
    WHERE id = (SELECT id FROM leg) AND %(is_answer)s AND NOT %(is_hint)s
    AND (role = 'customer' OR is_placed_by_us) AND answered_at IS NULL AND ended_at IS NULL
), ended AS (
    UPDATE queues_leg SET state = 'ended', outcome = %(outcome)s, ended_at = %(ended_at)s,
        ask_at = NULL, hang_up_at = NULL
    WHERE id = (SELECT id FROM leg) AND %(is_end)s AND NOT %(is_hint)s AND ended_at IS NULL
    AND NOT (SELECT told FROM news)
)
SELECT (SELECT told FROM news), (SELECT is_new FROM stored), leg.*
FROM (SELECT 1) AS one LEFT JOIN leg ON true
"""
_STORE_IF_OVER = """
INSERT INTO queues_webhookevent
    (id, key, endpoint, kind, verdict, note, call_id, body, repeats, received_at, handled_at)
SELECT %s, %s, %s, %s, %s, %s, c.id, %s, 0, %s, %s
FROM queues_queuedcall c WHERE c.id = %s AND c.ended_at IS NOT NULL AND c.offer_id IS NULL
ON CONFLICT (key) DO UPDATE SET repeats = queues_webhookevent.repeats + 1
RETURNING xmax = 0
"""


@dataclass(frozen=True)
class LegNews:
    """What an event is about: the leg (None: none of ours), and whether it says something new."""

    leg: Leg | None
    is_news: bool
    is_first: bool


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
    query: Mapping[str, str] = field(default_factory=dict)

    def store(self, call: QueuedCall | None = None, *, about: str = "") -> bool:
        """Keep this request; return whether it is the first of its kind.

        `about` tells apart requests that look alike and are not repeats: the step of a menu, the
        leg of a room's event. What was not believed is kept under a key of its own, so that it
        never makes a repeat of the genuine request.
        """
        with connection.cursor() as cursor:
            cursor.execute(*self.insertion(call, about=about))
            return bool(cursor.fetchone()[0])

    def insertion(self, call: QueuedCall | None, *, about: str) -> tuple[str, list[Any]]:
        """Return the statement that keeps this request, and its values."""
        values = self._values(about)
        values.insert(6, call.pk if call else None)
        return _STORE, values

    def postpone(self, reference: Reference | None, error: Exception) -> None:
        """Keep a request that could not be handled; the sweep has it handled again.

        Its key is not that of the handled request, so handling it again is no repeat.
        """
        context = {
            "reference": asdict(reference) if reference else None,
            "headers": {
                name.lower(): value
                for name, value in self.headers.items()
                if name.lower().startswith("x-sautikit-")
            },
            "query": {name: value for name, value in self.query.items() if name != "token"},
            "signature": self.signature,
        }
        about = f":{asdict(reference)}" if reference else ""
        values = self._values(f"{about}:unhandled")
        with connection.cursor() as cursor:
            cursor.execute(
                _POSTPONE,
                [
                    *values[:5], str(error)[:200], *values[6:8],
                    json.dumps(context, default=str), self.at + RETRY_AFTER,
                ],
            )  # fmt: skip

    def store_unless_news(
        self,
        handles: Sequence[str],
        label: uuid.UUID | None,
        outcome: Outcome,
        *,
        ended_at: datetime | None = None,
        is_early: bool = False,
    ) -> LegNews:
        """Find the leg that an event names; keep the event if its call has nothing to learn of it.

        One statement, because most events tell what a voice edge told already. News is an end
        while the call is open, and an answer behind a direct dial; that another leg is up, or
        has ended after its call, is written down on the way. A hint is kept in any case, and so is
        what `is_early`: it comes before the first POST of its call.
        """
        names = ["id", "key", "endpoint", "kind", "verdict", "note", "body", "at"]
        values = dict(zip(names, self._values(""), strict=False))
        values |= {"handles": list(handles), "label": label, "outcome": outcome.value}
        values |= {"is_end": outcome.is_final, "is_answer": outcome is Outcome.ANSWERED}
        values |= {"is_hint": self.verdict == WebhookEvent.Verdict.HINT, "is_early": is_early}
        values |= {"ended_at": min(ended_at or self.at, self.at)}
        with connection.cursor() as cursor:
            cursor.execute(_STORE_UNLESS_NEWS, values)
            is_news, is_first, *columns = cursor.fetchone()
            names = [column.name for column in cursor.description or ()][2:]
        row = dict(zip(names, columns, strict=True))
        leg = from_row(Leg, row) if row["id"] else None
        return LegNews(leg, bool(is_news), bool(is_first))

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


@dataclass
class Post:
    """A verified request: what it says, and what the token in its URL names."""

    arrival: Arrival
    reference: Reference | None  # None at the URLs whose token is the account's own

    @property
    def at(self) -> datetime:
        """When the request came in."""
        return self.arrival.at


# What is done with a request, by its endpoint; `queues.webhooks` says so of each.
handlers: dict[str, Callable[[Post], object]] = {}


def forget_old(at: datetime) -> int:
    """Remove what arrived before the time for which bodies are kept."""
    oldest = at - timedelta(days=settings.WEBHOOK_KEEP_DAYS)
    removed, _ = WebhookEvent.objects.filter(received_at__lt=oldest).delete()
    return removed
