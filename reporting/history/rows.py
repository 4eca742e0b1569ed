"""A played call as rows, in the text form of COPY: what the product would have written."""

from __future__ import annotations

import json
import random
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from callcenter.sautikit import phone
from reporting.history.day import Past, Try
from reporting.history.people import Centre

COLUMNS = {
    "queues_queuedcall": """id public_id direction state abandoned_in end_reason queue_id menu_id
        menu_tries last_digits stepped_at customer line priority agent_id arrived_at queued_at
        dialled_at connected_at connected_is_estimated ended_at is_provisional step document
        is_acknowledged""",
    "queues_offer": """id call_id agent_id queue_id kind state created_at ring_until checks
        answered_at conference_at joined_at ended_at wrap_up_ended_at""",
    "queues_leg": """id call_id offer_id role is_placed_by_us state party line session_id
        provider_id outcome planned_at placed_at answered_at ended_at asks sent_at shape request
        last_error""",
    "reporting_callrecord": """provider_id session_id call_id leg_id direction local remote status
        started_at answered_at ended_at duration_seconds cost_minor cost_currency
        rate_per_minute_minor failure_code first_seen_at changed_at""",
    "queues_wrapup": "offer_id disposition_id notes updated_at",
    "queues_callevent": "call_id offer_id at kind source detail",
    "queues_webhookevent": """id key endpoint kind verdict note call_id body repeats received_at
        handled_at""",
    "agents_presenceperiod": """agent_id presence reason started_at ended_at cause is_paid
        limit_at""",
    "agents_agentinterval": """id agent_id presence reason engagement started_at ended_at
        previous_id""",
}
NOTES = [
    "Asked for a copy of the invoice by mail.", "Will come by on Thursday morning.",
    "Wants to be called back by the manager.", "Anapendelea Kiswahili.",
    "Paid by M-Pesa while on the phone.", "Second call about the same order.",
]  # fmt: skip
DOCUMENT = (
    '[{"action":"say","text":"All agents are currently with other customers. Please hold.",'
    '"language":"en-KE"},{"action":"conference","name":"queue-%s","startOnEnter":false,'
    '"endOnExit":true},{"action":"redirect"}]'
)
REASONS = {
    "completed": "customer hung up", "expired": "waited too long", "rejected": "unknown number",
    "no_answer": "no_answer", "busy": "busy",
}  # fmt: skip
RATES = {"inbound": 0, "outbound": 300, "sip": 0}  # minor units a minute
_OUTCOME = {"ended": "completed", "caller_gone": "canceled", "declined": "completed",
            "no_keypress": "completed"}  # fmt: skip


