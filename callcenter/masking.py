"""No secret and no whole phone number in any log: the net under the masking at each log line.

It hangs where log records are made, so it serves every handler of the process, whoever adds it:
Django's, Celery's, the web server's access log. A record that holds nothing of the kind passes
unchanged.
"""

from __future__ import annotations

import logging
import logging.config
import re
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings

from callcenter.sautikit import phone

HIDDEN = "***"
_SHORTEST_SECRET = 8  # a shorter one is no secret, and would hide ordinary words

# What comes before the secret stays, so that the line still says what it was.
_CREDENTIALS = re.compile(
    r"((?:\b|_)(?:token|key|secret|password|passwd|signature|sessionid|csrftoken)"
    r"(?:['\"]?\s*[=:]\s*['\"]?|%3[Dd])"  # token=…, 'token': '…', token%3D…
    r"|\b(?:Bearer|Token|Basic)\s+(?=[\w.~+/-]{16})"
    r"|\bv1="
    r"|://[^\s/:@]*:(?=[^\s/@]+@))"  # redis://user:…@host
    r"[^\s'\"&,;)}\]@]+",
    re.IGNORECASE,
)
_WALL = re.compile(r"(/wall/)[\w-]{16,}")  # whoever has the address of a wall screen can look
_SIP = re.compile(r"\b(sips?(?::|%3[Aa]))([^\s@'\"<>]{1,64}?)(@|%40)", re.IGNORECASE)
# E.164 as written or in an address, and the two shapes people type for our country.
_NUMBER = re.compile(r"(?:\+|%2[Bb])\d{7,15}|(?<![\w.:-])(?:254\d{9}|0[17]\d{8})(?![\w.:-])")


class Masker:
    """Masks what looks like a secret or a number, and the given secrets wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """Return `text` without secrets and whole numbers."""
        if self._known:
            text = self._known.sub(HIDDEN, text)
        text = _CREDENTIALS.sub(rf"\1{HIDDEN}", text)
        text = _WALL.sub(rf"\1{HIDDEN}", text)
        text = _SIP.sub(_sip_user, text)
        return _NUMBER.sub(_number, text)


def _sip_user(match: re.Match[str]) -> str:
    scheme, user, at = match.groups()
    return f"{scheme}{user[0]}***{at}"


def _number(match: re.Match[str]) -> str:
    return phone.masked(match[0].replace("%2B", "+").replace("%2b", "+"))


mask: Callable[[str], str] = Masker()


def configure(config: dict[str, Any]) -> None:
    """Set up logging as settings.LOGGING says, and mask whatever is logged from now on."""
    global mask
    logging.config.dictConfig(config)
    mask = Masker(
        [
            settings.SECRET_KEY,
            *settings.SECRET_KEY_FALLBACKS,
            settings.SAUTIKIT_API_KEY,
            *settings.SAUTIKIT_WEBHOOK_TOKENS,
            *settings.SAUTIKIT_SIGNING_SECRETS,
            str(settings.DATABASES["default"].get("PASSWORD") or ""),
            str(getattr(settings, "EMAIL_HOST_PASSWORD", "") or ""),
        ]
    )
    logging.setLogRecordFactory(_make)


def _make(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """Make a log record as logging does, and mask its message, traceback and stack."""
    record = logging.LogRecord(*args, **kwargs)
    try:
        said = record.getMessage()
    except (TypeError, ValueError, KeyError):  # a wrong format is reported by the handler
        return record
    if (masked := mask(said)) != said:
        record.msg, record.args = masked, ()
    if record.exc_info and record.exc_info[0]:  # formatters take the text that is there
        record.exc_text = mask(logging.Formatter().formatException(record.exc_info))
    if record.stack_info:
        record.stack_info = mask(record.stack_info)
    return record
