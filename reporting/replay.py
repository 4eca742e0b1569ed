"""What a call must look like by its timeline: its events, told again from the first to the last.

Events that were written before they carried their times leave fields out (`unknown`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from queues.models import Offer, QueuedCall

State = QueuedCall.State
TIMELINES_FROM = "timelines_from"  # the fact from when on calls have a timeline, where not all do
_CALL_ENDS = frozenset(map(str, QueuedCall.FINAL))
_OFFER_END = {f"offer_{state}": str(state) for state in Offer.FINAL}


class Event(NamedTuple):
    """The columns of a CallEvent that tell something."""

    kind: str
    at: datetime
    offer_id: uuid.UUID | None
    detail: dict[str, Any]


@dataclass
class OfferTold:
    """What the events say of one offer: open, or how and when it ended."""

    agent_id: int | None
    state: str | None = None
    ended_at: datetime | None = None


@dataclass
class Story:
    """A call as its events have it."""

    state: str = ""
    abandoned_in: str = ""
    agent_id: int | None = None
    queue_id: int | None = None
    queued_at: datetime | None = None
    connected_at: datetime | None = None
    ended_at: datetime | None = None
    ends: int = 0
    corrected_from_waiting: bool = False
    offers: dict[uuid.UUID, OfferTold] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def agent_of(self, offer_id: uuid.UUID | None) -> int | None:
        """The agent of an offer that was told of."""
        told = self.offers.get(offer_id) if offer_id else None
        return told.agent_id if told else None


def replay(events: Iterable[Event], agents: Mapping[uuid.UUID, int]) -> Story:
    """Tell a call's events again; `agents` has each offer's agent, for events without one."""
    story = Story()
    for event in events:
        if event.kind in _OFFER_END:
            _offer_ended(story, event, agents)
        elif event.kind in _CALL_ENDS:
            _ended(story, event)
        elif tell := _STEPS.get(event.kind):
            tell(story, event, agents)
    return story


def untold(call: QueuedCall, offers: Iterable[Offer]) -> Story:
    """The story of a call that never had a timeline: as its row has it, nothing told."""
    return Story(
        **{name: getattr(call, name) for name in (*_OF_THE_ROW, "connected_at", "ended_at")},
        ends=int(call.is_final),
        offers={
            offer.pk: OfferTold(
                offer.agent_id, offer.state if offer.is_final else None, offer.ended_at
            )
            for offer in offers
        },
        unknown={*_OF_THE_ROW, "connected_at", "ended_at"},
    )


_OF_THE_ROW = ("state", "abandoned_in", "agent_id", "queue_id", "queued_at")


def _time(event: Event, name: str) -> datetime | None:
    told = event.detail.get(name)
    return datetime.fromisoformat(told) if told else None


def _into_line(story: Story, event: Event) -> None:
    story.queued_at = story.queued_at or _time(event, "queued_at") or event.at
    if "queue_id" in event.detail:
        story.queue_id = event.detail["queue_id"]


def _arrived(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    story.state = State.GREETING
    if _time(event, "queued_at"):  # found in the provider's list
        _into_line(story, event)


def _dialling(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    story.state = State.DIALLING


def _holding(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    story.state, story.agent_id = State.WAITING, None
    _into_line(story, event)


def _offered(story: Story, event: Event, agents: Mapping[uuid.UUID, int]) -> None:
    if event.offer_id is None:
        return
    agent = event.detail.get("agent_id", agents.get(event.offer_id))
    story.offers[event.offer_id] = OfferTold(agent)
    if event.detail.get("kind") == Offer.Kind.CLICK:
        story.queue_id = event.detail.get("queue_id")
        return
    story.state, story.agent_id = State.OFFERED, agent
    _into_line(story, event)


def _contact_answered(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    story.state, story.agent_id = State.OFFERED, story.agent_of(event.offer_id)
    _into_line(story, event)


def _connected(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    story.state, story.agent_id = State.CONNECTED, story.agent_of(event.offer_id)
    story.connected_at = _known(story, event, "connected_at")


def _back_in_line(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    story.state, story.agent_id = State.WAITING, None


def _moved_to_queue(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    """A supervisor has put the caller into another line; the place by arrival is kept."""
    story.queue_id = event.detail.get("queue_id")


def _never_met(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    """The agent came into a room that the customer had left."""
    story.agent_id = story.connected_at = None


def _known(story: Story, event: Event, name: str) -> datetime | None:
    told = _time(event, name)
    if told is None:
        story.unknown.add(name)
    else:
        story.unknown.discard(name)
    return told


def _ended(story: Story, event: Event) -> None:
    story.ends += 1
    story.state = event.kind
    story.abandoned_in = event.detail.get("abandoned_in", "")
    story.ended_at = _known(story, event, "ended_at")
    if "ended_at" in story.unknown:
        story.unknown.add("queue_id")
    else:
        story.queue_id = event.detail.get("queue_id")
        story.queued_at = story.queued_at or _time(event, "queued_at")


def _offer_ended(story: Story, event: Event, agents: Mapping[uuid.UUID, int]) -> None:
    if event.offer_id is None:
        return
    told = story.offers.setdefault(event.offer_id, OfferTold(agents.get(event.offer_id)))
    told.state, told.ended_at = _OFFER_END[event.kind], _time(event, "ended_at")


def _corrected(story: Story, event: Event, _: Mapping[uuid.UUID, int]) -> None:
    """The provider's record knew better: of the call's end, or of one offer's."""
    was = event.detail.get("was")
    offer = story.offers.get(event.offer_id) if event.offer_id else None
    if was == State.NO_ANSWER and offer:
        offer.state = Offer.State.BUSY
    elif was == State.COMPLETED:
        where = event.detail.get("abandoned_in", QueuedCall.AbandonedIn.RINGING)
        story.state, story.abandoned_in = State.ABANDONED, where
        story.ended_at = _time(event, "ended_at") or story.ended_at
        story.agent_id = story.connected_at = None
        story.unknown.discard("connected_at")
    elif was in {State.WAITING, State.ABANDONED, State.FAILED}:
        story.corrected_from_waiting = was == State.WAITING
        story.state, story.abandoned_in = State.COMPLETED, ""
        story.agent_id = story.agent_of(event.offer_id)
        story.connected_at = _known(story, event, "connected_at")
        story.ended_at = _known(story, event, "ended_at")
        if offer and offer.state != Offer.State.ENDED:
            offer.state, offer.ended_at = Offer.State.ENDED, story.ended_at


_STEPS = {
    "arrived": _arrived,
    "dialling": _dialling,
    "holding": _holding,
    "offered": _offered,
    "contact_answered": _contact_answered,
    "connected": _connected,
    "back_in_line": _back_in_line,
    "moved_to_queue": _moved_to_queue,
    "never_met": _never_met,
    "corrected": _corrected,
}
