"""The client over a real socket: kept connections, threads, silence and closed doors."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from callcenter.sautikit.client import SautikitClient
from callcenter.sautikit.errors import Unavailable
from tests.sautikit.wire import CREATED, UUID, place


@pytest.fixture(autouse=True)
def sautikit_api() -> None:
    """Nothing stands between these tests and their socket."""


class Provider(ThreadingHTTPServer):
    """Answers each request with the next of `answers`, and notes the ports they came from."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Any] = []
        self.ports: set[int] = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.ports.add(self.client_address[1])
        answer = self.server.answers.pop(0)
        if answer in ("silence", "drop"):
            time.sleep(0.6 if answer == "silence" else 0)
            self.close_connection = True
            return
        body = json.dumps(answer).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as provider:
        thread = threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield provider
        provider.shutdown()
        thread.join()


@pytest.fixture
def local(server: Provider) -> Iterator[SautikitClient]:
    client = SautikitClient(f"http://127.0.0.1:{server.server_port}", "key", read_timeout=0.2)
    yield client
    client.close()


def test_one_connection_serves_many_calls(server, local):
    server.answers = [CREATED] * 5
    for _ in range(5):
        assert place(local).call_id == UUID
    assert len(server.ports) == 1


def test_a_pool_of_threads_shares_the_client(server, local):
    server.answers = [CREATED] * 40
    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda n: place(local, key=f"offer-{n}"), range(40)))
    assert {each.call_id for each in placed} == {UUID}


@pytest.mark.parametrize("failure", ["silence", "drop"])
def test_silence_after_the_request_may_have_placed_the_call(server, local, failure):
    server.answers = [failure, CREATED]
    with pytest.raises(Unavailable) as error:
        place(local)
    assert error.value.maybe_placed
    assert place(local).call_id == UUID  # the same request again is answered


def test_nobody_at_home_has_placed_nothing():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        client = SautikitClient(f"http://127.0.0.1:{taken.getsockname()[1]}", "key")
        with pytest.raises(Unavailable) as error:
            place(client)
    assert not error.value.maybe_placed
    assert error.value.code == "unreachable"
