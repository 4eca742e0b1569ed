"""Tags of the report pages: the frame, links to definitions and to the calls behind a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from callcenter import preferences
from queues.models import Queue
from reporting import amounts
from reporting.figures import definitions
from reporting.figures.asked import Asked
from reporting.figures.counts import COUNTS
from reporting.pages import books, frame

# What is neither a figure with a definition nor a count of calls.
NAMES = {
    "asa_median": _("Median wait"),
    "asa_p90": _("Wait of 9 in 10, at the most"),
    "asa_max": _("Longest wait of an answered call"),
    "longest_wait": _("Longest wait"),
    "aht_median": _("Median handle time"),
    "answered_wait": _("waits of answered calls"),
    "talk": _("talk"),
    "hold": _("hold"),
    "wrap_up": _("wrap-up"),
    "on_call": _("time on a call"),
    "available_idle": _("time available and idle"),
    "paid": _("paid time"),
    "accepted": _("offers accepted"),
    "offers": _("offers"),
    "rona_total": _("offers not taken"),
    "resolved": _("answered, and no further call within 7 days"),
    "settled": _("answered, and 7 days are over"),
    "repeat_numbers": _("numbers that called more than once"),
    "numbers": _("numbers that called"),
    "cost": _("what the provider charged so far"),
}
register = template.Library()


@register.simple_tag(takes_context=True)
def report_pages(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sub-navigation; the range and the queues go with the reader."""
    asked = context.get("asked")
    query = f"?{asked.address()}" if asked and context["request"].GET else ""
    here = context["request"].resolver_match.url_name
    return [
        {"title": title, "address": address + query, "is_here": name == here}
        for name, title in frame.PAGES
        if (address := _reverse(name))
    ]


