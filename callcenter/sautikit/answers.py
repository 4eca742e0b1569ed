"""Reading the provider's REST answers: what they hold, and which error they mean."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.exceptions import ConnectTimeout, ProxyError, ReadTimeout, SSLError, Timeout
from urllib3.exceptions import MaxRetryError, NewConnectionError

from callcenter.sautikit import bodies
from callcenter.sautikit.bodies import Unreadable
from callcenter.sautikit.errors import (
    Conflict,
    NotFound,
    OutOfFunds,
    RateLimited,
    Rejected,
    SautikitError,
    Unauthorised,
    Unavailable,
)
from callcenter.sautikit.phone import masked

LONGEST_WAIT = 3600.0  # seconds; a longer Retry-After is taken for a mistake
_NUMBER = re.compile(r"\+[0-9]{8,15}|(?<![0-9A-Za-z-])(?:254|0)[0-9]{9}(?![0-9A-Za-z-])")


def refusal(response: requests.Response, *, acting: bool, key: str = "") -> SautikitError:
    """Return the error that an answer outside 2xx means (contract 2.2 and 2.3).

    `acting` tells that the request was a command; `key` is taken out of the provider's words.
    """
    status = response.status_code
    code, message, request_id = _envelope(response)
    if key:
        message = message.replace(key, "[key]")
    facts: dict[str, Any] = {
        "message": _NUMBER.sub(lambda number: masked(number[0]), message),
        "code": code or f"http_{status}",
        "status": status,
        "request_id": request_id,
    }
    wait = _retry_after(response)
    if status == 429:
        return RateLimited(**facts, retry_after=wait)
    if status >= 500:
        return Unavailable(**facts, retry_after=wait, maybe_placed=acting)
    if status in (408, 425):
        return Unavailable(**facts, retry_after=wait)
    if status == 402 or code.replace("_", ".") == "wallet.insufficient.funds":
        return OutOfFunds(**facts)
    if status < 400:
        facts["code"] = "redirected"
        facts["message"] = "the API answered with a redirect; its base URL is probably wrong"
        return Rejected(**facts)
    kinds = {401: Unauthorised, 403: Unauthorised, 404: NotFound, 409: Conflict}
    return kinds.get(status, Rejected)(**facts)


def no_answer(error: OSError, *, acting: bool) -> SautikitError:
    """Return the error for a request without an answer: had it gone out, or not?"""
    name = type(error).__name__
    if isinstance(error, ReadTimeout):
        return Unavailable("no answer in time", code="timeout", maybe_placed=acting)
    if isinstance(error, Timeout):  # ConnectTimeout, and nothing else is left
        return Unavailable("no connection in time", code="timeout")
    if isinstance(error, ValueError) and not isinstance(error, requests.ConnectionError):
        return Rejected(f"the request cannot be sent: {name}", code="unsendable")
    reason = error.args[0] if error.args else None
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    never_out = isinstance(error, (ConnectTimeout, ProxyError, SSLError))
    never_out = never_out or isinstance(reason, NewConnectionError)
    return Unavailable(
        f"the connection failed: {name}",
        code="unreachable",
        maybe_placed=acting and not never_out,
    )


def value(response: requests.Response, *, placing: bool = False) -> Any:
    """Return the JSON of `response`. Raises Unavailable; `placing` tells that it was a new call."""
    try:
        return bodies.json_value(response.content)
    except Unreadable:
        raise unreadable(response, placing=placing) from None


def unreadable(response: requests.Response, *, placing: bool = False) -> Unavailable:
    kind = bodies.text(response.headers.get("Content-Type", "")) or "no type"
    return Unavailable(
        f"the answer could not be read ({kind}, {len(response.content)} bytes)",
        code="unreadable",
        status=response.status_code,
        maybe_placed=placing,
    )


def _envelope(response: requests.Response) -> tuple[str, str, str]:
    """Return code, message and request id of an error body, of any shape or none."""
    request_id = bodies.text(response.headers.get("X-Request-Id", ""))
    try:
        body = bodies.json_value(response.content)
    except Unreadable:
        return "", f"HTTP {response.status_code}", request_id
    where = [body] if isinstance(body, dict) else []
    inner = where[0].get("error") if where else None
    if isinstance(inner, dict):
        where.insert(0, inner)
    said = bodies.pick(where, ("message", "reason", "detail", "error"), 500)
    code = bodies.pick(where, ("code",))
    return (
        code,
        said or f"HTTP {response.status_code}",
        bodies.pick(where, ("request_id", "requestId")) or request_id,
    )


def facts(error: SautikitError) -> dict[str, Any]:
    return {
        "message": error.message,
        "code": error.code,
        "status": error.status,
        "request_id": error.request_id,
    }


def _retry_after(response: requests.Response) -> float | None:
    """Return `Retry-After` in seconds, whether it came as a number or as a date."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isascii() and said.replace(".", "", 1).isdecimal():
        return min(float(said), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_WAIT)


def clock_ahead(response: requests.Response) -> float | None:
    """Return by how many seconds our clock is ahead of the answer's `Date`; None without one."""
    if response.headers.get("Age"):  # kept by something on the way
        return None
    try:
        at = parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (datetime.now(UTC) - at).total_seconds() - 0.5  # a whole second, cut off


def rows(answer: object) -> list[Any] | None:
    """Return the list in `answer`: under `data` or `calls`, one in the other, or bare."""
    for _ in range(3):
        if isinstance(answer, list):
            return answer
        if not isinstance(answer, dict):
            break
        answer = next(
            (answer[name] for name in ("data", "calls") if answer.get(name) is not None), None
        )
    return None


_CURSOR = ("next_cursor", "nextCursor")
LONGEST_CURSOR = 4096


def next_cursor(answer: object) -> tuple[str | None, str]:
    """Return where the next page begins, and what is wrong with a cursor that is none."""
    if not isinstance(answer, dict):
        return None, ""
    nested = (answer.get(name) for name in ("data", "pagination", "meta"))
    where = [answer, *(each for each in nested if isinstance(each, dict))]
    told = [layer[name] for layer in where for name in _CURSOR if name in layer]
    told = [value for value in told if not bodies.is_nothing(value) and value is not False]
    if not told:
        return None, ""
    cursor, said = told[0], bodies.text(told[0], LONGEST_CURSOR)
    if isinstance(cursor, str | int) and cursor is not True and len(str(cursor)) <= LONGEST_CURSOR:
        return said, ""
    return None, f"its cursor is none: {shown(cursor)}"


def shown(value: object, limit: int = 160) -> str:
    """Show something that could not be read, without any whole phone number."""
    return _NUMBER.sub(lambda number: masked(number[0]), bodies.brief(value, limit))
