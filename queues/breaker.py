"""The circuit breaker before the provider's API, shared by all workers through one row.

Closed, all goes as always and costs no statement. After OPEN_AFTER failures in a row (time-outs,
broken connections, 5xx) it opens: no call is placed, no agent reserved for a caller in the hold
room; one question at a time looks whether the provider is back. Its first answer makes it half
open: one call at a time is placed, and the first that is taken closes it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from callcenter import bell
from callcenter.sautikit import errors
from queues import alerts
from queues.models import Breaker

API = "api"  # the name of the row
OPEN_AFTER = 5  # failures in a row
FORGET_AFTER = timedelta(seconds=60)  # failures further apart are not in a row
LOOK_EVERY = timedelta(seconds=1)  # after a look that found nobody
LOOK_WITHIN = timedelta(seconds=6)  # the longest that one look takes; then the next may
TRIAL_WITHIN = timedelta(seconds=15)  # the longest that the one call of a half-open breaker takes
HALF_OPEN_FOR = timedelta(seconds=60)  # with nobody to call: then it counts as closed
LONGEST_PAUSE = timedelta(seconds=60)
KNOWN_FOR = 1.0  # seconds for which a process believes what it has read

State = Breaker.State
_FAILED = """
INSERT INTO queues_breaker AS b
  (name, state, failures, placing_failed, error, failed_at, opened_at, look_at)
VALUES ('api', 'closed', 1, %(placing)s, %(error)s, %(at)s, NULL, NULL)
ON CONFLICT (name) DO UPDATE SET
  failures = CASE WHEN b.failed_at >= %(recent)s THEN b.failures + 1 ELSE 1 END,
  placing_failed = %(placing)s OR (b.placing_failed AND b.failed_at >= %(recent)s),
  error = %(error)s, failed_at = %(at)s, trial_until = NULL,
  state = CASE WHEN {opens} THEN 'open' ELSE b.state END,
  opened_at = CASE WHEN {opens} THEN %(at)s ELSE b.opened_at END,
  look_at = CASE WHEN {opens} THEN %(look_at)s ELSE b.look_at END
RETURNING state, failures, state = 'open' AND opened_at = %(at)s
""".format(
    opens="b.state = 'half_open' OR (b.state = 'closed'"
    " AND b.failed_at >= %(recent)s AND b.failures + 1 >= %(open_after)s)"
)
_ANSWERED = """
UPDATE queues_breaker b SET
  state = CASE WHEN {closes} THEN 'closed' WHEN b.state = 'open' THEN 'half_open' ELSE b.state END,
  failures = CASE WHEN {closes} THEN 0 ELSE b.failures END,
  placing_failed = b.placing_failed AND NOT %(placing)s,
  trial_until = CASE WHEN %(placing)s THEN NULL ELSE b.trial_until END,
  look_at = CASE WHEN {closes} THEN NULL WHEN b.state = 'open' THEN %(over_at)s ELSE b.look_at END
FROM (SELECT state FROM queues_breaker WHERE name = 'api' FOR UPDATE) was
WHERE b.name = 'api' AND (b.state <> 'closed' OR b.failures > 0)
RETURNING b.state, b.failures, was.state
""".format(closes="(%(placing)s OR NOT b.placing_failed)")  # noqa: S608 - no value is in it


@dataclass(frozen=True)
class Known:
    """What this process knows of the breaker, and since when (`time.monotonic`)."""

    state: str
    failures: int
    read_at: float


_known = Known(State.CLOSED, 0, float("-inf"))
_lock = threading.Lock()


def know(state: str | None, failures: int | None) -> None:
    """Remember what a statement has read in passing."""
    global _known
    with _lock:
        _known = Known(state or State.CLOSED, failures or 0, time.monotonic())


def forget() -> None:
    """Read the row anew."""
    global _known
    _known = Known(State.CLOSED, 0, float("-inf"))


def _now_known() -> Known:
    if time.monotonic() - _known.read_at > KNOWN_FOR:
        row = Breaker.objects.filter(pk=API).values_list("state", "failures").first()
        know(*(row or (None, None)))
    return _known


def state() -> str:
    """Return how the breaker stands, as of the last second."""
    return _now_known().state


def heard(error: errors.SautikitError | None, *, placing: bool, at: datetime) -> None:
    """Take in how a request to the provider went; `placing` when it was to place a call."""
    if isinstance(error, errors.Unavailable) and (error.status is None or error.status >= 500):
        _failed(error, placing, at)
        return
    if isinstance(error, errors.RateLimited) and error.retry_after:
        _pause(at + min(timedelta(seconds=error.retry_after), LONGEST_PAUSE))
    known = _now_known()
    if known.state != State.CLOSED or known.failures:
        _answered(placing, at)


def _failed(error: errors.SautikitError, placing: bool, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _FAILED,
            {
                "placing": placing, "error": str(error)[:200], "at": at,
                "recent": at - FORGET_AFTER, "open_after": OPEN_AFTER, "look_at": at + LOOK_EVERY,
            },
        )  # fmt: skip
        state, failures, has_opened = cursor.fetchone()
    know(state, failures)
    if has_opened:
        alerts.raise_alert(
            "provider", "away",
            f"Sautikit does not answer ({error}): nobody can be called until it does.", at=at,
        )  # fmt: skip
        bell.ring("sweep_at", at + LOOK_EVERY)


def _answered(placing: bool, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ANSWERED, {"placing": placing, "over_at": at + HALF_OPEN_FOR})
        row = cursor.fetchone()
    state, failures, was = row or (State.CLOSED, 0, State.CLOSED)
    know(state, failures)
    if state != was:
        _go_on(state, at)


def _go_on(state: str, at: datetime) -> None:
    """The provider answers: what has waited for it is done."""
    if state == State.CLOSED:
        alerts.withdraw("provider", "away", at=at)
    bell.ring("board")
    bell.ring("route")
    bell.ring("sweep_at", at)


def _pause(until: datetime) -> None:
    """Nothing is placed until then, by any worker: the provider has asked for it."""
    Breaker.objects.bulk_create(
        [Breaker(name=API, paused_until=until)],
        update_conflicts=True, unique_fields=["name"], update_fields=["paused_until"],
    )  # fmt: skip


def begin_trial(*, at: datetime) -> bool:
    """Take the one place of a half-open breaker for a call; False while another has it."""
    free = Breaker.objects.filter(pk=API, state=State.HALF_OPEN).exclude(trial_until__gt=at)
    return bool(free.update(trial_until=at + TRIAL_WITHIN))


def end_trial() -> None:
    """Give the one place back, for a call of which nothing came."""
    Breaker.objects.filter(pk=API, state=State.HALF_OPEN).update(trial_until=None)


def look_due(*, at: datetime) -> None:
    """Have the provider asked whether it is back; end a trial that nobody needed.

    Compare-and-set on `look_at`: of several sweeps one asks.
    """
    due = Breaker.objects.filter(pk=API, look_at__lte=at)
    if due.filter(state=State.OPEN).update(look_at=at + LOOK_WITHIN):
        bell.ring("look_at_provider")
    elif due.filter(state=State.HALF_OPEN).update(state=State.CLOSED, failures=0, look_at=None):
        forget()
        _go_on(State.CLOSED, at)


def look_again(*, at: datetime) -> None:
    """A look has found nobody: the next one soon."""
    Breaker.objects.filter(pk=API, state=State.OPEN).update(look_at=at + LOOK_EVERY)
