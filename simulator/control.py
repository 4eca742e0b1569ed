"""The control API of the simulator itself, `/_sim/…`, for this machine only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulator.config import ConfigError
from simulator.ledger import latency
from simulator.phones import Behaviour, BehaviourError
from simulator.traffic import Plan
from simulator.webhooks import VOICE_EDGES

if TYPE_CHECKING:
    from simulator.server import Simulator

FIXED = {"host", "port", "api_key", "phones", "traffic"}  # at the start


class Control:
    """Handlers of `/_sim/`."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sim/health", self.health),
            web.post("/_sim/calls", self.place),
            web.get("/_sim/calls/{id}", self.get_call),
            web.post("/_sim/calls/{id}/hangup", self.hang_up),
            web.get("/_sim/ledger", self.ledger),
            web.get("/_sim/posts", self.posts),
            web.put("/_sim/phones/{destination}", self.put_phone),
            web.get("/_sim/config", self.get_config),
            web.patch("/_sim/config", self.patch_config),
            web.post("/_sim/traffic", self.traffic),
            web.post("/_sim/reset", self.reset),
        ]

    async def health(self, request: web.Request) -> web.Response:
        exchange = self._simulator.exchange
        return web.json_response(
            {
                "status": "ok",
                "live": len(exchange.ledger.live),
                "rooms": len(exchange.rooms.open),
                "legs": exchange.ledger.opened,
                "problems": len(exchange.ledger.problems),
                "wallet_minor": exchange.wallet_minor,
                "traffic": self._simulator.traffic.is_running,
            }
        )

    async def place(self, request: web.Request) -> web.Response:
        """Somebody calls one of our numbers."""
        body = await _body(request)
        caller = body.pop("from", "anonymous")
        to = body.pop("to", None)
        number = self._simulator.exchange.config.number(str(to))
        if number is None or not isinstance(caller, str):
            raise ConfigError(f"`to` is a number of this workspace, `from` a text: {to!r}")
        for unfit in ("action", "ring"):
            if unfit in body:
                raise BehaviourError(f"a caller has no {unfit}")
        leg = self._simulator.exchange.place_inbound(number, caller, Behaviour.from_json(body))
        return web.json_response({"call_id": leg.call_id, "session_id": leg.session_id}, status=201)

    async def get_call(self, request: web.Request) -> web.Response:
        leg = self._simulator.exchange.ledger.find(request.match_info["id"])
        if leg is None:
            raise web.HTTPNotFound(text="no such leg")
        return web.json_response(leg.story())

    async def hang_up(self, request: web.Request) -> web.Response:
        """The party at the other end of this leg hangs up."""
        exchange = self._simulator.exchange
        leg = exchange.ledger.find(request.match_info["id"])
        if leg is None:
            raise web.HTTPNotFound(text="no such leg")
        exchange.end(leg, "normal_clearing", by="phone")
        return web.json_response(leg.story())

    async def ledger(self, request: web.Request) -> web.Response:
        since = float(request.query.get("since", "0"))
        return web.json_response(self._simulator.exchange.ledger.as_json(since))

    async def posts(self, request: web.Request) -> web.Response:
        """Recent webhooks and receipts of POST /v1/calls, with latencies in milliseconds.

        `edge` is a list with commas, `voice` stands for all that expect actions; `brief=1`
        leaves the single posts out.
        """
        ledger = self._simulator.exchange.ledger
        edges = set(
            request.query.get("edge", "").replace("voice", ",".join(VOICE_EDGES)).split(",")
        )
        edges.discard("")
        since = float(request.query.get("since", "0"))
        posts = [
            post
            for post in ledger.posts
            if post["at"] >= since and (not edges or post["edge"] in edges)
        ]
        receipts = [one for one in ledger.receipts if one["at"] >= since]
        kinds = sorted({post["edge"] for post in posts})
        answer: dict[str, Any] = {
            "latency": {kind: latency(p for p in posts if p["edge"] == kind) for kind in kinds},
            "voice": latency(post for post in posts if post["edge"] in VOICE_EDGES),
            "unanswered": sum(not post["status"] for post in posts),
            "receipts": receipts,
        }
        if "brief" not in request.query:
            answer["posts"] = posts
        return web.json_response(answer)

    async def put_phone(self, request: web.Request) -> web.Response:
        """Set the behaviour of one destination; a list is used in turn."""
        destination = request.match_info["destination"]
        value = json.loads(await request.read())
        self._simulator.exchange.phones.put(destination, value)
        return web.json_response({"destination": destination, "behaviour": value})

    async def get_config(self, request: web.Request) -> web.Response:
        return web.json_response(self._simulator.exchange.config.as_json())

    async def patch_config(self, request: web.Request) -> web.Response:
        """Change settings and switches, all or none."""
        body = await _body(request)
        exchange = self._simulator.exchange
        fixed = FIXED & set(body)
        if fixed:
            raise ConfigError(f"fixed at the start: {', '.join(sorted(fixed))}")
        exchange.change(body)
        return web.json_response(exchange.config.as_json())

    async def traffic(self, request: web.Request) -> web.Response:
        """Start a plan in place of the running one; `{"stop": true}` or 0 a minute stops."""
        body = await _body(request)
        simulator = self._simulator
        if body.pop("stop", False):
            simulator.traffic.stop()
        else:
            known = {number.e164 for number in simulator.exchange.config.numbers}
            simulator.traffic.start(Plan.from_json(body, known))
        return web.json_response(
            {"running": simulator.traffic.is_running, "placed": simulator.traffic.placed}
        )

    async def reset(self, request: web.Request) -> web.Response:
        """Forget all calls at once, without a word to anybody, and start as at the start."""
        await self._simulator.reset()
        return web.json_response({"status": "ok"})


async def _body(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    body = json.loads(raw) if raw else {}
    if not isinstance(body, dict):
        raise ConfigError("the body is not an object")
    return body
