"""The wallet: what is left to call with, who is told that it is low, and dialling again."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings

from callcenter import bell
from callcenter.sautikit import errors
from callcenter.sautikit.commands import Wallet
from queues import alerts, provider
from queues.models import ProviderFact

log = logging.getLogger(__name__)
EMPTY, LOW, UNREADABLE = "", "low", "unreadable"  # the subjects of the wallet's alerts
QUIET_FOR = timedelta(seconds=60)  # without a refusal for want of money


def stop_dialling(reason: str, *, at: datetime) -> None:
    """The provider refused for want of money: nobody is dialled, and the supervisors know."""
    provider.learn(provider.DIALLING_STOPPED, reason, at=at)
    alerts.raise_alert(
        "wallet", EMPTY,
        "The Sautikit wallet is empty: nobody can be called. Top it up; calls go on by themselves, "
        "or as soon as you dismiss this.", at=at,
    )  # fmt: skip
    bell.ring("look_at_wallet")


def look(*, at: datetime) -> None:
    """Read the wallet: remember what it holds, raise or withdraw its alerts, resume dialling.

    A key that may not read it is told once and is no error; no answer changes nothing.
    """
    before = provider.recall(provider.WALLET) or {}
    try:
        wallet = provider.client().wallet()
    except errors.Unauthorised as error:
        _unreadable(before, error, at)
        _resume(at, is_filled=False)
        return
    except errors.SautikitError as error:
        log.info("the wallet could not be read: %s", error)
        return
    threshold = settings.SAUTIKIT_LOW_BALANCE_MINOR or wallet.low_balance_threshold_minor
    is_low = bool(threshold) and wallet.balance_minor < (threshold or 0)
    provider.learn(
        provider.WALLET,
        {
            "balance_minor": wallet.balance_minor, "currency": wallet.currency,
            "threshold_minor": threshold, "is_low": is_low,
        },
        at=at,
    )  # fmt: skip
    if before.get("is_unreadable"):
        alerts.withdraw("wallet", UNREADABLE, at=at)
    if is_low and not before.get("is_low"):
        alerts.raise_alert("wallet", LOW, _low(wallet, threshold or 0), at=at)
    elif before.get("is_low") and not is_low:
        alerts.withdraw("wallet", LOW, at=at)
    if wallet.balance_minor > 0:
        was_empty = (before.get("balance_minor") or 0) <= 0 and "balance_minor" in before
        _resume(at, is_filled=was_empty)
    bell.ring("board")


def _low(wallet: Wallet, threshold: int) -> str:
    unit = f"{wallet.currency} " if wallet.currency else ""
    return (
        f"The Sautikit wallet holds {unit}{wallet.balance_minor / 100:,.2f}, "
        f"less than {unit}{threshold / 100:,.2f}. Empty, nobody can be called."
    )


def _unreadable(before: dict[str, object], error: errors.SautikitError, at: datetime) -> None:
    if before.get("is_unreadable"):
        return
    provider.learn(provider.WALLET, {"is_unreadable": True}, at=at)
    alerts.raise_alert(
        "wallet", UNREADABLE,
        f"The API key may not read the wallet ({error}): its balance is not watched.", at=at,
    )  # fmt: skip


def _resume(at: datetime, *, is_filled: bool) -> None:
    """Dial again: the wallet was filled, or nothing was refused for want of money for a while."""
    stopped = ProviderFact.objects.filter(pk=provider.DIALLING_STOPPED)
    if not is_filled:
        stopped = stopped.filter(at__lte=at - QUIET_FOR)
    deleted, _ = stopped.delete()
    if not deleted:
        return
    if is_filled or (provider.recall(provider.WALLET) or {}).get("balance_minor"):
        alerts.withdraw("wallet", EMPTY, at=at)
    bell.ring("route")
