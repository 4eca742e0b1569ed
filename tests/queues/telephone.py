"""The provider as a test plays it: posts what Sautikit would post, in its own words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpResponse
from django.test import Client

from queues.models import Leg, Offer, QueuedCall
from tests.factories import CALLER, LINE

TOKEN = "test-webhook-token"


class Telephone:
    """Posts form-encoded bodies as production does, unless told otherwise."""

    def __init__(self) -> None:
        self.client = Client()

    def post(self, url: str, body: dict[str, Any], *, as_json: bool = False, **headers: str) -> Any:
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if as_json:
            data, content_type = json.dumps(body), "application/json"
        else:
            from urllib.parse import urlencode

            data, content_type = urlencode(body), "application/x-www-form-urlencoded"
        return self.client.generic("POST", path, data, content_type, headers=headers)

    def inbound(self, session: str = "HD_000000000001", **body: Any) -> HttpResponse:
        """Post at the number's voice URL; by default the first POST of a call."""
        fields = {
            "sessionId": session,
            "callerNumber": CALLER,
            "destinationNumber": LINE,
            "callSessionState": "Ringing",
            **body,
        }
        return self.post(f"/calls/inbound?token={TOKEN}", fields)

    def hang_up(self, session: str = "HD_000000000001", **body: Any) -> HttpResponse:
        """The customer's leg has ended."""
        return self.inbound(
            session,
            **{"callSessionState": "Completed", "durationInSeconds": "10", "isActive": "0", **body},
        )

    def event(self, url: str, name: str, session: str = "") -> HttpResponse:
        """A room's event."""
        body = {"event": name, "conference_name": "room", "participant_id": session or "p-1"}
        if session:
            body["sessionId"] = session
        return self.post(url, body, as_json=True)


def actions(response: Any) -> list[dict[str, Any]]:
    """The actions of a voice reply; [] for an empty one."""
    assert response.status_code == 200, response.content
    if response["Content-Type"].startswith("application/xml"):
        assert response.content == b"<Response></Response>"
        return []
    return json.loads(response.content)["actions"]


def verbs(response: Any) -> list[str]:
    return [next(iter(action)) for action in actions(response)]


def argument(response: Any, verb: str) -> dict[str, Any]:
    """The arguments of the one action with this verb."""
    [found] = [action[verb] for action in actions(response) if verb in action]
    return found


def the_call() -> QueuedCall:
    return QueuedCall.objects.select_related("agent", "queue", "offer").get()


def the_offer() -> Offer:
    return Offer.objects.select_related("agent").get()


def agent_leg() -> Leg:
    return Leg.objects.get(role="agent")


class Provider:
    """Sautikit's REST API as a test plays it: answers by `responses`, remembers what was asked."""

    BASE = "https://api.sautikit.test/v1/calls"

    def __init__(self, mock: Any) -> None:
        self.mock = mock

    def takes_calls(self, **answer: Any) -> None:
        """Every POST is taken: 201 with these handles."""
        self.mock.post(self.BASE, json={"status": "ringing", **answer}, status=201)

    def answers_placing(self, status: int, code: str = "", **more: Any) -> None:
        """The next POST is answered like this (the last one told counts for all that follow)."""
        body = {"code": code, "message": f"says {status}"}
        self.mock.post(self.BASE, json=body, status=status, **more)

    def fails_placing(self, error: Exception) -> None:
        self.mock.post(self.BASE, body=error)

    def knows(self, handle: str, **record: Any) -> None:
        """`GET /v1/calls/{handle}` is answered with this record."""
        row = {"id": handle, "status": "ringing", "direction": "outbound", **record}
        self.mock.upsert("GET", f"{self.BASE}/{handle}", json={"call": row})

    def knows_nothing_of(self, handle: str) -> None:
        body = {"code": "calls.not_found", "message": "no such call"}
        self.mock.upsert("GET", f"{self.BASE}/{handle}", json=body, status=404)

    def lists(self, *records: dict[str, Any]) -> None:
        """`GET /v1/calls` is answered with these records, newest first."""
        self.mock.upsert("GET", self.BASE, json={"calls": list(records)})

    def hangs_up(self, handle: str, status: int = 200) -> None:
        self.mock.upsert("POST", f"{self.BASE}/{handle}/hangup", json={}, status=status)

    @property
    def asked(self) -> list[str]:
        """What was asked, in order: method and path."""
        return [
            f"{call.request.method} {urlsplit(call.request.url).path}" for call in self.mock.calls
        ]

    @property
    def placed(self) -> list[dict[str, Any]]:
        """The bodies of the calls that were placed, in order."""
        return [
            json.loads(call.request.body)
            for call in self.mock.calls
            if call.request.method == "POST" and call.request.url == self.BASE
        ]

    @property
    def keys(self) -> list[str]:
        """The idempotency keys of the calls that were placed, in order."""
        return [
            call.request.headers["Idempotency-Key"]
            for call in self.mock.calls
            if call.request.method == "POST" and call.request.url == self.BASE
        ]
