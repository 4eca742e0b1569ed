"""Celery tasks: each a few lines over a domain function, and safe to run twice."""

import uuid

from celery import shared_task
from django.utils import timezone

from callcenter import clocks
from callcenter.outbox import again
from queues import (
    clock,
    comparison,
    dialling,
    inbox,
    provider,
    reconcile,
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
def housekeeping() -> None:
    """Remove what is kept for a time only."""
    inbox.forget_old(timezone.now())
    again.forget_old(timezone.now())
