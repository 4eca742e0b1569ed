"""Exports and schedules in every state, for pictures."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from callcenter.ids import new_id
from reporting.models import Export, ReportMail, ScheduledReport
from tests.factories import make_export


def everything() -> None:
    """One export that waits, one half done, one failed, one done; three schedules."""
    now, sarah = timezone.now(), User.objects.filter(is_staff=True).first()
    query = {"from": ["2026-11-01"], "to": ["2026-11-30"], "tz": ["Africa/Nairobi"]}
    asked = {"query": query, "requested_by": sarah, "zone": "Africa/Nairobi"}
    done = make_export(new_id(), Path(settings.STATE_DIR) / "exports")
    Export.objects.filter(pk=done.pk).update(
        **asked, rows_done=128_402, size_bytes=9_412_003, created_at=now - timedelta(hours=2),
        remove_at=now + timedelta(days=7), report="calls",
    )  # fmt: skip
    Export.objects.create(
        **{**asked, "query": {**query, "queue": ["support", "sales"], "interval": ["hour"]}},
        report="queues", state="failed", error="The disk is full: free some space, and ask again.",
        created_at=now - timedelta(minutes=50), ended_at=now,
    )  # fmt: skip
    Export.objects.create(
        **asked, report="offer-list", state="running", rows_done=48_000, rows_total=131_077,
        created_at=now - timedelta(seconds=40), claimed_until=now + timedelta(hours=1),
    )  # fmt: skip
    Export.objects.create(**asked, report="records", created_at=now - timedelta(seconds=5))
    coming = now + timedelta(hours=11)
    for name, table, every, recipients, is_active in (
        ("Support, day by day", "queues", "day", "boss@example.test\nshop@example.test", True),
        ("Agents of the month", "agents", "month", "hr@example.test", True),
        ("Costs of the week", "costs", "week", "books@example.test", False),
    ):
        schedule = ScheduledReport.objects.create(
            name=name, report=table, every=every, recipients=recipients, is_active=is_active,
            next_at=coming,
        )  # fmt: skip
        late = table == "agents"
        ReportMail.objects.create(
            schedule=schedule, since=now - timedelta(days=1), until=now, created_at=now,
            sent_at=None if late else now, try_at=now + timedelta(minutes=8) if late else None,
            error="SMTPServerDisconnected: Connection unexpectedly closed" if late else "",
        )  # fmt: skip
