"""One port for everything: `/events/`, recordings and reports as files are asynchronous, all else
runs in a fixed thread pool.

Django's own ASGI handler serves pages and webhooks two to four times slower than its WSGI one,
and a WSGI thread per open event stream would run out of threads: so each gets its own handler.
docs/decisions/0003-one-port-two-handlers.md has the figures.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from a2wsgi import WSGIMiddleware
from django.core.asgi import get_asgi_application

from callcenter import standby
from callcenter.wsgi import application as wsgi_application

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_streams: Any = get_asgi_application()
_wsgi: Any = wsgi_application
_pages: Any = WSGIMiddleware(_wsgi, workers=int(os.environ.get("WEB_THREADS", "4")))


async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Dispatch one connection."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http" and _lasts(scope["path"]):
        await _streams(scope, receive, send)
    elif scope["type"] == "http":
        # a2wsgi wants coroutine functions; the server hands out plain awaitables.
        async def receive_message() -> Message:
            return await receive()

        async def send_message(message: Message) -> None:
            await send(message)

        await _pages(scope, receive_message, send_message)


def _lasts(path: str) -> bool:
    """Whether an answer may take as long as somebody listens: no thread is to wait for that."""
    if path.startswith("/reports/"):
        return path.endswith(".csv") or path.removeprefix("/reports/files/") not in {path, ""}
    return path.startswith("/events/") or "/recordings/" in path


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            standby.start()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            standby.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
