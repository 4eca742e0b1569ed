"""Reading what came over the wire: any encoding, any spelling, no surprises inside.

Everything here is liberal: a wrong type is an absent field, never an exception. Only a body that
is no set of fields at all is Unreadable.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

Fields = Mapping[str, Any]

MOST_FIELDS = 500
DEEPEST = 16
LONGEST = 128  # characters of an id, a number or a word

_FORM = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-\[\]%]{0,127}=")
_SURROGATE = re.compile("[\x00\ud800-\udfff]")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_NOTHING = {"", "null", "none", "undefined", "nil"}

# Contract 4.2, with the spellings of 6.3. The same are looked for inside `call`, `data`, `payload`.
HANDLES = (
    "sessionId", "SessionId", "session_id", "CallSid", "callSid", "call_sid",
    "call_id", "callId", "CallId", "pbx_call_id", "pbxCallId",
)  # fmt: skip
_WRAPPERS = ("call", "data", "payload")
_SESSION = re.compile(r"HD_.+", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Unreadable(ValueError):
    """The body is neither a JSON object nor a form, or is beyond reason."""


def parse_body(content_type: str, raw: bytes, limit: int = 65536) -> dict[str, Any]:
    """Return the fields of a request body; {} for an empty one.

    The declared type is tried first, then the other: senders get it wrong. Of a repeated form
    field the first counts. NULs and lone surrogates are dropped, as PostgreSQL stores neither.
    """
    if len(raw) > limit:
        raise Unreadable(f"more than {limit} bytes")
    if not raw.strip():
        return {}
    looks_json = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    readers = [_json_object, _form] if "json" in content_type.lower() or looks_json else [_form]
    for reader in readers:
        try:
            return reader(raw)
        except Unreadable as error:
            reason = str(error)
    raise Unreadable(reason)


def json_value(raw: bytes) -> Any:
    """Return what the JSON text `raw` says, cleaned. Raises Unreadable."""
    try:
        return cleaned(json.loads(raw, parse_constant=_not_a_number))
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {type(error).__name__}") from None


def cleaned(value: Any, depth: int = 0) -> Any:
    """Return `value` so that PostgreSQL can store it: no NUL, no lone surrogate, no infinity."""
    if depth > DEEPEST:
        raise Unreadable(f"nested more than {DEEPEST} deep")
    if isinstance(value, str):
        return _SURROGATE.sub("", value)
    if isinstance(value, dict):
        return {_SURROGATE.sub("", str(k)): cleaned(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [cleaned(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def layers(fields: Fields) -> tuple[Fields, ...]:
    """Return `fields` and the objects wrapped in it, outermost first."""
    found = [fields]
    for layer in found:  # grows while it is read
        inner = (layer.get(name) for name in _WRAPPERS)
        found.extend(each for each in inner if isinstance(each, dict))
    return tuple(found[:8])


def text(value: Any, limit: int = LONGEST) -> str:
    """Return `value` as one clean line of at most `limit` characters; "" for no scalar."""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        value = str(value) if abs(value) < 10**40 else ""  # longer ones are costly to print
    if isinstance(value, float):
        value = f"{value:.15g}"
    if not isinstance(value, str):
        return ""
    said: str = value
    if not said.isprintable():
        said = "".join(letter for letter in said[: 8 * limit] if letter.isprintable())
    return said.strip()[:limit].strip()


def pick(where: Iterable[Fields], names: Sequence[str], limit: int = LONGEST) -> str:
    """Return the first of `names` that says something, layer by layer; "" if none does."""
    for layer in where:
        for name in names:
            said = text(layer.get(name), limit)
            if said.lower() not in _NOTHING:
                return said
    return ""


def is_nothing(value: Any) -> bool:
    """Tell whether a field is not there, or says in one of the usual words that it is empty."""
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def brief(value: Any, limit: int = 60) -> str:
    """Show any value in one short line, for telling what could not be read."""
    try:
        said = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        said = type(value).__name__
    return said if len(said) <= limit else said[: limit - 1] + "…"


def has(where: Iterable[Fields], names: Sequence[str]) -> bool:
    """Tell whether one of `names` is there at all, empty or not; null is not there."""
    return any(layer.get(name) is not None for layer in where for name in names)


def whole(value: Any, most: int = 2**31 - 1) -> int | None:
    """Return `value` as an integer from 0 to `most`, fractions cut; None if it is none."""
    number = signed(value, most)
    return number if number is not None and number >= 0 else None


def signed(value: Any, most: int = 2**63 - 1) -> int | None:
    """Return `value` as an integer of at most `most` either way; None if it is none."""
    said = text(value)
    if isinstance(value, bool) or not _NUMBER.fullmatch(said):
        return None
    number = int(said.partition(".")[0])
    return number if abs(number) <= most else None


def pick_whole(where: Iterable[Fields], names: Sequence[str]) -> int | None:
    """Return the first of `names` that is a number, layer by layer."""
    for layer in where:
        for name in names:
            if (number := whole(layer.get(name))) is not None:
                return number
    return None


def truth(said: str) -> bool | None:
    """Return what a flag means (`1`, `true`, `yes`, `0` …); None if it cannot be told."""
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    return known.get(said.lower())


def instant(value: Any) -> datetime | None:
    """Return an RFC 3339 text, or unix seconds or milliseconds, as an aware time in UTC.

    None for anything else, and for years that only an unset clock can mean.
    """
    said = text(value, 64)
    try:
        if _NUMBER.fullmatch(said):
            seconds = float(said)
            at = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        else:
            at = datetime.fromisoformat(said)
            at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at if 2000 <= at.year < 2200 else None


def pick_instant(where: Iterable[Fields], names: Sequence[str]) -> datetime | None:
    """Return the first of `names` that is a time, layer by layer."""
    for layer in where:
        for name in names:
            if (at := instant(layer.get(name))) is not None:
                return at
    return None


def handles(fields: Fields) -> tuple[str, ...]:
    """Return every distinct call handle in `fields`, in the order of contract 4.2.

    A plain `id` counts only where no handle is named and it looks like one: on an envelope it
    is the event's own.
    """
    where = layers(fields)
    named = [pick([layer], [name]) for layer in where for name in HANDLES]
    if not any(named):
        wrapped = where[1:] or where
        named = [said for layer in wrapped if looks_like_handle(said := pick([layer], ["id"]))]
    return tuple(dict.fromkeys(filter(None, named)))


def looks_like_handle(said: str) -> bool:
    """Tell whether `said` has the form of one of the provider's two handles (contract 1.1)."""
    return bool(_SESSION.fullmatch(said) or _UUID.fullmatch(said))


