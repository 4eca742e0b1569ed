"""Everything that Sautikit posts: encodings, headers, signatures, retries (contract 4 and 6)."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from simulator.calls import WORKSPACE_ID, Leg, new_call_id, rfc3339
from simulator.config import Config
from simulator.faults import Faults
from simulator.ledger import Ledger

USER_AGENT = "Sautikit-VoiceProxy"
VOICE_EDGES = ("ringing", "answered", "digits", "redirect", "dial_completed", "completed")
DROPPED, REPLY_LOST = "dropped", "reply lost"  # what a Reply says of a fault
MAX_QUERY_ID = 2048  # bytes of an encoded clientRequestId that still rides the query


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a webhook; status 0 and a reason when there was none."""

    status: int
    content_type: str = ""
    body: bytes = b""
    error: str = ""


def sign(secret: str, body: bytes, at: int) -> str:
    """The value of X-Sautikit-Signature: HMAC-SHA256 over body, a dot and `t` (contract 6.4)."""
    digest = hmac.new(secret.encode(), body + b"." + str(at).encode(), hashlib.sha256)
    return f"t={at},v1={digest.hexdigest()}"


def rides(client_request_id: str) -> bool:
    """Whether a label travels with the call; some characters forbid it (contract 3.1)."""
    return bool(client_request_id) and not any(
        char.isspace() or char in ",{}[]\"'" for char in client_request_id
    )


