"""One day, played: shifts, callers, who was offered to whom, and how each call ended."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reporting.history.people import Centre, Line, Worker
from reporting.history.wish import HOURS

HOUR = timedelta(hours=1)
OUTBOUND, BY_MENU, UNKNOWN = 0.04, 0.12, 0.004  # shares of all calls
GIVES_UP_IN_MENU = 0.08
PATIENCE, TALK_SPREAD = 150.0, 0.7  # seconds, mean; of a lognormal
TRIES = 6
# How an offer goes, its share, and for how long the phone rings.
REFUSALS = [("no_answer", 0.04), ("declined", 0.02), ("busy", 0.01), ("failed", 0.005)]
HOLD_OFF = {"no_answer": 10, "declined": 10, "busy": 30, "failed": 15, "no_keypress": 30}
STRIKES = {"no_answer", "no_keypress"}


@dataclass
class Try:
    """One offer."""

    worker: Worker
    kind: str
    state: str
    created_at: datetime
    ended_at: datetime
    answered_at: datetime | None = None
    joined_at: datetime | None = None
    wrap_up_ended_at: datetime | None = None


@dataclass
class Past:
    """One call from its first ring to its end."""

    customer: str
    number: str
    arrived_at: datetime
    line: Line | None = None
    direction: str = "inbound"
    by_menu: bool = False
    queued_at: datetime | None = None
    held_at: list[datetime] = field(default_factory=list)  # answered with the hold room
    contact_at: datetime | None = None  # outbound: when the contact answered
    tries: list[Try] = field(default_factory=list)
    state: str = "abandoned"
    abandoned_in: str = ""
    ended_at: datetime | None = None

    @property
    def talk(self) -> Try | None:
        """The offer that came to a talk."""
        return self.tries[-1] if self.tries and self.tries[-1].state == "ended" else None


def shifts(centre: Centre, midnight: datetime, weekday: int, rng: random.Random) -> None:
    """Put each worker's available stretches and changes of presence of this day."""
    for n, worker in enumerate(centre.workers):
        worker.windows, worker.changes = [], []
        off = {n % 7, (n + 1) % 7}
        if weekday in off:
            continue
        begins = midnight + (7 + (n % 5)) * HOUR + _span(rng.uniform(-300, 300))
        ends = begins + 9 * HOUR + _span(rng.uniform(-300, 300))
        at = begins
        worker.free_from = max(worker.free_from, begins)
        for reason, after, lasts in (
            ("Short break", 2.0, 12), ("Lunch", 4.2, 42), ("Short break", 6.8, 12)
        ):  # fmt: skip
            pause = begins + after * HOUR + _span(rng.uniform(-900, 900))
            _available(worker, at, pause)
            at = pause + _span(60 * lasts * rng.uniform(0.8, 1.3))
            worker.changes.append((pause, "presence", ("break", reason, at)))
        _available(worker, at, ends)
        worker.changes.append((ends, "presence", ("offline", "", None)))


def _available(worker: Worker, since: datetime, until: datetime) -> None:
    worker.changes.append((since, "presence", ("available", "", None)))
    worker.windows.append((since, until))
    worker.available_since = since


def play(
    centre: Centre, count: int, midnight: datetime, rng: random.Random, customers: int
) -> Iterator[Past]:
    """Yield a day's calls in the order of their arrival; workers' `changes` grow with them."""
    hours = rng.choices(range(24), HOURS, k=count)
    shares = [line.share for line in centre.lines]
    came = sorted(midnight + _span(3600 * (hour + rng.random())) for hour in hours)
    lines = rng.choices(centre.lines, shares, k=count)
    for at, line in zip(came, lines, strict=True):
        customer = _customer(rng, customers)
        chance = rng.random()
        if chance < OUTBOUND:
            past = _outbound(line, customer, at, rng)
            if past:
                yield past
                continue
        elif chance < OUTBOUND + UNKNOWN:
            past = Past(customer, "+254205559999", at, state="rejected")
            past.ended_at = at
            yield past
            continue
        yield _inbound(centre, line, customer, at, rng)


def _customer(rng: random.Random, customers: int) -> str:
    if rng.random() < 0.02:
        return "anonymous"
    which = int(customers * rng.random() ** 2)  # some call often
    return f"+2547{(which * 7919 + 10_000_019) % 100_000_000:08d}"


def _inbound(centre: Centre, line: Line, customer: str, at: datetime, rng: random.Random) -> Past:
    past = Past(customer, line.number, at, line)
    if rng.random() < BY_MENU:
        past.by_menu, past.number = True, centre.menu_number
        chosen = at + _span(rng.uniform(4, 14))
        if rng.random() < GIVES_UP_IN_MENU:
            past.line, past.abandoned_in, past.ended_at = None, "menu", chosen
            return past
        past.queued_at = chosen
    else:
        past.queued_at = at
    gives_up = past.queued_at + _span(2 + rng.expovariate(1 / PATIENCE))
    longest = past.queued_at + timedelta(seconds=line.queue.max_wait_seconds)
    _serve(past, line, min(gives_up, longest), rng)
    if past.ended_at is None:
        past.ended_at = min(gives_up, longest)
        past.state = "expired" if longest < gives_up else "abandoned"
        past.abandoned_in = "" if longest < gives_up else "queue"
        if not past.held_at:
            past.held_at.append(past.queued_at)
    return past


