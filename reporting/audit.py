"""The audit: everything recounted from the timelines, and every disagreement told.

"none" is its only good answer. What the database holds by constraints and what is recounted here
stands in docs/invariants.md. It reads one snapshot, by key and in batches: its memory does not
grow with the calls.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from queues import provider
from queues.models import CallEvent, Leg, Offer, QueuedCall, WebhookEvent
from reporting import audit_agents, audit_figures
from reporting.figures import upkeep
from reporting.replay import TIMELINES_FROM, Event, Story, replay, untold

BATCH = 500
PATIENCE = timedelta(minutes=2)  # for what the sweep still has to bring to its end
EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
COMPARED = (
    "state", "abandoned_in", "agent_id", "queue_id", "queued_at", "connected_at", "ended_at",
)  # fmt: skip


@dataclass
class Audit:
    """One recount of the calls that entered a queue (or arrived) from `since` to before `until`.

    `call` narrows it to one call. After `lines` has been read to its end, `calls` says how many
    were recounted, and `not_recountable` how many of them were written down too long ago for all
    of it: their events carry less.
    """

    at: datetime
    since: datetime | None = None
    until: datetime | None = None
    call: uuid.UUID | None = None
    calls: int = 0
    not_recountable: int = 0

    def lines(self) -> Iterator[str]:
        """Yield each disagreement in one line, with both values."""
        with _snapshot():
            figures = audit_figures.Figures()
            yield from self._calls(figures)
            yield from self._loose_ends()
            if self.call is None:
                since, until = self.since or EVER[0], self.until or EVER[1]
                yield from figures.lines(since, until)
                yield from upkeep.compare(
                    self.since or upkeep.first_quarter() or self.at,
                    self.until or upkeep.end_of_all(self.at),
                )
                yield from audit_agents.lines(self.at, since=since)
                yield from _webhooks(self.at, since, until)

    def _chosen(self) -> QuerySet[QueuedCall]:
        calls = QueuedCall.objects.all()
        if self.call:
            return calls.filter(pk=self.call)
        if self.since:
            calls = calls.filter(Q(queued_at__gte=self.since) | _never_queued(gte=self.since))
        if self.until:
            calls = calls.filter(Q(queued_at__lt=self.until) | _never_queued(lt=self.until))
        return calls

    def _calls(self, figures: audit_figures.Figures) -> Iterator[str]:
        mark = provider.recall(TIMELINES_FROM)
        timelines_from = datetime.fromisoformat(mark) if mark else EVER[0]
        for calls in _batches(self._chosen().defer("document").select_related("queue")):
            keys = [call.pk for call in calls]
            events = _by_call(
                CallEvent.objects.filter(call__in=keys).order_by("id"),
                "kind", "at", "offer_id", "detail", "offer__call_id",
            )  # fmt: skip
            offers: dict[uuid.UUID, list[Offer]] = defaultdict(list)
            for offer in Offer.objects.filter(call__in=keys).order_by("created_at"):
                offers[offer.call_id].append(offer)
            for call in calls:
                self.calls += 1
                own = offers[call.pk]
                told = [Event(*row[:4]) for row in events[call.pk]]
                if told or call.arrived_at >= timelines_from:
                    story = replay(told, {offer.pk: offer.agent_id for offer in own})
                else:
                    story = untold(call, own)
                self.not_recountable += bool(story.unknown)
                figures.count(call, story, own)
                problems = [*_compare(call, story), *_offers(call, own, story)]
                strange = {row[4] for row in events[call.pk]} - {call.pk, None}
                problems += [f"an event names an offer of call {other}" for other in strange]
                yield from (f"call {call.public_id}: {problem}" for problem in problems)

    def _loose_ends(self) -> Iterator[str]:
        """What should have come to its end by now."""
        before = self.at - PATIENCE
        calls = self._chosen()
        legs = Leg.objects.filter(call__in=calls).select_related("call")
        for leg in legs.filter(ended_at=None, call__ended_at__lt=before).iterator():
            yield f"call {leg.call.public_id}: has ended, its {leg} is {leg.state}"
        for leg in legs.filter(offer__isnull=False).exclude(offer__call=F("call")).iterator():
            yield f"call {leg.call.public_id}: its {leg} has an offer of another call"
        for call in calls.filter(is_provisional=True, ended_at__lt=before).iterator():
            yield f"call {call.public_id}: is {call.state}, its end is still provisional"
        offers = Offer.objects.open().filter(call__in=calls, call__ended_at__isnull=False)
        for offer in offers.select_related("call").iterator():
            call = offer.call
            if not call.is_provisional or (call.ended_at and call.ended_at < before):
                yield f"call {call.public_id}: is {call.state}, its {offer} is open"


def _never_queued(**bound: datetime) -> Q:
    return Q(queued_at=None, **{f"arrived_at__{name}": at for name, at in bound.items()})


@contextmanager
def _snapshot() -> Iterator[None]:
    """One view of all tables, unless the caller has begun a transaction of its own."""
    is_own = not connection.in_atomic_block
    with transaction.atomic():
        if is_own:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _batches(calls: QuerySet[QueuedCall]) -> Iterator[list[QueuedCall]]:
    last: uuid.UUID | None = None
    while True:
        rest = calls.filter(pk__gt=last) if last else calls
        batch = list(rest.order_by("pk")[:BATCH])
        if not batch:
            return
        yield batch
        last = batch[-1].pk


def _by_call(rows: QuerySet[Any], *columns: str) -> dict[uuid.UUID, list[tuple[Any, ...]]]:
    found: dict[uuid.UUID, list[tuple[Any, ...]]] = defaultdict(list)
    for key, *row in rows.values_list("call_id", *columns):
        found[key].append(tuple(row))
    return found


def _compare(call: QueuedCall, story: Story) -> Iterator[str]:
    for name in COMPARED:
        told, is_now = getattr(story, name), getattr(call, name)
        if name in story.unknown or (name == "queue_id" and told is None and not call.is_final):
            continue
        if told != is_now:
            word = name.removesuffix("_id")
            yield f"{word} is {_word(is_now)}, by its events {_word(told)}"
    wanted = int(call.is_final and not story.corrected_from_waiting)
    if story.ends != wanted:
        yield f"is {call.state}, and has {story.ends} events of an end instead of {wanted}"


def _offers(call: QueuedCall, offers: Iterable[Offer], story: Story) -> Iterator[str]:
    there = {offer.pk: offer for offer in offers}
    if len(there) != len(story.offers):
        yield f"has {len(there)} offers, by its events {len(story.offers)}"
    if call.offer_id and call.offer_id not in there:
        yield f"names offer {call.offer_id}, which is none of its own"
    for pk, told in story.offers.items():
        offer = there.get(pk)
        if offer is None:
            yield f"offer {pk} of its events is not there"
            continue
        state = offer.state if offer.is_final else None
        if told.state != state:
            yield f"offer {pk} is {offer.state}, by its events {told.state or 'open'}"
        elif told.ended_at and told.ended_at != offer.ended_at:
            yield f"offer {pk} ended {_word(offer.ended_at)}, by its events {_word(told.ended_at)}"
        if told.agent_id != offer.agent_id:
            yield f"offer {pk} is of agent {offer.agent_id}, by its events {told.agent_id}"


def _word(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return "none" if value in (None, "") else str(value)


def _webhooks(at: datetime, since: datetime, until: datetime) -> Iterator[str]:
    """What arrived and was not handled."""
    late = WebhookEvent.objects.filter(
        handled_at=None, received_at__lt=min(at - PATIENCE, until), received_at__gte=since
    )
    for event in late.order_by("received_at").iterator():
        yield f"webhook {event.pk}: {event} of {_word(event.received_at)} is not handled"
