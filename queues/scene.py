"""A call with all that may change together, locked in the one order: agent, then call."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connection, models, transaction
from django.db.models.expressions import RawSQL

from agents.models import Agent
from callcenter import bell
from callcenter.outbox import writing
from callcenter.outbox.writing import News
from callcenter.together import Together
from queues import telling
from queues.models import CallEvent, Menu, Offer, Queue, QueuedCall
from queues.models.offer import OPEN_STATES

if TYPE_CHECKING:
    from queues.inbox import Arrival

ATTEMPTS = 8
ASKED = {"record", "records"}  # sources: the provider's record, asked for by us
# What no webhook told, and only our asking found, is marked so in the timeline, and counted.
RECOVERED = {"arrived", "agent_answered", *QueuedCall.FINAL, QueuedCall.State.CONNECTED}


class Contended(Exception):
    """The call changed hands each time that we tried to lock it."""


@dataclass
class Scene:
    """One call, its open offer and that offer's agent, locked until the scene closes.

    `at` is the time of what is being told, `source` who tells it. It is never before what the call
    has seen already: a clock may be set back, and an event that failed is handled again later.
    Used as a context manager, it writes what has been noted at the end, together with the rows that
    wait for it (`callcenter.together`); then the boards are told.
    """

    call: QueuedCall
    offer: Offer | None
    agent: Agent | None
    at: datetime
    source: str
    picked: Agent | None = None
    events: list[CallEvent] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    kept: tuple[str, list[Any]] | None = None
    together: Together = field(default_factory=Together)

    def __post_init__(self) -> None:
        call, offer = self.call, self.offer
        self.together.hold(call, offer, self.agent, self.picked)
        seen = [call.arrived_at, call.queued_at, call.connected_at]
        if offer:
            seen += [offer.created_at, offer.answered_at, offer.joined_at]
        self.at = max(self.at, *(at for at in seen if at))

    def note(
        self,
        kind: str,
        /,
        *,
        offer: Offer | None = None,
        explained: RawSQL | None = None,
        **detail: Any,
    ) -> None:
        """Add an event to the call's timeline; `explained` is found out by the database."""
        about = offer or self.offer
        told = {key: value for key, value in detail.items() if value not in (None, "")}
        if self.source in ASKED and (kind in RECOVERED or kind.startswith("offer_")):
            told["recovered"] = True
        self.events.append(
            CallEvent(
                call=self.call,
                offer=about,
                at=self.at,
                kind=kind,
                source=self.source,
                detail=explained or told,
            )
        )
        self.news += telling.news(self.call, kind, about, told, at=self.at)

    def keep(self, arrival: Arrival, *, about: str = "") -> None:
        """Keep the request that told all this, together with the events."""
        self.kept = arrival.insertion(self.call, about=about)

    def __enter__(self) -> Scene:
        self.together.begin()
        return self

    def __exit__(self, failed: type[BaseException] | None, *args: object) -> None:
        try:
            if failed is None:
                self.close()
        finally:
            self.together.end()

    def close(self) -> None:
        """Write what was noted, and tell the boards."""
        self._write()
        self.kept = None
        if not self.events:
            return
        self.events, self.news = [], []
        bell.ring("board")
        for agent in (self.agent, self.picked):
            if agent:
                bell.ring("desk", agent.pk)

    def _write(self) -> None:
        """Write the events, what is told of them, the request to be kept, and the rows that wait.

        All in one statement.
        """
        clauses, values, unwritten = self.together.take()
        if self.kept:
            insertion, kept = self.kept
            clauses, values = [*clauses, f"kept AS ({insertion})"], [*values, *kept]
        told = "0"
        if self.news:
            telling_it, news = writing.telling(self.news)
            clauses, values = [*clauses, f"told AS ({telling_it})"], [*values, *news]
            told = "(SELECT count FROM told)"
        if self.events:
            rows = ", ".join(self._row(event, values) for event in self.events)
            clauses.append(f"noted AS ({_EVENTS} {rows})")
        if not clauses:
            return
        with connection.cursor() as cursor:
            cursor.execute(f"WITH {', '.join(clauses)} SELECT {unwritten}, {told}", values)
            missing, messages = cursor.fetchone()
        self.together.check(missing)
        if messages:
            bell.ring("tell")

    def _row(self, event: CallEvent, values: list[Any]) -> str:
        detail, more = "%s::jsonb", [json.dumps(event.detail, default=str)]
        if isinstance(event.detail, RawSQL):
            detail, more = event.detail.sql, list(event.detail.params)
        offer_pk = event.offer.pk if event.offer else None
        values += [self.call.pk, offer_pk, event.at, event.kind, event.source, *more]
        return f"(%s, %s, %s, %s, %s, {detail})"


