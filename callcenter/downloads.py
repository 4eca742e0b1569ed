"""Fetching a file from an address that somebody else named: judged as those of webhooks out are.

No key of ours goes along, no redirect is followed, and no more is read than was agreed.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import callcenter
from callcenter.outbox import addresses
from callcenter.outbox.sending import Connection, sentence

DEADLINE = 300.0  # seconds for all of it
CHUNK = 64 * 1024
_SOUND = re.compile(r"(audio/[a-z0-9.+-]{1,50})\s*(;|$)")
# Stores that know of no types: then the first bytes say what it is.
_UNTYPED = {"", "application/octet-stream", "binary/octet-stream"}
_BEGINNINGS = (
    (b"RIFF", "audio/wav"), (b"ID3", "audio/mpeg"), (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"), (b"OggS", "audio/ogg"), (b"fLaC", "audio/flac"),
)  # fmt: skip


class NotFetched(Exception):
    """Nothing came of it; the message says why. Another time it may."""


class NotWanted(NotFetched):
    """It will never do: too large, no sound, or an address that is not to be asked."""


class NoRoom(NotFetched):
    """It could not be written here."""


@dataclass(frozen=True)
class Fetched:
    """What was written."""

    content_type: str
    size: int


def fetch(url: str, file: BinaryIO, *, most_bytes: int, allow_private: bool) -> Fetched:
    """Write the sound file at `url` into `file`; raise NotFetched with the reason."""
    try:
        target = addresses.resolve(url, allow_private=allow_private)
    except addresses.Refused as error:
        raise NotWanted(str(error)) from None
    except addresses.Unresolved as error:
        raise NotFetched(str(error)) from None
    connection = Connection(target)
    watch = threading.Timer(DEADLINE, connection.cut)
    watch.daemon = True
    watch.start()
    try:
        return _read(connection, target.path, file, most_bytes)
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = f"took longer than {DEADLINE:.0f} s" if connection.was_cut else sentence(error)
        raise NotFetched(told) from None
    finally:
        watch.cancel()
        connection.close()


def _read(connection: Connection, path: str, file: BinaryIO, most_bytes: int) -> Fetched:
    connection.request("GET", path, headers=_HEADERS)
    response = connection.getresponse()
    if response.status != 200:
        raise NotFetched(f"answered {response.status}")
    if response.length is not None and response.length > most_bytes:
        raise NotWanted(_too_large(most_bytes))
    kind, size = response.headers.get("Content-Type", "").strip().lower(), 0
    for chunk in _chunks(response):
        if not size:
            kind = _sound(kind, chunk)
        size += len(chunk)
        if size > most_bytes:
            raise NotWanted(_too_large(most_bytes))
        try:
            file.write(chunk)
        except OSError as error:
            raise NoRoom(f"could not be written: {error.strerror}") from None
    if connection.was_cut:
        raise TimeoutError
    if response.length or not size:  # bytes that were announced and did not come
        raise NotFetched("was cut off" if size else "is empty")
    return Fetched(kind, size)


_HEADERS = {
    "Accept": "audio/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": f"callcenter/{callcenter.__version__}",
}


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    began = time.monotonic()
    while chunk := response.read(CHUNK):
        yield chunk
        if time.monotonic() - began > DEADLINE:
            raise TimeoutError


def _sound(kind: str, beginning: bytes) -> str:
    """Return the type of a sound file; raise NotWanted for anything else."""
    if found := _SOUND.match(kind):
        return found[1]
    if kind.partition(";")[0].strip() in _UNTYPED:
        for start, sound in _BEGINNINGS:
            if beginning.startswith(start):
                return sound
    raise NotWanted(f"is no sound file but {kind[:60] or 'of no known type'}")


def _too_large(most_bytes: int) -> str:
    return f"is larger than {most_bytes / 1_000_000:.0f} MB"
