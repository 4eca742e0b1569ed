"""Sending scheduled reports by mail: by a task, again after a failure, never with a row locked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models import F, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from queues import alerts
from queues.alert_mails import FAILED, LEASE, MOST_TRIES, RETRY_AFTER, why
from reporting import amounts
from reporting.figures.asked import Asked, midnight
from reporting.files import about, asking, lines, schedules
from reporting.files.columns import MONEY, SECONDS, SHARE, TIME, Column, Table
from reporting.files.tables import TABLES
from reporting.models import ReportMail, ScheduledReport

log = logging.getLogger(__name__)
AT_ONCE = 20  # mails of one task
MOST_SHOWN = 50  # rows in the mail itself; the file has all
MOST_ATTACHED = 5_000_000  # bytes; more is not attached, for mail servers refuse it
# Of the tables that are wider than a mail.
SHOWN = {
    "queues": (
        "start", "queue_name", "offered", "answered", "abandoned", "service_level", "asa_seconds",
        "aht_seconds", "cost", "currency",
    ),
    "agents": (
        "start", "agent_name", "signed_in_seconds", "on_call_seconds", "occupancy", "offers",
        "accepted", "aht_seconds",
    ),
    "calls": (
        "arrived_at", "customer", "queue_name", "agent_name", "state", "wait_seconds",
        "talk_seconds",
    ),
    "offer-list": ("created_at", "queue", "agent_name", "state", "ring_seconds", "talk_seconds"),
    "records": ("started_at", "remote", "direction", "status", "duration_seconds", "cost"),
}  # fmt: skip


def are_due(at: datetime) -> bool:
    """Whether any mail is to be sent, or any schedule to be looked at."""
    active = ScheduledReport.objects.filter(is_active=True)
    return (
        ReportMail.objects.filter(try_at__lte=at).exists()
        or active.filter(next_at=None).exists()
        or active.filter(next_at__lte=at).exists()
    )


def send_due(*, at: datetime) -> None:
    """Send every mail that is due, each by whichever worker claims it first."""
    schedules.plan(at=at)
    due = ReportMail.objects.filter(try_at__lte=at).order_by("try_at")
    for pk in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        send(pk, at=at)


def send(mail_pk: int, *, at: datetime) -> None:
    """Send one mail if it is due. A claim that nobody finished runs out, and it is sent again."""
    mail = ReportMail.objects.select_related("schedule").filter(pk=mail_pk, try_at__lte=at).first()
    if mail is None:
        return
    lease = at + LEASE
    seen = ReportMail.objects.filter(pk=mail.pk, try_at=mail.try_at)
    if not seen.update(try_at=lease, tries=F("tries") + 1):
        return  # another worker was quicker
    own = ReportMail.objects.filter(pk=mail.pk, try_at=lease)
    schedule, tries = mail.schedule, mail.tries + 1
    left = [address for address in mail.recipients_left.split("\n") if address]
    told = "" if settings.EMAIL_URL else "E-mail is not set up: EMAIL_URL is empty."
    try:
        letter = write(schedule, mail.since, mail.until, at=at)
    except Exception as error:
        log.exception("the report %s could not be made", schedule)
        told = f"The report could not be made: {type(error).__name__}."
    else:
        told = told or _send_to_each(letter, left, own)
    if not left and not told:
        own.update(try_at=None, sent_at=at, error="")
        alerts.withdraw("mail", f"report:{schedule.pk}", at=at)
        return
    given_up = tries >= MOST_TRIES or not settings.EMAIL_URL
    again_at = None if given_up else at + RETRY_AFTER[tries - 1]
    if own.update(try_at=again_at, error=told[:200]) and given_up:
        text = f"The report “{schedule}” could not be mailed: {told}"
        alerts.raise_alert("mail", f"report:{schedule.pk}", text, at=at)


def _send_to_each(letter: Letter, left: list[str], own: QuerySet[ReportMail]) -> str:
    """Send it to each address that is left; return why the first that was not taken was not.

    Who has it is written down at once, so that nobody gets it twice because of another.
    """
    told = ""
    for address in [*left]:
        try:
            letter.to(address).send()
        except FAILED as error:
            told = told or why(error)
            log.warning("a report mail was not taken: %s", why(error))
        else:
            left.remove(address)
            own.update(recipients_left="\n".join(left))
    return told


def send_now(schedule: ScheduledReport, address: str, *, at: datetime) -> None:
    """Send the latest period to one address, now. Raises OSError or ValueError."""
    period = schedules.latest(schedule, at=at)
    write(schedule, period.since, period.until, at=at).to(address).send()


# --- The letter ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Letter:
    """A mail that is written once and sent to several addresses, each of its own."""

    subject: str
    text: str
    html: str
    file: tuple[str, bytes] | None

    def to(self, address: str) -> EmailMultiAlternatives:
        """Return the mail for one address."""
        mail = EmailMultiAlternatives(
            self.subject, self.text, settings.DEFAULT_FROM_EMAIL, [address],
            connection=get_connection(timeout=settings.EMAIL_TIMEOUT),
            headers={"Auto-Submitted": "auto-generated"},
        )  # fmt: skip
        mail.attach_alternative(self.html, "text/html")
        if self.file:
            name, content = self.file
            mail.attach(name, content, "text/csv")
        return mail


def write(
    schedule: ScheduledReport, since: datetime, until: datetime, *, at: datetime
) -> Letter:  # fmt: skip
    """Write the mail of a period, in the schedule's language and the zone of its query."""
    zone = timezone.get_default_timezone()
    with translation.override(schedule.language or settings.LANGUAGE_CODE), timezone.override(zone):
        return _write(schedule, _asked(schedule, since, until, at), at)


