"""Celery tasks of the mirror and of the nightly audit."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from callcenter import bell
from reporting import nightly_audit, retention
from reporting.figures import upkeep
from reporting.files import exports, mails
from reporting.mirror import back_fill, differences, polling, stats


@shared_task
def poll_call_records() -> None:
    """Take over what is new in the provider's call records."""
    polling.poll(at=timezone.now())


@shared_task
def find_differences() -> None:
    """Compare the records of the last day with our legs."""
    at = timezone.now()
    differences.find(at - timedelta(days=1), at, at=at)


@shared_task
def look_again_hourly() -> None:
    """Read the records of the last three days once more, and compare them and the sums of days."""
    _look_again("hour")


@shared_task
def look_again_nightly() -> None:
    """The same over the last 35 days."""
    _look_again("night")


def _look_again(which: str) -> None:
    at = timezone.now()
    polling.look_again(which, at=at)
    differences.find(at - polling.SECOND_LOOKS[which], at, at=at)
    stats.compare(at=at)


@shared_task
def sweep_back_fills() -> None:
    """Go on with a back-fill whose next slice is due, whatever became of the last."""
    for pk in back_fill.due(at=timezone.now()):
        read_back.delay(pk)


@shared_task
def read_back(pk: int) -> None:
    """Read one slice of a back-fill, and have the next one read."""
    if back_fill.read_slice(pk, at=timezone.now()):
        read_back.delay(pk)


@shared_task
def freshen_figures() -> None:
    """Count again what has changed: the interval tables of the reports."""
    upkeep.freshen(at=timezone.now(), patience=timedelta(seconds=30))


@shared_task
def audit() -> None:
    """Recount everything, and tell the supervisors of any disagreement."""
    nightly_audit.run(at=timezone.now())


@shared_task
def watch_reports() -> None:
    """Have written and sent what is due, whatever bell was lost."""
    at = timezone.now()
    if exports.due(at).exists():
        bell.ring("export")
    if mails.are_due(at):
        bell.ring("report_mail")


@shared_task
def write_exports() -> None:
    """Write the spreadsheets that somebody waits for."""
    exports.write_due(timezone.now)


@shared_task
def send_report_mails() -> None:
    """Send the scheduled reports that are due."""
    mails.send_due(at=timezone.now())


@shared_task
def tidy_reports() -> None:
    """Remove the files whose time is over."""
    exports.remove_due(at=timezone.now())


@shared_task
def keep_no_longer() -> None:
    """Remove what has been kept for as long as the settings say."""
    retention.run(at=timezone.now())
