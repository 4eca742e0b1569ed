"""One POST to a receiver whom we do not trust: no redirect, little patience, little of its reply.

The standard library's client, because it lets the connection be made to the very address that
was judged (`addresses`), and takes no proxy from the environment that would undo that.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import certifi  # comes with requests

import callcenter
from callcenter.outbox.addresses import Target

CONNECT_TIMEOUT, READ_TIMEOUT = 2.0, 5.0  # seconds; the second for each piece of the reply
DEADLINE = 10.0  # seconds for all of it, however slowly the reply trickles in
MOST_READ = 2048  # bytes of the body of a refusal
MOST_SHOWN = 100  # characters of it that are kept
# It is the receiver who is in trouble, not this message.
OVERLOADED = {429, 502, 503, 504}


@dataclass(frozen=True)
class Answer:
    """What became of one POST."""

    status: int | None = None
    error: str = ""  # empty when the message was taken
    excerpt: str = ""  # the beginning of the receiver's own words, for people only
    is_out_of_reach: bool = False  # other messages would fare no better now

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has taken the message."""
        return not self.error


def post(target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Post `body` to `target`; whatever goes wrong is told in the answer."""
    connection = Connection(target)
    watch = threading.Timer(DEADLINE, connection.cut)
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", target.path, body, {**_HEADERS, **headers})
        response = connection.getresponse()
        if connection.was_cut:  # headers that end early are no error to the client
            raise TimeoutError
        if 200 <= response.status < 300:
            return Answer(response.status)
        return _refusal(response)
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = f"took longer than {DEADLINE:.0f} s" if connection.was_cut else sentence(error)
        return Answer(error=told, is_out_of_reach=True)
    finally:
        watch.cancel()
        connection.close()


_HEADERS = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": f"callcenter/{callcenter.__version__}",
}


class Connection(http.client.HTTPConnection):
    """A connection to the addresses of a target, under the target's name."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.is_https else 80  # what the Host header leaves out
        self.target = target
        self.was_cut = False

    def connect(self) -> None:
        """Connect to the first address that answers; by name only for the certificate."""
        self.sock = self._reach()
        self.sock.settimeout(READ_TIMEOUT)
        if self.target.is_https:
            self.sock = _tls().wrap_socket(
                self.sock, server_hostname=self.target.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()
        if self.was_cut:
            raise TimeoutError

    def _reach(self) -> socket.socket:
        *others, last = self.target.addresses
        for address in others:
            with contextlib.suppress(OSError):
                return socket.create_connection((address, self.target.port), CONNECT_TIMEOUT)
        return socket.create_connection((last, self.target.port), CONNECT_TIMEOUT)

    def cut(self) -> None:
        """End it from another thread: whoever reads or writes gets an error at once."""
        self.was_cut = True
        if self.sock:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _refusal(response: http.client.HTTPResponse) -> Answer:
    status = response.status
    words = b""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        words = response.read1(MOST_READ)
    error = f"answered {status}"
    if 300 <= status < 400:
        error += ", a redirect, which is not followed"
    return Answer(status, error, _excerpt(words), is_out_of_reach=status in OVERLOADED)


def _excerpt(words: bytes) -> str:
    text = "".join(one if one.isprintable() else " " for one in words.decode("utf8", "replace"))
    return " ".join(text.split())[:MOST_SHOWN]


def sentence(error: Exception) -> str:
    """Say in a few words why nothing came of a request."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "does not speak TLS as we do"
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return "cut the connection"
    if isinstance(error, http.client.HTTPException | ValueError):
        return "answered with something that is not HTTP"
    return "could not be reached"
