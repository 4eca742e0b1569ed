"""What the simulator is told: numbers, phones, speed, and the switches for open questions.

Wherever the provider's contract leaves something open, a switch chooses between the plausible
readings, so that a call centre can be shown to work under each of them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints


class ConfigError(ValueError):
    """A setting that cannot be used; the message names it."""


@dataclass(slots=True)
class Switches:
    """One field per question that the contract leaves open, with the default reading.

    Times are in seconds of the real clock, not scaled by `speed`; only `play_seconds` and
    `record_seconds` are phone time.
    """

    accept_schema: Literal["both", "sdk", "use_case"] = "both"  # contract 3.1
    accept_sip_to: bool = True  # `sip:` in the `to` of POST /v1/calls, contract 9
    encoding: Literal["form", "json", "seed"] = "form"  # of voice and status posts, contract 4.2
    answered_state: str = "Answered"  # callSessionState of an answered leg, contract 1.4
    client_request_id_query: Literal["append", "second_mark", "off"] = "append"  # contract 3.1
    dial_records: bool = True  # the callee leg of `dial` has its own record, contract 1.1
    after_dial: Literal["continue", "dial_completed", "both"] = "both"  # contract 5.4
    routing_method: Literal["both", "PATCH", "PUT"] = "both"  # of a number's routing, contract 3.10
    dial_status_fields: bool = False  # dialCallStatus and others after a dial, contract 5.4
    no_input_post: bool = True  # getDigits without input posts an empty Digits, contract 5.3
    honour_digits_action: bool = False  # `action` inside getDigits, contract 5.3
    redirect_moves_voice_url: bool = False  # contract 5.7
    after_room: Literal["continue", "hangup"] = "continue"  # contract 9
    conference_events_to: Literal["own", "first", "all"] = "own"  # contract 6.6
    supervise_in_room: bool = True  # a leg in a conference can be listened to, contract 3.8
    supervision_wrapped: bool = False  # 200 and 201 of it come under `supervision`
    supervision_after_end: Literal["null", "object"] = "null"  # what GET tells of an ended one
    supervisor_records: bool = False  # the supervisor's leg has its own record, contract 3.8
    completed_unanswered: bool = True  # Completed for a placed leg nobody answered
    events: Literal["on", "off"] = "on"  # contract 9
    event_envelope: Literal["A", "B", "C"] = "A"  # contract 6.2
    recordings: Literal["redirect", "json", "gone", "off"] = "redirect"  # contract 3.7
    recording_not_yet: int = 0  # questions that are answered 404 first, contract 3.7
    recording_pending: int = 0  # and then 202
    recording_events: bool = False  # call.recording.ready, in the event_envelope; contract 6.3
    event_retry_seconds: list[float] = field(  # contract 6.5, compressed
        default_factory=lambda: [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0]
    )
    voice_retry_seconds: list[float] = field(default_factory=list)  # waits; contract 4.4
    per_minute: bool = False  # billing per started minute, contract 8
    inbound_rate_minor: int = 0  # per minute, contract 8
    outbound_rate_minor: int = 300
    sip_rate_minor: int = 50
    call_waiting: bool = False  # a phone in use rings a second time; else it is busy
    answer_delay: float = 0.2  # from landing of a call to its first POST, contract 4.1
    reply_timeout: float = 10.0  # budget of every webhook, contract 4.4
    digit_timeout: float = 5.0  # getDigits without a timeout, contract 5.3
    max_ring: float = 45.0  # ring time of a leg without its own, contract 9
    play_seconds: float = 5.0  # length of every audio file
    record_seconds: float = 3.0  # what a phone says into `record`

    def change(self, values: Mapping[str, Any]) -> None:
        """Set several switches at once; nothing is changed when one of them is wrong."""
        hints = get_type_hints(type(self))
        for name, value in values.items():
            if name not in hints:
                raise ConfigError(f"unknown switch {name!r}")
            _check(name, value, hints[name])
        for name, value in values.items():
            setattr(self, name, value)


def _check(name: str, value: Any, kind: Any) -> None:
    if get_origin(kind) is Literal:
        right = isinstance(value, str) and value in get_args(kind)
    elif kind is bool:
        right = isinstance(value, bool)
    elif kind in (int, float):
        number = (int, float) if kind is float else int
        right = isinstance(value, number) and not isinstance(value, bool) and value >= 0
    elif kind is str:
        right = isinstance(value, str)
    else:
        right = isinstance(value, list) and all(isinstance(one, int | float) for one in value)
    if not right:
        raise ConfigError(f"{name} cannot be {value!r}")


@dataclass(slots=True)
class Number:
    """A number of the workspace, with its routing (contract 3.10)."""

    e164: str
    voice_callback_url: str = ""
    events_url: str = ""

    @classmethod
    def from_json(cls, value: Any) -> Number:
        known = {one.name for one in fields(cls)}
        if not isinstance(value, dict) or not value.get("e164") or set(value) - known:
            raise ConfigError(f"a number is {{e164, voice_callback_url, events_url}}: {value!r}")
        return cls(**{name: str(text or "") for name, text in value.items()})


@dataclass(slots=True)
class Config:
    """Everything that a run of the simulator starts from."""

    host: str = "127.0.0.1"
    port: int = 9100
    api_key: str = "sim-key"
    speed: float = 1.0  # phone time per real time
    seed: int = 1
    signing_secrets: list[str] = field(default_factory=list)  # newest first; the first one signs
    numbers: list[Number] = field(default_factory=list)
    phones: dict[str, Any] = field(default_factory=dict)  # destination: behaviour or list of them
    default_phone: Any = None
    traffic: dict[str, Any] | None = None
    faults: list[dict[str, Any]] = field(default_factory=list)
    wallet_minor: int = 1_000_000_00
    keep_finished: int = 5000  # finished legs that are remembered; 0 means all
    switches: Switches = field(default_factory=Switches)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Config:
        """Build a configuration from parsed JSON; ConfigError names what is wrong."""
        config = cls()
        config.change(values)
        return config

    @classmethod
    def from_file(cls, path: Path) -> Config:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path} is not a JSON object")
        return cls.from_json(values)

    def change(self, values: Mapping[str, Any]) -> None:
        """Apply settings; names of switches may also stand at the top level."""
        known = {one.name for one in fields(self)}
        flat = {name: value for name, value in values.items() if name not in known}
        switches = values.get("switches", {})
        if not isinstance(switches, dict):
            raise ConfigError("switches is not an object")
        trial = copy.deepcopy(self)
        trial.switches.change({**flat, **switches})
        for name, value in values.items():
            if name in known and name != "switches":
                trial._set(name, value)
        for one in fields(self):
            setattr(self, one.name, getattr(trial, one.name))

    def _set(self, name: str, value: Any) -> None:
        if name == "numbers":
            if not isinstance(value, list):
                raise ConfigError("numbers is not a list")
            self.numbers = [Number.from_json(one) for one in value]
            return
        kinds: dict[str, tuple[type, ...]] = {
            "host": (str,),
            "api_key": (str,),
            "port": (int,),
            "seed": (int,),
            "wallet_minor": (int,),
            "keep_finished": (int,),
            "speed": (int, float),
            "signing_secrets": (list,),
            "faults": (list,),
            "phones": (dict,),
            "default_phone": (dict, list, type(None)),
            "traffic": (dict, type(None)),
        }
        right = isinstance(value, kinds[name]) and not isinstance(value, bool)
        if not right:
            raise ConfigError(f"{name} cannot be {value!r}")
        if name == "speed" and not value > 0:
            raise ConfigError("speed must be above 0")
        setattr(self, name, value)

    def number(self, e164: str) -> Number | None:
        """The number of the workspace with this E.164 form, or None."""
        return next((one for one in self.numbers if one.e164 == e164), None)

    def as_json(self) -> dict[str, Any]:
        """The whole configuration as JSON, without the secrets."""
        values = asdict(self)
        values["signing_secrets"] = len(self.signing_secrets)
        del values["api_key"]
        return values
