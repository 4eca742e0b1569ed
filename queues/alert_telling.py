"""Who is told of an alert besides the board: mails and messages, written with the alert itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q

from callcenter import bell
from callcenter.outbox import writing
from callcenter.outbox.writing import News, moment
from queues.models import AlertMail, AlertRule, Queue

Kind = AlertRule.Kind
UNTOLD = {"mail"}  # that mails do not arrive is told by no mail
NOT_SET_UP = "E-mail is not set up: EMAIL_URL is empty."


@dataclass(frozen=True)
class Raised:
    """An alert that was raised anew; `threshold` is that of the rule that raised it."""

    pk: int
    kind: str
    subject: str
    text: str
    at: datetime
    queue_pk: int | None = None
    threshold: int | None = None


def rule_kind(kind: str) -> str:
    """Return the kind of the rules that an alert of this kind is for."""
    return kind if kind in Kind.values else Kind.OTHER


def tell(raised: Raised) -> None:
    """Write what the rules want told of a new alert, in the running transaction."""
    if raised.kind in UNTOLD:
        return
    rules = list(
        AlertRule.objects.filter(
            Q(queue=None) | Q(queue=raised.queue_pk), kind=rule_kind(raised.kind), is_active=True
        )
    )
    if raised.threshold is not None:
        rules = [rule for rule in rules if rule.threshold == raised.threshold]
    _mail(raised, rules)
    if any(rule.by_webhook for rule in rules):
        slugs = Queue.objects.filter(pk=raised.queue_pk or 0).values_list("slug", flat=True)
        slug = slugs.first()
        writing.tell(News("alert.raised", f"alert:{raised.pk}", raised.at, _told(raised, slug)))


def _mail(raised: Raised, rules: Iterable[AlertRule]) -> None:
    addresses = dict.fromkeys(address for rule in rules for address in rule.addresses)
    if not addresses:
        return
    is_set_up = bool(settings.EMAIL_URL)
    AlertMail.objects.bulk_create(
        (
            AlertMail(
                alert_id=raised.pk, address=address, created_at=raised.at,
                send_at=raised.at if is_set_up else None, error="" if is_set_up else NOT_SET_UP,
            )
            for address in addresses
        ),
        ignore_conflicts=True,
    )  # fmt: skip
    if is_set_up:
        bell.ring("mail")


def _told(raised: Raised, slug: str | None) -> dict[str, Any]:
    return {
        "id": raised.pk,
        "kind": raised.kind,
        "subject": raised.subject,
        "text": raised.text,
        "queue": slug,
        "raised_at": moment(raised.at),
    }
