"""What is kept for how long, and how much of it there is: for the page, and for who asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Min, Sum
from django.utils.translation import gettext as _

from callcenter.outbox import again
from callcenter.outbox.models import Message
from queues import provider
from queues.models import Queue, QueuedCall, Recording, WebhookEvent, WrapUp
from reporting.models import AuditRun, Export, QueueQuarter
from reporting.retention import NUMBERS_UNTIL

COUNTED = 100_000  # rows from which on the database's own estimate will do


@dataclass(frozen=True)
class Kind:
    """One class of data."""

    key: str
    name: str
    what: str
    days: int | None  # None: for ever
    setting: str = ""
    rows: int = 0
    is_estimate: bool = False
    oldest: datetime | None = None
    size_bytes: int | None = None
    more: str = ""


def kinds() -> Iterator[Kind]:
    """Yield each class of data, as it is kept now."""
    first_call = QueuedCall.objects.aggregate(at=Min("arrived_at"))["at"]
    calls = _rows(QueuedCall)
    yield Kind(
        "calls", _("Calls"),
        _("With their timelines, legs, offers and Sautikit's records; agents' working time"),
        settings.KEEP_CALLS_DAYS, "KEEP_CALLS_DAYS", *calls, first_call,
    )  # fmt: skip
    mark = provider.recall(NUMBERS_UNTIL)
    replaced = datetime.fromisoformat(mark["until"]) if mark and mark["until"] else None
    named = QueuedCall.objects.filter(arrived_at__gt=replaced) if replaced else QueuedCall.objects
    yield Kind(
        "numbers", _("Callers' numbers"),
        _("Afterwards a name stands for the number: the same one for the same number"),
        settings.KEEP_NUMBERS_DAYS, "KEEP_NUMBERS_DAYS",
        *((named.count(), False) if replaced else calls), max(filter(None, [replaced, first_call]),
                                                              default=None),
    )  # fmt: skip
    notes = WrapUp.objects.exclude(notes="")
    yield Kind(
        "notes", _("Notes"), _("What agents wrote about a conversation; the disposition stays"),
        settings.KEEP_NOTES_DAYS, "KEEP_NOTES_DAYS", notes.count(), False,
        notes.aggregate(at=Min("updated_at"))["at"],
    )  # fmt: skip
    yield _recordings()
    yield Kind(
        "webhooks", _("Webhooks received"), _("What Sautikit has posted, word for word"),
        settings.WEBHOOK_KEEP_DAYS, "WEBHOOK_KEEP_DAYS", *_rows(WebhookEvent),
        WebhookEvent.objects.aggregate(at=Min("received_at"))["at"],
    )  # fmt: skip
    yield Kind(
        "outbox", _("Webhooks sent"), _("What other systems were told; what waits for one stays"),
        again.KEEP_FOR // timedelta(days=1), "", *_rows(Message),
        Message.objects.aggregate(at=Min("at"))["at"],
    )  # fmt: skip
    files = Export.objects.filter(state=Export.State.DONE)
    yield Kind(
        "exports", _("Exports"), _("Spreadsheets that somebody asked for"), 7, "", files.count(),
        False, files.aggregate(at=Min("created_at"))["at"],
        files.aggregate(size=Sum("size_bytes"))["size"],
    )  # fmt: skip
    yield Kind(
        "audits", _("Nightly audits"), _("What each of them found"), 90, "", *_rows(AuditRun)
    )
    yield Kind(
        "figures", _("Figures"),
        _("Counts and times by queue, agent and quarter of an hour; no caller is in them"),
        None, "", *_rows(QueueQuarter), QueueQuarter.objects.aggregate(at=Min("start"))["at"],
    )  # fmt: skip


def _recordings() -> Kind:
    stored = Recording.objects.filter(state=Recording.State.STORED)
    told = stored.aggregate(at=Min("stored_at"), size=Sum("size_bytes"))
    queues = Queue.objects.filter(retired_at=None, fetch_recordings=True).order_by("name")
    by_queue = [f"{queue.name}: {queue.keep_recordings_days}" for queue in queues]
    return Kind(
        "recordings", _("Recordings"), _("Days are set for each queue"),
        max((queue.keep_recordings_days for queue in queues), default=None), "", stored.count(),
        False, told["at"], told["size"], ", ".join(by_queue),
    )  # fmt: skip


def _rows(model: Any) -> tuple[int, bool]:
    """Return how many rows a table has, and whether that is an estimate."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass",
                       [model._meta.db_table])  # fmt: skip
        estimate = int(cursor.fetchone()[0])
    if estimate > COUNTED:
        return estimate, True
    return model.objects.count(), False
