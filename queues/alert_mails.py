"""Sending the mails about alerts: by a task, again after a failure, never with a row locked."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models import F
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from callcenter import masking
from queues import alerts
from queues.models import Alert, AlertMail, AlertRule

log = logging.getLogger(__name__)
MOST_TRIES = 6
RETRY_AFTER = [timedelta(seconds=s) for s in (30, 120, 480, 1800, 7200)]  # 2 h 48 min in all
LEASE = timedelta(minutes=5)  # longer than a mail server may take for one mail
AT_ONCE = 50  # mails of one task
FAILED = (
    OSError,
    ValueError,
)  # smtplib's own are OSErrors; a header that cannot be is a ValueError


def are_due(at: datetime) -> bool:
    """Whether any mail is to be sent at this instant."""
    return AlertMail.objects.filter(send_at__lte=at).exists()


def send_due(*, at: datetime) -> None:
    """Send every mail that is due, each by whichever worker claims it first."""
    due = AlertMail.objects.filter(send_at__lte=at).order_by("send_at")
    for pk in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        send(pk, at=at)


def send(mail_pk: int, *, at: datetime) -> None:
    """Send one mail if it is due. A claim that nobody finished runs out, and it is sent again."""
    mail = AlertMail.objects.select_related("alert").filter(pk=mail_pk, send_at__lte=at).first()
    if mail is None:
        return
    lease = at + LEASE
    seen = AlertMail.objects.filter(pk=mail.pk, send_at=mail.send_at)
    if not seen.update(send_at=lease, attempts=F("attempts") + 1):
        return  # another worker was quicker
    attempts = mail.attempts + 1
    own = AlertMail.objects.filter(pk=mail.pk, send_at=lease)
    try:
        message(mail.alert, mail.address).send()
    except FAILED as error:
        told = why(error)
        log.warning("mail %s was not taken, attempt %s: %s", mail.pk, attempts, told)
        given_up = attempts >= MOST_TRIES
        again_at = None if given_up else at + RETRY_AFTER[attempts - 1]
        if own.update(send_at=again_at, error=told) and given_up:
            text = f"Mail about alerts to {mail.address} does not get through: {told}"
            alerts.raise_alert("mail", mail.address, text, at=at)
        return
    own.update(send_at=None, sent_at=at, error="")


def message(alert: Alert, address: str) -> EmailMessage:
    """Return the mail about an alert: plain text, no whole phone number, a link to the board."""
    with translation.override(settings.LANGUAGE_CODE):  # that of the alerts themselves
        return _message(alert, address)


def _message(alert: Alert, address: str) -> EmailMessage:
    text = masking.mask(" ".join(alert.text.split()))
    began = timezone.localtime(alert.first_at, timezone.get_default_timezone()).strftime(
        "%Y-%m-%d %H:%M:%S %Z"
    )
    lines = [text, "", _("Since: %(time)s") % {"time": began}]
    if alert.dismissed_at:
        ended = timezone.localtime(alert.dismissed_at, timezone.get_default_timezone()).strftime(
            "%H:%M:%S"
        )
        lines.append(_("Over, or dismissed, at %(time)s") % {"time": ended})
    lines += ["", _room(), "", _("An alert rule of the call centre names this address.")]
    return _mail(_("Call centre: %(text)s") % {"text": text[:120]}, lines, [address])


def send_test(rule: AlertRule) -> None:
    """Send a test to the addresses of a rule, now; raises OSError or ValueError."""
    lines = [
        _("This is a test: mails of the rule “%(rule)s” get through.") % {"rule": rule},
        "",
        _room(),
    ]
    _mail(_("Call centre: a test"), lines, rule.addresses).send()


def why(error: Exception) -> str:
    """Say in a few words why a mail was not taken."""
    return masking.mask(f"{type(error).__name__}: {error}")[:200]


def _room() -> str:
    return f"{settings.PUBLIC_BASE_URL}{reverse('home')}"


def _mail(subject: str, lines: list[str], to: list[str]) -> EmailMessage:
    return EmailMessage(
        subject, "\n".join(lines) + "\n", settings.DEFAULT_FROM_EMAIL, to,
        connection=get_connection(timeout=settings.EMAIL_TIMEOUT),
        headers={"Auto-Submitted": "auto-generated"},
    )  # fmt: skip
