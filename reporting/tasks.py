"""Celery tasks of the mirror."""

from celery import shared_task
from django.utils import timezone

from reporting import records


@shared_task
def poll_call_records() -> None:
    """Take over what is new in the provider's call records."""
    records.poll(at=timezone.now())
