"""Signed tokens for the URLs that we hand out, and shared secrets in the URLs of the console.

A token is its parts and their signature, joined by dots. It is readable by anyone and forged by
nobody. The provider appends `clientRequestId` to our query, perhaps with a second `?`; reading
a token cuts that off first.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

_PART = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,512}")
_MAC_BYTES = 16  # 128 bits


class BadToken(ValueError):
    """Missing, mangled, or not signed by any of our keys."""


def issue(*parts: str, key: str) -> str:
    """Return a token that names `parts`, each made of `[A-Za-z0-9_-]`, signed with `key`."""
    if not key:
        raise ValueError("key: a token needs one")
    if not parts or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError("parts: one or more of [A-Za-z0-9_-]")
    said = ".".join(parts)
    return f"{said}.{_mac(said, key)}"


def read(token: str, *, keys: Sequence[str]) -> tuple[str, ...]:
    """Return the parts of a token signed with one of `keys` (newest first). Raises BadToken."""
    token = clean(token)
    if not _TOKEN.fullmatch(token):
        raise BadToken("not a token")
    said, _, mac = token.rpartition(".")
    if not said:
        raise BadToken("not a token")
    genuine = False
    for key in filter(None, keys):
        genuine |= hmac.compare_digest(mac, _mac(said, key))
    if not genuine:
        raise BadToken("not signed by us")
    return tuple(said.split("."))


def clean(raw: str) -> str:
    """Return `raw` without what the provider glued to it after a stray `?` or `&`."""
    return re.split(r"[?&]", raw, maxsplit=1)[0].strip()


def same_secret(given: str, secrets: Sequence[str]) -> bool:
    """Tell whether `given`, as it came or cleaned, is one of `secrets`; blank ones never match."""
    same = False
    for candidate in (given, clean(given)):
        shown = candidate.encode("utf-8", "replace")
        for secret in filter(None, secrets):
            same |= hmac.compare_digest(shown, secret.encode("utf-8", "replace"))
    return same


def _mac(said: str, key: str) -> str:
    # The prefix keeps these signatures apart from any other use of the same key.
    message = f"callcenter.sautikit.tokens:{said}".encode()
    digest = hmac.new(key.encode(), message, hashlib.sha256).digest()[:_MAC_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
