"""A call drawn: who did what and when, as rows of bars over one axis of time.

Plain data, worked out from a call's own rows; templates/reporting/_picture.html draws it. Times of
bars, marks and ticks are seconds from `Picture.began_at`; `left` and `width` are percents of the
axis, which is `Picture.seconds` long; `top` and `height` are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from queues import documents
from queues.models import CallEvent, Leg, Offer, QueuedCall, Supervision

MOST_TICKS = 6
STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400]  # between ticks
HEADROOM = 1.1  # a live call grows into it before the axis changes
NARROWEST = 0.6  # percent; a bar of one second in an hour is still seen
TOGETHER = 2.5  # percent; marks closer than that become one
MOST_ROWS = 24  # of agents; the list underneath has them all
SAY_PLACE = timedelta(seconds=2)  # "You are number 3 in line."
STILL_UP = timedelta(minutes=1)  # a leg without an end is drawn for so long after the others
OUTLIVED = timedelta(seconds=2)  # a leg that is up for longer after its offer's end is shown
ROW, BAR = 46, 20  # pixels: a row with its label, the bar in it


Span = tuple[str, datetime, datetime | None]  # kind, from, until; None: it goes on


@dataclass(frozen=True)
class Bar:
    """A stretch of time; `kind` is a word of `words.PHASE`."""

    kind: str
    start: float
    end: float
    left: float
    width: float
    is_open: bool = False  # goes on while we look

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end - self.start

    @property
    def fits(self) -> str:
        """Whether its word has room in it: `wide`, `tight` (on a wide screen only), or not."""
        return "wide" if self.width >= 26 else "tight" if self.width >= 9 else ""


@dataclass(frozen=True)
class Row:
    """One party's bars: `who` is `caller` (what was heard), `customer`, `agent` or `supervisor`."""

    key: str
    who: str
    name: str
    state: str  # of the offer
    bars: list[Bar]
    top: int


@dataclass(frozen=True)
class Mark:
    """One event, or several too close together to be drawn apart."""

    at: float
    left: float
    events: list[CallEvent] = field(default_factory=list)


@dataclass(frozen=True)
class Tick:
    """A line of the axis."""

    at: int
    left: float


@dataclass(frozen=True)
class Picture:
    """The whole call."""

    began_at: datetime
    seconds: float
    rows: list[Row]
    marks: list[Mark]
    ticks: list[Tick]
    more: int  # offers without a row
    is_live: bool

    @property
    def kinds(self) -> list[str]:
        """The kinds of stretches that there are, for the legend."""
        return list(dict.fromkeys(bar.kind for row in self.rows for bar in row.bars))

    @property
    def height(self) -> int:
        """The rows, the events, and the axis."""
        return len(self.rows) * ROW + ROW + 22

    @property
    def marks_top(self) -> int:
        """Where the row of events begins."""
        return len(self.rows) * ROW


def draw(
    call: QueuedCall,
    *,
    events: Sequence[CallEvent],
    offers: Sequence[Offer],
    legs: Sequence[Leg],
    supervisions: Sequence[Supervision] = (),
    at: datetime,
) -> Picture:
    """Work the picture out as of `at`; the rows are those of `call`, offers with their agents."""
    began = min([call.arrived_at, *(leg.planned_at for leg in legs)])
    is_live = call.ended_at is None
    last = at if is_live else min(at, _last(call, offers, legs, supervisions))
    length = axis((last - began).total_seconds(), is_live=is_live)
    bars = partial(_bars, began=began, last=last, length=length)
    shown = offers[:MOST_ROWS]
    in_order = sorted(events, key=lambda event: event.at)
    spans: list[tuple[str, str, str, str, list[Span]]] = [
        ("heard", "caller", "", "", heard(call, in_order)),
        *(
            (f"leg-{leg.pk}", "customer", leg.party, "", _customer(call, leg, in_order))
            for leg in legs
            if leg.role == Leg.Role.CUSTOMER
        ),
        *(
            (f"offer-{offer.pk}", "agent", offer.agent.name, offer.state,
             _offer(call, offer, [leg for leg in legs if leg.offer_id == offer.pk]))
            for offer in shown
        ),
        *(
            (f"in-{one.pk}", "supervisor", _name(one), "", _supervision(one, in_order))
            for one in sorted(supervisions, key=lambda one: one.created_at)
        ),
    ]  # fmt: skip
    filled = [(*row[:4], bars(row[4])) for row in spans]
    rows = [Row(*row, top=place * ROW) for place, row in enumerate(row for row in filled if row[4])]
    return Picture(
        began_at=began,
        seconds=length,
        rows=rows,
        marks=_marks(in_order, began, length),
        ticks=ticks(length),
        more=len(offers) - len(shown),
        is_live=is_live,
    )


