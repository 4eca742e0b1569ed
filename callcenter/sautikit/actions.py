"""Voice actions: what we tell the provider to do with a leg (contract 5).

Each class is one verb. An invalid one cannot be built: the ValueError names the field. A field
left None is not sent, so the provider's own default holds.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from callcenter.sautikit.phone import is_e164, is_sip

MOST_ACTIONS = 50  # contract 5
STATUS_EVENTS = ("start", "end", "join", "leave", "mute", "unmute")
# Both end a lifecycle edge; the XML one is proven in the field (contract 4.5).
EMPTY_XML = "<Response></Response>"
EMPTY_JSON = '{"actions":[]}'

_ROOM = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_KEY = re.compile(r"[0-9*#]?")
_FLAGS = re.compile(r"[a-z0-9_\-]+([,| ][a-z0-9_\-]+)*")


class _Verb:
    """One action; its dataclass fields are sent in camelCase."""

    verb: ClassVar[str]

    def body(self) -> dict[str, Any]:
        """Return the fields that were set, as the provider spells them."""
        body: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]  # each subclass is a dataclass
            value = getattr(self, field.name)
            if value is not None and value != ():
                body[_camel(field.name)] = value
        return body

    def as_json(self) -> dict[str, Any]:
        return {self.verb: self.body()}


@dataclass(frozen=True)
class Say(_Verb):
    """Speak `text`; `language` is BCP-47; `loop` 0 means once (contract 5.1)."""

    verb = "say"
    text: str
    voice: str | None = None
    language: str | None = None
    loop: int | None = None

    def __post_init__(self) -> None:
        _require(bool(self.text.strip()), "text: something to say")
        _require(self.voice is None or bool(self.voice.strip()), "voice: a name")
        _require(
            self.language is None or _LANGUAGE.fullmatch(self.language), "language: like en-KE"
        )
        _at_least(0, "loop", self.loop)


@dataclass(frozen=True)
class Play(_Verb):
    """Play the audio at `url`, whose host the workspace must allow (contract 5.2)."""

    verb = "play"
    url: str
    loop: int | None = None

    def __post_init__(self) -> None:
        _absolute("url", self.url)
        _at_least(0, "loop", self.loop)


@dataclass(frozen=True)
class GetDigits(_Verb):
    """Collect keys while `nested` plays; the answer comes to the voice URL (contract 5.3).

    `timeout` is in seconds, after the prompt. `finish_on_key` "" means none.
    """

    verb = "getDigits"
    nested: tuple[Say | Play, ...] = ()
    timeout: int | None = None
    num_digits: int | None = None
    finish_on_key: str | None = None

    def __post_init__(self) -> None:
        _require(isinstance(self.nested, tuple), "nested: a tuple")
        _require(all(isinstance(n, (Say, Play)) for n in self.nested), "nested: say or play only")
        _at_least(1, "timeout", self.timeout)
        _at_least(1, "num_digits", self.num_digits)
        _key("finish_on_key", self.finish_on_key)

    def body(self) -> dict[str, Any]:
        body = super().body()
        if self.nested:
            body["nested"] = [action.as_json() for action in self.nested]
        return body


@dataclass(frozen=True)
class Dial(_Verb):
    """Ring exactly one target: a `number`, a `sip` address or several `numbers` (contract 5.4).

    `timeout` is the ringing time in seconds; `caller_id` must be a number of ours.
    """

    verb = "dial"
    number: str | None = None
    sip: str | None = None
    numbers: tuple[str, ...] = ()
    caller_id: str | None = None
    timeout: int | None = None
    record: Literal["record-from-answer", "record-from-ringing"] | None = None

    def __post_init__(self) -> None:
        given = [t for t in (self.number, self.sip) if t is not None]
        _require(len(given) + bool(self.numbers) == 1, "number, sip, numbers: exactly one of them")
        _require(self.number is None or is_e164(self.number), "number: E.164")
        _require(self.sip is None or is_sip(self.sip), "sip: a sip: URI")
        _require(isinstance(self.numbers, tuple), "numbers: a tuple")
        _require(all(is_e164(number) for number in self.numbers), "numbers: E.164")
        _require(self.caller_id is None or is_e164(self.caller_id), "caller_id: E.164")
        _at_least(1, "timeout", self.timeout)
        known = (None, "record-from-answer", "record-from-ringing")
        _require(self.record in known, "record: record-from-answer or record-from-ringing")

    def body(self) -> dict[str, Any]:
        body = super().body()
        if self.numbers:
            body["numbers"] = list(self.numbers)
        return body


@dataclass(frozen=True)
class Conference(_Verb):
    """Put the leg into the room `name`, and keep it there until the room ends (contract 5.5).

    `status_events` and their URL go together: one without the other would tell us nothing.
    """

    verb = "conference"
    name: str
    start_on_enter: bool | None = None
    end_on_exit: bool | None = None
    wait_url: str | None = None
    beep: bool | None = None
    muted: bool | None = None
    max_participants: int | None = None
    record: bool | None = None
    status_events: tuple[str, ...] = ()
    status_events_callback_url: str | None = None
    collect_digits: bool | None = None
    finish_on_key: str | None = None
    num_digits: int | None = None
    digits_callback_url: str | None = None
    flags: str | None = None

    def __post_init__(self) -> None:
        _require(_ROOM.fullmatch(self.name), "name: 1 to 64 of [A-Za-z0-9._-]")
        for name in ("start_on_enter", "end_on_exit", "beep", "muted", "record", "collect_digits"):
            _require(getattr(self, name) in (None, True, False), f"{name}: true or false")
        for name in ("wait_url", "status_events_callback_url", "digits_callback_url"):
            if (url := getattr(self, name)) is not None:
                _absolute(name, url)
        _require(isinstance(self.status_events, tuple), "status_events: a tuple of words")
        known = all(event in STATUS_EVENTS for event in self.status_events)
        _require(known, f"status_events: of {' '.join(STATUS_EVENTS)}")
        _require(
            bool(self.status_events) == (self.status_events_callback_url is not None),
            "status_events_callback_url: goes together with status_events",
        )
        _at_least(1, "max_participants", self.max_participants)
        _at_least(1, "num_digits", self.num_digits)
        _key("finish_on_key", self.finish_on_key)
        _require(self.flags is None or _FLAGS.fullmatch(self.flags), "flags: words")

    def body(self) -> dict[str, Any]:
        body = super().body()
        if self.status_events:
            body["statusEvents"] = " ".join(self.status_events)
        return body


@dataclass(frozen=True)
class Redirect(_Verb):
    """Ask `url` what to do next; POST unless `method` says GET (contract 5.7)."""

    verb = "redirect"
    url: str
    method: Literal["GET", "POST"] | None = None

    def __post_init__(self) -> None:
        _absolute("url", self.url)
        _require(self.method in (None, "GET", "POST"), "method: GET or POST")


@dataclass(frozen=True)
class Reject(_Verb):
    """Refuse a call that was not answered yet (contract 5.8)."""

    verb = "reject"
    reason: Literal["rejected", "busy"] | None = None

    def __post_init__(self) -> None:
        _require(self.reason in (None, "rejected", "busy"), "reason: rejected or busy")


@dataclass(frozen=True)
class Hangup(_Verb):
    """End the leg (contract 5.9)."""

    verb = "hangup"


Action = Say | Play | GetDigits | Dial | Conference | Redirect | Reject | Hangup


def document(actions: Sequence[Action]) -> dict[str, Any]:
    """Return the reply that runs `actions` in order.

    The last one must hold the leg, send it elsewhere or end it: after a mere `say` or `play`
    the provider drops the caller (contract 4.5). Raises ValueError.
    """
    _require(1 <= len(actions) <= MOST_ACTIONS, f"actions: 1 to {MOST_ACTIONS}")
    last = actions[-1]
    _require(not isinstance(last, (Say, Play)), f"actions: {last.verb} last would drop the caller")
    return {"actions": [action.as_json() for action in actions]}


def render(actions: Sequence[Action]) -> str:
    """Return `document(actions)` as compact JSON, in ASCII; equal actions give equal bytes."""
    return json.dumps(document(actions), separators=(",", ":"))


def is_web_url(value: str) -> bool:
    """Tell whether `value` is an absolute http(s) URL that may be put on the wire."""
    if not value.isascii() or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or a bracket that cannot be
        return False


def is_language(value: str) -> bool:
    """Tell whether `value` has the form of a BCP 47 tag, like en-KE."""
    return _LANGUAGE.fullmatch(value) is not None


def _require(fine: object, sentence: str) -> None:
    if not fine:
        raise ValueError(sentence)


def _absolute(name: str, url: str) -> None:
    _require(is_web_url(url), f"{name}: an absolute http(s) URL")


def _at_least(least: int, name: str, value: int | None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    _require(value is None or (whole and value >= least), f"{name}: a whole number from {least}")


def _key(name: str, value: str | None) -> None:
    _require(value is None or _KEY.fullmatch(value), f"{name}: one of 0-9 * #, or empty")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
