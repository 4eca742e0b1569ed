"""Differences with the provider, sums of days and a back-fill that runs: rows for the page."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from queues import provider
from queues.models import QueuedCall
from reporting.mirror import noting, polling, stats
from reporting.mirror.noting import Kind
from reporting.models import BackFill


def differences() -> None:
    """One of each kind, some settled, and a week of sums."""
    at = timezone.now()
    call = QueuedCall.objects.filter(ended_at__isnull=False).first()
    provider.learn(polling.POLLED_UNTIL, at.isoformat(), at=at)
    rows = (
        (Kind.UNKNOWN, "0193c0de-1111-7abc-8def-000000000101", "outbound, completed, 1:12",
         "No call of ours has this leg.",
         "Nothing: no offer of ours was open to this number then.", False),
        (Kind.NO_RECORD, "HD_0a1b2c3d4e5f", "No record of it is listed.",
         "agent's leg, completed, 3:40",
         "Nothing: asked for by its name, Sautikit does not know it.", False),
        (Kind.ANSWERED, "HD_1a1b2c3d4e5f", "Answered.", "Not answered.",
         "Nothing: the end of the call is final.", False),
        (Kind.DURATION, "HD_2a1b2c3d4e5f", "4:05", "4:01",
         "Nothing: ours is kept, the cost is theirs.", False),
        (Kind.MALFORMED, "row 5d1c7be0a4f2", '{"id": null, "session_id": null, "status": {}}', "",
         "The other records of the page are taken.", False),
        (Kind.CHANGED, "HD_3a1b2c3d4e5f", "cost 9.00", "was cost 6.00", "Cost taken over.", True),
    )  # fmt: skip
    for number, (kind, subject, theirs, our_words, done, settled) in enumerate(rows):
        noting.note(
            kind, subject, at=at, happened_at=at - timedelta(hours=number), theirs=theirs,
            ours=our_words, done=done, settled=settled,
            call=call if kind in {Kind.ANSWERED, Kind.DURATION, Kind.CHANGED} else None,
        )  # fmt: skip
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    days = list[dict[str, object]]()
    for back in range(6, 0, -1):
        sums = {"total": 1200 - 37 * back, "failed": 3 + back, "spend_minor": 412_350 - 990 * back}
        less = {"total": sums["total"] - 2} if back == 3 else {}
        ours: dict[str, int] | None = None if back == 6 else sums | less
        start = midnight - timedelta(days=back)
        days.append({"start": start.isoformat(), "theirs": sums, "ours": ours})
    provider.learn(stats.COMPARED, {"at": at.isoformat(), "currency": "KES", "days": days}, at=at)


def filling() -> None:
    """A back-fill that is under way, and has just failed once."""
    at = timezone.now()
    BackFill.objects.create(
        since=at - timedelta(days=30), until=at, reached=at - timedelta(days=19), seen=18_230,
        news=17_004, tries=1, error="HTTP 503 (code http_503, status 503)", started_at=at,
        next_at=at + timedelta(hours=1), requested_by=User.objects.get(username="supervisor"),
    )  # fmt: skip
