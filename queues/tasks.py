"""Celery tasks: each a few lines over a domain function, and safe to run twice."""

import uuid

from celery import shared_task
from django.utils import timezone

from queues import dialling, inbox, reconcile, sweeping, unhandled


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
    """Find what is due, whatever bell was lost."""
    sweeping.sweep(at=timezone.now())


@shared_task
def housekeeping() -> None:
    """Remove what is kept for a time only."""
    inbox.forget_old(timezone.now())
