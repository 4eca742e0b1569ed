"""The counts that figures are made of: each has one condition, and is counted by nothing else.

The interval tables are counted by these conditions, the audit recounts by them, and the call log
lists by them the calls behind a number (`?figure=<key>`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, F, Q, QuerySet, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from queues.models import Queue, QueuedCall
from reporting.metrics import LEFT_AFTER, TALK, WAIT, Quarter, seconds_of

INBOUND = QueuedCall.Direction.INBOUND
COUNTED_AT = Case(
    When(direction=INBOUND, then=Coalesce("queued_at", "arrived_at")), default=F("arrived_at")
)


@dataclass(frozen=True)
class Count:
    """A number of calls: those that the condition holds for."""

    key: str
    label: Any
    meaning: Any
    where: Q


_STATE = QueuedCall.State
_QUEUED = Q(queued_at__isnull=False)
_OPEN = Q(ended_at__isnull=True)
_ANSWERED = Q(connected_at__isnull=False)
_ABANDONED = Q(state=_STATE.ABANDONED) & _QUEUED
_IN_TIME = seconds_of("queue__service_level_seconds")
_SHORT = seconds_of("queue__short_abandon_seconds")


def _in(where: str) -> Q:
    return Q(state=_STATE.ABANDONED, abandoned_in=where)


# These have a column in QueueQuarter, of the same name.
STORED = (
    Count("arrived", _("Arrived"), _("All calls, also those that never entered a queue."), Q()),
    Count("offered", _("Offered"), _("Calls that entered the queue."), _QUEUED),
    Count("answered", _("Answered"), _("Calls that were connected to an agent."), _ANSWERED),
    Count("completed", _("Completed"), _("Ended after a talk."), Q(state=_STATE.COMPLETED)),
    Count("abandoned_menu", _("Left in a menu"),
          _("The caller left before entering a queue."), _in("menu")),
    Count("abandoned_queue", _("Left in the queue"),
          _("The caller left while no agent's phone was ringing."), _in("queue")),
    Count("abandoned_ringing", _("Left while ringing"),
          _("The caller left while an agent's phone was ringing."), _in("ringing")),
    Count("overflowed", _("Overflowed"), _("Passed on to elsewhere."), Q(state=_STATE.OVERFLOWED)),
    Count("callback", _("Callback"), _("Asked to be called back."), Q(state=_STATE.CALLBACK)),
    Count("voicemail", _("Voicemail"), _("Left a message."), Q(state=_STATE.VOICEMAIL)),
    Count("expired", _("Expired"), _("Waited for as long as the queue allows."),
          Q(state=_STATE.EXPIRED)),
    Count("closed_hours", _("Closed"), _("Called outside the hours."),
          Q(state=_STATE.CLOSED_HOURS)),
    Count("rejected", _("Rejected"), _("Not let in."), Q(state=_STATE.REJECTED)),
    Count("failed", _("Failed"), _("Ended by an error, or by a supervisor."),
          Q(state=_STATE.FAILED)),
    Count("no_answer", _("No answer"), _("The contact whom we called did not answer."),
          Q(state=_STATE.NO_ANSWER)),
    Count("busy", _("Busy"), _("The contact whom we called was busy."), Q(state=_STATE.BUSY)),
    Count("still_open", _("Still open"), _("Entered the queue, and have not ended."),
          _QUEUED & _OPEN),
    Count("not_offered_ends", _("Ended before a queue"),
          _("Ended without ever having entered a queue."), ~_QUEUED & ~_OPEN),
)  # fmt: skip

# These depend on the queue's settings as they are now, and are had from the lists of waits.
BY_THRESHOLD = (
    Count("abandoned", _("Abandoned"),
          _("Entered the queue and left before an agent came."), _ABANDONED),
    Count("in_time", _("Answered in time"),
          _("Answered within the seconds of the queue's service level."),
          _ANSWERED & Q(wait__lte=_IN_TIME)),
    Count("late", _("Answered late"), _("Answered after those seconds."),
          _ANSWERED & Q(wait__gt=_IN_TIME)),
    Count("short_abandons", _("Short abandons"),
          _("Abandoned within the queue's seconds for that."),
          _ABANDONED & Q(left_after__lt=_SHORT)),
    Count("abandoned_in_time", _("Abandoned in time"),
          _("Abandoned within the seconds of the service level."),
          _ABANDONED & Q(left_after__lte=_IN_TIME)),
)  # fmt: skip

COUNTS = {each.key: each for each in (*STORED, *BY_THRESHOLD)}


def counted(since: datetime, until: datetime) -> QuerySet[QueuedCall]:
    """The calls that count in [since, until), with what the conditions ask for.

    An inbound call counts where it entered the queue; one that never did, and one that we placed,
    where it arrived.
    """
    queued = Q(direction=INBOUND, queued_at__gte=since, queued_at__lt=until)
    arrived = Q(arrived_at__gte=since, arrived_at__lt=until)
    other = arrived & (~Q(direction=INBOUND) | Q(queued_at__isnull=True))
    return QueuedCall.objects.filter(queued | other).alias(
        counted_at=COUNTED_AT, start=Quarter(COUNTED_AT), wait=WAIT, left_after=LEFT_AFTER,
        talk_time=TALK,
    )  # fmt: skip


def calls(
    key: str,
    since: datetime,
    until: datetime,
    *,
    queues: Iterable[Queue] = (),
    direction: str = INBOUND,
) -> QuerySet[QueuedCall]:
    """The calls behind one number of a report. Raises KeyError for a count that does not exist."""
    found = counted(since, until).filter(COUNTS[key].where, direction=direction)
    # What the index of the call log can be searched by; nobody is in a menu for a week.
    found = found.filter(arrived_at__gte=since - timedelta(days=7), arrived_at__lt=until)
    keys = [queue.pk for queue in queues]
    return found.filter(queue__in=keys) if keys else found
