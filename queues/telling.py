"""What the outside is told of a call: the topics of docs/webhooks.md, in the API's own words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from callcenter.outbox.writing import News, moment
from queues.models import Offer, QueuedCall

State = QueuedCall.State
_TOPICS = {
    "arrived": "call.arrived",
    "dialling": "call.dialling",
    "back_in_line": "call.queued",
    "offered": "call.offered",
    "contact_answered": "call.offered",
    "connected": "call.answered",
    "wrap_up_ended": "call.wrapped_up",
    "dispositioned": "call.wrapped_up",
    **dict.fromkeys(QueuedCall.FINAL, "call.ended"),
}
_OFFER_FAILED = {
    f"offer_{state}": state for state in Offer.FINAL - {Offer.State.ENDED, Offer.State.CALLER_GONE}
}
# The agent's name for the outside is that of the account, which no scene has at hand.
_AGENT = """jsonb_build_object('agent', (
    SELECT username FROM auth_user WHERE id = (SELECT user_id FROM agents_agent WHERE id = %s)))"""


def news(
    call: QueuedCall, kind: str, offer: Offer | None, detail: dict[str, Any], *, at: datetime
) -> list[News]:
    """Return what the event `kind` of a call tells the outside, as the call stands now."""
    told = _told(call, kind, offer, detail, at)
    if told is None:
        return []
    topic, more = told
    payload = {**row(call), "agent": None, **more}
    if call.agent_id is None:
        return [News(topic, call.public_id, at, payload)]
    return [News(topic, call.public_id, at, payload, _AGENT, (call.agent_id,))]


def _told(
    call: QueuedCall, kind: str, offer: Offer | None, detail: dict[str, Any], at: datetime
) -> tuple[str, dict[str, Any]] | None:
    """Return the topic of an event and what it says beside the call's row; None for no topic."""
    is_reservation = offer is not None and offer.kind == Offer.Kind.CLICK
    if kind == "holding" and call.queued_at == at:  # later ones are laps, and dials that failed
        return "call.queued", {}
    if kind in _OFFER_FAILED and not is_reservation:
        return "call.offer_failed", {"offer_status": str(_OFFER_FAILED[kind])}
    if kind == "corrected":
        return _correction(detail["was"])
    topic = _TOPICS.get(kind)
    if topic == "call.wrapped_up":
        return topic, {"disposition": detail.get("disposition")}
    if topic is None or (topic == "call.offered" and is_reservation):
        return None
    return topic, {}


def _correction(was: str) -> tuple[str, dict[str, Any]] | None:
    if was in {State.COMPLETED, State.ABANDONED, State.FAILED}:
        return "call.corrected", {"was": str(was)}
    # From waiting it is the end that was not told yet; an offer's own word concerns nobody.
    return ("call.ended", {}) if was == State.WAITING else None


def row(call: QueuedCall) -> dict[str, Any]:
    """Return a call as /api/calls/ shows it, without what only the database knows."""
    customer, line = call.customer, call.line
    return {
        "id": call.public_id,
        "direction": call.direction,
        "status": call.state,
        "abandoned_in": call.abandoned_in,
        "end_reason": call.end_reason,
        "is_provisional": call.is_provisional,
        "from": customer if call.is_inbound else line,
        "to": line if call.is_inbound else customer,
        "queue": call.queue.slug if call.queue else None,
        "arrived_at": moment(call.arrived_at),
        "queued_at": moment(call.queued_at),
        "connected_at": moment(call.connected_at),
        "connected_is_estimated": call.connected_is_estimated,
        "ended_at": moment(call.ended_at),
        "wait_seconds": call.wait_seconds,
        "talk_seconds": call.talk_seconds,
    }