def _serve(past: Past, line: Line, leaves: datetime, rng: random.Random) -> None:
    """Offer the call to one agent after another, until somebody talks or the caller leaves."""
    queued_at = past.queued_at or past.arrived_at
    ready = queued_at
    for _ in range(TRIES):
        worker, at = _next(line, ready)
        is_direct = (
            worker is not None and at == queued_at and line.queue.direct_dial
            and not worker.confirm_key and not past.tries
        )  # fmt: skip
        if not is_direct and (not past.held_at or (past.tries and past.tries[-1].kind == "direct")):
            past.held_at.append(past.tries[-1].ended_at if past.tries else queued_at)
        if not is_direct:
            at += _span(rng.uniform(0.05, 0.6))
        if worker is None or at >= leaves:
            return
        offer = _ring(worker, line, "direct" if is_direct else "room", at, rng)
        past.tries.append(offer)
        if (offer.joined_at or offer.ended_at) >= leaves:
            offer.state, offer.ended_at = "caller_gone", leaves
            offer.answered_at = offer.joined_at = offer.wrap_up_ended_at = None
            past.abandoned_in, past.ended_at = "ringing", leaves
        elif offer.joined_at:
            past.state, past.ended_at = "completed", offer.ended_at
        _occupy(offer)
        if past.ended_at:
            return
        ready = offer.ended_at + _span(2 if is_direct else 0)
    return


def _next(line: Line, at: datetime) -> tuple[Worker | None, datetime]:
    """Return who is free first, and when; of several at once, who has been idle longest."""
    best, best_key = None, None
    for worker in line.workers:
        since = max(worker.free_from, at)
        for begins, ends in worker.windows:
            if since < ends:
                key = (max(since, begins), worker.free_from)
                if best_key is None or key < best_key:
                    best, best_key = worker, key
                break
    return best, best_key[0] if best_key else at


def _ring(worker: Worker, line: Line, kind: str, at: datetime, rng: random.Random) -> Try:
    chance, ring = rng.random(), line.queue.ring_timeout
    for state, share in REFUSALS:
        chance -= share
        if chance < 0:
            lasts = ring if state == "no_answer" else rng.uniform(0.5, 6)
            return Try(worker, kind, state, at, at + _span(lasts))
    answered = at + _span(min(ring - 0.5, rng.uniform(1.5, 3) + rng.expovariate(1 / 4)))
    joined = answered
    if kind != "direct":
        joined += _span(rng.uniform(1.5, 4.5) if worker.confirm_key else rng.uniform(0.2, 1))
    if worker.confirm_key and rng.random() < 0.02:
        ended = answered + _span(8)
        return Try(worker, kind, "no_keypress", at, ended, answered_at=answered)
    return _talk(Try(worker, kind, "ended", at, joined, answered, joined), line, rng)


def _talk(offer: Try, line: Line, rng: random.Random) -> Try:
    offer.ended_at = (offer.joined_at or offer.created_at) + _span(
        min(3000.0, 5 + line.talk * math.exp(rng.gauss(0, TALK_SPREAD)))
    )
    most = line.queue.wrap_up_seconds
    offer.wrap_up_ended_at = offer.ended_at + _span(min(most, rng.uniform(0.2, 1.5) * most))
    return offer


def _occupy(offer: Try) -> None:
    """Write an offer into its worker's day."""
    worker = offer.worker
    worker.changes.append((offer.created_at, "engagement", "ringing"))
    if offer.joined_at:
        worker.changes.append((offer.joined_at, "engagement", "on_call"))
        worker.strikes = []
    if offer.wrap_up_ended_at and offer.wrap_up_ended_at > offer.ended_at:
        worker.changes.append((offer.ended_at, "engagement", "wrap_up"))
    free = offer.wrap_up_ended_at or offer.ended_at
    worker.changes.append((free, "engagement", "idle"))
    if offer.state in STRIKES:
        worker.strikes.append(offer.ended_at)
    worker.free_from = free + timedelta(seconds=HOLD_OFF.get(offer.state, 0))


def _outbound(line: Line, customer: str, at: datetime, rng: random.Random) -> Past | None:
    """A click to call, if an agent is free for it and the customer can be called."""
    worker, free = _next(line, at)
    if worker is None or free != at or not customer.startswith("+"):
        return None
    past = Past(customer, line.number, at, line, direction="outbound")
    rings = at + _span(rng.uniform(4, 25))
    chance = rng.random()
    if chance < 0.35:
        past.state = "no_answer" if chance < 0.27 else "busy"
        past.ended_at = rings
        past.tries.append(Try(worker, "click", "caller_gone", at, rings))
    else:
        past.contact_at = past.queued_at = rings
        joined = rings + _span(rng.uniform(1.5, 8))
        kind = "room" if worker.confirm_key else "direct"
        past.tries.append(_talk(Try(worker, kind, "ended", at, joined, joined, joined), line, rng))
        past.state, past.ended_at = "completed", past.tries[0].ended_at
    _occupy(past.tries[0])
    return past


def _span(seconds: float) -> timedelta:
    return timedelta(microseconds=round(seconds * 1_000_000))
