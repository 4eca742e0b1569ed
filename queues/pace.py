"""Our own limits on placing calls, shared by all workers: calls a second, and legs at a time.

Off, as they are unless set, they cost no statement. What is over a limit stays planned and is
placed as soon as it may be: agents' legs first, then contacts, each in the order of planning.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from queues.models import Leg

LONGEST_WAIT = timedelta(seconds=1)  # until a leg that was held back tries again
SHORTEST_WAIT = timedelta(seconds=0.1)

# Locks the row, so that one worker at a time counts the legs in the statement after it.
_TAKE = """
INSERT INTO queues_pace AS p (name, tokens, at) VALUES ('calls', %(burst)s - 1, %(at)s)
ON CONFLICT (name) DO UPDATE SET
  tokens = CASE WHEN %(rate)s = 0 THEN 0 ELSE
      least(%(burst)s,
            p.tokens + greatest(0, extract(epoch FROM %(at)s - p.at)) * %(rate)s) - 1 END,
  at = greatest(p.at, %(at)s)
RETURNING tokens
"""
_STANDING = """
SELECT
  (SELECT count(*) FROM queues_leg WHERE is_placed_by_us AND ended_at IS NULL
   AND (state <> 'planned' OR sent_at IS NOT NULL)
   AND (state = 'planned' OR ask_at IS NOT NULL OR hang_up_at IS NOT NULL)),
  (SELECT count(*) FROM queues_leg WHERE state = 'planned' AND sent_at IS NULL
   AND hang_up_at IS NULL
   AND (role <> 'agent', planned_at, id) < (%(contact)s, %(planned_at)s, %(leg)s))
"""


def is_on() -> bool:
    """Whether any limit is set."""
    return bool(settings.SAUTIKIT_CALLS_PER_SECOND or settings.SAUTIKIT_CONCURRENT_LEGS)


def take(leg: Leg, *, at: datetime) -> timedelta | None:
    """Take what `leg` needs to be placed now: None, or how long it is to wait for it.

    Inside atomic(): what was taken for nothing is given back by the rollback.
    """
    rate = float(settings.SAUTIKIT_CALLS_PER_SECOND)
    with connection.cursor() as cursor:
        if wait := _take_token(cursor, rate, at):
            return wait
        if leg.sent_at is not None:  # a repeat: it has its place among the legs already
            return None
        cursor.execute(
            _STANDING,
            {"contact": leg.role != Leg.Role.AGENT, "planned_at": leg.planned_at, "leg": leg.pk},
        )
        live, ahead = cursor.fetchone()
    if ahead:
        return _within(timedelta(seconds=ahead / rate)) if rate else LONGEST_WAIT
    most = settings.SAUTIKIT_CONCURRENT_LEGS
    return LONGEST_WAIT if most and live >= most else None


@transaction.atomic
def take_turn(*, at: datetime) -> timedelta | None:
    """Take one of the calls a second, for a phone that is none of our legs: None, or how long to
    wait for it."""
    rate = float(settings.SAUTIKIT_CALLS_PER_SECOND)
    if not rate:
        return None
    with connection.cursor() as cursor:
        wait = _take_token(cursor, rate, at)
    if wait:
        transaction.set_rollback(True)
    return wait


def _take_token(cursor: CursorWrapper, rate: float, at: datetime) -> timedelta | None:
    cursor.execute(_TAKE, {"rate": rate, "burst": max(1.0, rate), "at": at})
    (tokens,) = cursor.fetchone()
    return _within(timedelta(seconds=-tokens / rate)) if tokens < 0 else None


def _within(wait: timedelta) -> timedelta:
    return max(SHORTEST_WAIT, min(wait, LONGEST_WAIT))
