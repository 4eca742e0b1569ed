"""Reading what people type into the call log: dates, spans and numbers, kindly.

Each returns what is meant, or None, and a sentence where that is not what was typed.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from datetime import date, timedelta
from difflib import get_close_matches

from django.db.models import Q, QuerySet
from django.db.models.functions import Reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from callcenter.sautikit import phone
from queues.models import Contact, QueuedCall

_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_DAY_FIRST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
_SPAN = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,4}):)?(\d{1,7})(?:[.,]\d+)?\s*(s|sec|m|min|h)?")
_UNIT = {None: 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
YEARS = (2000, 2100)


def printable(raw: str) -> str:
    """Return what was typed without what cannot be shown, at most 64 characters of it."""
    return "".join(sign for sign in raw if sign.isprintable()).strip()[:64]


def day(raw: str) -> tuple[date | None, str]:
    """Read a date; one that does not exist becomes the nearest that does."""
    if found := _ISO.fullmatch(raw):
        year, month, number = (int(part) for part in found.groups())
    elif found := _DAY_FIRST.fullmatch(raw):
        number, month, year = (int(part) for part in found.groups())
    else:
        return None, _("Write a date like 2026-11-22 or 22.11.2026. This one is left out.")
    nearest_year = min(max(year, YEARS[0]), YEARS[1])
    nearest_month = min(max(month, 1), 12)
    last = calendar.monthrange(nearest_year, nearest_month)[1]
    nearest = date(nearest_year, nearest_month, min(max(number, 1), last))
    if (year, month, number) == (nearest.year, nearest.month, nearest.day):
        return nearest, ""
    told = _("That day is not in the calendar; {day} is taken.")
    return nearest, told.format(day=date_format(nearest, "j F Y"))


def span(raw: str) -> tuple[timedelta | None, str]:
    """Read seconds (90), a clock (1:30) or a unit (2 min)."""
    found = _SPAN.fullmatch(raw.lower())
    if not found:
        return None, _("Write seconds, or minutes and seconds like 1:30. This is left out.")
    hours, minutes, seconds, unit = found.groups()
    whole = int(seconds) * _UNIT[unit] + int(minutes or 0) * 60 + int(hours or 0) * 3600
    return timedelta(seconds=whole), ""


def nearest(raw: str, known: Iterable[tuple[str, str]]) -> tuple[str | None, str]:
    """Return the key of the one that is meant out of (key, name) pairs, and its name.

    A key or name in another case, or with a letter or two wrong, is meant too.
    """
    pairs = list(known)
    for key, name in pairs:
        if raw in (key, name):
            return key, name
    spellings = {key.lower(): (key, name) for key, name in pairs}
    spellings |= {name.lower(): (key, name) for key, name in pairs}
    close = get_close_matches(raw.lower(), spellings, n=1, cutoff=0.75)
    return spellings[close[0]] if close else (None, "")


def customers(calls: QuerySet[QueuedCall], raw: str) -> tuple[QuerySet[QueuedCall], str]:
    """Narrow calls to those of a customer: a whole number in any usual form, its beginning or its
    last digits, a SIP address, or a contact's name.

    Equality, beginnings and endings each have an index.
    """
    if phone.party(raw) == phone.ANONYMOUS:
        return calls.filter(customer=phone.ANONYMOUS), ""
    if "@" in raw or raw.lower().startswith(("sip:", "sips:")):
        with_scheme = raw if ":" in raw else f"sip:{raw}"
        return calls.filter(customer__startswith=with_scheme), ""
    try:
        return calls.filter(customer=phone.normalise(raw)), ""
    except phone.BadDestination:
        pass
    digits = "".join(sign for sign in raw if sign.isdecimal() and sign.isascii())
    if any(sign.isalpha() for sign in raw):
        named = Contact.objects.filter(name__icontains=raw).values_list("number", flat=True)[:100]
        if numbers := list(named):
            return calls.filter(customer__in=numbers), ""
        if not digits:
            return calls.none(), _("No contact has this name. A number can be typed as 07… too.")
        told = _("No contact has this name; calls with the digits {digits} are shown.")
        return _by_digits(calls, raw, digits), told.format(digits=digits)
    if not digits:
        return calls, _("Type digits of a number, or a contact's name. This is left out.")
    return _by_digits(calls, raw, digits), ""


def _by_digits(
    calls: QuerySet[QueuedCall], raw: str, digits: str
) -> QuerySet[QueuedCall]:  # fmt: skip
    """Calls of numbers that end with these digits, or begin with them as they are written."""
    meant = Q(backwards__startswith=digits[::-1])
    if raw.startswith("+") or digits.startswith("254"):
        meant |= Q(customer__startswith=f"+{digits}")
    elif digits.startswith("00"):
        meant |= Q(customer__startswith=f"+{digits[2:]}")
    elif digits.startswith("0"):
        meant |= Q(customer__startswith=f"+254{digits[1:]}")
    return calls.alias(backwards=Reverse("customer")).filter(meant)