def session_of(found: Iterable[str]) -> str | None:
    """Return the PBX session handle (`HD_…`) among `found`."""
    return next((each for each in found if _SESSION.fullmatch(each)), None)


def uuid_of(found: Iterable[str]) -> str | None:
    """Return the UUID handle among `found`."""
    return next((each for each in found if _UUID.fullmatch(each)), None)


def direction_of(said: str) -> str:
    """Return `inbound`, `outbound` or ""; the letter case on the wire is unknown (contract 1.2)."""
    said = said.lower()
    if said.startswith(("inbound", "incoming")) or said == "in":
        return "inbound"
    return "outbound" if said.startswith(("outbound", "outgoing")) or said == "out" else ""


def _json_object(raw: bytes) -> dict[str, Any]:
    value = json_value(raw)
    if not isinstance(value, dict):
        raise Unreadable("JSON, but not an object")
    return value


def _form(raw: bytes) -> dict[str, Any]:
    said = raw.decode("utf-8", "replace").strip("\ufeff \t\r\n")
    if not _FORM.match(said):
        raise Unreadable("neither a form nor a JSON object")
    try:
        pairs = parse_qsl(said, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Unreadable(f"more than {MOST_FIELDS} fields") from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        fields.setdefault(_SURROGATE.sub("", name), _SURROGATE.sub("", value))
    return fields


def _not_a_number(word: str) -> None:
    raise Unreadable(f"{word} is no JSON")
