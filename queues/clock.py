"""The wall clock of this machine may jump: what is under way moves with it.

Every deadline is a time in a row. When somebody sets the clock, or a virtual machine wakes up with
another time, all of them would be wrong by the same amount: callers would expire at once, agents
sit in wrap-up for an hour. So the worker compares the wall clock with the steady one (BOOTTIME,
which nobody can set) at each sweep. Where they have moved apart, the open rows are moved by as
much, in one transaction; a row of facts says how far they were apart, so two workers do it once.

A row that was made in the moment between the jump and this has the new time already, and is left.
Whatever is wrong all the same is put right by `bring_back`: no deadline lies further ahead than
its longest possible length.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from callcenter.clocks import Reading, in_words
from queues import alerts
from queues.models import ProviderFact

log = logging.getLogger(__name__)

FACT = "clock"
JUMP = 2.0  # seconds; less is drift, and harms nobody
ASKED_WITHIN = timedelta(minutes=10)  # the longest wait before the provider is asked again
HELD_OFF = timedelta(seconds=60)  # offers.NO_ANSWER_MOST
LOOK_AGAIN = 60.0  # seconds between two looks for deadlines that lie too far ahead

_lock = threading.Lock()
_known: dict[str, float] = {}  # this process: `apart`, as of when (`seen`), last look (`looked`)


def follow(clocks: Reading, *, at: datetime) -> timedelta | None:
    """See whether the clock has jumped, and move what is under way; return by how much.

    Costs no statement while nothing happens. `at` is the present by the wall clock.
    """
    with _lock:
        now, apart = clocks.steady, clocks.apart
        before, moved = _known.get("apart"), None
        if before is None or abs(apart - before) > JUMP:
            moved = _compare(clocks, at, None if before is None else now - _known["seen"])
        _known.update(apart=apart, seen=now)
        if moved or now - _known.get("looked", now - LOOK_AGAIN) >= LOOK_AGAIN:
            _known["looked"] = now
            bring_back(at)
        return moved


def forget() -> None:
    """Know nothing of the clock, as a process that has just started."""
    _known.clear()
    _told.clear()


@transaction.atomic
def _compare(clocks: Reading, at: datetime, unseen: float | None) -> timedelta | None:
    """Compare with what all processes know; the first to find a difference moves the rows.

    `unseen` is how many seconds ago this process last looked, None at its start.
    """
    told = {"boot": clocks.boot, "apart": clocks.apart}
    ProviderFact.objects.get_or_create(pk=FACT, defaults={"value": told, "at": at})
    fact = ProviderFact.objects.select_for_update(no_key=True).get(pk=FACT)
    same_boot = clocks.boot and fact.value.get("boot") == clocks.boot
    by = clocks.apart - fact.value["apart"] if same_boot else 0.0
    ProviderFact.objects.filter(pk=FACT).update(value=told, at=at)
    if abs(by) <= JUMP:
        return None
    moved = timedelta(seconds=by)
    _move(at, moved, None if unseen is None else timedelta(seconds=unseen + JUMP))
    way = "forward" if by > 0 else "back"
    text = (
        f"The clock of this machine was set {way} by {in_words(by)}; open calls were moved along."
    )
    log.warning(text)
    alerts.raise_alert("clock", "jump", text, at=at)
    return moved


# --- The provider's clock ----------------------------------------------------------------------

APART = 60.0  # seconds; a signature is refused from 300 on
TELL_AGAIN = timedelta(minutes=10)
_told: dict[str, datetime] = {}  # what this process has raised, and when


def compare_with_provider(ahead: float, *, at: datetime) -> None:
    """Tell supervisors while our clock is `ahead` (or behind) by so many seconds that it matters.

    The sentence goes once the clocks agree.
    """
    if abs(ahead) < APART:
        if _told.pop("apart", None) or not _told.get("looked"):
            _told["looked"] = at
            alerts.withdraw("clock", "provider", at=at)
        return
    said_at = _told.get("apart")
    if said_at and timedelta() <= at - said_at < TELL_AGAIN:
        return
    _told["apart"] = at
    way = "ahead of" if ahead > 0 else "behind"
    text = (
        f"The clock of this machine is about {in_words(ahead)} {way} Sautikit's. From 5 min on "
        "signed webhooks are refused. Switch time synchronisation on (docs/operations.md)."
    )
    alerts.raise_alert("clock", "provider", text, at=at)


# --- Moving what is under way ------------------------------------------------------------------

# The database keeps places in line as they are, but for this transaction (migration 0006).
_MAY_MOVE = "SET LOCAL callcenter.clock = 'moved'"
_MOVED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # table: when a row came to be, which rows are under way, the times in them. In the one lock
    # order: agents, then offers and calls.
    "agents_agent": (
        "greatest(engagement_since, idle_since)", "retired_at IS NULL",
        ("engagement_since", "idle_since", "wrap_up_until", "hold_off_until"),
    ),
    "agents_heartbeat": ("seen_at", "true", ("seen_at", "asked_at")),
    "agents_presenceperiod": (
        "started_at", "ended_at IS NULL AND limit_at IS NOT NULL", ("limit_at",),
    ),
    "queues_offer": (
        "created_at", "ended_at IS NULL",
        ("created_at", "ring_until", "check_at", "answered_at", "conference_at", "joined_at"),
    ),
    "queues_queuedcall": (
        "arrived_at", "ended_at IS NULL",
        ("arrived_at", "queued_at", "offerable_from", "not_before", "dialled_at", "connected_at",
         "stepped_at"),
    ),
    "queues_leg": (
        "planned_at", "ended_at IS NULL",
        ("planned_at", "sent_at", "placed_at", "held_back_at", "answered_at", "hang_up_at",
         "ask_at"),
    ),
    "queues_webhookevent": (
        "received_at", "retry_at IS NOT NULL", ("received_at", "retry_at"),
    ),
}  # fmt: skip


def _move(at: datetime, by: timedelta, unseen: timedelta | None) -> None:
    """Move the times of what is under way, but for rows that have come to be since the jump.

    Those are from the last `unseen`. Where nobody looked (None), only a row from the future is
    known to be from before the jump.
    """
    values: dict[str, Any] = {"by": by, "at": at, "since": at - (unseen or timedelta())}
    with connection.cursor() as cursor:
        cursor.execute(_MAY_MOVE)
        for table, (born, under_way, columns) in _MOVED.items():
            older = f"({born} > %(at)s OR {born} < %(since)s)"
            if unseen is None:
                older = f"{born} > %(at)s"
            changes = ", ".join(f"{column} = {column} + %(by)s" for column in columns)
            statement = f"UPDATE {table} SET {changes} WHERE {under_way} AND {older}"  # noqa: S608
            cursor.execute(statement, values)


# --- Deadlines that lie too far ahead ----------------------------------------------------------


_TOO_FAR = (
    # Agents, then offers and calls: the one lock order. Lengths are counted from when they began.
    """
    UPDATE agents_agent SET wrap_up_until = %(at)s + (wrap_up_until - engagement_since),
        engagement_since = %(at)s
    WHERE engagement = 'wrap_up' AND engagement_since > %(soon)s
    """,
    """
    UPDATE agents_agent SET idle_since = least(idle_since, %(at)s),
        engagement_since = least(engagement_since, %(at)s)
    WHERE greatest(idle_since, engagement_since) > %(soon)s
    """,
    "UPDATE agents_agent SET hold_off_until = %(held_off)s WHERE hold_off_until > %(held_off)s",
    """
    UPDATE queues_offer SET ring_until = %(at)s + (ring_until - created_at), created_at = %(at)s
    WHERE ended_at IS NULL AND created_at > %(soon)s
    """,
    """
    UPDATE queues_offer SET check_at = least(ring_until, %(asked)s)
    WHERE ended_at IS NULL AND check_at > greatest(ring_until, %(asked)s)
    """,
    # Times of one call stay in order.
    """
    UPDATE queues_queuedcall SET arrived_at = least(arrived_at, %(at)s),
        queued_at = CASE WHEN queued_at > %(at)s THEN %(at)s ELSE queued_at END
    WHERE ended_at IS NULL AND greatest(arrived_at, queued_at) > %(soon)s
    """,
    """
    UPDATE queues_queuedcall SET offerable_from = %(at)s
    WHERE state = 'waiting' AND offerable_from > %(held_off)s
    """,
    """
    UPDATE queues_queuedcall SET not_before = %(at)s
    WHERE state = 'waiting' AND not_before > %(held_off)s
    """,
    "UPDATE queues_leg SET ask_at = %(asked)s WHERE ended_at IS NULL AND ask_at > %(asked)s",
    "UPDATE queues_leg SET hang_up_at = %(at)s WHERE ended_at IS NULL AND hang_up_at > %(asked)s",
    """
    UPDATE queues_breaker SET look_at = least(look_at, %(asked)s),
        trial_until = least(trial_until, %(asked)s), paused_until = least(paused_until, %(asked)s)
    WHERE greatest(look_at, trial_until, paused_until) > %(asked)s
    """,
    "UPDATE queues_pace SET at = %(at)s WHERE at > %(soon)s",
    # What other systems are told: the longest wait of a retry is hours, so a bound is enough.
    """
    UPDATE outbox_delivery SET next_at = %(at)s, leased_until = NULL
    WHERE delivered_at IS NULL AND dead_at IS NULL AND next_at > %(at)s + interval '12 hours'
    """,
    # Mails and recordings: likewise.
    """
    UPDATE queues_alertmail SET send_at = %(at)s WHERE send_at > %(at)s + interval '3 hours'
    """,
    """
    UPDATE queues_recording SET fetch_at = %(at)s
    WHERE state = 'wanted' AND fetch_at > %(at)s + interval '2 hours'
    """,
    "UPDATE outbox_endpoint SET held_until = NULL WHERE held_until > %(asked)s",
)


@transaction.atomic
def bring_back(at: datetime) -> None:
    """Bring back every deadline that lies further ahead than it can have been set."""
    values = {
        "at": at, "soon": at + timedelta(seconds=5), "asked": at + ASKED_WITHIN,
        "held_off": at + HELD_OFF,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_MAY_MOVE)
        for statement in _TOO_FAR:
            cursor.execute(statement, values)
