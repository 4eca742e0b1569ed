"""What the bells of the domain do: routing at once, everything that asks the provider by Celery."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.utils import timezone

from callcenter import bell
from queues import routing, tasks


def connect() -> None:
    """Answer the bells that `queues` and `agents` ring."""
    bell.answer("route", _route)
    bell.answer("sweep_at", _sweep_at)
    for name, task in {
        "place": tasks.place_leg,
        "hang_up": tasks.hang_up_leg,
        "ask": tasks.ask_leg,
        "check_offer": tasks.check_offer,
        "ask_handle": tasks.ask_handle,
        "handle_event": tasks.handle_event,
    }.items():
        bell.answer(name, partial(_send, task))


def _send(task, key: str) -> None:  # type: ignore[no-untyped-def]
    task.delay(key)


def _route() -> None:
    """Routing runs where the commit happened; only the provider is asked by a task."""
    routing.match(timezone.now())


def _sweep_at(when: datetime) -> None:
    """Sweep once more when something falls due, rather than up to a second later."""
    seconds = (when - timezone.now()).total_seconds()
    tasks.sweep.apply_async(countdown=max(0.0, seconds), expires=max(0.0, seconds) + 5)
