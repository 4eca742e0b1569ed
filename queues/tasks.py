"""Celery tasks: each a few lines over a domain function, and safe to run twice."""

import uuid

from celery import shared_task
from django.utils import timezone

from callcenter import bell, clocks
from callcenter.outbox import again
from queues import (
    alert_mails,
    alert_rules,
    clock,
    comparison,
    dialling,
    fetching,
    inbox,
    provider,
    reconcile,
    recordings,
    supervision,
    sweeping,
    unhandled,
    wallet,
)


@shared_task
def place_leg(leg_pk: str) -> None:
    """Place the leg of an agent or of a contact."""
    dialling.place(uuid.UUID(leg_pk), at=timezone.now())


@shared_task
def hang_up_leg(leg_pk: str) -> None:
    """Hang up a leg that nobody needs any more."""
    dialling.hang_up(uuid.UUID(leg_pk), at=timezone.now())


@shared_task
def ask_leg(leg_pk: str) -> None:
    """Ask the provider how a leg stands."""
    reconcile.ask(uuid.UUID(leg_pk), at=timezone.now())


@shared_task
def ask_handle(handle: str) -> None:
    """Ask the provider about a call that an unsigned event named."""
    reconcile.ask_handle(handle, at=timezone.now())


@shared_task
def check_offer(offer_pk: str) -> None:
    """Look at an offer whose time has come."""
    reconcile.check_offer(uuid.UUID(offer_pk), at=timezone.now())


@shared_task
def look_at_supervision(supervision_pk: str) -> None:
    """Have a supervisor's phone rung, or see how it stands."""
    supervision.look(uuid.UUID(supervision_pk), at=timezone.now())


@shared_task
def handle_event(event_pk: str) -> None:
    """Handle an event whose handling has failed before."""
    unhandled.handle_again(uuid.UUID(event_pk), at=timezone.now())


@shared_task
def sweep() -> None:
    """Find what is due, whatever bell was lost and whoever set the clock."""
    at = timezone.now()
    clock.follow(clocks.read(), at=at)
    sweeping.sweep(at=at)


@shared_task
def compare_live_calls() -> None:
    """Compare the provider's live calls with ours, both ways."""
    comparison.compare(at=timezone.now())


@shared_task
def look_at_provider() -> None:
    """See whether a provider that did not answer is back."""
    provider.look(at=timezone.now())


@shared_task
def look_at_wallet() -> None:
    """Read what is left to call with."""
    wallet.look(at=timezone.now())


@shared_task
def watch() -> None:
    """See what alert rules watch for, and what mails and recordings have fallen due."""
    at = timezone.now()
    alert_rules.look_at_the_line(at=at)
    if alert_mails.are_due(at):
        bell.ring("mail")
    if fetching.are_due(at):
        bell.ring("fetch_recordings", at)


@shared_task
def watch_service_level() -> None:
    """See whether a queue's service level of today is at risk."""
    alert_rules.look_at_the_service_level(at=timezone.now())


@shared_task
def send_alert_mails() -> None:
    """Send the mails about alerts that are due."""
    alert_mails.send_due(at=timezone.now())


@shared_task
def fetch_recordings() -> None:
    """Fetch the recordings that are due, until none is."""
    fetching.fetch_due(timezone.now)


@shared_task
def housekeeping() -> None:
    """Remove what is kept for a time only."""
    recordings.remove_due(at=timezone.now())
    inbox.forget_old(timezone.now())
    again.forget_old(timezone.now())