def _reverse(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


@register.simple_tag(takes_context=True)
def report_title(context: Mapping[str, Any]) -> str:
    """Return the name of the page for the window's title."""
    here = context["request"].resolver_match.url_name
    return str(dict(frame.PAGES).get(here, ""))


@register.simple_tag
def filter_bar(asked: Asked, intervals: str = "") -> dict[str, Any]:
    """Return what the filter bar says and offers; `intervals` are keys that the page knows."""
    at = timezone.now()
    first, last = asked.days()
    since, until = (each.astimezone(asked.zone).isoformat() for each in (asked.since, asked.until))
    whole = asked.is_whole_days
    chosen = {queue.pk for queue in asked.queues}
    queues = Queue.objects.order_by("name")
    offered = intervals.split()
    offset = asked.since.astimezone(asked.zone).strftime("%z")
    return {
        "words": frame.span_in_words(asked),
        "presets": frame.presets(asked, at=at),
        "earlier": frame.beside(asked, later=False).address(),
        "later": frame.beside(asked, later=True).address() if asked.until <= at else "",
        "from": first.isoformat() if whole else since,
        "to": last.isoformat() if whole else until,
        "kind": "date" if whole else "text",
        "queues": [
            (queue.slug, queue.name, queue.pk in chosen)
            for queue in queues
            if queue.retired_at is None or queue.pk in chosen
        ],
        "chosen": ", ".join(queue.name for queue in asked.queues),
        "intervals": [(key, frame.INTERVALS[key], key == asked.interval) for key in offered],
        "interval": frame.INTERVALS.get(asked.interval or "", "") if offered else "",
        "zone": asked.zone.key,
        "offset": f"UTC{offset[:3]}:{offset[3:]}",
        "zones": [*preferences.zones()[: len(preferences.FIRST)], "UTC"],
    }


# --- Links of a figure ---------------------------------------------------------------------------


@register.simple_tag
def calls_of(asked: Asked, figure: str) -> str:
    """Return the address of the calls that a count is made of."""
    return f"{reverse('call-log')}?figure={figure}&{replace(asked, interval=None).address()}"


@register.simple_tag
def count(asked: Asked | None, figure: str, value: int | None) -> str | SafeString:
    """Write a count as a link to its calls; nothing is no link."""
    if not value or asked is None:
        return amounts.NONE if value is None else str(value)
    return format_html(
        '<a href="{}" data-figure="{}">{}</a>', calls_of(asked, figure), figure, value
    )


@register.simple_tag
def defined(key: str) -> SafeString:
    """Name a figure or a count, with its version, as a link to its definition."""
    address = f"{reverse('report-definitions')}#{key}"
    if definition := definitions.ALL.get(key):
        return format_html(
            '<a class="def" href="{}">{} <small>v{}</small></a>',
            address, definition.name, definition.version,
        )  # fmt: skip
    return format_html('<a class="def" href="{}">{}</a>', address, figure_name(key))


@register.filter
def figure_name(key: str) -> Any:
    """Return the words for a figure, a count, or what one of the two is made of."""
    if key in definitions.ALL:
        return definitions.ALL[key].name
    return COUNTS[key].label if key in COUNTS else NAMES.get(key, key.replace("_", " "))


@register.simple_tag
def books_mark() -> books.Mark:
    """Return whether yesterday's and today's books balance, as of the last few minutes."""
    return books.mark(timezone.now())


# --- How figures are written ---------------------------------------------------------------------


@register.filter
def share(value: float | None) -> str:
    """Write a share between 0 and 1 with one decimal; a dash where it is undefined."""
    return amounts.NONE if value is None else f"{value * 100:.1f} %"


@register.filter
def money(minor: int | None, currency: str) -> str:
    """Write an amount of money in minor units."""
    return amounts.money(minor, currency)


@register.filter
def figure(value: float | None, kind: str) -> str:
    """Write a figure of a kind: `count`, `share` or `seconds`."""
    if kind == "share":
        return share(value)
    return (
        amounts.NONE if value is None else amounts.clock(value) if kind == "seconds" else str(value)
    )


@register.filter
def change(value: float | None, kind: str) -> str:
    """Write how much a figure has changed, with its sign."""
    if value is None:
        return amounts.NONE
    sign = "+" if value > 0 else "-" if value < 0 else "±"
    size = abs(value)
    if kind == "share":
        return gettext("{sign}{points} points").format(sign=sign, points=f"{size * 100:.1f}")
    return f"{sign}{amounts.clock(size) if kind == 'seconds' else size}"


@register.filter
def plain(value: Any) -> str:
    """Write a number as a script reads it, whatever the page's language; "" for none."""
    return "" if value is None else f"{value:.12g}"


@register.filter
def label(start: datetime, interval: str | None) -> str:
    """Name an interval: by its time within a day, by its day beyond."""
    forms = {
        "15m": "D j N H:i",
        "30m": "D j N H:i",
        "hour": "D j N H:i",
        "day": "D j N",
        "week": "j N Y",
        "month": "N Y",
    }
    return date_format(localtime(start), forms.get(interval or "", "j N H:i"))


@register.filter
def tick(start: datetime, interval: str | None) -> str:
    """The same, as short as it can be under a chart."""
    forms = {"day": "j M", "week": "j M", "month": "M Y"}
    return date_format(localtime(start), forms.get(interval or "", "H:i"))


@register.filter
def hundredths(share: float) -> str:
    """Write a share as a whole number of hundredths, where a table's cell is small."""
    return f"{share * 100:.0f}"


@register.filter
def split(keys: str) -> list[str]:
    """Return keys that are written with spaces between."""
    return keys.split()


@register.filter
def made_of(definition: definitions.Definition) -> str:
    """Write which counts a figure divides by which."""
    above, below = (
        " ".join(_signed(key, place) for place, key in enumerate(keys))
        for keys in (definition.numerator, definition.denominator)
    )
    return f"({above}) / ({below})"


def _signed(key: str, place: int) -> str:
    name = str(figure_name(key.removeprefix("-"))).lower()
    sign = "- " if key.startswith("-") else "+ " if place else ""
    return f"{sign}{name}"


@register.filter
def at(row: Mapping[str, Any], key: str) -> Any:
    """Return a row's value of a key that is a variable in the template."""
    return row[key]
