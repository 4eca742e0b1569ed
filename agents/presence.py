"""What an agent asked to be: the only writer of presence."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from agents import breaks
from agents.models import Agent, HoldOff, Presence, PresencePeriod
from callcenter import bell
from callcenter.outbox import writing


@transaction.atomic
def change(
    agent_pk: int, presence: str, *, at: datetime, cause: str, actor: Any = None, reason: str = ""
) -> Agent:
    """Set an agent's presence and its history; return the agent.

    `actor` is the user who asked, None for a policy, which `cause` names. Becoming available ends
    a hold-off, but for that of a phone that is being hung up, and starts the idle time anew; a call
    in progress goes on whatever is asked. A break whose reason is known (`breaks`) keeps whether it
    is paid and when it is over its limit, as set up now. A clock that was set back never makes a
    period end before it starts.
    """
    locked = Agent.objects.select_for_update(of=("self",), no_key=True)
    agent = locked.select_related("user").get(pk=agent_pk)
    reason = reason.strip()[:60] if presence == Presence.BREAK else ""
    if (agent.presence, agent.presence_reason) == (presence, reason):
        return agent
    current = PresencePeriod.objects.filter(agent=agent, ended_at=None)
    at = max(at, current.values_list("started_at", flat=True).first() or at)
    if presence == Presence.AVAILABLE:
        agent.strikes = 0
        if agent.hold_off_reason != HoldOff.HANGING_UP:  # then the phone is not free yet
            agent.hold_off_until, agent.hold_off_reason = None, ""
        if agent.presence != Presence.AVAILABLE:
            agent.idle_since = at
    agent.presence, agent.presence_reason, agent.presence_since = presence, reason, at
    agent.save(
        update_fields=[
            "presence", "presence_reason", "presence_since",
            "hold_off_until", "hold_off_reason", "strikes", "idle_since",
        ]
    )  # fmt: skip
    current.update(ended_at=at)
    PresencePeriod.objects.create(
        agent=agent, presence=presence, reason=reason, started_at=at, actor=actor, cause=cause,
        **_of_the_reason(reason, at),
    )  # fmt: skip
    writing.tell(_news(agent, at, cause))
    bell.ring("route")
    bell.ring("board")
    bell.ring("desk", agent.pk)
    return agent


def _of_the_reason(name: str, at: datetime) -> dict[str, Any]:
    """Return what a break of this reason keeps: paid or not, and when its limit is reached."""
    reason = breaks.known(name) if name else None
    if reason is None:
        return {}
    minutes = reason.limit_minutes
    limit_at = at + timedelta(minutes=minutes) if minutes else None
    return {"is_paid": reason.is_paid, "limit_at": limit_at}


def _news(agent: Agent, at: datetime, cause: str) -> writing.News:
    """Return what the outside is told of an agent, in the words of /api/agents/."""
    row = {
        "username": agent.user.username,
        "name": agent.name,
        "presence": agent.presence,
        "presence_reason": agent.presence_reason,
        "presence_since": writing.moment(agent.presence_since),
        "engagement": agent.engagement,
        "cause": cause,
    }
    return writing.News("agent.presence", agent.user.username, at, row)
