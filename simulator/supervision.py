"""Listening in on a live call, `/v1/calls/{id}/supervision` (contract 3.8)."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulator.calls import Leg, new_call_id, rfc3339
from simulator.documents import E164, SIP_URI

if TYPE_CHECKING:
    from simulator.exchange import Exchange
    from simulator.rest import Rest

MODES = ("listen", "whisper", "barge")
ANNOUNCE = ("none", "agent", "both")
NAMES = {"mode", "supervisor", "announce", "label", "notify_agent"}
MAX_LABEL = 64
OPEN = ("connecting", "ringing", "connected")


class Refused(Exception):
    """A request that is answered with the error envelope."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(eq=False, slots=True)
class Supervision:
    """One supervisor on one leg, with the phone on which they listen."""

    leg: Leg
    mode: str
    supervisor: dict[str, str]
    announce: str
    notify_agent: bool
    label: str
    phone: Leg | None = None
    state: str = "connecting"
    supervision_id: str = field(default_factory=new_call_id)
    created_at: float = field(default_factory=time.time)
    connected_at: float | None = None
    ended_at: float | None = None
    modes: list[dict[str, Any]] = field(default_factory=list)  # each with its time

    def as_json(self) -> dict[str, Any]:
        """The supervision as REST and events tell it."""
        return {
            "supervision_id": self.supervision_id,
            "call_id": self.leg.call_id,
            "session_id": self.leg.session_id,
            "supervisor_leg_id": self.phone.call_id if self.phone else None,
            "mode": self.mode,
            "announce": self.announce,
            "supervisor": self.supervisor,
            "notify_agent": self.notify_agent,
            "state": self.state,
            "connected_at": rfc3339(self.connected_at),
            "ended_at": rfc3339(self.ended_at),
            "created_at": rfc3339(self.created_at),
        }

    def story(self) -> dict[str, Any]:
        """What truly happened, for the ledger; instants are seconds since the epoch."""
        times = {name: getattr(self, name) for name in ("created_at", "connected_at", "ended_at")}
        return {**self.as_json(), **times, "label": self.label, "modes": self.modes}


class Supervisions:
    """Who listens to which leg, in one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._of_phone: dict[Leg, Supervision] = {}

    def of(self, leg: Leg) -> Supervision | None:
        """The latest supervision of a leg."""
        told = self._exchange.ledger.supervisions
        return next((one for one in reversed(told) if one.leg is leg), None)

    def start(self, supervision: Supervision) -> None:
        """Ring the supervisor's phone."""
        self._exchange.ledger.supervisions.append(supervision)
        to = supervision.supervisor.get("number") or supervision.supervisor["identity"]
        supervision.phone = self._exchange.place_supervisor(supervision.leg, to)
        self._of_phone[supervision.phone] = supervision
        self._tell(supervision, "ringing")

    def answered(self, phone: Leg) -> None:
        """The supervisor has picked up: from now on they listen."""
        supervision = self._of_phone[phone]
        supervision.connected_at = phone.answered_at
        self._is_heard(supervision)
        self._tell(supervision, "connected")

    def change(self, supervision: Supervision, mode: str) -> None:
        """The supervisor is heard by other people, or by nobody."""
        supervision.mode = mode
        self._is_heard(supervision)
        self._tell(supervision, "connected", kind="updated")

    def ended(self, phone: Leg) -> None:
        """The supervisor's phone is down, whoever hung up."""
        supervision = self._of_phone.pop(phone)
        supervision.ended_at = phone.ended_at
        self._tell(supervision, "ended" if supervision.connected_at else "failed")

    @staticmethod
    def _is_heard(supervision: Supervision) -> None:
        supervision.modes.append({"at": time.time(), "mode": supervision.mode})

    def _tell(self, supervision: Supervision, state: str, *, kind: str = "") -> None:
        supervision.state, leg = state, supervision.leg
        ledger = self._exchange.ledger
        ledger.note(leg, "supervision", state=state, mode=supervision.mode)
        told = {**supervision.as_json(), "status": state}
        self._exchange.webhooks.event(leg, f"call.supervision.{kind or state}", **told)


