"""A call with all that may change together, locked in the one order: agent, then call."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from agents.models import Agent
from callcenter import bell
from queues.models import CallEvent, Offer, QueuedCall

ATTEMPTS = 8


class Contended(Exception):
    """The call changed hands each time that we tried to lock it."""


@dataclass
class Scene:
    """One call, its open offer and that offer's agent, locked until the scene closes.

    `at` is the time of what is being told, `source` who tells it. Events that are noted are
    written when the scene closes; then the boards are told.
    """

    call: QueuedCall
    offer: Offer | None
    agent: Agent | None
    at: datetime
    source: str
    picked: Agent | None = None
    events: list[CallEvent] = field(default_factory=list)

    def note(self, kind: str, /, *, offer: Offer | None = None, **detail: Any) -> None:
        """Add an event to the call's timeline."""
        about = offer or self.offer
        self.events.append(
            CallEvent(
                call=self.call,
                offer=about,
                at=self.at,
                kind=kind,
                source=self.source,
                detail={key: value for key, value in detail.items() if value not in (None, "")},
            )
        )

    def close(self) -> None:
        """Write what was noted, and tell the boards."""
        if self.events:
            CallEvent.objects.bulk_create(self.events)
            self.events = []
            bell.ring("board")
            for agent in (self.agent, self.picked):
                if agent:
                    bell.ring("desk", agent.pk)


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
            found = _lock(call_pk, pick)
            if found is None:  # an offer came or went in between: release, and look again
                transaction.set_rollback(True)
                continue
            call, offer, picked = found
            opened = Scene(call, offer, offer.agent if offer else None, at, source, picked)
            yield opened
            opened.close()
            return
    raise Contended(str(call_pk))


def _lock(
    call_pk: uuid.UUID, pick: Callable[[], Agent | None] | None
) -> tuple[QueuedCall, Offer | None, Agent | None] | None:
    offer = (
        Offer.objects.open()
        .filter(call_id=call_pk)
        .select_related("agent")
        .select_for_update(of=("self", "agent"))
        .first()
    )
    picked = pick() if pick and offer is None else None
    call = (
        QueuedCall.objects.select_related("queue", "menu")
        .select_for_update(of=("self",))
        .get(pk=call_pk)
    )
    if call.offer_id != (offer.pk if offer else None):
        return None
    if offer:
        offer.call, offer.queue = call, call.queue
        call.offer = offer
    return call, offer, picked
