"""The Celery task: a line over a domain function, and safe to run twice."""

from celery import shared_task
from django.utils import timezone

from callcenter.outbox import delivering


@shared_task
def deliver() -> None:
    """Deliver what is due, until nothing is."""
    delivering.deliver_due(timezone.now)
