"""The provider's REST API, answered from the truth of the switch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from .parties import Connection
from .switch import RINGS_AT_MOST, Switch

BASE = "https://api.sautikit.test/v1/calls"


class Rest:
    """Takes calls once for each key, hangs up, and shows the records as they are."""

    def __init__(self, switch: Switch, *, down: tuple[float, float], lost_answers: int) -> None:
        self.switch = switch
        self.down = down  # from when to when it cannot be reached
        self.lost_answers = lost_answers  # of placing, before one comes through
        self.placed: dict[str, Connection] = {}

    def serve(self, mock: Any) -> None:
        """Answer the REST API from the truth."""
        one = re.compile(re.escape(BASE) + r"/[^/?]+$")
        mock.add_callback("POST", BASE, self._rest(self._place))
        mock.add_callback("GET", one, self._rest(self._get))
        mock.add_callback(
            "POST", re.compile(re.escape(BASE) + r"/[^/?]+/hangup$"), self._rest(self._hang_up)
        )
        mock.add_callback("GET", re.compile(re.escape(BASE) + r"(\?.*)?$"), self._rest(self._list))

    def _rest(self, do: Callable[[Any], tuple[int, Any]]) -> Callable[[Any], Any]:
        def answer(request: Any) -> Any:
            since, until = self.down
            if since <= self.switch.time.seconds < until:
                raise requests.ConnectionError("the provider is away")
            status, body = do(request)
            return status, {}, json.dumps(body)

        return answer

    def _place(self, request: Any) -> tuple[int, Any]:
        body = json.loads(request.body)
        key = request.headers["Idempotency-Key"]
        leg = self.placed.get(key)
        if leg is None:
            [party] = body["to"]
            leg = self.switch.connection(
                "outbound", body["from"], party, voice_url=body["voice_callback_url"],
                label=body["client_request_id"], is_agent=party in self.switch.agents,
            )  # fmt: skip
            self.placed[key] = leg
            placed = leg
            self.switch.ring(
                placed, self.switch.next_ring(party), RINGS_AT_MOST,
                lambda: self.switch.play(placed, self._first_answer(placed)),
            )  # fmt: skip
        if self.lost_answers:
            self.lost_answers -= 1
            raise requests.ReadTimeout("the answer was lost")
        return 201, {"call_id": leg.uuid, "session_id": leg.session, "status": "ringing"}

    def _first_answer(self, leg: Connection) -> Any:
        name = "agent-join" if leg.who == "agent" else "outbound-answer"
        url = f"{leg.voice_url}?clientRequestId={leg.label}"
        return self.switch.ask(name, leg, url, {"callSessionState": "Answered"})

    def _find(self, handle: str) -> Connection | None:
        return next((leg for leg in self.switch.legs if handle in {leg.session, leg.uuid}), None)

    def _get(self, request: Any) -> tuple[int, Any]:
        leg = self._find(urlsplit(request.url).path.rsplit("/", 1)[1])
        return (200, {"call": self._record(leg)}) if leg else (404, {"code": "calls.not_found"})

    def _hang_up(self, request: Any) -> tuple[int, Any]:
        leg = self._find(urlsplit(request.url).path.split("/")[-2])
        if leg is None:
            return 404, {"code": "calls.not_found"}
        self.switch.end(leg)
        return 200, {}

    def _list(self, request: Any) -> tuple[int, Any]:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        since = datetime.fromisoformat(asked["from"]) if "from" in asked else None
        found = [
            leg for leg in reversed(self.switch.legs)
            if (not since or leg.started_at >= since)
            and leg.direction == asked.get("direction", leg.direction)
            and (asked.get("q", "") in leg.theirs or asked.get("q", "") in leg.session)
        ]  # fmt: skip
        return 200, {
            "calls": [self._record(leg) for leg in found[: int(asked.get("limit", "100"))]]
        }

    def _record(self, leg: Connection) -> dict[str, Any]:
        over = leg.ended_at and leg.answered_at
        times = {
            name: getattr(leg, name).isoformat() if getattr(leg, name) else None
            for name in ("started_at", "answered_at", "ended_at")
        }
        span = (
            (leg.ended_at - leg.answered_at)
            if over and leg.ended_at and leg.answered_at
            else timedelta()
        )
        return {
            "id": leg.uuid, "session_id": leg.session, "direction": leg.direction,
            "local_e164": leg.ours, "remote_e164": leg.theirs, "status": leg.status, **times,
            "duration_seconds": int(span.total_seconds()),
        }  # fmt: skip
