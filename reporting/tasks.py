"""Celery tasks of the mirror and of the nightly audit."""

from celery import shared_task
from django.utils import timezone

from reporting import nightly_audit, records


@shared_task
def poll_call_records() -> None:
    """Take over what is new in the provider's call records."""
    records.poll(at=timezone.now())


@shared_task
def audit() -> None:
    """Recount everything, and tell the supervisors of any disagreement."""
    nightly_audit.run(at=timezone.now())
