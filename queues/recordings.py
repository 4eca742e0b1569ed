"""Recordings: which are wanted, what a page says of them, who heard them, and their removal.

The leg that is fetched is the caller's: it lasts for the whole call and hears both sides. A
recording of another leg is taken too, if the provider says that it has one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from callcenter import bell
from callcenter.ids import new_id
from queues.models import Leg, QueuedCall, Recording, RecordingAccess

State = Recording.State
READY = "call.recording.ready"  # the kind of event
WAITS = (0.8, 2.4, 6.0, 8.0, 30.0, 90.0)  # seconds before each question (contract 3.7)
ONE_LISTENING = timedelta(seconds=60)  # a player asks many times for parts of one file
UNFINISHED = ".unfinished"  # the directory of files that are being written
REMOVE_AT_ONCE = 500

_WANT = """
INSERT INTO queues_recording
    (id, call_id, leg_id, state, tries, fetch_at, error, path, content_type, created_at)
SELECT %(id)s, call_id, id, 'wanted', 0, %(fetch_at)s, '', '', '', %(at)s FROM queues_leg
WHERE call_id = %(call)s AND role = 'customer'
AND coalesce(provider_id, session_id) IS NOT NULL
ORDER BY planned_at LIMIT 1
ON CONFLICT (leg_id) DO NOTHING
"""
_READY = """
INSERT INTO queues_recording
    (id, call_id, leg_id, state, tries, fetch_at, error, path, content_type, duration_seconds,
     created_at)
VALUES (%(id)s, %(call)s, %(leg)s, 'wanted', 0, %(at)s, '', '', '', %(duration)s, %(at)s)
ON CONFLICT (leg_id) DO UPDATE SET state = 'wanted', fetch_at = %(at)s, tries = 0, error = '',
    duration_seconds = coalesce(EXCLUDED.duration_seconds, queues_recording.duration_seconds)
WHERE queues_recording.state IN ('wanted', 'missing')
"""


def want(call: QueuedCall, *, at: datetime) -> None:
    """A talk is over: its recording is wanted, if its queue wants recordings."""
    if call.queue is None or not call.queue.fetch_recordings:
        return
    first = at + timedelta(seconds=WAITS[0])
    with connection.cursor() as cursor:
        cursor.execute(_WANT, {"id": new_id(), "call": call.pk, "fetch_at": first, "at": at})
        if cursor.rowcount:
            bell.ring("fetch_recordings", first)


def leg_of(handles: Iterable[str]) -> Leg | None:
    """Return the leg that these handles name, with its call and queue; None for none of ours."""
    leg = Leg.objects.known_by(handles)
    if leg is None:
        return None
    return Leg.objects.select_related("call__queue").filter(pk=leg.pk).first()


def ready(leg: Leg, *, at: datetime, duration_seconds: float | None = None) -> None:
    """The provider says that it has the recording of a leg: ask for it, if it is wanted.

    Nothing else of what it says is used, least of all a URL.
    """
    queue = leg.call.queue
    if queue is None or not queue.fetch_recordings:
        return
    values: dict[str, Any] = {
        "id": new_id(), "call": leg.call_id, "leg": leg.pk, "at": at, "duration": duration_seconds,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_READY, values)
        if cursor.rowcount:
            bell.ring("fetch_recordings", at)


# --- Files -------------------------------------------------------------------------------------


def storage() -> Path:
    """Return the directory that all recordings are in."""
    return Path(settings.STATE_DIR) / "recordings"


def file_of(recording: Recording) -> Path | None:
    """Return the file of a stored recording, if it is there."""
    if recording.state != State.STORED or not recording.path:
        return None
    base = storage().resolve()
    path = (base / recording.path).resolve()
    return path if path.is_relative_to(base) and path.is_file() else None


def remove_due(*, at: datetime) -> None:
    """Remove the files whose time is over, and what an end in mid-fetch has left behind.

    The file goes first: a row never says that a file is gone which is still there.
    """
    due = Recording.objects.filter(state=State.STORED, remove_at__lte=at).order_by("remove_at")
    for recording in due[:REMOVE_AT_ONCE]:
        (storage() / recording.path).unlink(missing_ok=True)
        Recording.objects.filter(pk=recording.pk, state=State.STORED).update(
            state=State.REMOVED, removed_at=at, path=""
        )
    yesterday = (at - timedelta(days=1)).timestamp()
    for left in (storage() / UNFINISHED).glob("*"):
        if left.stat().st_mtime < yesterday:
            left.unlink(missing_ok=True)


# --- Hearing them ------------------------------------------------------------------------------


@transaction.atomic
def heard(recording_pk: uuid.UUID, user: Any, how: str, *, at: datetime) -> None:
    """Note that somebody plays or downloads a recording: once a minute, however often it asks."""
    Recording.objects.select_for_update(no_key=True).get(pk=recording_pk)
    same = RecordingAccess.objects.filter(recording=recording_pk, user=user, how=how)
    if not same.filter(at__gt=at - ONE_LISTENING).exists():
        RecordingAccess.objects.create(recording_id=recording_pk, user=user, how=how, at=at)


@dataclass(frozen=True)
class Shown:
    """A recording as a page shows it."""

    recording: Recording
    sentence: str  # how it stands; empty where it can be played
    is_playable: bool
    accesses: list[RecordingAccess]


def shown(call: QueuedCall) -> list[Shown]:
    """Return the recordings of a call for templates/reporting/_recordings.html."""
    rows = call.recordings.select_related("leg").prefetch_related("accesses__user")
    return [_shown(recording) for recording in rows]


def _shown(recording: Recording) -> Shown:
    is_playable = file_of(recording) is not None
    sentence = "" if is_playable else _sentence(recording)
    return Shown(recording, sentence, is_playable, list(recording.accesses.all()))


def _sentence(recording: Recording) -> str:
    why = {"why": recording.error}
    if recording.state == State.WANTED and recording.error:
        return _("Not there yet: %(why)s It is tried again.") % why
    if recording.state == State.WANTED:
        return _("Not there yet: Sautikit is asked for it.")
    if recording.state == State.MISSING:
        return _("There is no recording: %(why)s") % why
    if recording.state == State.REMOVED and recording.removed_at:
        day = formats.date_format(timezone.localtime(recording.removed_at), "DATE_FORMAT")
        return _("Removed on %(day)s: its time was over.") % {"day": day}
    return _("Its file is not in the storage of this machine.")
