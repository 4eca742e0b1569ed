"""The configured provider, what we have learnt about it, and whether it can be dialled through."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils.translation import gettext as _

from callcenter.sautikit import errors
from callcenter.sautikit.client import SautikitClient
from queues import breaker
from queues.models import Breaker, ProviderFact

log = logging.getLogger(__name__)
CALL_SCHEMA = "call_schema"  # the body shape that got a 2xx
SIP_TO_REFUSED = "sip_to_refused"  # a SIP URI in `to` was refused
DIALLING_STOPPED = "dialling_stopped"  # refused for want of money
WALLET = "wallet"  # what it held when we looked last
DIALLING_PAUSE = timedelta(seconds=30)  # after a refusal for want of money

# Dialling has stopped for want of money: for a while, and for as long as the wallet is empty.
STOPPED = """EXISTS (
    SELECT 1 FROM queues_providerfact s WHERE s.name = 'dialling_stopped' AND (s.at > {paused}
        OR EXISTS (SELECT 1 FROM queues_providerfact w WHERE w.name = 'wallet'
                   AND (w.value ->> 'balance_minor')::bigint <= 0)))"""
# No agent is to be reserved for a caller in the hold room. Half open, one call at a time.
AWAY = """EXISTS (
    SELECT 1 FROM queues_breaker b WHERE b.name = 'api' AND (
        b.state = 'open' OR b.paused_until > {at}
        OR (b.state = 'half_open' AND EXISTS (
            SELECT 1 FROM queues_leg WHERE state = 'planned' AND hang_up_at IS NULL))))"""


# When an answer comes is known only as it comes: `queues.bells` says by which clock.
clock: Callable[[], datetime] | None = None


@cache
def client() -> SautikitClient:
    """Return the client of this process; its connections are kept."""
    return SautikitClient(settings.SAUTIKIT_API_BASE_URL, settings.SAUTIKIT_API_KEY, heard=_heard)


@cache
def client_for_recordings() -> SautikitClient:
    """Return a client whose failures say nothing of calls: the breaker does not hear of them."""
    return SautikitClient(settings.SAUTIKIT_API_BASE_URL, settings.SAUTIKIT_API_KEY)


@cache
def _quick_client() -> SautikitClient:
    """Return the client that looks whether the provider is back: it does not wait for long."""
    return SautikitClient(
        settings.SAUTIKIT_API_BASE_URL, settings.SAUTIKIT_API_KEY, heard=_heard,
        connect_timeout=2.0, read_timeout=3.0,
    )  # fmt: skip


def _heard(error: errors.SautikitError | None, placing: bool) -> None:
    """Tell the breaker how a request went; a request is never lost for that."""
    if clock is None:
        return
    try:
        breaker.heard(error, placing=placing, at=clock())
    except DatabaseError:
        log.exception("the breaker could not be told")


def look(*, at: datetime) -> None:
    """Ask the provider for anything at all, because it did not answer."""
    try:
        _quick_client().list_calls(limit=1)
    except errors.Unavailable:
        breaker.look_again(at=at)
    except errors.SautikitError as error:
        log.info("the provider answers again, with a refusal: %s", error)


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
    """Read everything that is known anew."""
    _recalled.clear()
    breaker.forget()


def learn(name: str, value: Any, *, at: datetime) -> None:
    """Remember a fact, in PostgreSQL, for every process."""
    ProviderFact.objects.update_or_create(pk=name, defaults={"value": value, "at": at})
    _recalled.clear()


def why_not_dialling(at: datetime) -> str:
    """Say in words why nobody can be called at present; "" where that is not so."""
    with connection.cursor() as cursor:
        stopped, away = STOPPED.format(paused="%s"), AWAY.format(at="%s")
        cursor.execute(f"SELECT {stopped}, {away}", [at - DIALLING_PAUSE, at])
        is_stopped, is_away = cursor.fetchone()
    if is_away:
        return _("The provider is away: nobody can be called until it answers again.")
    if is_stopped:
        return _("The Sautikit wallet is empty: nobody is called until it is topped up.")
    return ""


def standing(at: datetime) -> dict[str, Any]:
    """Return how the provider stands, for the wallboard and the metrics."""
    row = Breaker.objects.filter(pk=breaker.API).first() or Breaker(name=breaker.API)
    facts = {
        fact.name: fact for fact in ProviderFact.objects.filter(pk__in=[WALLET, DIALLING_STOPPED])
    }
    wallet, stopped = facts.get(WALLET), facts.get(DIALLING_STOPPED)
    money = wallet.value if wallet else {}
    balance = money.get("balance_minor")
    is_stopped = stopped is not None and (
        stopped.at > at - DIALLING_PAUSE or (balance is not None and balance <= 0)
    )
    is_closed = row.state == Breaker.State.CLOSED
    paused = row.paused_until if row.paused_until and row.paused_until > at else None
    return {
        "breaker": row.state,
        "since": row.opened_at.isoformat() if row.opened_at and not is_closed else None,
        "failures": row.failures,
        "error": "" if is_closed else row.error,
        "paused_until": paused.isoformat() if paused else None,
        "dialling_stopped": is_stopped,
        "wallet": {
            "balance_minor": balance,
            "currency": money.get("currency", ""),
            "threshold_minor": money.get("threshold_minor"),
            "is_low": bool(money.get("is_low")),
            "at": wallet.at.isoformat(),
        } if wallet else None,
    }  # fmt: skip