_EVENTS = """
INSERT INTO queues_callevent (call_id, offer_id, at, kind, source, detail) VALUES"""


@contextmanager
def scene(
    call_pk: uuid.UUID,
    *,
    at: datetime,
    source: str,
    pick: Callable[[], Agent | None] | None = None,
) -> Iterator[Scene]:
    """Lock a call for one short transaction.

    Where the call has no open offer, `pick` may lock an agent for it first (`picked`): agents are
    always locked before calls. Raises QueuedCall.DoesNotExist, and Contended after several tries.
    """
    for _ in range(ATTEMPTS):
        with ExitStack() as stack:
            stack.enter_context(transaction.atomic())
            picked = None
            if pick and not Offer.objects.open().filter(call_id=call_pk).exists():
                picked = pick()
            call, offer = lock(call_pk)
            if call.offer_id != (offer.pk if offer else None) or (offer and picked):
                # An offer came or went in between: release, and look again.
                transaction.set_rollback(True)
                continue
            with Scene(call, offer, offer.agent if offer else None, at, source, picked) as opened:
                yield opened
            return
    raise Contended(str(call_pk))


def lock(call_pk: uuid.UUID) -> tuple[QueuedCall, Offer | None]:
    """Lock the call's open offer with its agent, then the call, in one statement.

    The call's part waits for the count of the offer's part, so the order holds. The locks leave
    the keys free: a row that only refers to the call, as an event of it does, never waits.
    """
    with connection.cursor() as cursor:
        cursor.execute(_statement(), [call_pk, OPEN_STATES, call_pk])
        row = cursor.fetchone()
    if row is None:
        raise QueuedCall.DoesNotExist(f"no call {call_pk}")
    values = iter(row)
    call, queue, menu, offer, agent = (
        _instance(model, values) for model in (QueuedCall, Queue, Menu, Offer, Agent)
    )
    call.queue, call.menu = queue, menu
    if offer:
        offer.agent, offer.call, offer.queue = agent, call, queue
        if call.offer_id == offer.pk:
            call.offer = offer
    return call, offer


@cache
def _statement() -> str:
    own = {
        alias: ", ".join(f'{alias}."{column}"' for column in _columns(model))
        for alias, model in (("q", Queue), ("m", Menu))
    }
    inner = [
        f'{alias}."{column}" AS {alias}_{column}'
        for alias, model in (("o", Offer), ("a", Agent))
        for column in _columns(model)
    ]
    outer = [
        f"offered.{alias}_{column}"
        for alias, model in (("o", Offer), ("a", Agent))
        for column in _columns(model)
    ]
    call = ", ".join(f'c."{column}"' for column in _columns(QueuedCall))
    return f"""
        WITH offered AS MATERIALIZED (
            SELECT {", ".join(inner)}
            FROM queues_offer o JOIN agents_agent a ON a.id = o.agent_id
            WHERE o.call_id = %s AND o.state = ANY(%s)
            FOR NO KEY UPDATE OF a, o
        ), c AS MATERIALIZED (
            SELECT * FROM queues_queuedcall
            WHERE id = %s AND (SELECT count(*) FROM offered) >= 0
            FOR NO KEY UPDATE
        )
        SELECT {call}, {own["q"]}, {own["m"]}, {", ".join(outer)}
        FROM c LEFT JOIN offered ON true
        LEFT JOIN queues_queue q ON q.id = c.queue_id
        LEFT JOIN queues_menu m ON m.id = c.menu_id
    """  # noqa: S608 - column names of our own models only


def _columns(model: type[models.Model]) -> list[str]:
    return [str(column.column) for column in model._meta.concrete_fields]


def _instance(model: Any, values: Iterator[Any]) -> Any:
    """Make a row's part into an instance; None where the join found nothing."""
    fields = model._meta.concrete_fields
    own = [next(values) for _ in fields]
    names = [column.attname for column in fields]
    if own[names.index(model._meta.pk.attname)] is None:
        return None
    return model.from_db("default", names, own)
