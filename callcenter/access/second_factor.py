"""The second factor: an authenticator app (TOTP, RFC 6238) and ten recovery codes.

Devices, drift and throttling are django-otp's. Recovery codes are kept as digests under the
secret key: who reads the database cannot use them.
"""

from __future__ import annotations

import base64
import math
import re
import secrets
from typing import Any

import segno
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_otp import login as otp_login
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

RECOVERY_CODES = 10
_WRONG = _("That code is not right. Codes change every 30 seconds, and each works once.")
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what looks alike


def is_set_up(user: Any) -> bool:
    """Whether signing in as this user takes a second factor."""
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def begin(user: Any) -> TOTPDevice:
    """Return a new authenticator that is not in use yet; one that was begun before is dropped."""
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user, confirmed=False).delete()
        return TOTPDevice.objects.create(user=user, name="authenticator", confirmed=False)


def begun(user: Any) -> TOTPDevice | None:
    """Return the authenticator that waits for its first code."""
    return TOTPDevice.objects.filter(user=user, confirmed=False).first()


@transaction.atomic
def confirm(user: Any, typed: str) -> tuple[TOTPDevice | None, str]:
    """Take the new authenticator into use if `typed` is its code; else return why not.

    It replaces an earlier one.
    """
    device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
    if device is None:
        return None, gettext("Begin once more.")
    if problem := _try(device, _digits(typed)):
        return None, problem
    TOTPDevice.objects.filter(user=user, confirmed=True).delete()
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    return device, ""


@transaction.atomic
def verify(user: Any, typed: str) -> tuple[Device | None, str]:
    """Return the device that `typed` is a code of, or None and why not."""
    digits = _digits(typed)
    if re.fullmatch(r"\d{6}", digits):
        device: Any = (
            TOTPDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
        )
        code = digits
    else:
        device = StaticDevice.objects.select_for_update().filter(user=user).first()
        code = _digest(typed)
    if device is None:
        return None, str(_WRONG)
    problem = _try(device, code)
    return (None, problem) if problem else (device, "")


def _try(device: Any, code: str) -> str:
    """Use up a try; return what was wrong, "" when nothing was."""
    allowed, why = device.verify_is_allowed()
    if not allowed:
        until = (why or {}).get("locked_until")
        left = max(1, math.ceil((until - timezone.now()).total_seconds())) if until else 1
        if left < 100:
            told = gettext("Too many wrong codes. Wait %(wait)s s, then try again.")
            return told % {"wait": left}
        told = gettext("Too many wrong codes. Wait %(wait)s minutes, then try again.")
        return told % {"wait": math.ceil(left / 60)}
    return "" if device.verify_token(code) else str(_WRONG)


def mark_verified(request: HttpRequest, device: Device) -> None:
    """Note in the session that the second factor was shown."""
    otp_login(request, device)


@transaction.atomic
def new_recovery_codes(user: Any) -> list[str]:
    """Replace the recovery codes; return the new ones, which nobody can read again."""
    device, _ = StaticDevice.objects.get_or_create(user=user, defaults={"name": "recovery codes"})
    device.token_set.all().delete()
    device.throttle_reset()
    codes = [_random_code() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(
        StaticToken(device=device, token=_digest(code)) for code in codes
    )
    return codes


def recovery_codes_left(user: Any) -> int:
    """How many recovery codes have not been used."""
    return int(StaticToken.objects.filter(device__user=user).count())


@transaction.atomic
def remove(user: Any) -> bool:
    """Take the second factor off an account; return whether there was one."""
    had = is_set_up(user)
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    return had


def picture(device: TOTPDevice) -> str:
    """Return the QR code of an authenticator as SVG, without any style in it."""
    return segno.make(device.config_url, error="m", micro=False).svg_inline(
        omitsize=True, border=3, svgclass=None, lineclass=None, title="QR code"
    )


def typed_key(device: TOTPDevice) -> str:
    """Return the key of an authenticator for typing it in, in groups of four."""
    text = base64.b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(text[n : n + 4] for n in range(0, len(text), 4))


def _digits(typed: str) -> str:
    return re.sub(r"[\s-]", "", typed)[:32]


def _random_code() -> str:
    half = ["".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(2)]
    return "-".join(half)


def _digest(typed: str) -> str:
    """Return what is kept of a recovery code: 80 bits in the 16 characters that there are."""
    plain = _digits(typed).lower()
    mac = salted_hmac("callcenter.access.second_factor", plain, algorithm="sha256").digest()
    return base64.b32encode(mac[:10]).decode()
