"""Listening in on a live call (contract 3.8): what is asked, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from callcenter.sautikit import bodies
from callcenter.sautikit.bodies import pick
from callcenter.sautikit.outcomes import bare
from callcenter.sautikit.phone import is_e164, is_sip

MODES = ("listen", "whisper", "barge")
KIND = "call.supervision."  # what its events' kinds begin with
LABEL_MOST = 64


class Listening(StrEnum):
    """How a supervision stands; UNKNOWN is a word that we do not know, or none."""

    RINGING = "ringing"
    CONNECTED = "connected"
    ENDED = "ended"
    FAILED = "failed"
    UNKNOWN = "unknown"


_WORDS = {
    word: state
    for state, words in {
        Listening.RINGING: "connecting ringing created started requested pending dialing dialling",
        Listening.CONNECTED: "connected answered active joined updated modechanged changed",
        Listening.ENDED: "ended completed finished left stopped disconnected hungup",
        Listening.FAILED: "failed noanswer busy rejected declined canceled cancelled error",
    }.items()
    for word in words.split()
}


@dataclass(frozen=True)
class Supervised:
    """A supervision as the provider tells it."""

    supervision_id: str = ""
    state: Listening = Listening.UNKNOWN
    mode: str = ""
    connected_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether the supervisor is known not to listen any more."""
        return self.state in {Listening.ENDED, Listening.FAILED}


def body_to_start(phone: str, mode: str, *, label: str = "") -> bytes:
    """Return the body that has `phone` (E.164 or `sip:`) listen; the same call has the same bytes.

    Nobody hears an announcement; whether the agent is told is left to the provider's default.
    """
    if mode not in MODES:
        raise ValueError("mode: listen, whisper or barge")
    if is_sip(phone):
        supervisor = {"type": "sip", "identity": phone}
    elif is_e164(phone):
        supervisor = {"type": "phone", "number": phone}
    else:
        raise ValueError("phone: E.164 or a sip: URI")
    fields: dict[str, Any] = {"mode": mode, "supervisor": supervisor, "announce": "none"}
    if label:
        fields["label"] = label[:LABEL_MOST]
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def body_to_change(mode: str) -> bytes:
    """Return the body that changes the mode."""
    if mode not in MODES:
        raise ValueError("mode: listen, whisper or barge")
    return json.dumps({"mode": mode}, separators=(",", ":")).encode()


def parse(answer: object) -> Supervised | None:
    """Return the supervision in an answer, bare or under `supervision` or `data`; None for null."""
    if not isinstance(answer, dict):
        return None
    for _ in range(2):
        for name in ("supervision", "data"):
            if name in answer:
                inner = answer[name]
                if not isinstance(inner, dict):
                    return None
                answer = inner
                break
    where = (answer,)
    if not answer:
        return None
    return Supervised(
        supervision_id=pick(where, ("supervision_id", "supervisionId", "id")),
        state=state_of(pick(where, ("state", "status"), 64)),
        mode=_mode(where),
        connected_at=bodies.pick_instant(where, ("connected_at", "connectedAt", "answered_at")),
        ended_at=bodies.pick_instant(where, ("ended_at", "endedAt")),
    )


def state_of(word: str) -> Listening:
    """Return our word for a state."""
    return _WORDS.get(bare(word), Listening.UNKNOWN)


def _mode(where: tuple[Mapping[str, Any], ...]) -> str:
    mode = pick(where, ("mode",), 16).lower()
    return mode if mode in MODES else ""


def ids_of(data: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the supervision's own id in an event, wherever it stands."""
    where = [data, raw]
    where += [one for layer in where if isinstance(one := layer.get("supervision"), dict)]
    return tuple({pick([layer], ("supervision_id", "supervisionId")) for layer in where} - {""})