class SupervisionApi:
    """Handlers of `/v1/calls/{id}/supervision`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._keys: dict[str, tuple[str, Supervision]] = {}

    def routes(self) -> list[web.RouteDef]:
        path = "/v1/calls/{id}/supervision"
        return [
            web.post(path, self.start),
            web.patch(path, self.change),
            web.delete(path, self.end),
            web.get(path, self.show),
        ]

    def reset(self) -> None:
        self._keys.clear()

    async def start(self, request: web.Request) -> web.Response:
        """Ring a supervisor; one a call, and once per Idempotency-Key."""
        leg, raw = self._rest.leg_of(request), await request.read()
        key = request.headers.get("Idempotency-Key", "")
        said = hashlib.sha256(raw + leg.call_id.encode()).hexdigest()
        if key and key in self._keys:
            body_hash, known = self._keys[key]
            if body_hash != said:
                raise Refused(409, "idempotency.conflict", "the key was used with another body")
            return self._answer(known, 201, {"Idempotent-Replay": "true"})
        supervision = _read(raw, leg)
        exchange = self._rest.exchange
        if leg.answered_at is None or leg.ended_at is not None:
            raise Refused(409, "calls.not_live", "nobody talks on this call")
        if leg.member is not None and not exchange.config.switches.supervise_in_room:
            raise Refused(409, "calls.not_supervisable", "the call is in a conference")
        if (current := exchange.supervisions.of(leg)) and current.state in OPEN:
            raise Refused(409, "calls.supervision_in_progress", "a supervisor is on this call")
        if exchange.wallet_minor <= 0:
            raise Refused(402, "wallet.insufficient_funds", "the wallet is empty")
        exchange.supervisions.start(supervision)
        if key:
            self._keys[key] = said, supervision
        return self._answer(supervision, 201)

    async def change(self, request: web.Request) -> web.Response:
        """Change the mode; not while the supervisor's phone rings."""
        current = self._current(request)
        body = _object(await request.read())
        mode = body.get("mode")
        if mode not in MODES or set(body) != {"mode"}:
            raise Refused(422, "calls.invalid_request", "`mode` is listen, whisper or barge")
        if current is None:
            raise Refused(404, "calls.supervision_not_found", "nobody listens to this call")
        if current.state != "connected":
            raise Refused(409, "calls.supervision_ringing", "the supervisor has not answered yet")
        self._rest.exchange.supervisions.change(current, mode)
        return self._answer(current, 200)

    async def end(self, request: web.Request) -> web.Response:
        """Take the supervisor off; also when there is none (any more)."""
        current = self._current(request)
        if current and current.phone:
            self._rest.exchange.end(current.phone, "api_hangup", by="api")
        return web.Response(status=204)

    async def show(self, request: web.Request) -> web.Response:
        """How it stands; what has ended is told or not, by the switch `supervision_after_end`."""
        current = self._current(request)
        if current is None and self._switch("supervision_after_end") == "object":
            current = self._rest.exchange.supervisions.of(self._rest.leg_of(request))
        return web.json_response({"supervision": current.as_json() if current else None})

    def _current(self, request: web.Request) -> Supervision | None:
        found = self._rest.exchange.supervisions.of(self._rest.leg_of(request))
        return found if found and found.state in OPEN else None

    def _switch(self, name: str) -> Any:
        return getattr(self._rest.exchange.config.switches, name)

    def _answer(
        self, supervision: Supervision, status: int, headers: dict[str, str] | None = None
    ) -> web.Response:
        answer = supervision.as_json()
        if self._switch("supervision_wrapped"):
            answer = {"supervision": answer}
        return web.json_response(answer, status=status, headers=headers)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refused(400, "request.invalid_json", str(error)) from error
    if not isinstance(body, dict):
        raise Refused(400, "request.invalid_json", "the body is not an object")
    return body


def _read(raw: bytes, leg: Leg) -> Supervision:
    """Check what is asked, strictly."""
    body = _object(raw)
    supervisor, label = body.get("supervisor"), body.get("label", "")
    wrong = ""
    if unknown := set(body) - NAMES:
        wrong = f"unknown: {', '.join(sorted(unknown))}"
    elif body.get("mode") not in MODES:
        wrong = "`mode` is listen, whisper or barge"
    elif body.get("announce", "none") not in ANNOUNCE:
        wrong = "`announce` is none, agent or both"
    elif not isinstance(body.get("notify_agent", True), bool):
        wrong = "`notify_agent` is true or false"
    elif not isinstance(label, str) or len(label) > MAX_LABEL:
        wrong = "`label` is a string of at most 64 characters"
    elif not _is_supervisor(supervisor):
        wrong = "`supervisor` is a client, a SIP address or a phone"
    if wrong:
        raise Refused(422, "calls.invalid_request", wrong)
    return Supervision(
        leg, body["mode"], body["supervisor"], body.get("announce", "none"),
        body.get("notify_agent", True), label,
    )  # fmt: skip


def _is_supervisor(said: Any) -> bool:
    if not isinstance(said, dict):
        return False
    match said:
        case {"type": "phone", "number": str(number)} if len(said) == 2:
            return bool(E164.fullmatch(number))
        case {"type": "sip", "identity": str(identity)} if len(said) == 2:
            return bool(SIP_URI.fullmatch(identity))
        case {"type": "client", "identity": str(identity)} if len(said) == 2:
            return bool(identity)
    return False
