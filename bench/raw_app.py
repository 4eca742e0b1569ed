"""The raw server: an empty Django view that executes recorded statements by plain psycopg.

It is served as the product is (granian, a2wsgi, as many threads and connections), without
middleware, without the ORM, and without a thought for what the statements answer.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import django
from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from bench import centre
from bench.raw import COPIES, Request

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"], DATABASES={}, INSTALLED_APPS=[], MIDDLEWARE=[],
    ROOT_URLCONF=__name__, SECRET_KEY="raw", USE_TZ=True,
)  # fmt: skip
django.setup()

PLANS: list[list[Request]] = pickle.loads(Path(os.environ["BENCH_PLANS"]).read_bytes())


@cache
def pool() -> ConnectionPool[Connection[Any]]:
    """The connections of this process, opened at the first request as Django's are."""
    kwargs = {
        "autocommit": True,
        "options": "-c lock_timeout=3000 -c idle_in_transaction_session_timeout=15000",
    }
    url = os.environ["BENCH_RAW_URL"]
    return ConnectionPool(url, min_size=1, max_size=14, timeout=30, kwargs=kwargs, open=True)


class Copy:
    """Fresh keys, handles and times for one copy of a recorded call."""

    def __init__(self, number: int, born: int) -> None:
        self._salt = number.to_bytes(8, "big") + born.to_bytes(8, "big")
        self._born = born << 80
        self._number = number
        agent = number * 41 % COPIES  # neighbours in time are in different queues
        self._agent = centre.AGENT_KEYS + 50_000 + agent
        self._queue = centre.QUEUE_KEYS + 100 + agent // centre.AGENTS_PER_QUEUE
        self._began = datetime.fromtimestamp(born / 1000, UTC)

    def fill(self, places: Any) -> Any:
        """Return the parameters of one statement."""
        if isinstance(places, dict):
            return {name: self.value(*place) for name, place in places.items()}
        return [self.value(*place) for place in places]

    def value(self, kind: str, value: Any) -> Any:
        """Return what stands in one place."""
        match kind:
            case "is":
                return value
            case "time":
                return self._began + timedelta(seconds=value)
            case "uuid":
                return self._uuid(value)
            case "uuid text":
                return str(self._uuid(value))
            case "handle":
                return "HD_" + self._hash(value.encode()).hex()[:12]
            case "key":
                return f"{value[:120]}:{self._salt.hex()}"
            case "agent":
                return self._agent
            case "queue":
                return self._queue
            case "json":
                return Jsonb(value)
            case _:
                return [self.value(*place) for place in value]

    def _hash(self, what: bytes) -> bytes:
        return hashlib.blake2b(what, digest_size=10, key=self._salt).digest()

    def _uuid(self, recorded: bytes) -> UUID:
        return UUID(int=self._born | int.from_bytes(self._hash(recorded), "big"))


def view(request: HttpRequest) -> HttpResponse:
    """Execute the statements of one recorded request."""
    query = request.GET
    copy = Copy(int(query["n"]), int(query["t"]))
    steps = PLANS[int(query["plan"])][int(query["i"])].steps
    request.read()
    with pool().connection() as connection, ExitStack() as stack:
        cursor = stack.enter_context(connection.cursor())
        transaction = ExitStack()
        stack.push(transaction)
        for kind, sql, places in steps:
            if kind == "begin":
                transaction.enter_context(connection.transaction())
            elif kind == "commit":
                transaction.close()
            elif kind == "sql":
                cursor.execute(sql, copy.fill(places))
                if cursor.description:
                    cursor.fetchall()
    return HttpResponse(b'{"actions": []}', content_type="application/json")


def ready(request: HttpRequest) -> HttpResponse:
    """Say that the server is up."""
    return HttpResponse(b"up")


urlpatterns = [path("raw", view), path("ready", ready)]
_wsgi: Any = get_wsgi_application()
_pages: Any = WSGIMiddleware(_wsgi, workers=int(os.environ.get("WEB_THREADS", "4")))
Message = MutableMapping[str, Any]


async def application(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Hand every request to the thread pool, as the product does."""

    async def receive_message() -> Message:
        return await receive()

    async def send_message(message: Message) -> None:
        await send(message)

    if scope["type"] == "http":
        await _pages(scope, receive_message, send_message)
    elif scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
