"""The HTTP server: puts the provider's API and the control API over one exchange."""

from __future__ import annotations

import asyncio
import copy
import hmac
import ipaddress
import json
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from simulator import recordings
from simulator.calls import Leg
from simulator.config import Config
from simulator.control import Control
from simulator.exchange import Exchange
from simulator.faults import RestError
from simulator.rest import Rest, error_response
from simulator.supervision import Refused
from simulator.traffic import Plan, Traffic

FAULT_CODES = {402: "wallet.insufficient_funds", 404: "calls.not_found", 429: "rate_limited"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Simulator:
    """One running stand-in: `async with Simulator(config) as simulator: simulator.url`."""

    def __init__(self, config: Config) -> None:
        self._initial = copy.deepcopy(config)
        known = {number.e164 for number in config.numbers}
        self._plan = Plan.from_json(config.traffic, known) if config.traffic else None
        self._build()
        self.rest = Rest(self.exchange)
        self._runner: web.AppRunner | None = None
        self.port = 0

    def _build(self) -> None:
        self.exchange = Exchange(copy.deepcopy(self._initial))
        self.traffic = Traffic(self.exchange)

    @property
    def url(self) -> str:
        host = self._initial.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def __aenter__(self) -> Simulator:
        app = web.Application(middlewares=[self._middleware], client_max_size=1024**2)
        app.add_routes(self.rest.routes())
        app.add_routes(Control(self).routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._initial.host, self._initial.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._begin()
        return self

    def _begin(self) -> None:
        self.exchange.webhooks.start()
        if self._plan is not None:
            self.traffic.start(self._plan)

    async def __aexit__(self, *error: object) -> None:
        await self._halt()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _halt(self) -> None:
        self.traffic.stop()
        self.exchange.stop()
        await self.exchange.webhooks.close()

    async def reset(self) -> None:
        """Drop all calls silently and begin again from the configuration of the start."""
        await self._halt()
        self._build()
        self.rest.reset(self.exchange)
        self._begin()

    # --- what every request passes

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_sim/"):
            return await self._control(request, handler)
        if request.path.startswith(recordings.PATH):
            return recordings.file(self.exchange.ledger, request)
        if not request.path.startswith("/v1/"):
            return error_response(404, "not_found", "no such path")
        key = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(key.encode(), self._initial.api_key.encode()):
            return error_response(401, "api_key.invalid", "unknown API key")
        route = f"{request.method} {request.path}"
        fault = self.exchange.faults.answering(route, await self._subject(request))
        if fault is not None:
            self.exchange.ledger.fault(
                self._leg(request), "rest_error", route=route, status=fault.status,
                after=fault.after, not_json=fault.not_json,
            )  # fmt: skip
            if not fault.after:
                return await self._fail(request, fault)
        try:
            response = await handler(request)
        except Refused as error:
            response = error_response(error.status, error.code, str(error))
        except web.HTTPException as error:
            response = error_response(error.status, f"http_{error.status}", error.reason)
        return response if fault is None else await self._fail(request, fault)

    def _leg(self, request: web.Request) -> Leg | None:
        handle = request.path.removeprefix("/v1/calls/").partition("/")[0]
        return self.exchange.ledger.find(handle)

    async def _subject(self, request: web.Request) -> str:
        """What a request is about, by a name that is the same in each run."""
        leg = self._leg(request)
        if leg is not None or request.method != "POST":
            return leg.name if leg else ""
        try:
            return str(json.loads(await request.read())["to"])
        except (ValueError, KeyError, TypeError):
            return ""

    @staticmethod
    async def _fail(request: web.Request, fault: RestError) -> web.Response:
        if fault.not_json:
            page = "<html><body><h1>We will be back soon</h1></body></html>"
            return web.Response(status=fault.status or 502, text=page, content_type="text/html")
        if fault.status:
            code = FAULT_CODES.get(fault.status, "internal_error")
            response = error_response(fault.status, code, "a fault was asked for")
            if fault.retry_after is not None:
                response.headers["Retry-After"] = f"{fault.retry_after:g}"
            return response
        await asyncio.sleep(fault.seconds)
        if request.transport is not None:
            request.transport.abort()
        return error_response(504, "internal_error", "a fault was asked for")

    @staticmethod
    async def _control(request: web.Request, handler: Handler) -> web.StreamResponse:
        remote = request.remote or ""
        if not remote or not ipaddress.ip_address(remote).is_loopback:
            return web.json_response({"error": "this machine only"}, status=403)
        try:
            return await handler(request)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=422)
        except web.HTTPException as error:
            return web.json_response({"error": error.text or error.reason}, status=error.status)


async def serve(config: Config, say: Callable[[str], Any]) -> None:
    """Run until SIGTERM or SIGINT; `say` gets the one line that tells where."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(config) as simulator:
        say(f"simulator ready on {simulator.url}")
        await stop.wait()
