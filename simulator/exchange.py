"""The telephone exchange: legs come, ring, are answered, bridged, and end.

Every change of a leg's state is made here and synchronously; what has to be told to the call
centre is sent afterwards, in the background.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from simulator import recordings
from simulator.calls import Leg, cost, rate
from simulator.config import Config, Number
from simulator.faults import Faults
from simulator.interpreter import Interpreter
from simulator.ledger import Interaction, Ledger
from simulator.phones import Behaviour, Phones
from simulator.rooms import Rooms
from simulator.supervision import Supervisions
from simulator.webhooks import Webhooks

# action of a phone: (status of the record, cause); contract 1.3 and 6.3
UNANSWERED = {
    "no_answer": ("no_answer", "no_answer"),
    "busy": ("busy", "user_busy"),
    "reject": ("failed", "call_rejected"),
    "fail": ("failed", "network_error"),
}
AT_ONCE = 0.1  # seconds until a phone without a ring time acts


class Exchange:
    """All legs of one run, with the rooms they meet in and the phones they reach."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ledger = Ledger(config.keep_finished)
        self.phones = Phones(config.phones, config.default_phone)
        self.faults = Faults(config.faults, config.seed)
        self.webhooks = Webhooks(config, self.ledger, self.faults)
        self.rooms = Rooms(self, self.webhooks.conference)
        self.supervisions = Supervisions(self)
        self.interpreter = Interpreter(self)
        self.wallet_minor = config.wallet_minor
        self._scripts: set[asyncio.Task[None]] = set()
        self._named: Counter[tuple[str, str]] = Counter()
        self.in_use: Counter[str] = Counter()  # phones that we rang, ringing or talking

    def change(self, values: dict[str, Any]) -> None:
        """Change settings while legs live; all of them or, with ConfigError, none."""
        trial = copy.deepcopy(self.config)
        trial.change(values)
        faults, phones = Faults(trial.faults, trial.seed), Phones({}, trial.default_phone)
        self.config.change(values)
        self.ledger.keep_finished = self.config.keep_finished
        if "faults" in values or "seed" in values:
            self.faults = self.webhooks.faults = faults
        if "default_phone" in values:
            self.phones.default = phones.default
        if "wallet_minor" in values:
            self.wallet_minor = self.config.wallet_minor

    def phone_time(self, seconds: float) -> float:
        """Real seconds that a phone needs for so many seconds of its own."""
        return seconds / self.config.speed

    # --- legs come

    def place_inbound(self, number: Number, caller: str, behaviour: Behaviour) -> Leg:
        """Somebody dials one of our numbers; the first webhook follows after `answer_delay`."""
        leg = Leg("inbound", number, number.e164, caller, behaviour, number.voice_callback_url)
        self._open(leg)
        leg.script = self._start(self.interpreter.run_inbound(leg))
        return leg

    def place_outbound(
        self,
        number: Number,
        to: str,
        *,
        voice_url: str = "",
        status_url: str = "",
        client_request_id: str = "",
    ) -> Leg:
        """Place a call for POST /v1/calls (contract 3.1)."""
        leg = Leg(
            "outbound",
            number,
            number.e164,
            to,
            self._pick_up(to),
            voice_url or number.voice_callback_url,
            status_url,
            client_request_id,
        )
        self._open(leg)
        self.webhooks.status(leg, "ringing")
        self._ring(leg)
        return leg

    def place_dial(self, parent: Leg, to: str, caller_id: str) -> Leg:
        """Ring the callee of a `dial` action (contract 5.4)."""
        leg = Leg(
            "dial",
            self.config.number(caller_id) or parent.number,
            caller_id,
            to,
            self._pick_up(to),
            recorded=self.config.switches.dial_records,
            parent=parent,
        )
        self._open(leg)
        parent.children.append(leg)
        self._ring(leg)
        return leg

    def place_supervisor(self, supervised: Leg, to: str) -> Leg:
        """Ring the phone of a supervisor who listens to a leg (contract 3.8); it ends with it."""
        leg = Leg(
            "supervisor",
            supervised.number,
            supervised.number.e164,
            to,
            self._pick_up(to),
            recorded=self.config.switches.supervisor_records,
            parent=supervised,
        )
        self._open(leg)
        supervised.children.append(leg)
        self._ring(leg)
        return leg

    def _pick_up(self, to: str) -> Behaviour:
        """The behaviour of the phone at `to`; a phone in use is busy."""
        if self.in_use[to] and not self.config.switches.call_waiting:
            return Behaviour(action="busy")
        return self.phones.next_for(to)

    def _open(self, leg: Leg) -> None:
        leg.rate_minor = rate(leg, self.config.switches)
        self.ledger.open(leg)
        leg.sequence = self.ledger.opened
        self._named[leg.kind, leg.remote] += 1
        leg.name = f"{leg.kind} {leg.remote} {self._named[leg.kind, leg.remote]}"
        self.ledger.note(leg, "placed", kind=leg.kind)
        leg.listed_at = leg.started_at + self._lateness(leg, "late_list")
        leg.readable_at = leg.started_at + self._lateness(leg, "late_get")
        if leg.kind != "inbound":
            if self.in_use[leg.remote]:
                self.ledger.note(leg, "line_in_use", phone=leg.remote)
            self.in_use[leg.remote] += 1
        self.webhooks.event(leg, "call.started")

    def _lateness(self, leg: Leg, kind: str) -> float:
        seconds = self.faults.lateness(kind, leg.name)
        if seconds:
            self.ledger.fault(leg, kind, seconds=seconds)
        return seconds

    def _ring(self, leg: Leg) -> None:
        behaviour = leg.behaviour
        limit = self.config.switches.max_ring
        if behaviour.ring is not None:
            seconds = self.phone_time(behaviour.ring)
        else:
            seconds = limit if behaviour.action == "no_answer" else AT_ONCE
        action = behaviour.action if seconds <= limit else "no_answer"
        if action == "answer":
            self._after(leg, "ring", seconds, lambda: self._answered_remotely(leg))
            return
        status, cause = UNANSWERED[action]
        fail = functools.partial(self.end, leg, cause, status=status, by="phone")
        self._after(leg, "ring", min(seconds, limit), fail)

    def _answered_remotely(self, leg: Leg) -> None:
        self.answer(leg)
        if leg.kind == "outbound":
            leg.script = self._start(self.interpreter.run_outbound(leg))

    # --- legs live

    def answer(self, leg: Leg) -> None:
        """Audio flows from now on, and billing begins; answering twice does nothing."""
        if leg.answered_at is not None or leg.ended_at is not None:
            return
        leg.answered_at = time.time()
        leg.status = "answered"
        self.ledger.note(leg, "answered")
        leg.settled.set()
        if leg.behaviour.hangup_after is not None:
            self._hang_up_after(leg, "hangup_after", leg.behaviour.hangup_after)
        self.webhooks.event(leg, "call.answered", answered_at=leg.record()["answered_at"])
        self.webhooks.status(leg, "answered")
        if leg.kind == "supervisor":
            self.supervisions.answered(leg)

    def start_patience(self, leg: Leg) -> None:
        """The first hold or ring: from now on this phone may give up, unless bridged."""
        patience = leg.behaviour.patience
        if patience is not None and not leg.bridges and "patience" not in leg.timers:
            self._hang_up_after(leg, "patience", patience)

    def bridge(self, caller: Leg, agent: Leg, *, via: str, place: str) -> None:
        """Two legs hear each other; bridging a bridged pair does nothing.

        In the ledger the inbound leg, or else the one that was there first, is the caller.
        """
        if agent in caller.bridges:
            return
        if agent.kind == "inbound" and caller.kind != "inbound":
            caller, agent = agent, caller
        talk = Interaction(
            caller.remote,
            agent.remote,
            caller.session_id,
            agent.session_id,
            via,
            place,
            time.time(),
        )
        self.ledger.interactions.append(talk)
        for leg, other in ((caller, agent), (agent, caller)):
            leg.bridges[other] = talk
            leg.talks.append(talk)
            self.ledger.note(leg, "bridged", with_leg=other.session_id, party=other.remote, via=via)
            self._cancel(leg, "patience")
            if leg.behaviour.talk is not None and "talk" not in leg.timers:
                self._hang_up_after(leg, "talk", leg.behaviour.talk)

    def unbridge(self, leg: Leg, other: Leg) -> None:
        """Two legs no longer hear each other; who is left alone and lives gets impatient anew."""
        talk = leg.bridges.pop(other, None)
        other.bridges.pop(leg, None)
        if talk is None:
            return
        talk.ended_at = time.time()
        for one, left in ((leg, other), (other, leg)):
            self.ledger.note(one, "unbridged", with_leg=left.session_id, party=left.remote)
            if not one.bridges and one.ended_at is None:
                self._cancel(one, "talk")
                self.start_patience(one)

    # --- legs end

    def end(self, leg: Leg, cause: str, *, status: str = "", by: str = "") -> None:
        """End a leg, whatever it is doing; ending it again does nothing.

        `status` is the final one of the record (contract 1.3); without it an answered leg is
        `completed` and another one `canceled`.
        """
        if leg.ended_at is not None:
            return
        leg.ended_at = time.time()
        leg.status = status or ("completed" if leg.answered_at else "canceled")
        leg.end_cause, leg.ended_by = cause, by
        for name in list(leg.timers):
            self._cancel(leg, name)
        if leg.script is not None and leg.script is not asyncio.current_task():
            leg.script.cancel()
        leg.settled.set()
        leg.gone.set()
        for other in list(leg.bridges):
            self.unbridge(leg, other)
        self.rooms.leave(leg, cause)
        for child in leg.children:
            self.end(child, "originator_cancel", by="exchange")
        if leg.kind != "inbound":
            self.in_use[leg.remote] -= 1
            if not self.in_use[leg.remote]:
                del self.in_use[leg.remote]
        if leg.answered_at is not None:
            leg.cost_minor = cost(leg, self.config.switches)
            self.wallet_minor = max(0, self.wallet_minor - leg.cost_minor)
        self.ledger.note(leg, "ended", status=leg.status, cause=cause, by=by)
        self.ledger.close(leg)
        self._announce_end(leg)
        if leg.kind == "supervisor":
            self.supervisions.ended(leg)

    def _announce_end(self, leg: Leg) -> None:
        record = leg.record()
        if leg.status == "completed":
            self.webhooks.event(
                leg,
                "call.completed",
                duration_seconds=leg.duration_seconds,
                answered_at=record["answered_at"],
                ended_at=record["ended_at"],
                hangup_cause=leg.end_cause,
            )
        else:
            reason = leg.end_cause if leg.status == "failed" else leg.status
            self.webhooks.event(
                leg, "call.failed", failure_reason=reason, ended_at=record["ended_at"]
            )
        switches = self.config.switches
        if switches.recording_events and leg.answered_at is not None:
            told = recordings.ready(leg, switches.event_envelope)
            self.webhooks.event(leg, "call.recording.ready", **told)
        self.webhooks.status(leg, leg.status)
        unanswered = leg.kind == "outbound" and leg.answered_at is None
        if leg.kind == "dial" or (unanswered and not self.config.switches.completed_unanswered):
            return
        if leg.voice_url:
            self.webhooks.spawn(self.interpreter.tell_completed(leg))

    # --- time

    def _start(self, script: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(script)
        self._scripts.add(task)
        task.add_done_callback(self._scripts.discard)
        return task

    def _after(self, leg: Leg, name: str, seconds: float, do: Callable[[], None]) -> None:
        """Do something after so many real seconds, unless the leg ends before."""
        self._cancel(leg, name)
        leg.timers[name] = asyncio.get_running_loop().call_later(seconds, do)

    def _hang_up_after(self, leg: Leg, name: str, seconds: float) -> None:
        """Let the phone hang up after so many seconds of its own time."""
        hang_up = functools.partial(self.end, leg, _CAUSES[name], by="phone")
        self._after(leg, name, self.phone_time(seconds), hang_up)

    @staticmethod
    def _cancel(leg: Leg, name: str) -> None:
        timer = leg.timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Freeze everything: no timer fires and nothing more is sent."""
        for leg in list(self.ledger.live):
            for name in list(leg.timers):
                self._cancel(leg, name)
        for script in self._scripts:
            script.cancel()
        self.webhooks.cancel()


_CAUSES = {"talk": "normal_clearing", "hangup_after": "normal_clearing", "patience": "gave_up"}
