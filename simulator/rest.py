"""The REST API of the workspace, `/v1/…` (contract 2 and 3)."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from simulator import recordings
from simulator.calls import CURRENCY, WORKSPACE_ID, Leg, new_call_id, rfc3339
from simulator.documents import E164, SIP_URI
from simulator.exchange import Exchange
from simulator.supervision import Refused, SupervisionApi
from simulator.webhooks import number_id

IDEMPOTENCY_SECONDS = 24 * 3600  # contract 2.5
REMEMBERED_KEYS = 50_000
MAX_LABEL = 5000  # characters of client_request_id, contract 3.1
SDK_NAMES = {"voice_callback_url", "client_request_id"}
USE_CASE_NAMES = {"action_url", "webhook_url", "status_url", "clientRequestId"}
GARBAGE: tuple[Any, ...] = (None, 7, "row", [], {}, {"id": None, "session_id": None, "status": {}})
NONSENSE = {"duration_seconds": -4, "ended_at": "1970-01-01T00:00:00Z", "cost_minor": "lots"}
OTHER_NAMES = {"from", "to", "caller_id"}


def error_response(status: int, code: str, message: str) -> web.Response:
    request_id = "req_" + new_call_id()[-12:]
    error = {"code": code, "message": message, "request_id": request_id}
    return web.json_response({"error": error}, status=status)


@dataclass(frozen=True, slots=True)
class Order:
    """A checked request for an outbound call, in one form for both body shapes."""

    number_e164: str
    to: str
    voice_url: str
    status_url: str
    client_request_id: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """The answer to an idempotency key."""

    at: float
    body_hash: str
    answer: dict[str, Any]


class Rest:
    """Handlers of `/v1/` over one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.supervision = SupervisionApi(self)
        self._keys: dict[str, Remembered] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/calls", self.create),
            web.post("/v1/calls/originate", self.create),
            web.get("/v1/calls", self.list_calls),
            web.get("/v1/calls/stats", self.stats),
            web.get("/v1/calls/{id}", self.get_call),
            web.get("/v1/calls/{id}/events", self.get_events),
            web.post("/v1/calls/{id}/hangup", self.hang_up),
            web.get("/v1/calls/{id}/recording", self.recording),
            *self.supervision.routes(),
            web.get("/v1/wallet", self.wallet),
            web.get("/v1/wallet/balance", self.wallet),
            web.get("/v1/numbers", self.numbers),
            web.patch("/v1/numbers/{id}/routing", self.set_routing),
            web.put("/v1/numbers/{id}/routing", self.set_routing),
        ]

    def reset(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._keys.clear()
        self.supervision.reset()

    # --- placing calls

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/calls (contract 3.1), once per Idempotency-Key (contract 2.5)."""
        received_at = time.time()
        raw = await request.read()
        key = request.headers.get("Idempotency-Key", "")
        receipt: dict[str, Any] = {
            "at": received_at,
            "idempotency_key": key,
            "status": 201,
            "replay": False,
        }
        self.exchange.ledger.receipts.append(receipt)
        try:
            answer, replayed = self._create(raw, key, receipt)
        except Refused as error:
            receipt.update(status=error.status, code=error.code)
            raise
        receipt.update(call_id=answer["call_id"], session_id=answer["session_id"], replay=replayed)
        headers = {"Idempotent-Replay": "true"} if replayed else None
        return web.json_response(answer, status=201, headers=headers)

    def _create(self, raw: bytes, key: str, receipt: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        body = _json_object(raw)
        receipt.update(
            {"from": body.get("from"), "to": body.get("to")},
            client_request_id=body.get("client_request_id") or body.get("clientRequestId"),
        )
        body_hash = hashlib.sha256(raw).hexdigest()
        known = self._keys.get(key) if key else None
        if known is not None and time.time() - known.at < IDEMPOTENCY_SECONDS:
            if known.body_hash != body_hash:
                raise Refused(409, "idempotency.conflict", "the key was used with another body")
            return known.answer, True
        order = self._read_order(body)
        number = self.exchange.config.number(order.number_e164)
        if number is None:
            raise Refused(422, "calls.from_not_owned", "`from` is not a number of this workspace")
        if self.exchange.wallet_minor <= 0:
            raise Refused(402, "wallet.insufficient_funds", "the wallet is empty")
        rival = self._same_label(order.client_request_id)
        leg = self.exchange.place_outbound(
            number,
            order.to,
            voice_url=order.voice_url,
            status_url=order.status_url,
            client_request_id=order.client_request_id,
        )
        if rival is not None:
            # The PBX takes the label as an idempotency hint: one per attempt (contract 2.5).
            self.exchange.ledger.problem(leg, "label_reused", of=rival.session_id)
        answer: dict[str, Any] = {
            "call_id": leg.call_id,
            "session_id": leg.session_id,
            "status": "ringing",
        }
        if order.client_request_id:
            answer["client_request_id"] = order.client_request_id
        if key:
            self._keys[key] = Remembered(time.time(), body_hash, answer)
            while len(self._keys) > REMEMBERED_KEYS:
                del self._keys[next(iter(self._keys))]
        return answer, False

    def _same_label(self, label: str) -> Leg | None:
        """A leg that lives under the same client_request_id."""
        live = self.exchange.ledger.live
        return next((leg for leg in live if label and leg.client_request_id == label), None)

    def _read_order(self, body: dict[str, Any]) -> Order:
        switches = self.exchange.config.switches
        to = body.get("to")
        names = {name for name, value in body.items() if value is not None}
        if unknown := names - SDK_NAMES - USE_CASE_NAMES - OTHER_NAMES:
            raise _invalid(f"unknown: {', '.join(sorted(unknown))}")
        if switches.accept_schema == "sdk" and (names & USE_CASE_NAMES or isinstance(to, str)):
            raise _invalid("`to` is a list, and the URL is `voice_callback_url`")
        if switches.accept_schema == "use_case" and (names & SDK_NAMES or isinstance(to, list)):
            raise _invalid("`to` is a string, and the URL is `action_url`")
        targets = to if isinstance(to, list) else [to]
        if len(targets) != 1 or not isinstance(targets[0], str):
            raise _invalid("`to` is one destination")
        target = targets[0]
        if SIP_URI.fullmatch(target):
            if not switches.accept_sip_to:
                raise _invalid("`to` is not E.164")
        elif not E164.fullmatch(target):
            raise _invalid("`to` is not E.164")
        from_ = body.get("from")
        if not isinstance(from_, str) or not E164.fullmatch(from_):
            raise _invalid("`from` is not E.164")
        caller_id = body.get("caller_id")
        if caller_id is not None and self.exchange.config.number(str(caller_id)) is None:
            raise Refused(422, "calls.caller_id_not_owned", "`caller_id` is not of this workspace")
        return Order(
            from_,
            target,
            _url(body, "voice_callback_url", "action_url", "webhook_url"),
            _url(body, "status_url"),
            _label(body),
        )

    # --- reading calls

    def leg_of(self, request: web.Request) -> Leg:
        """The leg that a path names by either handle, if it is told of yet."""
        leg = self.exchange.ledger.find(request.match_info["id"])
        if leg is None or not leg.recorded:
            raise Refused(404, "calls.not_found", "no such call")
        if request.method == "GET" and time.time() < leg.readable_at:
            raise Refused(404, "calls.not_found", "no such call yet")
        return leg

    async def get_call(self, request: web.Request) -> web.Response:
        """GET /v1/calls/{id} by either handle (contract 3.2)."""
        return web.json_response({"call": self.leg_of(request).record(with_events=True)})

    async def get_events(self, request: web.Request) -> web.Response:
        """GET /v1/calls/{id}/events; the shape is open (contract 3.4), ours is a data list."""
        return web.json_response({"data": self.leg_of(request).events, "next_cursor": None})

    async def list_calls(self, request: web.Request) -> web.Response:
        """GET /v1/calls, newest first (contract 3.3)."""
        query = request.query
        limit = _integer(query.get("limit", "25"), "limit")
        if not 1 <= limit <= 100:
            raise _invalid("limit is 1 to 100")
        asked = query.get("cursor") or "0"
        before = _integer(asked.removeprefix("on-"), "cursor")
        since, until = _instant(query.get("from")), _instant(query.get("to"))
        statuses = {one.strip() for one in query.get("status", "").split(",") if one.strip()}
        now, wanted = time.time(), list[Leg]()
        for leg in reversed(self.exchange.ledger.legs.values()):
            if since is not None and leg.started_at < since:
                break  # legs are in the order of their start
            if (
                leg.recorded
                and leg.listed_at <= now
                and (not before or leg.sequence < before)
                and (until is None or leg.started_at <= until)
                and (not statuses or leg.status in statuses)
                and query.get("direction", leg.direction) == leg.direction
                and query.get("session_id", leg.session_id) == leg.session_id
                and _found(query.get("q", ""), leg)
            ):
                wanted.append(leg)
                if len(wanted) > limit:
                    break
        page = wanted[:limit]
        cursor: Any = str(page[-1].sequence) if len(wanted) > limit else None
        if self._strikes("list_twice"):
            page = [leg for leg in page for _ in range(2)]
        if page and self._strikes("list_loop"):
            cursor = str(page[0].sequence + 1)
        if cursor is None and self._strikes("list_endless"):
            cursor = f"on-{page[-1].sequence if page else before + 1}"
        if page and self._strikes("list_bad_cursor"):
            cursor = {"after": page[-1].sequence}
        rows: list[Any] = [leg.record() for leg in page]
        if page and self._strikes("list_nonsense"):
            rows = [row | NONSENSE for row in rows]
        if self._strikes("list_garbage"):
            rows = [*GARBAGE, *rows]
        return web.json_response({"data": rows, "next_cursor": cursor})

    def _strikes(self, kind: str) -> bool:
        if strikes := self.exchange.faults.strikes(kind):
            self.exchange.ledger.fault(None, kind)
        return strikes

    async def stats(self, request: web.Request) -> web.Response:
        """GET /v1/calls/stats (contract 3.5)."""
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        since = {
            "today": midnight,
            "7d": now - timedelta(days=7),
            "month": midnight.replace(day=1),
        }.get(request.query.get("since", "today"), now - timedelta(days=30))
        legs = [
            leg
            for leg in self.exchange.ledger.legs.values()
            if leg.recorded and leg.started_at >= since.timestamp()
        ]
        answer: dict[str, Any] = {
            "total": len(legs),
            "failed": sum(leg.status == "failed" for leg in legs),
            "minutes_total": round(sum(leg.duration_seconds or 0 for leg in legs) / 60, 2),
            "spend_minor": sum(leg.cost_minor for leg in legs),
            "currency": CURRENCY,
        }
        if bucket := request.query.get("bucket"):
            answer["series"] = _series(legs, since.timestamp(), 3600 if bucket == "hour" else 86400)
        return web.json_response(answer)

    # --- the rest

    async def hang_up(self, request: web.Request) -> web.Response:
        """POST /v1/calls/{id}/hangup; an ended call succeeds too (contract 3.6)."""
        leg = self.leg_of(request)
        self.exchange.ledger.note(leg, "hangup_asked")
        self.exchange.end(leg, "api_hangup", by="api")
        return web.json_response({"call_id": leg.call_id, "status": "hung_up"})

    async def recording(self, request: web.Request) -> web.Response:
        """GET /v1/calls/{id}/recording: where it is, not yet, or never (contract 3.7)."""
        leg = self.leg_of(request)
        leg.recording_asked += 1
        switches = self.exchange.config.switches
        turn = leg.recording_asked - switches.recording_not_yet
        if switches.recordings == "off" or leg.ended_at is None or turn <= 0:
            raise Refused(404, "recordings.not_found", "no recording")
        if switches.recordings == "gone" or leg.answered_at is None:
            raise Refused(410, "recordings.gone", "no recording any more")
        if turn <= switches.recording_pending:
            return web.json_response({"status": "pending", "retry_after_seconds": 1}, status=202)
        url = recordings.url_of(leg, f"{request.scheme}://{request.host}")
        if switches.recordings == "json":
            return web.json_response({"download_url": url})
        return web.Response(status=302, headers={"Location": url})

    async def wallet(self, request: web.Request) -> web.Response:
        """GET /v1/wallet and /v1/wallet/balance (contract 3.11)."""
        return web.json_response(
            {
                "workspace_id": WORKSPACE_ID,
                "balance_minor": self.exchange.wallet_minor,
                "currency": CURRENCY,
                "low_balance_threshold_minor": 0,
            }
        )

    async def numbers(self, request: web.Request) -> web.Response:
        """GET /v1/numbers (contract 3.10)."""
        switches = self.exchange.config.switches
        rows = [
            {
                "id": number_id(number.e164),
                "e164": number.e164,
                "country_iso2": "KE",
                "status": "active",
                "monthly_retail_minor": 10_000,
                "currency": CURRENCY,
                "inbound_per_min_minor": switches.inbound_rate_minor,
                "outbound_per_min_minor": switches.outbound_rate_minor,
                "claimed_at": "2026-01-01T00:00:00Z",
                "capabilities": ["voice"],
                "voice_callback_url": number.voice_callback_url,
                "events_url": number.events_url,
            }
            for number in self.exchange.config.numbers
        ]
        return web.json_response({"numbers": rows})

    async def set_routing(self, request: web.Request) -> web.Response:
        """PATCH or PUT /v1/numbers/{id}/routing, whichever the switch allows (contract 3.10)."""
        switches = self.exchange.config.switches
        if switches.routing_method not in {"both", request.method}:
            raise Refused(405, "method_not_allowed", f"it is {switches.routing_method} here")
        asked = request.match_info["id"]
        found = (one for one in self.exchange.config.numbers if number_id(one.e164) == asked)
        if (number := next(found, None)) is None:
            raise Refused(404, "numbers.not_found", "no such number")
        body = _json_object(await request.read())
        voice, events = _url(body, "voice_callback_url", "voice_url"), _url(body, "events_url")
        number.voice_callback_url = voice or number.voice_callback_url
        number.events_url = events or number.events_url
        return web.json_response({"id": asked, "e164": number.e164, "updated": True})


# --- reading requests


def _invalid(message: str) -> Refused:
    return Refused(422, "calls.invalid_request", message)


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refused(400, "request.invalid_json", str(error)) from error
    if not isinstance(body, dict):
        raise Refused(400, "request.invalid_json", "the body is not an object")
    return body


def _url(body: dict[str, Any], *names: str) -> str:
    for name in names:
        value = body.get(name)
        if value is not None:
            if not isinstance(value, str) or not value.startswith(("http://", "https://")):
                raise _invalid(f"`{name}` is not an absolute URL")
            return value
    return ""


def _label(body: dict[str, Any]) -> str:
    label = body.get("client_request_id", body.get("clientRequestId"))
    if label is None:
        return ""
    if not isinstance(label, str) or len(label) > MAX_LABEL or not label.isprintable():
        raise _invalid("`client_request_id` is a printable string of at most 5000 characters")
    if label.startswith(("mcp:", "broadcast:")):
        raise _invalid("`client_request_id` has a reserved prefix")
    return label


def _integer(text: str, name: str) -> int:
    if not text.isdigit():
        raise _invalid(f"{name} is a number")
    return int(text)


def _instant(text: str | None) -> float | None:
    """RFC 3339 or unix seconds (contract 3.3)."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        # A plus sign that was not encoded arrives as a blank.
        instant = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise _invalid(f"not an instant: {text!r}") from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _found(text: str, leg: Leg) -> bool:
    return not text or text in leg.remote or text in leg.session_id


def _series(legs: list[Leg], since: float, width: int) -> list[dict[str, Any]]:
    """Zero-filled slots, oldest first; whatever is neither completed nor failed was missed."""
    first = since - since % width
    slots = [
        {
            "start": rfc3339(first + index * width),
            "total": 0,
            "inbound": 0,
            "outbound": 0,
            "completed": 0,
            "missed": 0,
            "failed": 0,
            "spend_minor": 0,
        }
        for index in range(int((time.time() - first) // width) + 1)
    ]
    for leg in legs:
        slot: dict[str, Any] = slots[int((leg.started_at - first) // width)]
        slot["total"] += 1
        slot[leg.direction] += 1
        if leg.ended_at is not None:
            slot[leg.status if leg.status in ("completed", "failed") else "missed"] += 1
        slot["spend_minor"] += leg.cost_minor
    return slots
