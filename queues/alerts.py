"""What a supervisor should know: raised again it counts up, until somebody dismisses it."""

from datetime import datetime
from typing import Any

from django.db import connection, transaction

from callcenter import bell
from queues import alert_telling
from queues.alert_telling import Raised
from queues.models import Alert, ProviderFact

_RAISE = """
INSERT INTO queues_alert (kind, subject, text, count, first_at, last_at)
VALUES (%s, %s, %s, 1, %s, %s)
ON CONFLICT (kind, subject) WHERE dismissed_at IS NULL
DO UPDATE SET count = queues_alert.count + 1, last_at = EXCLUDED.last_at, text = EXCLUDED.text
RETURNING id, xmax = 0
"""


def raise_alert(
    kind: str,
    subject: str,
    text: str,
    *,
    at: datetime,
    queue_pk: int | None = None,
    threshold: int | None = None,
) -> None:
    """Tell the supervisors; `kind` and `subject` make it one alert however often it is raised.

    Raised anew, and not only counted up, it is told to whom the rules name: those of its kind, of
    its queue (`queue_pk`) or of all, and with its `threshold` if it came of one.
    """
    subject, text = subject[:128], text[:300]
    with transaction.atomic(savepoint=False):
        with connection.cursor() as cursor:
            cursor.execute(_RAISE, [kind, subject, text, at, at])
            alert_pk, is_new = cursor.fetchone()
        if is_new:
            alert_telling.tell(Raised(alert_pk, kind, subject, text, at, queue_pk, threshold))
        bell.ring("board")


def dismiss(alert_pk: int, *, at: datetime, actor: Any = None) -> bool:
    """Take an alert off the board, for the user who asked; raised again, it is a new one."""
    alert = Alert.objects.filter(pk=alert_pk, dismissed_at=None)
    is_wallet = alert.filter(kind="wallet", subject="").exists()
    dismissed = alert.update(dismissed_at=at, dismissed_by=actor)
    if dismissed and is_wallet:  # a supervisor says that there is money again
        ProviderFact.objects.filter(pk="dialling_stopped").delete()
        bell.ring("route")
    bell.ring("board")
    return bool(dismissed)


def withdraw(kind: str, subject: str, *, at: datetime) -> None:
    """Take an alert off the board because what it told of is over."""
    open_alert = Alert.objects.filter(kind=kind, subject=subject[:128], dismissed_at=None)
    if open_alert.update(dismissed_at=at):
        bell.ring("board")
