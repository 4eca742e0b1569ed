"""A receiver of webhooks, as a real HTTP server in threads of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Got:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came, in order; `behave(handler, number)` answers, 204 unless told otherwise."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    behave: Callable[[BaseHTTPRequestHandler, int], None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sequences(self) -> list[int]:
        return [each.told["sequence"] for each in self.got]

    @property
    def types(self) -> list[str]:
        return [each.told["type"] for each in self.got]


def answers(status: int, body: bytes = b"", **headers: str) -> Callable[..., None]:
    """A behaviour: this answer to everything."""

    def behave(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on loopback until the block is left."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with receiver.lock:
                receiver.got.append(Got(self.path, dict(self.headers.items()), body))
                number = len(receiver.got)
            (receiver.behave or answers(204))(self, number)

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: Any) -> None:
            """The other side may leave at any moment."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
