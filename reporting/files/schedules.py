"""Which period of a scheduled report is due when, by the calendar of TIME_ZONE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from django.db import transaction
from django.utils import timezone

from reporting.figures.asked import midnight
from reporting.models import ReportMail, ScheduledReport

Every = ScheduledReport.Every
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """Whole days [since, until), and from when on its mail goes out; all in UTC."""

    since: datetime
    until: datetime
    send_at: datetime


def latest(schedule: ScheduledReport, *, at: datetime) -> Period:
    """Return the latest period whose mail is due by now."""
    return next(found for found in _backwards(schedule, at) if found.send_at <= at)


def following(schedule: ScheduledReport, *, at: datetime) -> Period:
    """Return the first period whose mail is not due yet."""
    ahead = None
    for found in _backwards(schedule, at):
        if found.send_at <= at:
            break
        ahead = found
    assert ahead is not None  # noqa: S101 - the first one begins after now
    return ahead


def _backwards(schedule: ScheduledReport, at: datetime) -> Iterator[Period]:
    """Return the periods from the one whose mail goes out next but one, back in time."""
    day = _first_day(schedule.every, at.astimezone(_zone()).date())
    day = _first_day(
        schedule.every, day + 32 * DAY if schedule.every == Every.MONTH else day + 7 * DAY
    )
    while True:
        before = _first_day(schedule.every, day - DAY)
        hour = datetime.combine(day, time(schedule.hour), _zone()).astimezone(UTC)
        yield Period(midnight(before, _zone()), midnight(day, _zone()), hour)
        day = before


def _first_day(every: str, day: date) -> date:
    """Return the first day of the period that a day is in."""
    if every == Every.MONTH:
        return day.replace(day=1)
    return day - day.weekday() * DAY if every == Every.WEEK else day


def _zone() -> tzinfo:
    return timezone.get_default_timezone()


def plan(*, at: datetime) -> None:
    """Write the mails that have fallen due, each period once; of missed ones the latest only."""
    schedules = ScheduledReport.objects.filter(is_active=True)
    for schedule in schedules.filter(next_at=None):
        _set_next(schedule, at)
    for schedule in schedules.filter(next_at__lte=at):
        with transaction.atomic():
            if _set_next(schedule, at):
                write(schedule, latest(schedule, at=at), at=at)


def _set_next(schedule: ScheduledReport, at: datetime) -> bool:
    """Move on to the next time; False where another worker was quicker."""
    same = ScheduledReport.objects.filter(pk=schedule.pk, next_at=schedule.next_at)
    return bool(same.update(next_at=following(schedule, at=at).send_at))


def write(schedule: ScheduledReport, period: Period, *, at: datetime) -> None:
    """Write the mail of a period, unless it was written before."""
    values = {
        "until": period.until, "created_at": at, "try_at": at, "tries": 0, "sent_at": None,
        "recipients_left": "\n".join(addresses(schedule)), "error": "",
    }  # fmt: skip
    mail, is_new = ReportMail.objects.get_or_create(
        schedule=schedule, since=period.since, defaults=values
    )
    if not is_new and mail.until != period.until:  # what was daily has become weekly
        ReportMail.objects.filter(pk=mail.pk).update(**values)


def addresses(schedule: ScheduledReport) -> list[str]:
    """Return the mail addresses of a schedule, one each."""
    lines = schedule.recipients.replace(",", "\n").replace(";", "\n").split("\n")
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))
