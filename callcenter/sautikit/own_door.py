"""Knocking at our own public address as the provider would: a signed event, and what came back."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

import requests
from requests.exceptions import SSLError, Timeout

from callcenter.sautikit import signature

KIND = "callcenter.test"
PATIENCE = (3.05, 5.0)  # seconds to connect, and for the answer


class Came(StrEnum):
    """What came back."""

    TAKEN = "taken"  # 2xx
    NO_NAME = "no_name"  # the host name has no address
    NO_TLS = "no_tls"  # the certificate is not to be trusted, or there is none
    NO_ANSWER = "no_answer"  # nobody listens, or not in time
    REFUSED = "refused"  # any other status


@dataclass(frozen=True)
class Knock:
    """The outcome, with the HTTP status where there was one."""

    came: Came
    status: int | None = None
    server: str = ""


def knock(url: str, nonce: str, *, secret: str = "") -> Knock:
    """Post a test event to `url`, whose `event_id` is `nonce`; signed where there is a secret."""
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return Knock(Came.NO_NAME)
    body = json.dumps({"kind": KIND, "event_id": nonce, "data": {}}).encode()
    headers = {"Content-Type": "application/json", "X-Sautikit-Event-Id": nonce}
    if secret:
        headers[signature.HEADER] = signature.sign(secret, body, int(time.time()))
    try:
        response = requests.post(
            url, data=body, headers=headers, timeout=PATIENCE, allow_redirects=False
        )
    except SSLError:
        return Knock(Came.NO_TLS)
    except (OSError, Timeout):
        return Knock(Came.NO_ANSWER)
    taken = 200 <= response.status_code < 300
    said = response.headers.get("Server", "")[:40]
    return Knock(Came.TAKEN if taken else Came.REFUSED, response.status_code, said)
