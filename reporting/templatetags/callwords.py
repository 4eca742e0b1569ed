"""What the pages say: states, events and sources in words and shapes; times, money, shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from callcenter.permissions import is_agent, is_supervisor
from queues.models import CallEvent, Offer, QueuedCall
from reporting.models import CallRecord

register = template.Library()
NONE = "–"

# Each state: its word, its tone (a colour of app.css), its shape (a symbol of _shapes.html).
AGENT = {
    "idle": ("Free", "free", "disc"),
    "ringing": ("Ringing", "ring", "diamond"),
    "on_call": ("On a call", "talk", "square"),
    "wrap_up": ("Wrap-up", "wrap", "half"),
    "break": ("Break", "rest", "bars"),
    "offline": ("Offline", "off", "circle"),
}
CALL = {
    "greeting": ("Arriving", "off", "dots"),
    "dialling": ("Dialling out", "ring", "diamond"),
    "waiting": ("Waiting", "ring", "glass"),
    "offered": ("Ringing", "ring", "diamond"),
    "connected": ("Talking", "talk", "square"),
    "completed": ("Completed", "free", "check"),
    "abandoned": ("Abandoned", "bad", "cross"),
    "no_answer": ("No answer", "rest", "cross"),
    "busy": ("Busy", "rest", "cross"),
    "voicemail": ("Voicemail", "wrap", "check"),
    "callback": ("Called back", "wrap", "check"),
    "overflowed": ("Overflowed", "wrap", "arrow"),
    "expired": ("Waited too long", "bad", "cross"),
    "closed_hours": ("Closed", "off", "circle"),
    "rejected": ("Not let in", "off", "cross"),
    "failed": ("Failed", "bad", "cross"),
}
OFFER = {
    "dialling": ("Dialling", "ring", "diamond"),
    "ringing": ("Ringing", "ring", "diamond"),
    "answered": ("Picked up", "ring", "diamond"),
    "joined": ("Talking", "talk", "square"),
    "ended": ("Answered", "free", "check"),
    "no_answer": ("Missed", "bad", "cross"),
    "busy": ("Phone was busy", "rest", "cross"),
    "failed": ("Not reached", "rest", "cross"),
    "declined": ("Declined", "rest", "cross"),
    "no_keypress": ("1 not pressed", "bad", "cross"),
    "caller_gone": ("Caller had gone", "off", "circle"),
    "expired": ("No word in time", "rest", "cross"),
}
_LIVE = {"ringing", "started", "answered"}  # a record's words for a leg that is still there
_VOCABULARY = {"agent": AGENT, "call": CALL, "offer": OFFER}

_ABANDONED = {
    "menu": "The caller hung up in the menu.",
    "queue": "The caller hung up while waiting.",
    "ringing": "The caller hung up while an agent's phone rang.",
}
# Each kind of CallEvent: its sentence, its tone, its shape.
_EVENTS = {
    "arrived": ("The call came in.", "free", "arrow"),
    "dialling": ("{agent} asked for this call: the contact's phone is dialled.", "free", "arrow"),
    "key_pressed": ("The caller pressed {digits}.", "off", "dots"),
    "no_key": ("The caller pressed no key.", "off", "dots"),
    "holding": ("Sent to the hold room.", "ring", "glass"),
    "never_met": (
        "The customer had hung up before {agent} came into the room.", "off", "circle",
    ),
    "leg_outlived": (
        "A leg was still up after its end had been told: it is hung up.", "bad", "cross",
    ),
    "joined_room": ("Waiting in the hold room, with music.", "ring", "glass"),
    "left_room": ("The caller left the hold room.", "off", "circle"),
    "held_back": (
        "Held back by our own limit on placing calls; it is placed in its turn.", "ring", "glass",
    ),
    "contact_answered": ("The contact answered; {agent} is brought in.", "free", "check"),
    "offered": ("Offered to {agent}{how}.", "ring", "diamond"),
    "agent_answered": ("{agent} picked up.", "ring", "diamond"),
    "connected": ("{agent} and the customer talk{estimated}.", "talk", "square"),
    "offer_ended": ("The talk with {agent} ended.", "wrap", "half"),
    "offer_no_answer": ("{agent} did not answer.", "bad", "cross"),
    "offer_busy": ("{agent}'s phone was busy.", "rest", "cross"),
    "offer_failed": ("{agent} could not be reached.", "rest", "cross"),
    "offer_declined": ("{agent} declined.", "rest", "cross"),
    "offer_no_keypress": ("{agent} picked up and did not press 1.", "bad", "cross"),
    "offer_caller_gone": ("The customer left before {agent} came.", "off", "circle"),
    "offer_expired": ("The provider said nothing in time: the offer ended.", "rest", "cross"),
    "back_in_line": ("Back in line, in the original place.", "ring", "glass"),
    "agent_put_on_break": (
        "{agent} was put on break after {missed} missed calls.", "rest", "bars",
    ),
    "completed": ("The call is complete.", "free", "check"),
    "no_answer": ("The contact did not answer.", "rest", "cross"),
    "busy": ("The contact was busy.", "rest", "cross"),
    "expired": ("Waited for as long as the queue allows.", "bad", "cross"),
    "rejected": ("The caller was not let in.", "off", "cross"),
    "failed": ("The call failed.", "bad", "cross"),
    "hung_up_by_supervisor": ("A supervisor hung up the call.", "off", "cross"),
    "corrected": (
        "Corrected by the provider's record: {agent} had answered after all.", "wrap", "check",
    ),
    "correction_too_late": (
        "The provider's record came too late to correct the call.", "rest", "cross",
    ),
}  # fmt: skip
_OFFERED_HOW = {
    "direct": ", dialled straight from the call",
    "room": ", called into the room",
    "click": ", reserved until the contact answers",
}
_SOURCES = {
    "inbound": "voice webhook",
    "menu": "menu",
    "dial-result": "end of a dial",
    "queue-events": "room event",
    "agent-join": "agent's phone",
    "agent-status": "agent's phone",
    "outbound-answer": "contact's phone",
    "outbound-status": "contact's phone",
    "events": "event webhook",
    "record": "the provider, asked",
    "records": "call records",
    "sweep": "our own clock",
    "router": "router",
    "desk": "agent's page",
    "dialling": "placing a call",
    "connect-agent": "pulled by hand",
}
_PASSED_OVER = {
    "break": "on break",
    "offline": "offline",
    "ringing": "ringing",
    "on_call": "on a call",
    "wrap_up": "in wrap-up",
}
HOLD_OFF = {
    "no_answer": "the last call was not answered",
    "busy": "the phone was busy",
    "declined": "the last call was declined",
    "no_keypress": "1 was not pressed",
    "unreachable": "the phone could not be reached",
}
_STRATEGIES = {
    "longest_idle": "the longest idle",
    "round_robin": "the least recently offered",
    "fewest_calls": "the fewest calls today",
    "least_talk": "the least talk time today",
    "linear": "first in the order of the members",
    "random": "by lot",
}


# --- Shapes and states ---------------------------------------------------------------------------


@register.simple_tag
def shape(name: str) -> SafeString:
    """Draw a symbol of _shapes.html; the word beside it says the same."""
    return format_html('<svg class="shape" aria-hidden="true"><use href="#s-{}"/></svg>', name)


@register.simple_tag
def state(vocabulary: str, value: str) -> SafeString:
    """Show a state as shape, word and colour: `agent`, `call` or `offer`."""
    word, tone, symbol = _VOCABULARY[vocabulary].get(value, (spoken(value), "off", "circle"))
    return format_html(
        '<span class="state tone-{}" data-state="{}">{} {}</span>', tone, value, shape(symbol), word
    )


@register.filter
def word(value: str, vocabulary: str) -> str:
    """Return a state's word alone."""
    return _VOCABULARY[vocabulary].get(value, (spoken(value), "", ""))[0]