# --- The axis ------------------------------------------------------------------------------------


def step(seconds: float) -> int:
    """Return the sensible number of seconds between two ticks of an axis so long."""
    return next((each for each in STEPS if seconds / each <= MOST_TICKS), math.ceil(seconds / 6))


def axis(seconds: float, *, is_live: bool) -> float:
    """Return the length of the axis: what has passed; of a live call up to a tick beyond it."""
    if not is_live:
        return max(1.0, seconds)
    room = max(10.0, seconds * HEADROOM)
    return float(math.ceil(room / step(room)) * step(room))


def ticks(length: float) -> list[Tick]:
    """Return the ticks of an axis, from 0."""
    between = step(length)
    return [
        Tick(at, _percent(at, length)) for at in range(0, math.floor(length) + 1, between)
    ]  # fmt: skip


def _percent(seconds: float, length: float) -> float:
    return round(min(max(seconds / length, 0.0), 1.0) * 100, 2)


def _last(
    call: QueuedCall,
    offers: Iterable[Offer],
    legs: Iterable[Leg],
    supervisions: Iterable[Supervision],
) -> datetime:
    """Return when the last of a call that is over was over."""
    ends = [
        call.ended_at,
        *(offer.wrap_up_ended_at or offer.ended_at for offer in offers),
        *(leg.ended_at for leg in legs),
        *(one.ended_at for one in supervisions),
    ]
    last = max(at for at in ends if at)
    return last + STILL_UP if any(leg.is_live for leg in legs) else last


def _bars(spans: Iterable[Span], *, began: datetime, last: datetime, length: float) -> list[Bar]:
    """Place spans on the axis; what has no end goes on until now, and empty ones are left out."""
    bars = []
    for kind, since, until in spans:
        start = max(0.0, (since - began).total_seconds())
        end = min(((until or last) - began).total_seconds(), length)
        if end <= start:
            continue
        left = _percent(start, length)
        width = max(NARROWEST, round(_percent(end, length) - left, 2))
        left = min(left, 100 - width)
        bars.append(Bar(kind, start, end, left, width, is_open=until is None))
    return bars


# --- The rows ------------------------------------------------------------------------------------


def heard(call: QueuedCall, events: Iterable[CallEvent]) -> list[Span]:
    """Return what the customer heard, from what we answered; `events` in the order of time.

    How long a greeting or a message took is worked out from its words.
    """
    queue = call.queue
    changes: list[tuple[datetime, str]] = []
    if call.is_inbound and call.menu_id:
        changes.append((call.arrived_at, "menu"))
    in_room = held_before = False
    for event in events:
        now: list[tuple[datetime, str]] = []
        if event.kind == "offered" and event.detail.get("kind") == Offer.Kind.DIRECT:
            greeting = queue.greeting if queue and call.is_inbound else ""
            now = _after_speech(event.at, "greeting", _speech(greeting), "tone")
        elif event.kind == "contact_answered":
            into_room = event.offer is not None and event.offer.kind == Offer.Kind.ROOM
            now = [(event.at, "music" if into_room else "tone")]
        elif event.kind == "holding":
            by_laps = held_before and not in_room
            message = timedelta()
            if queue and not by_laps:
                message = _speech(queue.hold_message) + (
                    SAY_PLACE if queue.say_position else timedelta()
                )
            now = _after_speech(event.at, "message", message, "music")
            held_before, in_room = True, False
        elif event.kind == "joined_room":
            in_room = True
        elif event.kind in {"connected", "corrected"} and call.connected_at:
            now = [(call.connected_at, "talk")]
        if now:  # what would have come after it did not
            changes = [change for change in changes if change[0] < now[0][0]] + now
    if not changes:
        return []
    ends = [*(at for at, _kind in changes[1:]), call.ended_at]
    return [
        (kind, at, min(until, call.ended_at) if until and call.ended_at else until)
        for (at, kind), until in zip(changes, ends, strict=True)
    ]


