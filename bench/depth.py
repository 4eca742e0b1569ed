"""Row 7: what it costs to match one free agent, as the line before them grows.

In this process, against the same PostgreSQL: an agent of a queue with so many callers becomes
available, and the router is timed, from its first statement to its commit. Bells are not
answered, so nothing but the matching is in the time.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from bench.measure import Row, median, percentile

SIZES = (10, 100, 1_000, 10_000)
SAMPLES = 30
FIRST_KEY = 850_000


def row() -> Row:
    """Measure, smallest first; what was there before stays, so the tables grow as they do."""
    from django.utils import timezone

    from callcenter import bell

    answered = dict(bell._answers)
    for name in answered:
        bell.answer(name, lambda *args: None)
    try:
        now = timezone.now()
        took = {size: _matching(n, size, now) for n, size in enumerate(SIZES)}
    finally:
        for name, do in answered.items():
            bell.answer(name, do)
    middle = {size: median(times) * 1000 for size, times in took.items()}
    ratio = middle[SIZES[-1]] / middle[SIZES[0]]
    return Row(
        "7 match one, 10 -> 10,000 waiting",
        f"{middle[SIZES[0]]:.1f} -> {middle[SIZES[-1]]:.1f} ms",
        "<= 2 x",
        "",
        f"{ratio:.1f} x",
        ratio <= 2,
        [
            "waiting: p50, p95 in ms: "
            + "; ".join(
                f"{size:,}: {middle[size]:.1f}, {percentile(times, 0.95) * 1000:.1f}"
                for size, times in took.items()
            )
        ],
    )


def _matching(n: int, size: int, now: datetime) -> list[float]:
    from agents import presence
    from queues import routing

    agents = _queue_with(n, size, now)
    at = now + timedelta(seconds=1)
    took = []
    for k, pk in enumerate(agents):
        presence.change(pk, "available", at=at, cause="bench")
        began = time.perf_counter()
        paired = routing.match(at)
        took.append(time.perf_counter() - began)
        if paired != 1:
            raise TimeoutError(f"{paired} callers were paired with one agent")
        _wait(n, range(size + k, size + k + 1), at)  # the line stays as long as it was
    return took[len(took) // 6 :]  # the first ones plan and cache


def _queue_with(n: int, size: int, now: datetime) -> list[int]:
    """Make a queue with `size` callers in line and some agents who are offline; their keys."""
    from django.contrib.auth.models import User
    from django.db import connection

    from agents.models import Agent
    from queues.models import Member, Queue

    queue = Queue.objects.create(
        pk=FIRST_KEY + n, slug=f"depth-{size}", name=f"{size} waiting", max_wait_seconds=10**6
    )
    keys = []
    for k in range(SAMPLES + SAMPLES // 5):
        user = User.objects.create(username=f"depth-{n}-{k}")
        agent = Agent.objects.create(user=user, name=user.username, destination=f"+25478{n}{k:06d}")
        Member.objects.create(queue=queue, agent=agent)
        keys.append(agent.pk)
    _wait(n, range(size), now - timedelta(seconds=size))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within a minute
    return keys


def _wait(n: int, places: range, first: datetime) -> None:
    """Put callers in line, a second after each other from `first` on."""
    from queues.models import Leg, QueuedCall

    came = [first + timedelta(seconds=k) for k in range(len(places))]
    calls = [
        QueuedCall(
            public_id=f"depth-{n}-{place}", direction="inbound", state="waiting",
            queue_id=FIRST_KEY + n, customer=f"+25479{place:07d}", line="+254200000999",
            arrived_at=at, queued_at=at, offerable_from=at, is_acknowledged=True,
        )
        for place, at in zip(places, came, strict=True)
    ]  # fmt: skip
    QueuedCall.objects.bulk_create(calls, batch_size=1000)
    legs = [
        Leg(
            call=call, role="customer", state="answered", party=call.customer, line=call.line,
            session_id=f"HD_{call.public_id}", planned_at=first,
            ask_at=first + timedelta(days=2),
        )
        for call in calls
    ]  # fmt: skip
    Leg.objects.bulk_create(legs, batch_size=1000)
