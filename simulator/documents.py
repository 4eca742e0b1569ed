"""Voice documents: what a reply to a voice webhook may say (contract 4.5 and 5).

A document is checked as strictly as the contract allows: one verb per item, at most fifty items,
known fields of the right kind, exactly one target in `dial`, nesting in `getDigits` only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

MAX_ACTIONS = 50
E164 = re.compile(r"\+[1-9]\d{7,14}")
SIP_URI = re.compile(r"sips?:[^@\s]+@[^@\s]+")
ROOM_EVENTS = frozenset({"start", "end", "join", "leave", "mute", "unmute"})


class InvalidDocument(ValueError):
    """A reply that is no voice document; the message says why."""


@dataclass(frozen=True, slots=True)
class Action:
    """One verb with its fields, camelCase as on the wire; `nested` only in getDigits."""

    verb: str
    fields: dict[str, Any] = field(default_factory=dict)
    nested: tuple[Action, ...] = ()

    def as_json(self) -> dict[str, Any]:
        fields = dict(self.fields)
        if self.nested:
            fields["nested"] = [one.as_json() for one in self.nested]
        return {self.verb: fields}


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _some_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _target_url(value: Any) -> bool:
    return _url(value) or (isinstance(value, str) and value.startswith("/"))


def _number(value: Any) -> bool:
    return isinstance(value, str) and E164.fullmatch(value) is not None


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_number(one) for one in value)


def _sip(value: Any) -> bool:
    return isinstance(value, str) and SIP_URI.fullmatch(value) is not None


def _method(value: Any) -> bool:
    return value in ("GET", "POST")


def _record(value: Any) -> bool:
    return value in ("record-from-answer", "record-from-ringing", "true", "false")


def _reason(value: Any) -> bool:
    return value in ("rejected", "busy")


def _room_events(value: Any) -> bool:
    return isinstance(value, str) and set(value.split()) <= ROOM_EVENTS


Check = Callable[[Any], bool]
VERBS: dict[str, dict[str, Check]] = {
    "say": {"text": _some_text, "voice": _text, "language": _text, "loop": _count},
    "play": {"url": _url, "loop": _count},
    "getDigits": {
        "timeout": _count,
        "numDigits": _count,
        "finishOnKey": _text,
        "action": _url,
    },
    "dial": {
        "number": _number,
        "numbers": _numbers,
        "sip": _sip,
        "callerId": _number,
        "timeout": _count,
        "record": _record,
    },
    "conference": {
        "name": _some_text,
        "startOnEnter": _flag,
        "endOnExit": _flag,
        "waitUrl": _url,
        "beep": _flag,
        "muted": _flag,
        "maxParticipants": _count,
        "record": _flag,
        "statusEventsCallbackUrl": _url,
        "statusEvents": _room_events,
        "collectDigits": _flag,
        "finishOnKey": _text,
        "numDigits": _count,
        "digitsCallbackUrl": _url,
        "flags": _text,
    },
    "record": {
        "action": _url,
        "method": _method,
        "timeout": _count,
        "maxLength": _count,
        "finishOnKey": _text,
        "transcribe": _flag,
        "transcribeCallback": _url,
        "playBeep": _flag,
        "trim": _text,
    },
    "redirect": {"url": _target_url, "method": _method},
    "reject": {"reason": _reason},
    "hangup": {},
}
REQUIRED = {"say": "text", "play": "url", "conference": "name", "redirect": "url"}
DIAL_TARGETS = ("number", "numbers", "sip")


def parse_reply(content_type: str, body: bytes) -> list[Action]:
    """Read the body of a 200 reply to a voice webhook; an empty list is an empty document.

    JSON needs `application/json`, XML `application/xml` or `text/xml` (contract 4.5).
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("application/xml", "text/xml"):
        return _parse_xml(body)
    if kind != "application/json":
        raise InvalidDocument(f"content type {content_type!r}")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise InvalidDocument(f"not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("actions"), list):
        raise InvalidDocument("no list `actions`")
    return _checked([_from_json(item) for item in document["actions"]])


def _checked(actions: list[Action]) -> list[Action]:
    if len(actions) > MAX_ACTIONS:
        raise InvalidDocument(f"{len(actions)} actions, at most {MAX_ACTIONS}")
    return actions


def _from_json(item: Any, *, inside: str = "") -> Action:
    if not isinstance(item, dict) or len(item) != 1:
        raise InvalidDocument(f"an item has exactly one verb: {item!r:.120}")
    ((verb, fields),) = item.items()
    if not isinstance(fields, dict):
        raise InvalidDocument(f"{verb}: the fields are not an object")
    values = dict(fields)
    nested: tuple[Action, ...] = ()
    if verb == "getDigits" and "nested" in values:
        items = values.pop("nested")
        if not isinstance(items, list):
            raise InvalidDocument("getDigits: nested is not a list")
        nested = tuple(_from_json(one, inside=verb) for one in items)
    return _action(verb, values, nested, inside)


def _action(
    verb: str, fields: dict[str, Any], nested: tuple[Action, ...] = (), inside: str = ""
) -> Action:
    """Check one verb; null fields are taken as absent."""
    known = VERBS.get(verb)
    if known is None:
        raise InvalidDocument(f"unknown verb {verb!r}")
    if inside and verb not in ("say", "play"):
        raise InvalidDocument(f"{verb} inside {inside}")
    fields = {name: value for name, value in fields.items() if value is not None}
    for name, value in fields.items():
        if name not in known:
            raise InvalidDocument(f"{verb}: unknown field {name!r}")
        if not known[name](value):
            raise InvalidDocument(f"{verb}: {name} cannot be {value!r:.120}")
    if verb in REQUIRED and REQUIRED[verb] not in fields:
        raise InvalidDocument(f"{verb}: {REQUIRED[verb]} is missing")
    if verb == "dial" and sum(name in fields for name in DIAL_TARGETS) != 1:
        raise InvalidDocument("dial: exactly one of number, numbers and sip")
    return Action(verb, fields, nested)


# --- XML: PascalCase elements, camelCase attributes, checked by the same table

_XML_VERBS = {verb[0].upper() + verb[1:]: verb for verb in VERBS}
_XML_TEXT = {"say": "text", "play": "url", "redirect": "url", "conference": "name"}
_XML_RENAMED = {"maxDigits": "numDigits"}


def _parse_xml(body: bytes) -> list[Action]:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - the reply of an app under test
    except ElementTree.ParseError as error:
        raise InvalidDocument(f"not XML: {error}") from error
    if root.tag != "Response":
        raise InvalidDocument(f"the root element is {root.tag!r}, not 'Response'")
    return _checked([_from_xml(element) for element in root])


def _from_xml(element: ElementTree.Element, *, inside: str = "") -> Action:
    verb = _XML_VERBS.get(element.tag)
    if verb is None:
        raise InvalidDocument(f"unknown element <{element.tag}>")
    fields: dict[str, Any] = {}
    for attribute, value in element.attrib.items():
        name = _XML_RENAMED.get(attribute, attribute)
        fields[name] = _typed(VERBS[verb].get(name), value)
    text = (element.text or "").strip()
    if text and verb in _XML_TEXT:
        fields[_XML_TEXT[verb]] = text
    nested: tuple[Action, ...] = ()
    if verb == "getDigits":
        nested = tuple(_from_xml(child, inside=verb) for child in element)
    elif verb == "dial":
        fields.update(_xml_targets(element, fields))
    return _action(verb, fields, nested, inside)


def _xml_targets(element: ElementTree.Element, fields: dict[str, Any]) -> dict[str, Any]:
    listed = fields.pop("phoneNumbers", "")
    numbers = [one.strip() for one in listed.split(",") if one.strip()]
    numbers += [(child.text or "").strip() for child in element if child.tag == "Number"]
    sips = [(child.text or "").strip() for child in element if child.tag == "Sip"]
    targets: dict[str, Any] = {"sip": sips[0]} if sips else {}
    if len(numbers) == 1:
        targets["number"] = numbers[0]
    elif numbers:
        targets["numbers"] = numbers
    return targets


def _typed(check: Check | None, value: str) -> Any:
    if check is _flag:
        return {"true": True, "false": False}.get(value.lower(), value)
    if check is _count:
        return int(value) if value.isdigit() else value
    return value
