"""Fetching recordings: asked for with our key, downloaded without it, kept in our own storage.

A worker claims one by moving `fetch_at` ahead, asks and downloads with no row locked, and writes
down what became of it. A claim that nobody finished runs out, and it is fetched again: the file has
one name, so twice is as good as once.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django.db.models import F

from callcenter import bell, disk, downloads, masking
from callcenter.sautikit import errors
from queues import alerts, provider, recordings
from queues.models import Recording

log = logging.getLogger(__name__)
State = Recording.State
LEASE = timedelta(minutes=10)  # longer than asking and downloading may take
AT_ONCE = 2  # threads of one worker process; the others are for calls
STINT = 40.0  # seconds after which a task ends and rings for another
MOST_TRIES = 40  # where the provider does not answer or is not done: more than a day
RETRY_FIRST, RETRY_MOST = 30.0, 3600.0  # seconds
NO_ROOM_FOR = 600.0  # seconds before it is tried again
ENDINGS = {
    "audio/wav": ".wav", "audio/x-wav": ".wav", "audio/wave": ".wav", "audio/mpeg": ".mp3",
    "audio/mp3": ".mp3", "audio/ogg": ".ogg", "audio/flac": ".flac", "audio/mp4": ".m4a",
    "audio/webm": ".webm",
}  # fmt: skip

_CLAIM = """
UPDATE queues_recording SET fetch_at = %(until)s WHERE id = (
    SELECT id FROM queues_recording WHERE state = 'wanted' AND fetch_at <= %(at)s
    ORDER BY fetch_at LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id
"""
_slots = threading.BoundedSemaphore(AT_ONCE)


def are_due(at: datetime) -> bool:
    """Whether any recording is to be fetched at this instant."""
    return Recording.objects.filter(state=State.WANTED, fetch_at__lte=at).exists()


def fetch_due(now: Callable[[], datetime]) -> None:
    """Fetch until nothing is due; `now` is the clock."""
    if not _slots.acquire(blocking=False):
        return
    try:
        began = time.monotonic()
        while fetch_next(at=now()):
            if time.monotonic() - began > STINT:
                bell.ring("fetch_recordings", now())
                return
    finally:
        _slots.release()


def fetch_next(*, at: datetime) -> bool:
    """Fetch one recording that is due at this instant; return whether there was one."""
    until = at + LEASE
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"at": at, "until": until})
        row = cursor.fetchone()
    if row is None:
        return False
    recording = Recording.objects.select_related("leg", "call__queue").get(pk=row[0])
    began = time.monotonic()
    _Attempt(recording, until).make(lambda: at + timedelta(seconds=time.monotonic() - began))
    return True


class _Attempt:
    """One question for one recording that is ours until `until`, and what becomes of it."""

    def __init__(self, recording: Recording, until: datetime) -> None:
        self.recording = recording
        self.own = Recording.objects.filter(pk=recording.pk, state=State.WANTED, fetch_at=until)

    def make(self, now: Callable[[], datetime]) -> None:
        """Ask, download and store; an attempt that fails says when the next one is."""
        tries = self.recording.tries + 1
        try:
            answer = provider.client_for_recordings().recording(self.recording.leg.handle)
            if answer.retry_after is not None:
                self._later("Sautikit is still at it.", answer.retry_after, now())
            else:
                self._store(answer.url, now)
        except errors.NotFound:
            if tries >= len(recordings.WAITS):
                self._missing("Sautikit has none.")
            else:
                self._later("", recordings.WAITS[tries], now())
        except errors.Gone:
            self._missing("Sautikit has none any more.")
        except errors.SautikitError as error:
            wait = getattr(error, "retry_after", None) or _backoff(tries)
            self._later(f"Sautikit: {error}", min(wait, RETRY_MOST), now())
        except downloads.NoRoom as error:
            self._no_room(str(error), now())
        except downloads.NotWanted as error:
            self._missing(f"The file {_lowered(error)}.")
        except downloads.NotFetched as error:
            self._later(f"The file {_lowered(error)}.", _backoff(tries), now())

    def _later(self, why: str, seconds: float, at: datetime) -> None:
        if self.recording.tries + 1 >= MOST_TRIES:
            self._missing(why)
            return
        fetch_at = at + timedelta(seconds=seconds)
        told = masking.mask(why)[:200]
        if self.own.update(fetch_at=fetch_at, tries=F("tries") + 1, error=told):
            bell.ring("fetch_recordings", fetch_at)

    def _missing(self, why: str) -> None:
        told = masking.mask(why)[:200]
        self.own.update(state=State.MISSING, fetch_at=None, tries=F("tries") + 1, error=told)
        log.info("recording %s is missing: %s", self.recording.pk, told)

    def _no_room(self, why: str, at: datetime) -> None:
        told = f"The file {why}."[:200]
        self.own.update(fetch_at=at + timedelta(seconds=NO_ROOM_FOR), error=told)
        text = "There is no room for recordings: they are fetched once some space is free."
        alerts.raise_alert("recordings", "no_room", text, at=at)

    def _store(self, url: str, now: Callable[[], datetime]) -> None:
        recording, base = self.recording, recordings.storage()
        unfinished = base / recordings.UNFINISHED / f"{recording.pk}.{uuid.uuid4().hex}"
        try:
            fetched = _download(url, unfinished)
            ending = ENDINGS.get(fetched.content_type, ".audio")
            path = f"{recording.created_at:%Y/%m}/{recording.pk}{ending}"
            _put(unfinished, base / path)
        except OSError as error:  # the disk: what the network does, `downloads` has told
            raise downloads.NoRoom(f"could not be written: {error.strerror}") from None
        finally:
            unfinished.unlink(missing_ok=True)
        self._stored(path, fetched, now())

    def _stored(self, path: str, fetched: downloads.Fetched, at: datetime) -> None:
        recording, queue = self.recording, self.recording.call.queue
        days = queue.keep_recordings_days if queue else 1
        wanted = Recording.objects.filter(pk=recording.pk, state=State.WANTED)
        stored = wanted.update(
            state=State.STORED, fetch_at=None, tries=F("tries") + 1, error="", path=path,
            content_type=fetched.content_type, size_bytes=fetched.size, stored_at=at,
            remove_at=max(recording.created_at + timedelta(days=days), at),
        )  # fmt: skip
        if stored:
            alerts.withdraw("recordings", "no_room", at=at)
        elif not Recording.objects.filter(pk=recording.pk, state=State.STORED).exists():
            (recordings.storage() / path).unlink(missing_ok=True)


def _download(url: str, path: Path) -> downloads.Fetched:
    """Write what is at `url` into a new file, to the disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    most = settings.RECORDING_MAX_MB * 1_000_000
    kept_free = max(settings.DISK_WARN_MB, disk.FULL_MB) * 1_000_000
    if shutil.disk_usage(path.parent).free < kept_free:
        raise downloads.NoRoom("found no room: the disk is nearly full")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        fetched = _fetch(url, file, most)
        file.flush()
        os.fsync(file.fileno())
    return fetched


def _fetch(url: str, file: BinaryIO, most: int) -> downloads.Fetched:
    return downloads.fetch(url, file, most_bytes=most, allow_private=_is_the_api(url))


def _is_the_api(url: str) -> bool:
    """Whether a URL is on the configured API's own host, which may be on this machine."""
    there, api = urlsplit(url), urlsplit(settings.SAUTIKIT_API_BASE_URL)
    return (there.scheme, there.netloc.lower()) == (api.scheme, api.netloc.lower())


def _put(unfinished: Path, final: Path) -> None:
    """Give a complete file its name, so that it is there after a power cut."""
    final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished.replace(final)
    directory = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _backoff(tries: int) -> float:
    return float(min(RETRY_FIRST * 2.0 ** min(tries - 1, 10), RETRY_MOST))


def _lowered(error: Exception) -> str:
    """Return an error's words to go on after "The file"; those of an address stand alone."""
    words = str(error).rstrip(".")
    return words if words[:1].islower() else f"cannot be fetched: {words}"
