"""Tags of the pages: states and events in words and shapes; times, money, shares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.conf import settings
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from callcenter.permissions import is_agent, is_supervisor
from queues.models import CallEvent, Offer, QueuedCall
from reporting import amounts, words

register = template.Library()
clock = register.filter(amounts.clock)
offset = register.filter(amounts.offset)
percent = register.filter(amounts.percent)
cost = register.simple_tag(amounts.cost)

# --- Shapes and states ---------------------------------------------------------------------------


@register.simple_tag
def shape(name: str) -> SafeString:
    """Draw a symbol of _shapes.html; the word beside it says the same."""
    return format_html('<svg class="shape" aria-hidden="true"><use href="#s-{}"/></svg>', name)


@register.simple_tag
def state(vocabulary: str, value: str) -> SafeString:
    """Show a state as shape, word and colour: `agent`, `call` or `offer`."""
    word, tone, symbol = words.VOCABULARY[vocabulary].get(value, (spoken(value), "off", "circle"))
    return format_html(
        '<span class="state tone-{}" data-state="{}">{} {}</span>', tone, value, shape(symbol), word
    )


@register.filter
def word(value: str, vocabulary: str) -> str | Promise:
    """Return a state's word alone."""
    return words.VOCABULARY[vocabulary].get(value, (spoken(value), "", ""))[0]


@register.filter
def tone(value: str, vocabulary: str) -> str:
    """Return a state's tone alone."""
    return words.VOCABULARY[vocabulary].get(value, ("", "off", ""))[1]


@register.filter
def unlocalised(number: float) -> str:
    """Write a number as SVG reads it, whatever the page's language."""
    return f"{number:g}"


@register.filter
def ordinal(place: int) -> str:
    """Write a place in line: 1st, 2nd, 3rd, 11th."""
    last = 0 if place % 100 in (11, 12, 13) else place % 10
    endings = {1: _("{place}st"), 2: _("{place}nd"), 3: _("{place}rd")}
    return endings.get(last, _("{place}th")).format(place=place)