class Webhooks:
    """Sends webhooks over one client session; start() before the first."""

    def __init__(self, config: Config, ledger: Ledger, faults: Faults) -> None:
        self.config = config
        self.ledger = ledger
        self.faults = faults
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        self._session = aiohttp.ClientSession(
            # Idle connections are given up before a server closes them under a request.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=1.5),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
        )

    async def close(self) -> None:
        self.cancel()
        if self._session is not None:
            await self._session.close()

    def cancel(self) -> None:
        """Forget everything that is under way."""
        for task in self._tasks:
            task.cancel()

    @property
    def busy(self) -> int:
        """How many things are under way in the background."""
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run in the background; kept from the garbage collector until done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- one request

    async def send(
        self,
        leg: Leg,
        edge: str,
        url: str,
        *,
        body: bytes = b"",
        content_type: str = "",
        headers: dict[str, str] | None = None,
        method: str = "POST",
        attempt: int = 1,
    ) -> Reply:
        """Send one webhook, through the faults, and book it; errors come back as a Reply."""
        delivery = self.faults.outgoing(edge, leg.name)
        for kind in delivery.injected:
            self.ledger.fault(leg, kind, edge=edge)
        if delivery.delay:
            await asyncio.sleep(delivery.delay)
        if delivery.dropped:
            self.ledger.note(leg, "dropped", edge=edge, url=url)
            return Reply(0, error=DROPPED)
        request = functools.partial(
            self._request, leg, edge, url, body, content_type, headers, method, attempt
        )
        copies = [
            self.spawn(self._later(number * delivery.spacing, request))
            for number in range(1, delivery.copies)
        ]
        reply = await request()
        if copies and edge == "ringing":
            self.spawn(self._compare(leg, edge, reply, copies))
        return Reply(0, error=REPLY_LOST) if delivery.reply_lost else reply

    @staticmethod
    async def _later(seconds: float, request: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply:
        if seconds:
            await asyncio.sleep(seconds)
        return await request()

    async def _compare(
        self, leg: Leg, edge: str, reply: Reply, copies: list[asyncio.Task[Reply]]
    ) -> None:
        """A first question, asked several times, gets one document, or nothing (contract 4.6)."""
        replies = [reply, *await asyncio.gather(*copies)]
        documents = {one.body for one in replies if one.status == 200 and b'{"' in one.body}
        if len(documents) > 1:
            told = [one.decode(errors="replace") for one in documents]
            self.ledger.problem(leg, "different_documents", edge=edge, documents=told)

    async def _request(
        self,
        leg: Leg,
        edge: str,
        url: str,
        body: bytes,
        content_type: str,
        headers: dict[str, str] | None,
        method: str,
        attempt: int,
    ) -> Reply:
        assert self._session is not None  # noqa: S101 - start() comes first
        sent = {**headers} if headers else {}
        if content_type:
            sent["Content-Type"] = content_type
        if self.config.signing_secrets and method == "POST":
            secret = self.config.signing_secrets[0]
            sent["X-Sautikit-Signature"] = sign(secret, body, int(time.time()))
        at, began = time.time(), time.perf_counter()
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=body or None,
                headers=sent,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.config.switches.reply_timeout),
            ) as response:
                reply = Reply(
                    response.status,
                    response.headers.get("Content-Type", ""),
                    await response.read(),
                )
        except TimeoutError:
            reply = Reply(0, error=f"no reply within {self.config.switches.reply_timeout:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reply = Reply(0, error=f"{type(error).__name__}: {error}")
        entry = self.ledger.note(
            leg,
            "post",
            edge=edge,
            method=method,
            url=url,
            status=reply.status,
            ms=round((time.perf_counter() - began) * 1000, 2),
            attempt=attempt,
            error=reply.error,
            sent="" if edge == "event" else body.decode(),  # events are in the record too
            session_id=leg.session_id,
        )
        entry["at"] = at
        self.ledger.posts.append(entry)
        return reply

    # --- voice and status posts

    async def voice(
        self, leg: Leg, edge: str, url: str, state: str, *, method: str = "POST", **extra: Any
    ) -> Reply:
        """Ask a voice URL for actions, or tell it of the end (contract 4)."""
        fields = self._voice_fields(leg, state, extra)
        if url == leg.voice_url:
            url = self._labelled(leg, url)
        if method == "GET":
            url += ("&" if "?" in url else "?") + urlencode(fields)
            return await self.send(leg, edge, url, method="GET")
        content_type, body = self._encoded(fields)
        for attempt, wait in enumerate((*self.config.switches.voice_retry_seconds, None), 1):
            reply = await self.send(
                leg, edge, url, body=body, content_type=content_type, attempt=attempt
            )
            taken = 0 < reply.status < 500 or reply.error == DROPPED
            if taken or wait is None:
                break
            await asyncio.sleep(wait)
        return reply

    def status(self, leg: Leg, status: str) -> None:
        """Tell the status_url of a placed leg, if it has one, of a new status (contract 3.1)."""
        if not leg.status_url:
            return
        state = {"ringing": "Ringing", "answered": self.config.switches.answered_state}.get(status)
        fields = self._voice_fields(leg, state or "Completed", {"status": status})
        content_type, body = self._encoded(fields)
        self.spawn(self.send(leg, "status", leg.status_url, body=body, content_type=content_type))

    def conference(self, leg: Leg, url: str, body: dict[str, Any]) -> None:
        """Post a conference status event, always JSON (contract 6.6)."""
        raw = json.dumps(body).encode()
        self.spawn(
            self.send(leg, "conference", url, body=raw, content_type="application/json"),
        )

    def _voice_fields(self, leg: Leg, state: str, extra: dict[str, Any]) -> dict[str, Any]:
        ended = state == "Completed"
        seed = self.config.switches.encoding == "seed"
        fields: dict[str, Any]
        if seed:
            word = leg.status if ended or state == "Ringing" else state
            if word == self.config.switches.answered_state:
                word = "answered"
            fields = {
                "CallId": leg.session_id,
                "From": leg.caller,
                "To": leg.callee,
                "status": word,
            }
        else:
            fields = {
                "sessionId": leg.session_id,
                "callerNumber": leg.caller,
                "destinationNumber": leg.callee,
                "callSessionState": state,
                "direction": leg.direction.capitalize(),
                "isActive": 0 if ended else 1,
            }
        if ended:
            fields["Duration" if seed else "durationInSeconds"] = leg.duration_seconds or 0
            if not seed and leg.status != "completed":
                fields["hangupCause"] = leg.end_cause
        if rides(leg.client_request_id):
            fields["clientRequestId"] = leg.client_request_id
        return {**fields, **extra}

    def _encoded(self, fields: dict[str, Any]) -> tuple[str, bytes]:
        if self.config.switches.encoding == "form":
            return "application/x-www-form-urlencoded", urlencode(fields).encode()
        return "application/json", json.dumps(fields).encode()

    def _labelled(self, leg: Leg, url: str) -> str:
        """The voice URL of a placed leg with `clientRequestId` in its query (contract 3.1)."""
        how = self.config.switches.client_request_id_query
        if how == "off" or leg.kind != "outbound" or not rides(leg.client_request_id):
            return url
        label = quote(leg.client_request_id, safe="")
        if len(label) > MAX_QUERY_ID:
            return url
        mark = "&" if "?" in url and how == "append" else "?"
        return f"{url}{mark}clientRequestId={label}"

    # --- event webhooks

    def event(self, leg: Leg, kind: str, **data: Any) -> None:
        """Note a lifecycle event in the record and post it to the number's events URL.

        At least once: repeated on anything but 2xx, on a compressed schedule (contract 6.5).
        """
        now = time.time()
        status = kind.removeprefix("call.")
        payload: dict[str, Any] = {
            "call_id": leg.call_id,
            "pbx_call_id": leg.session_id,
            "direction": leg.direction,
            "from": leg.caller,
            "to": leg.callee,
            "number_id": number_id(leg.number.e164),
            "status": status,
            **data,
        }
        event_id = new_call_id()
        leg.events.append(
            {
                "id": event_id,
                "call_id": leg.call_id,
                "kind": kind,
                "payload": payload,
                "occurred_at": rfc3339(now),
                "created_at": rfc3339(now),
            }
        )
        switches = self.config.switches
        url = leg.number.events_url
        if not url or switches.events == "off" or not leg.recorded:
            return
        body: dict[str, Any]
        envelope = switches.event_envelope
        if envelope == "C" and kind.startswith("call.supervision."):
            envelope = "A"  # a flat body would be read as the leg's own end
        if envelope == "A":
            body = {
                "kind": kind,
                "event_id": event_id,
                "workspace_id": WORKSPACE_ID,
                "occurred_at": rfc3339(now),
                "data": payload,
            }
        elif envelope == "B":
            body = {
                "event_kind": kind,
                "event_id": event_id,
                "payload": {**payload, "occurred_at": rfc3339(now)},
            }
        else:
            state = {"started": "Ringing", "answered": switches.answered_state}.get(status)
            body = self._voice_fields(leg, state or "Completed", {})
        headers = {"X-Sautikit-Event-Id": event_id, "X-Sautikit-Event-Kind": kind}
        self.spawn(self._deliver(leg, url, json.dumps(body).encode(), headers))

    async def _deliver(self, leg: Leg, url: str, body: bytes, headers: dict[str, str]) -> None:
        waits = self.config.switches.event_retry_seconds
        for attempt in range(1, len(waits) + 2):
            reply = await self.send(
                leg,
                "event",
                url,
                body=body,
                content_type="application/json",
                headers=headers,
                attempt=attempt,
            )
            if 200 <= reply.status < 300 or reply.error == DROPPED:
                return
            if attempt <= len(waits):
                await asyncio.sleep(waits[attempt - 1])
        self.ledger.note(leg, "dead_letter", kind=headers["X-Sautikit-Event-Kind"])


def number_id(e164: str) -> str:
    """The stable id of a number."""
    return f"0193c0de-3333-7abc-8def-{int(e164.lstrip('+')) % 10**12:012d}"
