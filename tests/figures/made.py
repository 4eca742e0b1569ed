"""Calls and agents with known times, for figures that can be worked out by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction

from agents.models import Agent, PresencePeriod
from queues.models import Leg, Offer, Queue, QueuedCall
from reporting.figures import asked
from reporting.models import CallRecord, StaleQuarter
from tests.factories import T0, make_waiting

NAIROBI = ZoneInfo("Africa/Nairobi")
LATER = T0 + timedelta(days=30)
DAY = (T0 - timedelta(hours=11), T0 + timedelta(hours=13))  # 20 November in Nairobi


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def ask(*, zone: ZoneInfo = NAIROBI, **query: Any) -> asked.Asked:
    """The 20th of November in Nairobi, unless `query` says otherwise."""
    query.setdefault("from", "2026-11-20")
    query.setdefault("to", query["from"])
    return asked.read(query, at=T0, zone=zone)


def answered(
    queue: Queue | None, agent: Agent, *, queued: float = 0, wait: float, talk: float,
    wrap_up: float | None = 0, ring: float = 0, arrived: float | None = None, **values: Any,
) -> QueuedCall:  # fmt: skip
    """A caller who waited, talked, and left the agent some after-call work."""
    start, connected = after(queued), after(queued + wait)
    over = connected + timedelta(seconds=talk)
    arrived_at = start if arrived is None else after(arrived)
    # A call that waits has a queue; one that talked need not.
    call = make_waiting(queue, arrived_at=arrived_at, state="greeting", queued_at=None)  # type: ignore[arg-type]
    Offer.objects.create(
        call=call, agent=agent, queue=queue, kind="room", state="ended",
        created_at=connected - timedelta(seconds=ring), ring_until=connected,
        answered_at=connected, joined_at=connected, ended_at=over,
        wrap_up_ended_at=None if wrap_up is None else over + timedelta(seconds=wrap_up),
    )  # fmt: skip
    QueuedCall.objects.filter(pk=call.pk).update(
        **{"state": "completed", "agent": agent, "queued_at": start, "connected_at": connected,
           "ended_at": over, **values}
    )  # fmt: skip
    return call


def left(
    queue: Queue | None, *, queued: float = 0, wait: float, state: str = "abandoned", **values: Any
) -> QueuedCall:
    """A caller whom something else than a talk ended."""
    never = values.get("abandoned_in") == "menu" or state == "rejected"
    call = make_waiting(queue, arrived_at=after(queued), state="greeting", queued_at=None)  # type: ignore[arg-type]
    where = {"abandoned_in": "queue"} if state == "abandoned" else {}
    QueuedCall.objects.filter(pk=call.pk).update(
        **{
            "state": state, "ended_at": after(queued + wait),
            "queued_at": None if never else after(queued), **where, **values,
        }
    )  # fmt: skip
    return call


def refused(queue: Queue, agent: Agent, state: str, *, at: float = 0, ring: float) -> Offer:
    """An offer of a call that did not come to a talk."""
    call = left(queue, queued=at, wait=ring + 60)
    return Offer.objects.create(
        call=call, agent=agent, queue=queue, kind="room", state=state, created_at=after(at),
        ring_until=after(at), ended_at=after(at + ring),
    )  # fmt: skip


def record(leg: Leg | None, *, minor: int | None, status: str = "completed", **values: Any) -> Any:
    return CallRecord.objects.create(
        **{
            "leg": leg, "call": leg.call if leg else None, "status": status, "cost_minor": minor,
            "cost_currency": "KES" if minor is not None else "", "started_at": T0,
            "first_seen_at": T0, "changed_at": T0, **values,
        }
    )  # fmt: skip


@transaction.atomic
def spend(agent: Agent, *states: tuple[str, str, float]) -> None:
    """Have an agent go through (presence, engagement, seconds), from T0 on; the last goes on.

    A presence may carry a reason: `break:Lunch`, with `!` at its end where it is not paid.
    """
    at = T0
    for presence, engagement, seconds in states:
        word, _, reason = presence.partition(":")
        is_paid = not reason.endswith("!")
        agent.refresh_from_db()
        if (agent.presence, agent.presence_reason) != (word, reason):
            agent.presence, agent.presence_reason, agent.presence_since = word, reason, at
            PresencePeriod.objects.filter(agent=agent, ended_at=None).update(ended_at=at)
            PresencePeriod.objects.create(
                agent=agent, presence=word, reason=reason, started_at=at, cause="test",
                is_paid=is_paid if reason else None,
            )  # fmt: skip
        agent.engagement, agent.engagement_since = engagement, at
        agent.wrap_up_until = LATER if engagement == "wrap_up" else None
        agent.save()
        at += timedelta(seconds=seconds)


def rest() -> None:
    """Close what is open and let agents be idle: the database asks for it when a test ends."""
    Offer.objects.open().update(state="caller_gone", ended_at=LATER)
    for agent in Agent.objects.exclude(engagement="idle"):
        agent.engagement, agent.engagement_since, agent.wrap_up_until = "idle", LATER, None
        agent.save()


def marks() -> list[tuple[str, str, str]]:
    """The marks that there are: kind, first and last quarter as hours and minutes of UTC."""
    return sorted(
        (mark.kind, f"{mark.since:%d %H:%M}", f"{mark.until:%d %H:%M}")
        for mark in StaleQuarter.objects.all()
    )
