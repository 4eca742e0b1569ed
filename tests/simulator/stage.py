"""A stage for the simulator: a small call centre that answers by a script, and a REST client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from simulator.calls import Leg
from simulator.config import Config
from simulator.server import Simulator

DID = "+254200000101"
CALLER = "+254711000001"
AGENT = "+254722000001"
AUTH = {"Authorization": "Bearer sim-key"}
EMPTY = "<Response></Response>"
HANGUP: list[Any] = [{"hangup": {}}]


@dataclass(frozen=True)
class Post:
    """One request that the call centre received."""

    path: str
    query: str
    fields: dict[str, Any]
    headers: dict[str, str]
    raw: bytes
    method: str

    @property
    def state(self) -> str:
        return str(self.fields.get("callSessionState", ""))


@dataclass
class CallCentre:
    """Answers each path with what `replies` says: actions, a status, or a function of the post.

    A list of replies under one path is used in turn and its last one repeats. `Completed` is
    always answered with an empty document.
    """

    replies: dict[str, Any] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if request.content_type == "application/json":
            fields = json.loads(raw)
        else:
            fields = dict(parse_qsl(raw.decode(), keep_blank_values=True))
        post = Post(
            request.path, request.query_string, fields, dict(request.headers), raw, request.method
        )
        self.posts.append(post)
        if post.state == "Completed":
            return web.Response(text=EMPTY, content_type="application/xml")
        reply = self.replies.get(request.path, 200)
        if isinstance(reply, Turns):
            reply = reply.next()
        if callable(reply):
            reply = reply(post)
        if isinstance(reply, web.Response):
            return reply
        if isinstance(reply, int):
            return web.Response(status=reply)
        if isinstance(reply, str):
            return web.Response(text=reply, content_type="application/xml")
        return web.json_response({"actions": reply})

    def at(self, path: str, state: str | None = None) -> list[Post]:
        """What came to a path, in this callSessionState if one is given."""
        return [post for post in self.posts if post.path == path and state in (None, post.state)]

    def room_events(self, path: str) -> list[str]:
        return [post.fields["event"] for post in self.at(path)]


class Turns:
    """Replies that are used in turn; the last one repeats."""

    def __init__(self, *replies: Any) -> None:
        self._left = list(replies)

    def next(self) -> Any:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


@dataclass
class Stage:
    """The simulator, the call centre it calls, and a client for its REST API."""

    simulator: Simulator
    centre: CallCentre
    session: aiohttp.ClientSession

    async def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """A request with the right key; returns status, JSON and headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.simulator.url + path, json=body, headers={**AUTH, **named}
        ) as response:
            return response.status, await response.json(), dict(response.headers)

    async def get(self, path: str) -> Any:
        status, answer, _ = await self.request("GET", path)
        assert status == 200, answer
        return answer

    async def record(self, leg: Leg) -> dict[str, Any]:
        call: dict[str, Any] = (await self.get(f"/v1/calls/{leg.call_id}"))["call"]
        return call

    async def call_in(self, **how: Any) -> Leg:
        """Somebody calls the number; returns the leg."""
        body = {"from": CALLER, "to": DID, **how}
        status, answer, _ = await self.request("POST", "/_sim/calls", body)
        assert status == 201, answer
        return self.leg(answer["call_id"])

    async def call_out(self, path: str, to: str = AGENT, **more: Any) -> Leg:
        """Place a call whose voice URL is `path` of the call centre; returns the leg."""
        body = {"from": DID, "to": [to], "voice_callback_url": self.centre.url + path, **more}
        status, answer, _ = await self.request("POST", "/v1/calls", body)
        assert status == 201, answer
        return self.leg(answer["call_id"])

    def leg(self, handle: str) -> Leg:
        leg = self.simulator.exchange.ledger.find(handle)
        assert leg is not None
        return leg

    @property
    def problems(self) -> list[dict[str, Any]]:
        return list(self.simulator.exchange.ledger.problems)

    async def until(self, condition: Callable[[], Any], seconds: float = 4.0) -> None:
        """Wait until something is true, or fail."""
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, "waited in vain"
            await asyncio.sleep(0.005)

    async def ended(self, *legs: Leg) -> None:
        """Wait until legs have ended and everything about it has been told."""
        await asyncio.wait_for(asyncio.gather(*(leg.gone.wait() for leg in legs)), 6)
        await self.until(lambda: not self.simulator.exchange.webhooks.busy)


@asynccontextmanager
async def on_stage(replies: dict[str, Any], **settings: Any) -> AsyncIterator[Stage]:
    """Run a simulator beside a call centre with these replies; `/in` is the number's voice URL."""
    centre = CallCentre(replies)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", centre.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    centre.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    values = {
        "port": 0,
        "speed": 20,
        "answer_delay": 0.01,
        "event_retry_seconds": [0.05, 0.05],
        "numbers": [
            {
                "e164": DID,
                "voice_callback_url": centre.url + "/in",
                "events_url": centre.url + "/events",
            }
        ],
        "keep_finished": 0,
        **settings,
    }
    try:
        async with (
            Simulator(Config.from_json(values)) as simulator,
            aiohttp.ClientSession() as session,
        ):
            yield Stage(simulator, centre, session)
    finally:
        await runner.cleanup()


def conference(name: str = "room-1", **fields: Any) -> dict[str, Any]:
    return {"conference": {"name": name, **fields}}
