"""The audit that beat starts each night: kept, and told to the supervisors."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from itertools import islice

from queues import alerts
from reporting.alone import alone
from reporting.audit import Audit
from reporting.models import AuditRun

log = logging.getLogger(__name__)
MOST_LINES = 100
NOT_AGAIN = timedelta(hours=12)  # a task may be delivered twice
KEEP_FOR = timedelta(days=90)
_LOCK = 7_301_003  # any number that no other advisory lock has


def run(*, at: datetime) -> AuditRun | None:
    """Recount everything; return what is kept of it, or None where another run has just done so."""
    with alone(_LOCK) as is_alone:
        if not is_alone or AuditRun.objects.filter(started_at__gt=at - NOT_AGAIN).exists():
            return None
        audit, began = Audit(at=at), time.monotonic()
        lines = audit.lines()
        told = list(islice(lines, MOST_LINES))
        count = len(told) + sum(1 for _ in lines)
        done = AuditRun.objects.create(
            started_at=at,
            ended_at=at + timedelta(seconds=time.monotonic() - began),
            calls=audit.calls,
            not_recountable=audit.not_recountable,
            disagreements=count,
            lines=told,
        )
        AuditRun.objects.filter(started_at__lt=at - KEEP_FOR).delete()
    if count:
        for line in told:
            log.warning("audit: %s", line)
        text = (
            f"The nightly audit found {count} disagreements in the books. See Audit runs in the "
            "admin, or run `manage.py audit` on the server."
        )
        alerts.raise_alert("audit", "", text, at=at)
    return done
