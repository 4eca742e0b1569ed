"""Made-up weeks of the demo centre, for looking at reports: rows only, no telephony."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from django.db import transaction
from django.utils import timezone

from agents.models import Agent, AgentInterval, PresencePeriod
from queues.models import QueuedCall
from tests.pages.made_up import call, offer

State = QueuedCall.State
# Calls of an hour, from 8 in the morning on: two busy stretches and a quiet noon.
BY_HOUR = (3, 7, 9, 6, 3, 4, 8, 7, 4, 2)
BY_WEEKDAY = (1.3, 1.1, 1.0, 1.0, 0.9, 0.4, 0.15)
SLUGS = ("support", "support", "billing", "appointments")


def weeks(days: int = 15, seed: int = 3) -> None:
    """Calls of the last days before today, and each agent's yesterday."""
    chance = random.Random(seed)
    today = timezone.localdate()
    agents = list(Agent.objects.order_by("name"))
    for back in range(days, 0, -1):
        _calls(today - timedelta(days=back), agents, chance)
    for agent in agents:
        _yesterday(agent, today - timedelta(days=1), chance)


def _calls(day: date, agents: list[Agent], chance: random.Random) -> None:
    for hour, usual in enumerate(BY_HOUR, start=8):
        for _ in range(round(usual * BY_WEEKDAY[day.weekday()] * chance.uniform(0.7, 1.3))):
            at = _at(day, hour) + timedelta(minutes=chance.uniform(0, 60))
            ago = (timezone.now() - at).total_seconds()
            customer = f"+2547{chance.randint(10_000_000, 99_999_999)}"
            slug, is_busy = chance.choice(SLUGS), usual >= 7
            if chance.random() < (0.82 if is_busy else 0.93):
                agent, waited = (
                    chance.choice(agents),
                    chance.expovariate(1 / (16 if is_busy else 6)),
                )
                talked = chance.uniform(20, 400)
                row = call(slug, State.COMPLETED, ago=ago, customer=customer, agent=agent,
                           waited=waited, talked=talked)  # fmt: skip
                offer(row, agent, "ended", ago=ago - waited + 4, answered=ago - waited,
                      until=ago - waited - talked)  # fmt: skip
            else:
                row = call(slug, State.ABANDONED, ago=ago, customer=customer, abandoned_in="queue",
                           waited=chance.expovariate(1 / 40))  # fmt: skip
                if chance.random() < 0.4:
                    ended = chance.choice(["no_answer", "declined", "busy"])
                    offer(row, chance.choice(agents), ended, ago=ago, until=ago - 15)


def _at(day: date, hour: float) -> datetime:
    start = datetime.combine(day, time(), timezone.get_default_timezone())
    return start + timedelta(hours=hour)


Stretch = tuple[str, str, str, float]  # presence, reason, engagement, until which hour


def _stretches(chance: random.Random) -> Iterator[Stretch]:
    """An agent's day: talks with their wrap-up, a paid break, an unpaid one at noon."""
    now = 8 + chance.uniform(0, 0.4)
    yield "offline", "", "idle", now
    noon, tea, end = 12 + chance.random(), 15 + chance.random(), 17 + chance.random()
    for until, reason in ((noon, "Lunch"), (tea, "Short break"), (end, "")):
        while now < until:
            for engagement, most in (("idle", 0.3), ("ringing", 0.01), ("on_call", 0.15),
                                     ("wrap_up", 0.04)):  # fmt: skip
                now += chance.uniform(0.2, 1) * most
                yield "available", "", engagement, now
        if reason:
            now += 0.75 if reason == "Lunch" else 0.25
            yield "break", reason, "idle", now


@transaction.atomic
def _yesterday(agent: Agent, day: date, chance: random.Random) -> None:
    """Write an agent's chain of intervals anew, from yesterday on."""
    agent.refresh_from_db()
    AgentInterval.objects.filter(agent=agent).delete()
    previous, start = None, _at(day, 0)
    for presence, reason, engagement, hour in _stretches(chance):
        end = _at(day, hour)
        previous = AgentInterval.objects.create(
            agent=agent, presence=presence, reason=reason, engagement=engagement,
            started_at=start, ended_at=end, previous=previous,
        )  # fmt: skip
        if presence == "break":
            PresencePeriod.objects.create(
                agent=agent, presence=presence, reason=reason, started_at=start, ended_at=end,
                cause="made up", is_paid=reason != "Lunch",
            )  # fmt: skip
        start = end
    now = max(agent.presence_since, agent.engagement_since, start)
    previous = AgentInterval.objects.create(
        agent=agent, presence="offline", engagement="idle", started_at=start, ended_at=now,
        previous=previous,
    )  # fmt: skip
    AgentInterval.objects.create(
        agent=agent, presence=agent.presence, reason=agent.presence_reason,
        engagement=agent.engagement, started_at=now, previous=previous,
    )  # fmt: skip