def _asked(schedule: ScheduledReport, since: datetime, until: datetime, at: datetime) -> Asked:
    first, after = (timezone.localtime(end, timezone.get_default_timezone()).date()
                    for end in (since, until))  # fmt: skip
    days = {"from": [first.isoformat()], "to": [(after - timedelta(days=1)).isoformat()]}
    asked = asking.read(
        {**schedule.query, **days, "tz": []}, at=at, zone=timezone.get_default_timezone()
    )
    assert asked.since == midnight(first, asked.zone)  # noqa: S101
    return asked


def _write(schedule: ScheduledReport, asked: Asked, at: datetime) -> Letter:
    table = TABLES[schedule.report]
    content, rows, count = _content(table, asked, at)
    keys = SHOWN.get(table.key, tuple(column.key for column in table.columns))
    columns = [column for column in table.columns if column.key in keys]
    places = [table.columns.index(column) for column in columns]
    shown = [[words(table.columns[place], row[place]) for place in places] for row in rows]
    totals = [
        (str(column.heading), words(column, value)) for column, value in about.totals(asked, at=at)
    ]
    address = f"{settings.PUBLIC_BASE_URL}{reverse('reports')}?{asked.address()}"
    context = {
        "schedule": schedule, "table": table, "filters": about.filters(asked),
        "headings": [str(column.heading) for column in columns], "rows": shown, "count": count,
        "left_out": count - len(shown), "totals": totals, "notes": asked.notes,
        "address": address, "is_attached": content is not None,
        "language": schedule.language or settings.LANGUAGE_CODE,
    }  # fmt: skip
    first, last = asked.days()
    span = f"{first}" if first == last else _("%(first)s to %(last)s") % {
        "first": first, "last": last,
    }  # fmt: skip
    return Letter(
        subject=" ".join(f"{schedule.name}: {span}".split()),
        text=_plain(context),
        html=render_to_string("reports/mail.html", context),
        file=(asking.file_name(table, asked, "csv"), content) if content is not None else None,
    )


def _content(table: Table, asked: Asked, at: datetime) -> tuple[bytes | None, list[list[Any]], int]:
    """Return the CSV file unless it is too large, the first rows, and how many there are."""
    first: list[list[Any]] = []
    counted = 0

    def pages(asked: Asked, at: datetime) -> Iterator[list[Any]]:
        nonlocal counted
        for page in table.pages(asked, at):
            first.extend(table.cells(row) for row in page[: MOST_SHOWN - len(first)])
            counted += len(page)
            yield page

    counting = Table(table.key, table.title, table.about, table.columns, pages)
    parts, size = [], 0
    for part in lines.portions(counting, asked, at=at):
        size += len(part)
        if size > MOST_ATTACHED:
            return None, first, table.count(asked) if table.count else counted
        parts.append(part)
    return b"".join(parts), first, counted


def words(column: Column, value: Any) -> str:
    """Write a value as people read it."""
    if value is None or value == "":
        return amounts.NONE
    if column.kind == SECONDS:
        return amounts.clock(value)
    if column.kind == SHARE:
        return f"{100 * value:.1f} %"
    if column.kind == MONEY and isinstance(value, Decimal):
        return f"{value:,.2f}"
    if column.kind == TIME:
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return str(value)


def _plain(context: dict[str, Any]) -> str:
    parts = [context["schedule"].name, f"{context['table'].title}. {context['table'].about}", ""]
    parts += [f"{name}: {value}" for name, value in context["filters"]]
    parts += ["", *context["notes"], *_grid([context["headings"], *context["rows"]])]
    if context["left_out"]:
        parts.append(_("… and %(count)s more rows") % {"count": context["left_out"]})
    parts += ["", _("Totals of the inbound calls"), *_grid(context["totals"])]
    if not context["is_attached"]:
        parts += ["", _("The file is too large for a mail: ask for it on the page.")]
    parts += ["", context["address"], "", _("A schedule of the call centre names this address.")]
    return "\n".join(parts) + "\n"


def _grid(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
