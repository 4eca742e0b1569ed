"""Recordings of legs: a made-up sound, at a signed URL that nobody may send a key to."""

from __future__ import annotations

import hashlib
import hmac
import io
import math
import os
import time
import wave

from aiohttp import web

from simulator.calls import Leg, rfc3339
from simulator.ledger import Ledger

PATH = "/recordings/"
GOOD_FOR = 900  # seconds, contract 3.7
RATE = 8000  # samples a second
LONGEST = 30  # seconds of sound
_SECRET = os.urandom(16)


def url_of(leg: Leg, base: str) -> str:
    """A URL that whoever has it may fetch, for a while."""
    until = int(time.time()) + GOOD_FOR
    return f"{base}{PATH}{leg.call_id}.wav?until={until}&signature={_sign(leg.call_id, until)}"


def sound(seconds: int) -> bytes:
    """A WAV file of a soft tone."""
    one = bytes(128 + round(30 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(RATE))
    file = io.BytesIO()
    with wave.open(file, "wb") as writing:
        writing.setnchannels(1)
        writing.setsampwidth(1)
        writing.setframerate(RATE)
        writing.writeframes(one * max(1, min(seconds, LONGEST)))
    return file.getvalue()


def ready(leg: Leg, envelope: str) -> dict[str, object]:
    """What `call.recording.ready` says: form A has a URL, form B has none (contract 6.3)."""
    seconds = leg.duration_seconds or 0
    size = len(sound(seconds))
    if envelope == "B":
        return {"recording_duration_seconds": seconds, "recording_size_bytes": size}
    return {
        "recording_id": f"rec-{leg.call_id}",
        "duration_seconds": seconds,
        "size_bytes": size,
        "download_url": f"https://storage.invalid/{leg.call_id}.wav?signature=x",
        "expires_at": rfc3339(time.time() + GOOD_FOR),
    }


def file(ledger: Ledger, request: web.Request) -> web.Response:
    """The file behind a signed URL; who sends a key with it has shown it to a stranger."""
    call_id = request.path.removeprefix(PATH).removesuffix(".wav")
    leg = ledger.find(call_id)
    if leg is None:
        return web.Response(status=404)
    if "Authorization" in request.headers:
        ledger.problem(leg, "key_shown")
        return web.Response(status=400)
    until = request.query.get("until", "")
    good = until.isdigit() and hmac.compare_digest(
        _sign(call_id, int(until)), request.query.get("signature", "")
    )
    if not good or int(until) < time.time():
        return web.Response(status=403)
    ledger.note(leg, "recording_fetched")
    return web.Response(body=sound(leg.duration_seconds or 0), content_type="audio/wav")


def _sign(call_id: str, until: int) -> str:
    return hmac.new(_SECRET, f"{call_id}.{until}".encode(), hashlib.sha256).hexdigest()
