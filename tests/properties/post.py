"""How news travels: lost, repeated, late, at another URL, in another form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.test import Client

from callcenter.sautikit import signature

SECRET = "whsec-of-the-property-tests"

# What the provider tells beside its questions; each may be lost, repeated, late and disguised.
NEWS = (
    "caller answered", "caller ended (voice)", "caller ended (event)", "caller joins",
    "caller leaves", "room ends", "agent rings", "agent answered", "agent ended (voice)",
    "agent ended (event)", "agent joins", "agent leaves", "dial over",
)  # fmt: skip
# Its questions are answered with a document. They may be asked twice; the first answer is played.
QUESTIONS = ("first post", "dial-result", "agent-join", "menu", "outbound-answer")

ALIASES: tuple[dict[str, str], ...] = (
    {},
    {
        "sessionId": "CallSid", "callerNumber": "From", "destinationNumber": "To",
        "callSessionState": "CallStatus", "durationInSeconds": "Duration",
    },
    {
        "sessionId": "call_id", "callerNumber": "caller_number",
        "destinationNumber": "destination_number", "callSessionState": "status",
        "durationInSeconds": "duration_seconds", "event": "conferenceEvent",
        "conference_name": "room", "participant_id": "participantId",
    },
)  # fmt: skip


@dataclass(frozen=True)
class Copy:
    """One delivery of a piece of news, `late` by so many seconds."""

    late: float = 0
    as_json: bool | None = None  # None: as the provider does it
    names: int = 0  # which aliases
    envelope: str = "data"  # of an event: data, payload, or flat
    signed: bool = True
    elsewhere: bool = False  # at the other URL where it may come too

    def __repr__(self) -> str:
        said = [
            f"{each.name}={value!r}"
            for each in fields(self)
            if (value := getattr(self, each.name)) != each.default
        ]
        return f"Copy({', '.join(said)})"


TIDY = (Copy(),)


@dataclass(frozen=True)
class Post:
    """How each sort of news travels; what is not named comes once, at once. () is lost."""

    news: dict[str, tuple[Copy, ...]] = field(default_factory=dict)

    def copies(self, name: str) -> tuple[Copy, ...]:
        return self.news.get(name, TIDY)

    @property
    def is_tidy(self) -> bool:
        return not self.news

    @property
    def latest(self) -> float:
        """By how much the latest news is late."""
        return max((copy.late for copies in self.news.values() for copy in copies), default=0)

    def __repr__(self) -> str:
        told = [f"{name!r}: {list(copies) or 'LOST'}" for name, copies in self.news.items()]
        return f"Post({', '.join(told) or 'tidy'})"


@dataclass(frozen=True)
class Sent:
    """A request that went out, `at` seconds after the start."""

    at: float
    url: str
    raw: bytes
    kind: str
    signed: bool

    def __str__(self) -> str:
        return f"{urlsplit(self.url).path} {self.raw.decode()[:160]}"


class Postman:
    """Posts bodies at our URLs; keeps what went out, to send all of it once more."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.client, self.seconds = Client(), seconds
        self.sent: list[Sent] = []
        self.bad: list[str] = []

    def send(
        self, url: str, body: dict[str, Any], *, as_json: bool, names: int = 0, signed: bool = False
    ) -> Any:
        body = {ALIASES[names].get(name, name): value for name, value in body.items()}
        raw = json.dumps(body).encode() if as_json else urlencode(body).encode()
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        return self.post(url, raw, kind, signed=signed)

    def post(self, url: str, raw: bytes, kind: str, *, signed: bool = False) -> Any:
        from django.utils import timezone

        self.sent.append(Sent(self.seconds(), url, raw, kind, signed))
        parts = urlsplit(url)
        headers = {}
        if signed:
            t = int(timezone.now().timestamp())
            headers = {signature.HEADER: signature.sign(SECRET, raw, t)}
        reply = self.client.generic(
            "POST", f"{parts.path}?{parts.query}", raw, kind, headers=headers
        )
        if reply.status_code not in {200, 204}:
            self.bad.append(f"{parts.path} answered {reply.status_code}")
        return reply