@register.filter
def ordinal(place: int) -> str:
    """Write a place in line: 1st, 2nd, 3rd, 11th."""
    ending = (
        "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    )
    return f"{place}{ending}"


@register.simple_tag
def crew(agents: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the counts of agents in each state with their words, in reading order."""
    return [
        {"state": name, "count": agents.get(name, 0), "word": text, "tone": tone, "shape": symbol}
        for name, (text, tone, symbol) in AGENT.items()
    ]


@register.simple_tag
def totals(board: Mapping[str, Any]) -> dict[str, Any]:
    """Sum the board up: who waits, since when, who talks, who is free."""
    queues, calls, agents = board["queues"], board["calls"], board["agents"]
    return {
        "waiting": sum(queue["waiting"] for queue in queues),
        "worst": max(queues, key=lambda queue: queue["longest_wait_seconds"], default=None),
        "talking": sum(call["status"] == "connected" for call in calls),
        "free": sum(agent["state"] == "idle" and not agent["hold_off_until"] for agent in agents),
        "signed_in": sum(agent["presence"] != "offline" for agent in agents),
    }


_FIRST = ["waiting", "offered", "dialling", "greeting", "connected"]


@register.filter
def most_urgent_first(calls: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Order the board's calls: who waits, whose agent rings, who arrives, who talks."""
    return sorted(calls, key=lambda call: (_FIRST.index(call["status"]), call["arrived_at"]))


# --- Sentences -----------------------------------------------------------------------------------


@register.filter
def sentence(event: CallEvent) -> str:
    """Tell an event of a call."""
    detail = event.detail
    if event.kind == "abandoned":
        return _ABANDONED.get(detail.get("abandoned_in", ""), "The caller hung up.")
    if event.kind == "corrected" and detail.get("became") == "abandoned":
        return "Corrected by the provider's record: the two had never talked."
    text = _EVENTS.get(event.kind, (f"{spoken(event.kind)}.", "", ""))[0]
    agent = detail.get("agent") or (event.offer.agent.name if event.offer else "The agent")
    return text.format(
        agent=agent,
        digits=detail.get("digits", "a key"),
        missed=detail.get("missed", "several"),
        how=_OFFERED_HOW.get(detail.get("kind", ""), ""),
        estimated=", at an estimated time" if detail.get("estimated") else "",
    )


@register.filter
def reason(event: CallEvent) -> str:
    """Return why an event happened, where somebody said so."""
    return str(event.detail.get("reason", ""))


@register.simple_tag
def mark(event: CallEvent) -> SafeString:
    """Draw an event's shape in its tone."""
    bad = ("", "bad", "cross") if event.kind == "abandoned" else ("", "off", "circle")
    _, tone, symbol = _EVENTS.get(event.kind, bad)
    return format_html('<span class="mark tone-{}">{}</span>', tone, shape(symbol))


@register.filter
def choice(event: CallEvent) -> dict[str, Any] | None:
    """Explain the router's choice that an `offered` event keeps; None for other events."""
    detail = event.detail
    if event.kind != "offered" or "strategy" not in detail:
        return None
    return {
        "strategy": _STRATEGIES.get(detail["strategy"], detail["strategy"]),
        "also_free": detail.get("also_routable") or [],
        "passed_over": [
            (name, passed_over(why)) for name, why in (detail.get("passed_over") or {}).items()
        ],
    }


def passed_over(why: str) -> str:
    """Say why an agent was passed over: `break`, or `hold_off:no_answer`."""
    if why.startswith("hold_off:"):
        return f"held off: {HOLD_OFF.get(why.partition(':')[2], 'the last offer failed')}"
    return _PASSED_OVER.get(why, spoken(why).lower())


@register.filter
def source(name: str) -> str:
    """Say who told us."""
    return _SOURCES.get(name, spoken(name).lower())


@register.filter
def hold_off(name: str) -> str:
    """Say why an agent is held off."""
    return HOLD_OFF.get(name, "the last offer failed")


@register.filter
def spoken(name: str) -> str:
    """Turn an identifier into words."""
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


# --- Times, money, shares ------------------------------------------------------------------------


@register.filter
def clock(span: timedelta | float | None) -> str:
    """Write seconds or a span as 0:07, 12:34 or 1:02:03."""
    if span is None:
        return NONE
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


@register.filter
def offset(at: datetime, start: datetime) -> str:
    """Write how long after `start` something was."""
    return f"+{clock(at - start)}" if at >= start else f"-{clock(start - at)}"


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


@register.filter
def percent(share: float | None) -> str:
    """Write a share between 0 and 1; a dash where it is undefined."""
    return NONE if share is None else f"{share * 100:.0f} %"


def money(minor: int | None, currency: str) -> str:
    """Write an amount in minor units."""
    return NONE if minor is None else f"{currency} {minor / 100:,.2f}".strip()


@register.simple_tag
def charge(status: str, minor: int | None, currency: str) -> str | SafeString:
    """Write what one record says of its cost; a leg that is still there has none yet."""
    if _not_in_yet(status, minor):
        return format_html("<i>{}</i>", "cost not in yet")
    return money(minor, currency)


def _not_in_yet(status: str, minor: int | None) -> bool:
    return minor is None or (not minor and status in _LIVE)


@register.simple_tag
def cost(records: Iterable[CallRecord]) -> dict[str, Any]:
    """Sum up what the provider has charged so far; `is_open` while a record has no cost yet."""
    records = list(records)
    known = [record for record in records if not _not_in_yet(record.status, record.cost_minor)]
    sums: dict[str, int] = {}
    for record in known:
        sums[record.cost_currency] = sums.get(record.cost_currency, 0) + (record.cost_minor or 0)
    return {
        "text": ", ".join(money(minor, currency) for currency, minor in sums.items()),
        "is_open": len(known) < len(records),
    }


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