class Rows:
    """The lines of one day, by table."""

    def __init__(self, centre: Centre, rng: random.Random) -> None:
        self._centre, self._rng = centre, rng
        self.lines: dict[str, list[str]] = defaultdict(list)

    def add(self, table: str, *values: Any) -> None:
        """Add one row."""
        self.lines[table].append("\t".join(map(_text, values)))

    def take(self) -> Iterator[tuple[str, str, str]]:
        """Hand out each table, its columns and its rows, and forget them."""
        for table, rows in self.lines.items():
            rows.append("")
            yield table, ", ".join(COLUMNS[table].split()), "\n".join(rows)
        self.lines.clear()

    def key(self, at: datetime) -> uuid.UUID:
        """Make a key as `callcenter.ids` would have at that time."""
        value = int(at.timestamp() * 1000) << 80 | self._rng.getrandbits(80)
        value = value & ~(0xF << 76) | 0x7 << 76
        return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)

    def call(self, past: Past, *, events: bool, webhooks: bool) -> None:
        """Add one call with all that belongs to it; its timeline, and webhooks, where asked for."""
        pk = self.key(past.arrived_at)
        public_id = f"HD_{pk.hex[-20:]}" if past.direction == "inbound" else str(pk)
        talk, line = past.talk, past.line
        queue = line.queue if line else None
        last = past.tries[-1] if past.tries else None
        agent = None
        if last and (talk or past.abandoned_in == "ringing"):
            agent = last.worker.pk
        is_inbound = past.direction == "inbound"
        self.add(
            "queues_queuedcall", pk, public_id, past.direction, past.state, past.abandoned_in,
            REASONS.get(past.state, ""), queue and queue.pk,
            self._centre.menu.pk if past.by_menu else None, 0, "1" if past.by_menu else "",
            past.arrived_at if past.by_menu else None, past.customer, past.number,
            queue.priority if queue else 0, agent, past.arrived_at, past.queued_at,
            past.contact_at or (last.created_at if last and is_inbound else None),
            talk.joined_at if talk else None, False, past.ended_at, False, 1 + len(past.tries),
            DOCUMENT % public_id, True,
        )  # fmt: skip
        offers = [(self.key(offer.created_at), offer) for offer in past.tries]
        for offer_pk, offer in offers:
            self._offer(pk, offer_pk, offer, past)
        self._customers_leg(pk, public_id, past)
        if events:
            self._events(pk, past, offers, webhooks=webhooks)

    def _offer(self, call: uuid.UUID, pk: uuid.UUID, offer: Try, past: Past) -> None:
        queue = past.line.queue if past.line else None
        at, worker = offer.created_at, offer.worker
        into_room = offer.answered_at if offer.kind == "room" else None
        self.add(
            "queues_offer", pk, call, worker.pk, queue and queue.pk, offer.kind, offer.state, at,
            at + timedelta(seconds=queue.ring_timeout if queue else 30), 0, offer.answered_at,
            into_room, offer.joined_at, offer.ended_at, offer.wrap_up_ended_at,
        )  # fmt: skip
        if offer.state == "ended" and self._rng.random() < 0.92:
            dispositions = past.line.dispositions if past.line else []
            chosen = self._rng.choice(dispositions) if self._rng.random() < 0.95 else None
            notes = self._rng.choice(NOTES) if self._rng.random() < 0.15 else ""
            self.add("queues_wrapup", pk, chosen, notes, offer.wrap_up_ended_at)
        if offer.kind == "click":
            return
        ours = offer.kind == "room"
        begins = past.contact_at or at
        body = json.dumps({"from": past.number, "to": [worker.destination],
                           "client_request_id": pk.hex}) if ours else ""  # fmt: skip
        self._leg(
            call, pk, "agent", ours, worker.destination, past.number, None, begins,
            offer.answered_at, offer.ended_at, _OUTCOME.get(offer.state, offer.state), body,
        )  # fmt: skip

    def _customers_leg(self, call: uuid.UUID, public_id: str, past: Past) -> None:
        is_inbound = past.direction == "inbound"
        answered = past.arrived_at if is_inbound else past.contact_at
        outcome = past.state if past.state in ("no_answer", "busy") else "completed"
        body = "" if is_inbound else json.dumps({"from": past.number, "to": [past.customer]})
        self._leg(
            call, None, "customer", not is_inbound, past.customer, past.number,
            public_id if is_inbound else None, past.arrived_at, answered, past.ended_at, outcome,
            body,
        )  # fmt: skip

    def _leg(
        self, call: uuid.UUID, offer: uuid.UUID | None, role: str, ours: bool, party: str,
        line: str, session: str | None, at: datetime, answered: datetime | None,
        ended: datetime | None, outcome: str, body: str,
    ) -> None:  # fmt: skip
        pk = self.key(at)
        session = session or f"HD_{pk.hex[-20:]}"
        provider = f"call_{pk.hex[-24:]}"
        ended = ended or at
        self.add(
            "queues_leg", pk, call, offer, role, ours, "ended", party, line, session, provider,
            outcome, at, at, answered, ended, 0, at if ours else None, "sdk" if ours else "", body,
            "",
        )  # fmt: skip
        direction = "inbound" if role == "customer" and not ours else "outbound"
        rate = RATES["sip" if phone.is_sip(party) else direction]
        seconds = max(0, round((ended - answered).total_seconds())) if answered else 0
        self.add(
            "reporting_callrecord", provider, session, call, pk, direction, line, party, outcome,
            at, answered, ended, seconds, -(-seconds * rate // 60), "KES", rate, "",
            ended + timedelta(seconds=9), ended + timedelta(seconds=9),
        )  # fmt: skip

    # --- The timeline -----------------------------------------------------------------------------

    def _events(
        self, call: uuid.UUID, past: Past, offers: list[tuple[uuid.UUID, Try]],
        *, webhooks: bool,
    ) -> None:  # fmt: skip
        told: list[tuple[datetime, str, uuid.UUID | None, str, dict[str, Any]]] = []
        queue = past.line.queue.pk if past.line else None
        masked = {"customer": phone.masked(past.customer)}
        if past.direction == "inbound":
            told.append((past.arrived_at, "arrived", None, "inbound", masked))
        else:
            told.append((past.arrived_at, "dialling", None, "desk", masked))
        if past.by_menu and past.queued_at:
            told.append((past.queued_at, "key_pressed", None, "menu", {"digits": "1"}))
        # What is held is told after the offer that has failed at the same time.
        steps: list[tuple[datetime, int, uuid.UUID | None, Try | None]] = [
            *((at, 1, None, None) for at in past.held_at),
            *((offer.created_at, 2, pk, offer) for pk, offer in offers),
        ]
        for at, _, pk, offer in sorted(steps, key=lambda step: step[:2]):
            if offer is None:
                told.append((at, "holding", None, "inbound", {"queue_id": queue}))
            else:
                told += _told_of(offer, pk, past, queue)
        if past.ended_at:
            detail = {
                "abandoned_in": past.abandoned_in, "queue_id": queue,
                "queued_at": _iso(past.queued_at), "ended_at": _iso(past.ended_at),
            }  # fmt: skip
            detail = {name: value for name, value in detail.items() if value not in (None, "")}
            told.append((past.ended_at, past.state, None, "events", detail))
        talk = past.talk
        if talk and talk.wrap_up_ended_at:
            detail = {"agent": talk.worker.name}
            told.append((talk.wrap_up_ended_at, "wrap_up_ended", offers[-1][0], "sweep", detail))
        for at, kind, pk, source, detail in told:
            self.add("queues_callevent", call, pk, at, kind, source, json.dumps(detail))
            if not webhooks:
                continue
            body = json.dumps(
                {"callId": str(call), "from": past.customer, "to": past.number, "event": kind,
                 "at": _iso(at), "direction": past.direction}
            )  # fmt: skip
            self.add(
                "queues_webhookevent", self.key(at), f"past:{call}:{kind}:{_iso(at)}"[:160],
                source, kind, "trusted", "", call, body, 0, at, at,
            )  # fmt: skip


def _told_of(
    offer: Try, pk: uuid.UUID | None, past: Past, queue: int | None
) -> list[tuple[datetime, str, uuid.UUID | None, str, dict[str, Any]]]:
    name = offer.worker.name
    first_kind = "click" if past.direction == "outbound" else offer.kind
    about = {"agent": name, "kind": first_kind, "agent_id": offer.worker.pk, "queue_id": queue}
    told: list[tuple[datetime, str, uuid.UUID | None, str, dict[str, Any]]]
    told = [(offer.created_at, "offered", pk, "inbound", about)]
    if past.contact_at:
        told.append((past.contact_at, "contact_answered", pk, "outbound-answer", {"agent": name}))
    if offer.kind == "room" and offer.answered_at:
        told.append((offer.answered_at, "agent_answered", pk, "agent-join", {"agent": name}))
    if offer.joined_at:
        joined = {"agent": name, "connected_at": _iso(offer.joined_at)}
        told.append((offer.joined_at, "connected", pk, "queue-events", joined))
    over = {"agent": name, "ended_at": _iso(offer.ended_at)}
    told.append((offer.ended_at, f"offer_{offer.state}", pk, "events", over))
    if offer.state not in ("ended", "caller_gone"):
        told.append((offer.ended_at, "back_in_line", pk, "events", {}))
    return told


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _text(value: Any) -> str:
    """Write one value as COPY reads it; nothing of ours has a tab or a newline in it."""
    if isinstance(value, str):
        return value.replace("\\", "\\\\") if "\\" in value else value
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)
