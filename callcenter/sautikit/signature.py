"""The provider's request signature (contract 6.4).

`X-Sautikit-Signature: t=<unix seconds>,v1=<hex>` where v1 is HMAC-SHA256 over the raw body, a
dot and `t` exactly as received: body first, the reverse of what others do. The pages of single
events show a bare hex of the body instead; that form has no time and is taken only on request.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

HEADER = "X-Sautikit-Signature"

_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}")


class Result(StrEnum):
    VALID = "valid"
    ABSENT = "absent"  # no header, or no secret to check it with
    WRONG = "wrong"  # made with another secret, or for another body
    STALE = "stale"  # genuine, but its time is off by more than the tolerance
    MALFORMED = "malformed"  # not a form we take


@dataclass(frozen=True)
class Verdict:
    """What a signature is worth.

    `digest` is the v1 value, lower case: the same one again is the same request again. It is
    the one that matched, or the first one shown where none did. `bare` tells which form came.
    `age` is how many seconds ago, by our clock, a genuine one was made.
    """

    result: Result
    digest: str = ""
    bare: bool = False
    age: float = 0.0

    @property
    def is_valid(self) -> bool:
        return self.result is Result.VALID


def sign(secret: str, raw: bytes, t: int | str) -> str:
    """Return the header value for `raw` sent at `t` (unix seconds)."""
    return f"t={t},v1={_digest(secret, raw + f'.{t}'.encode())}"


def check(
    header: str | None,
    raw: bytes,
    *,
    secrets: Sequence[str],
    now: float,
    tolerance: int = 300,
    allow_bare: bool = False,
) -> Verdict:
    """Judge `header` for the body `raw`, received at `now` (unix seconds).

    All `secrets` are tried, in constant time; blank ones are left out. Only v1 is read: other
    versions may stand beside it.
    """
    secrets = [secret for secret in secrets if secret]
    header = (header or "").strip()
    if not header or not secrets:
        return Verdict(Result.ABSENT)
    if _HEX.fullmatch(header):
        return _check_bare(header.lower(), raw, secrets, allow_bare)
    pairs = [pair.partition("=") for pair in header.split(",")[:16]]
    times = [value.strip() for name, _, value in pairs if name.strip().lower() == "t"]
    shown = [value.strip().lower() for name, _, value in pairs if name.strip().lower() == "v1"]
    if len(times) != 1 or not shown or not _SECONDS.fullmatch(times[0]):
        return Verdict(Result.MALFORMED)
    if not all(_HEX.fullmatch(value) for value in shown):
        return Verdict(Result.MALFORMED)
    matched = _match(shown, secrets, raw + b"." + times[0].encode())
    if not matched:
        return Verdict(Result.WRONG, shown[0])
    age = now - int(times[0])
    result = Result.STALE if abs(age) > tolerance else Result.VALID
    return Verdict(result, matched, age=age)


def _check_bare(shown: str, raw: bytes, secrets: Sequence[str], allowed: bool) -> Verdict:
    if not allowed:
        return Verdict(Result.MALFORMED, shown, bare=True)
    genuine = _match([shown], secrets, raw)
    return Verdict(Result.VALID if genuine else Result.WRONG, shown, bare=True)


def _match(shown: Sequence[str], secrets: Sequence[str], message: bytes) -> str:
    """Return the shown digest that one of `secrets` makes, trying all of them; "" if none."""
    matched = ""
    for secret in secrets:
        expected = _digest(secret, message)
        for value in shown:
            if hmac.compare_digest(value, expected):
                matched = value
    return matched


def _digest(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