def _speech(text: str) -> timedelta:
    return timedelta(seconds=documents.speech_seconds(text))


def _after_speech(
    at: datetime, speech: str, lasts: timedelta, then: str
) -> list[tuple[datetime, str]]:
    return [(at, speech), (at + lasts, then)] if lasts else [(at, then)]


def _customer(call: QueuedCall, leg: Leg, events: Iterable[CallEvent]) -> list[Span]:
    """A customer's leg: ringing, connected, in the room."""
    answered = leg.answered_at
    if answered is None and call.is_inbound:  # nobody told; our first document answered it
        answered = call.queued_at or (call.arrived_at if call.menu_id else None)
    if answered is None:
        answered = call.connected_at
    if answered is None:
        return [("ringing", leg.planned_at, leg.ended_at)]
    came = next((e.at for e in events if e.kind == "joined_room" and e.at > answered), None)
    spans: list[Span] = [("ringing", leg.planned_at, answered), ("up", answered, leg.ended_at)]
    if came:
        went = next((e.at for e in events if e.kind == "left_room" and e.at > came), leg.ended_at)
        spans[1:] = [("up", answered, came), ("room", came, went)]
        if went and went != leg.ended_at:
            spans.append(("up", went, leg.ended_at))
    return spans


def _offer(call: QueuedCall, offer: Offer, legs: Iterable[Leg]) -> list[Span]:
    """One attempt: the phone rings, is picked up, is in the room, they talk, wrap-up."""
    rings_from = offer.created_at
    spans: list[Span] = []
    if not call.is_inbound:  # reserved until the contact had answered
        rings_from = call.queued_at or offer.ended_at or offer.created_at
        is_reserved_still = call.queued_at is None and offer.ended_at is None
        spans.append(("reserved", offer.created_at, None if is_reserved_still else rings_from))
        if is_reserved_still:
            return spans
    steps = [
        ("ringing", rings_from),
        ("answered", offer.answered_at),
        ("room", offer.conference_at),
        ("talk", offer.joined_at),
    ]
    known = sorted(
        ((at, place, kind) for place, (kind, at) in enumerate(steps) if at), key=lambda one: one[:2]
    )
    ends = [at for at, _place, _kind in known[1:]] + [offer.ended_at]
    for (at, _place, kind), until in zip(known, ends, strict=True):
        spans.append((kind, at, until))
        if kind == "talk":
            spans[-1] = (kind, at, offer.ended_at)
            break
    for leg in legs:
        over = offer.ended_at
        if over and (leg.ended_at is None or leg.ended_at - over > OUTLIVED):
            spans.append(("outlived", over, leg.ended_at))
    if offer.ended_at and offer.wrap_up_ended_at and offer.joined_at:
        spans.append(("wrap_up", offer.ended_at, offer.wrap_up_ended_at))
    return spans


def _supervision(one: Supervision, events: Iterable[CallEvent]) -> list[Span]:
    """A supervisor's phone rings, and they are on the call, in one mode after the other."""
    on, off = one.connected_at, one.ended_at
    if on is None:
        return [("ringing", one.created_at, off)]
    told = [
        (max(event.at, on), str(event.detail.get("mode", one.mode)))
        for event in events
        if event.kind in {"listening_started", "listening_changed"}
        and event.at >= on
        and (off is None or event.at <= off)
    ]
    modes = [(on, one.mode), *told]  # an empty stretch is left out
    ends = [at for at, _mode in modes[1:]] + [off]
    return [
        ("ringing", one.created_at, on),
        *((mode, at, until) for (at, mode), until in zip(modes, ends, strict=True)),
    ]


def _name(one: Supervision) -> str:
    who = one.supervisor
    return (who.get_full_name() or who.get_username()) if who else one.phone


# --- The events ----------------------------------------------------------------------------------


def _marks(events: Iterable[CallEvent], began: datetime, length: float) -> list[Mark]:
    """Return the events as marks, those too close together as one."""
    marks: list[Mark] = []
    for event in events:
        seconds = max(0.0, (event.at - began).total_seconds())
        left = _percent(seconds, length)
        if marks and left - marks[-1].left < TOGETHER:
            marks[-1].events.append(event)
        else:
            marks.append(Mark(seconds, left, [event]))
    return marks
