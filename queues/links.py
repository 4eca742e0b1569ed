"""The callback URLs that we hand out, and reading the signed tokens in them.

A token names what the URL is for and the call or offer (and step) it belongs to; whoever posts it
back is trusted with that and nothing else. Bodies never decide which call is meant.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings

from callcenter.sautikit import tokens
from queues.models import Offer, QueuedCall

CALL, STEP, OFFER, KEY = "c", "s", "o", "k"


@dataclass(frozen=True)
class Reference:
    """What a token names: a call (perhaps at a step), or an offer (perhaps past its key prompt)."""

    kind: str
    call: uuid.UUID
    offer: uuid.UUID | None = None
    step: int | None = None

    @property
    def is_offer(self) -> bool:
        """Whether the token belongs to an agent's leg rather than to the customer's."""
        return self.kind in {OFFER, KEY}


def _keys() -> list[str]:
    return [f"callback:{key}" for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _url(path: str, *parts: str, **query: str) -> str:
    token = tokens.issue(*parts, key=_keys()[0])
    return f"{settings.PUBLIC_BASE_URL}{path}?{urlencode({**query, 'token': token})}"


def _of(kind: str, offer: Offer) -> tuple[str, str, str]:
    return kind, offer.call_id.hex, offer.pk.hex


def read(token: str) -> Reference:
    """Return what `token` names; raise tokens.BadToken when we did not sign it."""
    parts = tokens.read(tokens.clean(token), keys=_keys())
    try:
        kind, call, *rest = parts
        if kind in {OFFER, KEY}:
            return Reference(kind, uuid.UUID(hex=call), offer=uuid.UUID(hex=rest[0]))
        if kind in {CALL, STEP}:
            step = int(rest[0]) if rest else None
            return Reference(kind, uuid.UUID(hex=call), step=step)
    except (ValueError, IndexError) as error:
        raise tokens.BadToken("not one of our references") from error
    raise tokens.BadToken("not one of our references")


def menu(call: QueuedCall, step: int) -> str:
    """Where the customer's leg goes when no key was pressed at `step`."""
    return _url("/calls/menu", STEP, call.pk.hex, str(step))


def dial_result(call: QueuedCall, step: int) -> str:
    """Where the customer's leg asks what comes after the document of `step`."""
    return _url("/calls/dial-result", CALL, call.pk.hex, str(step))


def queue_events(call: QueuedCall, step: int) -> str:
    """Where the room tells about the customer whom the document of `step` has led there."""
    return _url("/calls/queue-events", CALL, call.pk.hex, str(step))


def agent_queue_events(offer: Offer) -> str:
    """Where the room tells about the agent of one offer."""
    return _url("/calls/queue-events", *_of(OFFER, offer))


def agent_join(offer: Offer) -> str:
    """Where the agent's answered leg asks what to do."""
    return _url("/calls/agent-join", *_of(OFFER, offer), queue=offer.call.public_id)


def agent_no_key(offer: Offer) -> str:
    """Where the agent's leg goes when 1 was not pressed."""
    return _url("/calls/agent-join", *_of(KEY, offer), queue=offer.call.public_id)


def agent_status(offer: Offer) -> str:
    """Where the provider tells how an agent's leg goes."""
    return _url("/calls/agent-status", *_of(OFFER, offer))


def outbound_answer(call: QueuedCall) -> str:
    """Where the answered contact asks what to do."""
    return _url("/calls/outbound-answer", CALL, call.pk.hex)


def outbound_status(call: QueuedCall) -> str:
    """Where the provider tells how a contact's leg goes."""
    return _url("/calls/outbound-status", CALL, call.pk.hex)


def hold_music() -> str:
    """What a waiting customer listens to."""
    return settings.HOLD_MUSIC_URL or f"{settings.PUBLIC_BASE_URL}/hold-music"


def lap_music() -> str:
    """Music of at most 15 s, for queues that hold by laps."""
    return f"{settings.PUBLIC_BASE_URL}/hold-music"
