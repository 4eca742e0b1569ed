"""Runs voice documents: asks for actions, does them in order, and asks again (contract 4 and 5)."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from simulator.calls import Leg
from simulator.config import Switches
from simulator.documents import Action, InvalidDocument, parse_reply
from simulator.phones import Press
from simulator.webhooks import DROPPED, REPLY_LOST, Reply

if TYPE_CHECKING:
    from simulator.exchange import Exchange

CHARACTERS_PER_SECOND = 10  # of speech
MAX_REDIRECTS = 20  # in a row, with nothing heard between them
QUIET = ("redirect", "reject", "hangup")  # verbs that do not answer a ringing call


@dataclass(frozen=True, slots=True)
class Document:
    """The actions of a reply, or what was wrong with it."""

    actions: list[Action]
    problem: str = ""
    reason: str = ""


class BadReply(Exception):
    """The reply cannot be acted on: the leg fails."""


class Interpreter:
    """Carries the legs of an exchange through their documents."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def _switches(self) -> Switches:
        return self._exchange.config.switches

    # --- the life of a leg

    async def run_inbound(self, leg: Leg) -> None:
        """First POST in the ringing state, shortly after the call lands (contract 4.1)."""
        await asyncio.sleep(self._switches.answer_delay)
        await self._run(leg, "ringing", "Ringing")

    async def run_outbound(self, leg: Leg) -> None:
        """First POST when the remote has answered (contract 1.5)."""
        await self._run(leg, "answered", self._switches.answered_state)

    async def _run(self, leg: Leg, edge: str, state: str) -> None:
        try:
            actions = deque(await self._ask(leg, edge, leg.voice_url, state))
            redirects = 0
            while actions and leg.ended_at is None:
                action = actions.popleft()
                redirects = redirects + 1 if action.verb == "redirect" else 0
                if redirects > MAX_REDIRECTS:
                    self._exchange.ledger.problem(leg, "redirect_loop", url=action.fields["url"])
                    raise BadReply("redirect_loop")
                instead = await self._do(leg, action)
                if instead is not None:
                    actions = deque(instead)
        except BadReply as error:
            self._exchange.end(leg, str(error), status="failed", by="exchange")
            return
        # A document that ends with nothing holding the leg drops the call (contract 4.5).
        cause = "document_ended" if leg.answered_at else "no_answer"
        status = "" if leg.answered_at else "no_answer"
        self._exchange.end(leg, cause, status=status, by="exchange")

    async def tell_completed(self, leg: Leg) -> None:
        """POST the hang-up to the voice URL; the reply should be empty (contract 4.6)."""
        document = await self._fetch(leg, "completed", leg.voice_url, "Completed")
        if document.actions:
            verbs = [action.verb for action in document.actions]
            self._exchange.ledger.problem(leg, "actions_after_end", verbs=verbs)

    # --- asking

    async def _ask(
        self, leg: Leg, edge: str, url: str, state: str, method: str = "POST", **extra: Any
    ) -> list[Action]:
        """Ask for actions. The request goes on when the leg ends meanwhile, as on a real PBX."""
        if not url:
            self._exchange.ledger.problem(leg, "bad_reply", reason="no voice URL")
            raise BadReply("no_voice_url")
        work = self._fetch(leg, edge, url, state, method, **extra)
        document = await asyncio.shield(self._exchange.webhooks.spawn(work))
        if document.problem:
            raise BadReply(document.problem)
        actions: list[Action] = document.actions
        return actions

    async def _fetch(
        self, leg: Leg, edge: str, url: str, state: str, method: str = "POST", **extra: Any
    ) -> Document:
        reply = await self._exchange.webhooks.voice(leg, edge, url, state, method=method, **extra)
        document = self._read(reply)
        if document.problem and document.problem != DROPPED:
            self._exchange.ledger.problem(
                leg, document.problem, edge=edge, url=url, reason=document.reason
            )
        return document

    @staticmethod
    def _read(reply: Reply) -> Document:
        if reply.error in (DROPPED, REPLY_LOST):
            return Document([], DROPPED, "the webhook or its reply was lost")
        if reply.status != 200:
            return Document([], "bad_reply", reply.error or f"status {reply.status}")
        try:
            return Document(parse_reply(reply.content_type, reply.body))
        except InvalidDocument as error:
            return Document([], "invalid_document", str(error))

    # --- doing

    async def _do(self, leg: Leg, action: Action) -> list[Action] | None:
        """Run one action; a list replaces what would have come next, None goes on."""
        self._exchange.ledger.note(leg, "action", action=action.as_json())
        if action.verb not in QUIET:
            self._exchange.answer(leg)
        match action.verb:
            case "say" | "play":
                if action.verb == "play":
                    self._exchange.start_patience(leg)  # holding by laps
                await asyncio.sleep(self._hear(leg, action))
            case "getDigits":
                return await self._get_digits(leg, action)
            case "dial":
                return await self._dial(leg, action)
            case "conference":
                return await self._conference(leg, action)
            case "record":
                return await self._record(leg, action)
            case "redirect":
                return await self._redirect(leg, action)
            case "reject":
                self._reject(leg, action)
                return []
            case "hangup":
                status = "" if leg.answered_at else "no_answer"
                self._exchange.end(leg, "normal_clearing", status=status, by="document")
                return []
        return None

    def _hear(self, leg: Leg, action: Action) -> float:
        """Note what is heard, and return how long it lasts in real seconds."""
        times = max(action.fields.get("loop", 1), 1)
        if action.verb == "say":
            text = action.fields["text"]
            seconds = len(text) / CHARACTERS_PER_SECOND
        else:
            text = action.fields["url"]
            seconds = self._switches.play_seconds
        self._exchange.ledger.note(leg, "heard", by=action.verb, text=text)
        return self._exchange.phone_time(seconds * times)

    async def _get_digits(self, leg: Leg, action: Action) -> list[Action] | None:
        fields = action.fields
        timeout = fields.get("timeout", 0) or self._switches.digit_timeout
        window = sum(self._hear(leg, one) for one in action.nested) + timeout
        press = leg.next_press()
        if press is None or press.after > window:
            await asyncio.sleep(window)
            digits, heard = "", False
        else:
            await asyncio.sleep(press.after)
            digits, done = _collect(
                press, fields.get("numDigits", 0), fields.get("finishOnKey", "#")
            )
            heard = True
            if not done:
                await asyncio.sleep(timeout)
        self._exchange.ledger.note(leg, "digits", digits=digits, pressed=heard)
        if not heard and not self._switches.no_input_post:
            return None
        url = leg.voice_url
        if self._switches.honour_digits_action:
            url = fields.get("action", url)
        state = self._switches.answered_state
        # An empty reply leaves the old document in place.
        return await self._ask(leg, "digits", url, state, Digits=digits) or None

    async def _dial(self, leg: Leg, action: Action) -> list[Action] | None:
        exchange, fields = self._exchange, action.fields
        exchange.start_patience(leg)
        targets = fields.get("numbers") or [fields.get("number") or fields["sip"]]
        caller_id = fields.get("callerId") or leg.local
        callees = [exchange.place_dial(leg, target, caller_id) for target in targets]
        winner = await self._first_answer(callees, fields.get("timeout", 0))
        for callee in callees:
            if callee is not winner:
                status = "canceled" if winner else "no_answer"
                exchange.end(callee, status, status=status, by="exchange")
        if winner is not None:
            exchange.bridge(leg, winner, via="dial", place=leg.session_id)
            await winner.gone.wait()
        outcome = winner or callees[-1]
        exchange.ledger.note(
            leg, "dialled", party=outcome.remote, with_leg=outcome.session_id, status=outcome.status
        )
        if self._switches.after_dial == "continue":
            return None
        extra: dict[str, Any] = {}
        if self._switches.dial_status_fields:
            extra = {
                "dialCallStatus": outcome.status,
                "dialDurationInSeconds": outcome.duration_seconds or 0,
                "dialDestinationNumber": outcome.remote,
            }
        reply = await self._ask(leg, "dial_completed", leg.voice_url, "DialCompleted", **extra)
        if reply or self._switches.after_dial == "dial_completed":
            return reply
        return None

    @staticmethod
    async def _first_answer(callees: list[Leg], timeout: int) -> Leg | None:
        """The first callee to answer, or None when all have ended or `timeout` has passed."""
        waiting = {asyncio.ensure_future(callee.settled.wait()) for callee in callees}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout if timeout else None
        try:
            while waiting:
                left = None if deadline is None else deadline - loop.time()
                if left is not None and left <= 0:
                    return None
                _, waiting = await asyncio.wait(
                    waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                for callee in callees:
                    if callee.answered_at is not None and callee.ended_at is None:
                        return callee
            return None
        finally:
            for one in waiting:
                one.cancel()

    async def _conference(self, leg: Leg, action: Action) -> list[Action] | None:
        exchange = self._exchange
        exchange.start_patience(leg)
        member = exchange.rooms.enter(leg, action.fields)
        if member is None:
            exchange.ledger.note(leg, "stalled", room=action.fields["name"])
            await leg.gone.wait()
            return []
        wait_url = action.fields.get("waitUrl")
        if wait_url and not member.room.started:
            exchange.webhooks.spawn(self._hold_audio(leg, wait_url))
        await member.released.wait()
        if self._switches.after_room == "hangup":
            exchange.end(leg, "room_ended", by="exchange")
        return None

    async def _hold_audio(self, leg: Leg, url: str) -> None:
        """Fetch the waitUrl once, as a PBX does before it plays it."""
        reply = await self._exchange.webhooks.send(leg, "wait_url", url, method="GET")
        if reply.status != 200:
            reason = reply.error or f"status {reply.status}"
            self._exchange.ledger.problem(leg, "bad_wait_url", url=url, reason=reason)
            return
        self._exchange.ledger.note(
            leg, "hold_audio", url=url, content_type=reply.content_type, size=len(reply.body)
        )

    async def _record(self, leg: Leg, action: Action) -> list[Action] | None:
        """A minimal voicemail: a short message, then its metadata to `action` (contract 5.6)."""
        fields = action.fields
        longest = fields.get("maxLength") or self._switches.record_seconds
        seconds = min(longest, self._switches.record_seconds)
        await asyncio.sleep(self._exchange.phone_time(seconds))
        self._exchange.ledger.note(leg, "recorded", seconds=seconds)
        if not fields.get("action"):
            return None
        extra = {
            "RecordingUrl": f"https://storage.sautikit.com/recordings/{leg.call_id}.mp3",
            "RecordingDuration": seconds,
        }
        state = self._switches.answered_state
        method = fields.get("method", "POST")
        return await self._ask(leg, "record", fields["action"], state, method, **extra) or None

    async def _redirect(self, leg: Leg, action: Action) -> list[Action]:
        url = urljoin(leg.voice_url, action.fields["url"])
        state = self._switches.answered_state if leg.answered_at else "Ringing"
        if self._switches.redirect_moves_voice_url:
            leg.voice_url = url
        return await self._ask(leg, "redirect", url, state, action.fields.get("method", "POST"))

    def _reject(self, leg: Leg, action: Action) -> None:
        """Refuse a call that still rings (contract 5.8)."""
        if leg.answered_at is not None:
            reason = f"reject after the answer: {json.dumps(action.as_json())}"
            self._exchange.ledger.problem(leg, "invalid_document", reason=reason)
            raise BadReply("invalid_document")
        busy = action.fields.get("reason") == "busy"
        status, cause = ("busy", "user_busy") if busy else ("failed", "call_rejected")
        self._exchange.end(leg, cause, status=status, by="document")


def _collect(press: Press, count: int, finish: str) -> tuple[str, bool]:
    """The digits out of the keys, and whether they are complete (contract 5.3)."""
    digits = press.keys
    finished = bool(finish) and any(key in digits for key in finish)
    if finished:
        digits = digits[: min(digits.index(key) for key in finish if key in digits)]
    if count and len(digits) >= count:
        return digits[:count], True
    return digits, finished
