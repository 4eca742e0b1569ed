"""Names in the place of numbers.

*Kept apart* (`of`): the same number has the same name, so that callers who come again are still
counted; made with the secret key. Who has that key can test whether a number has a name, so this is
less than anonymous. *Erased* (`fresh`): a name of chance, which nobody can make again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from django.conf import settings

from callcenter.sautikit import phone

CALLER, ERASED = "caller-", "erased-"
NOWHERE = "nowhere.invalid"


def of(number: str, key: str | None = None) -> str:
    """Return the name that stands for this number."""
    secret = hashlib.sha256(f"callcenter.pseudonyms {key or settings.SECRET_KEY}".encode()).digest()
    name = CALLER + hmac.new(secret, number.encode(), hashlib.sha256).hexdigest()[:16]
    return as_address(name) if phone.is_sip(number) else name


def all_of(number: str) -> list[str]:
    """Return each name under which calls of this number may be kept, by any key in use."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [of(number, key) for key in keys]


def fresh() -> str:
    """Return a name for somebody who is erased."""
    return ERASED + secrets.token_hex(4)


def as_address(name: str) -> str:
    """Return a name in the form of a SIP address: what is counted as SIP stays so."""
    return f"sip:{name}@{NOWHERE}"


def is_one(customer: str) -> bool:
    """Whether this is a name of ours already."""
    return customer.removeprefix("sip:").startswith((CALLER, ERASED))


def digest(number: str) -> str:
    """Return a keyed digest that shows, to who knows number and key, whom something was about."""
    secret = hashlib.sha256(f"callcenter.erasures {settings.SECRET_KEY}".encode()).digest()
    return hmac.new(secret, number.encode(), hashlib.sha256).hexdigest()
