"""The call centre that is measured: who works in it, and how its phones behave.

Primary keys are set far from each other, so that a number in a recorded statement tells whose
key it is.
"""

from __future__ import annotations

from typing import Any

from bench.house import SIGNING_SECRET, TOKEN

QUEUE_KEYS, AGENT_KEYS = 800_000, 900_000
AGENTS_PER_QUEUE = 40
DIRECT_QUEUES, HELD_QUEUES = 2, 2
LATE, ALONE_DIRECT, ALONE_HELD = 5, 6, 7  # queues for the rows that play single calls
PERFECT, FULL = 8, 9  # a few agents under a known load; a line that nobody serves
SPEED = 10  # phones live ten times as fast: 10 s of talk are 1 s
TALK, PATIENCE, RING = (5, 15), (100, 200), 3  # phone seconds
LATE_RING = 80


def line(queue: int) -> str:
    """The number of a queue."""
    return f"+2542000001{queue:02d}"


def destination(queue: int, agent: int) -> str:
    """The phone of an agent."""
    return f"+2547{queue:02d}{agent:06d}"


def agent_key(queue: int, agent: int) -> int:
    """The primary key of an agent."""
    return AGENT_KEYS + queue * 1000 + agent


def staff() -> dict[int, int]:
    """How many agents each queue has."""
    busy = dict.fromkeys(range(1, 1 + DIRECT_QUEUES + HELD_QUEUES), AGENTS_PER_QUEUE)
    return {
        **busy, LATE: AGENTS_PER_QUEUE + 10, ALONE_DIRECT: 1, ALONE_HELD: 1, PERFECT: 8, FULL: 1,
    }  # fmt: skip


def busy_lines() -> list[str]:
    """The numbers that the load goes to: half of them always hold their callers."""
    return [line(queue) for queue in range(1, 1 + DIRECT_QUEUES + HELD_QUEUES)]


def build() -> str:
    """Create queues, agents and a supervisor; return the supervisor's API token."""
    from django.contrib.auth.models import Group, User
    from django.db import transaction
    from django.utils import timezone
    from rest_framework.authtoken.models import Token

    from agents.models import Agent, Presence, PresencePeriod
    from callcenter.permissions import AGENTS, SUPERVISORS
    from queues import provider
    from queues.models import Member, Number, Queue
    from queues.roles import set_up_roles

    set_up_roles()
    now = timezone.now()
    boss = User.objects.create(username="supervisor", is_staff=True)
    boss.groups.add(Group.objects.get(name=SUPERVISORS))
    group = Group.objects.get(name=AGENTS)
    provider.learn(provider.CALL_SCHEMA, "sdk", at=now)  # as after the first call ever placed
    for queue, count in staff().items():
        row = Queue.objects.create(
            pk=QUEUE_KEYS + queue,
            slug=f"queue-{queue}",
            name=f"Queue {queue}",
            direct_dial=queue <= DIRECT_QUEUES or queue == ALONE_DIRECT,
            wrap_up_seconds=1,
            max_wait_seconds=4 * 3600 if queue == FULL else 600,
        )
        Number.objects.create(e164=line(queue), queue=row)
        at_work = queue not in {LATE, ALONE_HELD, FULL}
        presence = Presence.AVAILABLE if at_work else Presence.OFFLINE
        for number in range(count):
            user = User.objects.create(username=f"agent-{queue}-{number}")
            user.groups.add(group)
            with transaction.atomic():  # a presence without its period is refused
                agent = Agent.objects.create(
                    pk=agent_key(queue, number),
                    user=user,
                    name=f"Agent {queue}-{number}",
                    destination=destination(queue, number),
                    presence=presence,
                )
                PresencePeriod.objects.create(
                    agent=agent, presence=presence, started_at=now, cause="bench"
                )
            Member.objects.create(queue=row, agent=agent)
    return str(Token.objects.create(user=boss).key)


def simulator_config(base_url: str, **changes: Any) -> dict[str, Any]:
    """The simulator's side of it: numbers, phones, speed; every webhook is signed."""
    return {
        "speed": SPEED,
        "signing_secrets": [SIGNING_SECRET],
        "numbers": [
            {
                "e164": line(queue),
                "voice_callback_url": f"{base_url}/calls/inbound?token={TOKEN}",
                "events_url": f"{base_url}/calls/events?token={TOKEN}",
            }
            for queue in staff()
        ],
        "default_phone": {"ring": RING, "action": "answer", "talk": None},
        "phones": {
            destination(LATE, agent): {"ring": LATE_RING, "action": "answer", "talk": None}
            for agent in range(staff()[LATE])
        },
        **changes,
    }
