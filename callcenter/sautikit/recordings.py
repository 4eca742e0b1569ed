"""What the provider answers when it is asked for a call's recording (contract 3.7)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin

import requests

from callcenter.sautikit import answers, bodies
from callcenter.sautikit.actions import is_web_url

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PENDING_FOR = 30.0  # seconds, where a pending answer does not say
LONGEST_PENDING = 300.0
_URL = ("download_url", "downloadUrl", "recording_url", "recordingUrl", "RecordingUrl", "url")
_RETRY = ("retry_after_seconds", "retryAfterSeconds", "retry_after")


@dataclass(frozen=True)
class RecordingAnswer:
    """A URL to fetch without our key, or the seconds after which to ask again."""

    url: str = ""
    retry_after: float | None = None


def recording_answer(response: requests.Response, base_url: str) -> RecordingAnswer:
    """Read an answer; raise Unavailable where it says nothing that can be used."""
    if response.status_code in REDIRECTS:
        url = urljoin(base_url + "/", response.headers.get("Location", "").strip())
        return _found(url, response)
    if response.status_code == 202:
        body = answers.value(response) if response.content.strip() else {}
        where = bodies.layers(body) if isinstance(body, dict) else ()
        said = bodies.pick_whole(where, _RETRY)
        return RecordingAnswer(
            retry_after=PENDING_FOR if said is None else min(max(said, 1.0), LONGEST_PENDING)
        )
    body = answers.value(response)
    where = bodies.layers(body) if isinstance(body, dict) else ()
    return _found(bodies.pick(where, _URL, 4096), response)


def _found(url: str, response: requests.Response) -> RecordingAnswer:
    if not is_web_url(url):
        raise answers.unreadable(response)
    return RecordingAnswer(url=url)
