"""What the bells of the domain do: routing at once, everything that asks the provider by Celery."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.utils import timezone

from callcenter import bell
from queues import alerts, provider, routing, tasks

SOON = 20.0  # seconds for which a task may wait in the broker, which sends it again after 60


def connect() -> None:
    """Answer the bells that `queues` and `agents` ring."""
    provider.clock = timezone.now
    bell.answer("route", _route)
    bell.answer("sweep_at", _sweep_at)
    bell.answer("delivery_trouble", _delivery_trouble)
    bell.answer("standing_in", _standing_in)
    bell.answer("look_at_provider", partial(_send, tasks.look_at_provider))
    bell.answer("look_at_wallet", partial(_send, tasks.look_at_wallet))
    bell.answer("mail", partial(_send, tasks.send_alert_mails))
    bell.answer("fetch_recordings", _fetch_recordings)
    for name, task in {
        "place": tasks.place_leg,
        "hang_up": tasks.hang_up_leg,
        "ask": tasks.ask_leg,
        "check_offer": tasks.check_offer,
        "ask_handle": tasks.ask_handle,
        "handle_event": tasks.handle_event,
        "supervise": tasks.look_at_supervision,
    }.items():
        bell.answer(name, partial(_send, task))


def _send(task, *keys: str) -> None:  # type: ignore[no-untyped-def]
    task.delay(*keys)


def _route() -> None:
    """Routing runs where the commit happened; only the provider is asked by a task."""
    routing.match(timezone.now())


def _sweep_at(when: datetime) -> None:
    """Sweep once more when something falls due, rather than up to a second later."""
    seconds = (when - timezone.now()).total_seconds()
    tasks.sweep.apply_async(countdown=max(0.0, seconds), expires=max(0.0, seconds) + 5)


def _fetch_recordings(when: datetime) -> None:
    """Fetch when a recording falls due; what is further ahead is found by the sweep."""
    seconds = max(0.0, (when - timezone.now()).total_seconds())
    if seconds < SOON:
        tasks.fetch_recordings.apply_async(countdown=seconds)


def _delivery_trouble(endpoint: str, error: str, is_dead: bool) -> None:
    """Tell the supervisors that an outgoing webhook does not get through."""
    what = "given up after a day" if is_dead else "not taken yet"
    text = f"Webhooks to {endpoint}: a message was {what} ({error})."
    alerts.raise_alert("outgoing_webhook", endpoint, text, at=timezone.now())


def _standing_in(begins: bool) -> None:
    """Tell the supervisors that worker, beat or Redis is away, and when that is over."""
    if begins:
        text = (
            "The worker, beat or Redis is away: the web processes do their work meanwhile. "
            "See the logs, and start them again."
        )
        alerts.raise_alert("standing_in", "", text, at=timezone.now())
    else:
        alerts.withdraw("standing_in", "", at=timezone.now())
