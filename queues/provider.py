"""The configured provider, and what we have learnt about it."""

from __future__ import annotations

import time
from datetime import datetime
from functools import cache
from typing import Any

from django.conf import settings

from callcenter.sautikit.client import SautikitClient
from queues.models import ProviderFact

CALL_SCHEMA = "call_schema"  # the body shape that got a 2xx
SIP_TO_REFUSED = "sip_to_refused"  # a SIP URI in `to` was refused
DIALLING_STOPPED = "dialling_stopped"  # refused for want of money


@cache
def client() -> SautikitClient:
    """Return the client of this process; its connections are kept."""
    return SautikitClient(settings.SAUTIKIT_API_BASE_URL, settings.SAUTIKIT_API_KEY)


def recall(name: str) -> Any:
    """Return what is known under `name`, or None."""
    return ProviderFact.objects.filter(pk=name).values_list("value", flat=True).first()


_recalled: dict[str, tuple[float, Any]] = {}
RECALL_FOR = 5.0  # seconds for which a process believes what it has read


def recall_soon(name: str) -> Any:
    """Return what is known under `name`, as of the last few seconds: no query for most askers."""
    read_at, value = _recalled.get(name, (0.0, None))
    if time.monotonic() - read_at > RECALL_FOR or not read_at:
        value = recall(name)
        _recalled[name] = (time.monotonic(), value)
    return value


def forget_recalled() -> None:
    """Read every fact anew."""
    _recalled.clear()


def learn(name: str, value: Any, *, at: datetime) -> None:
    """Remember a fact, in PostgreSQL, for every process."""
    ProviderFact.objects.update_or_create(pk=name, defaults={"value": value, "at": at})
    forget_recalled()
