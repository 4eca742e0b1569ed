"""Keeping differences: one row for each thing, however often it is found, until it is settled."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction

from callcenter.sautikit import phone
from queues import alerts
from queues.models import Leg, QueuedCall
from reporting.models import CallRecord, Difference

LONGEST = 200  # characters of what they say, what we say, what was done
Kind = Difference.Kind


def note(
    kind: Difference.Kind,
    subject: str,
    *,
    at: datetime,
    happened_at: datetime,
    theirs: str = "",
    ours: str = "",
    done: str = "",
    settled: bool = False,
    record: CallRecord | None = None,
    leg: Leg | None = None,
    call: QueuedCall | None = None,
) -> bool:
    """Keep a difference; True when it is new, or open again.

    What a person has settled stays settled while both sides still say the same.
    """
    said = {"theirs": theirs[:LONGEST], "ours": ours[:LONGEST]}
    about = {"record": record, "leg": leg, "call": call, "happened_at": happened_at}
    fresh = {
        **said, **about, "done": done[:LONGEST], "last_seen_at": at,
        "settled_at": at if settled else None, "settled_by": None,
    }  # fmt: skip
    row, is_new = Difference.objects.get_or_create(
        kind=kind, subject=subject[:160], defaults={**fresh, "found_at": at}
    )
    if is_new:
        return True
    same = all(getattr(row, name) == value for name, value in said.items())
    changes: dict[str, Any]
    if same and (row.settled_by_id or (row.settled_at and settled)):
        changes = {**about, "last_seen_at": at}
    else:
        changes = fresh
        if row.settled_at and settled:
            changes["settled_at"] = at
    Difference.objects.filter(pk=row.pk).update(**changes)
    return row.settled_at is not None and changes.get("settled_at", row.settled_at) is None


def settle_unseen(
    kind: Difference.Kind,
    *,
    at: datetime,
    since: datetime,
    until: datetime,
    done: str,
) -> int:
    """Settle the open differences of a range that were looked for at `at` and not found."""
    gone = Difference.objects.filter(
        kind=kind, settled_at=None, last_seen_at__lt=at,
        happened_at__gte=since, happened_at__lt=until,
    )  # fmt: skip
    return gone.update(settled_at=at, done=done)


def settle_by_hand(pk: int, *, note: str, user: Any, at: datetime) -> bool:
    """Have a person settle a difference; False where it is settled already.

    Who, when and why stay in the row, and in the admin's log also if it ever opens again.
    """
    with transaction.atomic():
        done = f"Settled by hand: {note}"[:LONGEST]
        open_row = Difference.objects.filter(pk=pk, settled_at=None)
        if not open_row.update(settled_at=at, settled_by=user, done=done):
            return False
        LogEntry.objects.log_actions(
            user.pk, Difference.objects.filter(pk=pk), CHANGE, done, single_object=True
        )
    return True


def malformed(
    subject: str,
    theirs: str,
    *,
    at: datetime,
    done: str,
    record: CallRecord | None = None,
    is_told: bool = False,
) -> None:
    """Keep what of the provider's answers could not be read; new, it is an alert too.

    `is_told`: another alert says so already.
    """
    is_new = note(
        Kind.MALFORMED, subject, at=at, theirs=theirs, done=done, record=record,
        happened_at=(record.started_at or record.first_seen_at) if record else at,
        leg=record.leg if record else None, call=record.call if record else None,
    )  # fmt: skip
    if is_new and not is_told:
        alerts.raise_alert(
            "provider", "malformed",
            f"Sautikit sent something that could not be read ({theirs}). {done} "
            "See Reports, Provider.", at=at,
        )  # fmt: skip


def spoken(seconds: float) -> str:
    """Write a span as pages do: 75 s is 1:15."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def masked(number: str) -> str:
    """Write a number so that it names nobody; a row of differences outlives an erasure."""
    return phone.masked(number) if number else "–"
