"""Virtual phones: what happens at a destination when it rings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ACTIONS = ("answer", "no_answer", "busy", "reject", "fail")
KEYS = frozenset("0123456789*#")
DEFAULT_PHONE: dict[str, Any] = {"ring": 3, "action": "answer", "talk": 30}


class BehaviourError(ValueError):
    """A behaviour that cannot be read; the message says which part."""


@dataclass(frozen=True, slots=True)
class Press:
    """Keys pressed `after` real seconds from the start of a prompt."""

    after: float
    keys: str


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one phone does in one call. Seconds are phone time, scaled by `speed`.

    `ring`: until it acts; None means at once, and for `no_answer` for as long as the network
    lets it ring. `talk`: from being bridged until this phone hangs up; None waits for the other
    side. `hangup_after`: from the answer, whatever happens. `patience`: from the first hold or
    ring until it gives up unless bridged. `digits`: one entry per getDigits prompt, None is no
    input; after the last entry there is no input.
    """

    action: str = "answer"
    ring: float | None = None
    talk: float | None = None
    hangup_after: float | None = None
    patience: float | None = None
    digits: tuple[Press | None, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> Behaviour:
        """Read a behaviour; BehaviourError when it has unknown parts or impossible values."""
        if not isinstance(value, Mapping):
            raise BehaviourError(f"a behaviour is an object: {value!r}")
        known = {"action", "ring", "talk", "hangup_after", "patience", "digits"}
        if unknown := set(value) - known:
            raise BehaviourError(f"unknown in a behaviour: {', '.join(sorted(unknown))}")
        action = value.get("action", "answer")
        if action not in ACTIONS:
            raise BehaviourError(f"action is one of {', '.join(ACTIONS)}: {action!r}")
        return cls(
            action=action,
            ring=_seconds(value, "ring"),
            talk=_seconds(value, "talk"),
            hangup_after=_seconds(value, "hangup_after"),
            patience=_seconds(value, "patience"),
            digits=presses(value.get("digits")),
        )


def _seconds(value: Mapping[str, Any], name: str) -> float | None:
    seconds = value.get(name)
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise BehaviourError(f"{name} is a number of seconds: {seconds!r}")
    return float(seconds)


def presses(value: Any) -> tuple[Press | None, ...]:
    """Read `digits`: each entry is None, `"1"`, or `{"after": 1.0, "keys": "1"}`."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise BehaviourError(f"digits is a list: {value!r}")
    return tuple(_press(entry) for entry in value)


def _press(entry: Any) -> Press | None:
    if entry is None:
        return None
    if isinstance(entry, str):
        entry = {"keys": entry}
    if not isinstance(entry, Mapping) or set(entry) - {"after", "keys"}:
        raise BehaviourError(f"an entry of digits is {{after, keys}}: {entry!r}")
    keys = entry.get("keys", "")
    if not isinstance(keys, str) or not set(keys) <= KEYS:
        raise BehaviourError(f"keys are 0-9, * and #: {keys!r}")
    after = _seconds(entry, "after")
    return Press(after=0.5 if after is None else after, keys=keys) if keys else None


class Phones:
    """The behaviour of each destination; a list is used in turn and its last entry repeats."""

    def __init__(self, phones: Mapping[str, Any], default: Any = None) -> None:
        self.default = self._read(DEFAULT_PHONE if default is None else default)
        self._scripts: dict[str, list[Behaviour]] = {}
        self._turns: dict[str, int] = {}
        for destination, value in phones.items():
            self.put(destination, value)

    @staticmethod
    def _read(value: Any) -> list[Behaviour]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise BehaviourError("an empty list of behaviours")
        return [Behaviour.from_json(one) for one in values]

    def put(self, destination: str, value: Any) -> None:
        """Give a destination a new behaviour, or a list of them, from its next call on."""
        self._scripts[destination] = self._read(value)
        self._turns[destination] = 0

    def next_for(self, destination: str) -> Behaviour:
        """The behaviour for the next call to `destination`."""
        script = self._scripts.get(destination, self.default)
        if len(script) == 1:
            return script[0]
        turn = self._turns.get(destination, 0)
        self._turns[destination] = turn + 1
        return script[min(turn, len(script) - 1)]