@register.simple_tag
def crew(agents: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the counts of agents in each state with their words, in reading order."""
    return [
        {"state": name, "count": agents.get(name, 0), "word": text, "tone": tone, "shape": symbol}
        for name, (text, tone, symbol) in words.AGENT.items()
    ]


# --- Sentences -----------------------------------------------------------------------------------


@register.filter
def sentence(event: CallEvent) -> str:
    """Tell an event of a call."""
    detail = event.detail
    agent = detail.get("agent") or (event.offer.agent.name if event.offer else _("The agent"))
    return str(_template(event)).format(
        agent=agent,
        digits=detail.get("digits", _("a key")),
        missed=detail.get("missed", _("several")),
        by=detail.get("by") or _("Somebody"),
        queue=detail.get("queue", ""),
        disposition=detail.get("disposition", ""),
    )


def _template(event: CallEvent) -> str | Promise:
    """Return the sentence of an event, with blanks for names and counts."""
    detail, kind = event.detail, event.kind
    text, *_rest = words.EVENTS.get(kind, (f"{spoken(kind)}.",))
    if kind == "abandoned":
        return words.ABANDONED.get(detail.get("abandoned_in", ""), _("The caller hung up."))
    if kind == "corrected":
        return words.CORRECTED.get(detail.get("became", ""), text)
    if detail.get("not_dispositioned"):
        return words.NOT_DISPOSITIONED
    if kind in words.DISPOSITIONED and detail.get("disposition"):
        return words.DISPOSITIONED[kind]
    if kind in {"listening_started", "listening_changed"}:
        return words.LISTENING.get(detail.get("mode", ""), text)
    if kind == "connected" and detail.get("estimated"):
        return words.ESTIMATED
    return words.OFFERED.get(detail.get("kind", ""), text) if kind == "offered" else text


@register.filter
def reason(event: CallEvent) -> str:
    """Return why an event happened, where somebody said so."""
    return str(event.detail.get("reason", ""))


@register.filter
def because(name: str) -> str:
    """Tell why a call or an offer ended."""
    told = str(words.REASONS.get(name, spoken(name)))
    return told[:1].upper() + told[1:]


@register.filter
def of_leg(name: str) -> str | Promise:
    """Say whose a leg is, how it stands, or how the provider says that it stands."""
    return words.LEG.get(name, spoken(name))


def _look(event: CallEvent) -> tuple[str, str]:
    bad = ("", "bad", "cross") if event.kind == "abandoned" else ("", "off", "circle")
    _word, tone, symbol = words.EVENTS.get(event.kind, bad)
    return tone, symbol


@register.filter
def event_tone(event: CallEvent) -> str:
    """Return an event's tone."""
    return _look(event)[0]


@register.filter
def event_shape(event: CallEvent) -> str:
    """Return an event's shape."""
    return _look(event)[1]


@register.simple_tag
def mark(event: CallEvent) -> SafeString:
    """Draw an event's shape in its tone."""
    tone, symbol = _look(event)
    return format_html('<span class="mark tone-{}">{}</span>', tone, shape(symbol))


@register.filter
def choice(event: CallEvent) -> dict[str, Any] | None:
    """Explain the router's choice that an `offered` event keeps; None for other events."""
    detail = event.detail
    if event.kind != "offered" or "strategy" not in detail:
        return None
    return {
        "strategy": words.STRATEGIES.get(detail["strategy"], detail["strategy"]),
        "also_free": detail.get("also_routable") or [],
        "passed_over": [
            (name, passed_over(why)) for name, why in (detail.get("passed_over") or {}).items()
        ],
    }


def passed_over(why: str) -> str:
    """Say why an agent was passed over: `break`, or `hold_off:no_answer`."""
    if why.startswith("hold_off:"):
        return _("held off: {why}").format(why=hold_off(why.partition(":")[2]))
    return str(words.PASSED_OVER.get(why, spoken(why).lower()))


@register.filter
def source(name: str) -> str:
    """Say who told us."""
    return str(words.SOURCES.get(name, spoken(name).lower()))


@register.filter
def hold_off(name: str) -> str:
    """Say why an agent is held off."""
    return str(words.HOLD_OFF.get(name, _("the last offer failed")))


@register.filter
def spoken(name: str) -> str:
    """Turn an identifier into words."""
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


# --- Times, money, shares ------------------------------------------------------------------------


@register.filter
def moment(text: str | datetime) -> datetime:
    """Read a time of the live snapshot, in the local zone."""
    return localtime(datetime.fromisoformat(text) if isinstance(text, str) else text)


@register.simple_tag
def running(since: str | datetime, at: str | datetime, late_after: int | None = None) -> SafeString:
    """Show a clock that counts up from `since`; live.js keeps it running."""
    begun = moment(since)
    late = format_html(' data-late-after="{}"', late_after) if late_after else ""
    return format_html(
        '<time class="clock" datetime="{0}" data-since="{0}"{1}>{2}</time>',
        begun.isoformat(), late, clock(moment(at) - begun),
    )  # fmt: skip


@register.simple_tag
def remaining(until: str | datetime, at: str | datetime) -> SafeString:
    """Show a clock that counts down to `until`."""
    end = moment(until)
    return format_html(
        '<time class="clock" datetime="{0}" data-until="{0}">{1}</time>',
        end.isoformat(), clock(end - moment(at)),
    )  # fmt: skip


@register.simple_tag
def charge(status: str, minor: int | None, currency: str) -> str | SafeString:
    """Write what one record says of its cost; a leg that is still there has none yet."""
    if amounts.is_not_in_yet(status, minor):
        return format_html("<i>{}</i>", _("cost not in yet"))
    return amounts.money(minor, currency)


@register.filter
def waited(call: QueuedCall) -> timedelta | None:
    """How long the customer waited in line: until an agent came, or until the end."""
    until = call.connected_at or call.ended_at
    return until - call.queued_at if call.queued_at and until else None


@register.filter
def talked(call: QueuedCall) -> timedelta | None:
    """How long agent and customer talked."""
    return call.ended_at - call.connected_at if call.connected_at and call.ended_at else None


@register.filter
def rang(offer: Offer) -> timedelta | None:
    """How long an agent's phone rang, the greeting included."""
    until = offer.answered_at or offer.joined_at or offer.ended_at
    return until - offer.created_at if until else None


@register.filter
def spoke(offer: Offer) -> timedelta | None:
    """How long an agent talked in one offer."""
    return offer.ended_at - offer.joined_at if offer.joined_at and offer.ended_at else None


# --- Who looks -----------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def whoami(context: Mapping[str, Any]) -> dict[str, Any]:
    """Say who is signed in and what is theirs; nobody on an error page without a request."""
    user = getattr(context.get("request"), "user", None)
    if user is None or not user.is_authenticated:
        return {"name": "", "supervisor": False, "agent": False, "demo": settings.DEMO}
    agent = is_agent(user)
    return {
        "name": user.agent.name if agent else user.get_full_name() or user.get_username(),
        "supervisor": is_supervisor(user),
        "agent": agent,
        "demo": settings.DEMO,
    }
