"""Interval tables: what was counted of each quarter of an hour, kept up as calls end.

A quarter begins at :00, :15, :30 or :45 of UTC, so hours and days of every time zone are made of
whole ones. Lengths of time are exact (microseconds); a list of waits has one entry per call, so
every threshold, median and percentile can be had from it.

Only `reporting.figures.upkeep` writes these rows; they can be made again from the calls.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from agents.models import Agent
from agents.models.agent import Engagement, Presence
from queues.models import Disposition, Leg, Offer, Queue, QueuedCall


def _count() -> Any:
    return models.PositiveIntegerField(default=0, db_default=0)


def _span() -> Any:
    return models.DurationField(default=timedelta())


def _spans(help_text: str) -> Any:
    return ArrayField(models.BigIntegerField(), default=list, help_text=help_text)


class _Quarter(models.Model):
    start = models.DateTimeField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}"


class QueueQuarter(_Quarter):
    """The calls that entered a queue in a quarter of an hour, and what became of them.

    A call counts where it entered the queue (`queued_at`); one that never did, and one that we
    placed, where it arrived (`arrived_at`), with `queue` as its row has it.
    """

    queue = models.ForeignKey(
        Queue, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    direction = models.CharField(max_length=8, choices=QueuedCall.Direction.choices)
    arrived = _count()  # all calls of this row
    offered = _count()  # of these, entered the queue
    answered = _count()
    completed = _count()
    abandoned_menu = _count()
    abandoned_queue = _count()
    abandoned_ringing = _count()
    overflowed = _count()
    callback = _count()
    voicemail = _count()
    expired = _count()
    closed_hours = _count()
    rejected = _count()
    failed = _count()
    no_answer = _count()
    busy = _count()
    still_open = _count()
    not_offered_ends = _count()  # ended without ever having entered a queue
    answered_waits = _spans("Microseconds from entering the queue to the talk.")
    abandoned_waits = _spans("Microseconds until they left, of those who abandoned in the queue.")
    other_waits = _spans("Microseconds until the end, of those whom something else ended.")
    handle_times = _spans("Microseconds of talk, hold and wrap-up, of each talk that is over.")
    talk = _span()
    hold = _span()
    wrap_up = _span()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["start", "queue", "direction"],
                nulls_distinct=False,
                name="one_quarter_per_queue",
            )
        ]

    if TYPE_CHECKING:
        queue_id: int | None


class OfferQuarter(_Quarter):
    """The offers made to an agent for a queue in a quarter of an hour, by how they ended.

    An offer counts where it was made (`created_at`).
    """

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    queue = models.ForeignKey(
        Queue, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    direction = models.CharField(max_length=8, choices=QueuedCall.Direction.choices)
    state = models.CharField(max_length=11, choices=Offer.State.choices)
    offers = _count()
    ring = models.DurationField(
        default=timedelta(), help_text="From being made to being answered, or to its end."
    )
    accept_times = _spans("Microseconds from being made to being answered, of those that were.")
    handle_times = _spans("Microseconds of talk, hold and wrap-up, of each talk that is over.")
    talk = _span()
    hold = _span()
    wrap_up = _span()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["start", "agent", "queue", "direction", "state"],
                nulls_distinct=False,
                name="one_quarter_per_outcome",
            )
        ]


class AgentQuarter(_Quarter):
    """How long an agent was in one state within a quarter of an hour.

    Of intervals that are over; the open one is added when a report is read.
    """

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    presence = models.CharField(max_length=9, choices=Presence.choices)
    reason = models.CharField(max_length=60, blank=True)
    is_paid = models.BooleanField(help_text="Offline and unpaid breaks are not.")
    engagement = models.CharField(max_length=7, choices=Engagement.choices)
    time = _span()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["start", "agent", "presence", "reason", "is_paid", "engagement"],
                name="one_quarter_per_state",
            )
        ]


class CostQuarter(_Quarter):
    """What the provider charged for the legs of a quarter's calls, in minor units.

    A leg counts with its call (see `QueueQuarter`); a record of no call of ours by its own start.
    """

    class Kind(models.TextChoices):
        PSTN = "pstn"
        SIP = "sip"

    queue = models.ForeignKey(
        Queue, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    direction = models.CharField(max_length=8, blank=True)
    role = models.CharField(max_length=8, choices=Leg.Role.choices, blank=True)
    kind = models.CharField(max_length=4, choices=Kind.choices)
    currency = models.CharField(max_length=8, blank=True)
    minor = models.BigIntegerField(default=0)
    legs = _count()
    not_in_yet = _count()  # of these, without a cost so far

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["start", "queue", "direction", "role", "kind", "currency"],
                nulls_distinct=False,
                name="one_quarter_per_kind_of_leg",
            )
        ]


class DispositionQuarter(_Quarter):
    """What the talks of a quarter's calls came to."""

    queue = models.ForeignKey(
        Queue, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    direction = models.CharField(max_length=8, choices=QueuedCall.Direction.choices)
    disposition = models.ForeignKey(
        Disposition, null=True, on_delete=models.PROTECT, related_name="+", db_index=False,
        help_text="Empty: none was given.",
    )  # fmt: skip
    talks = _count()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["start", "queue", "direction", "disposition"],
                nulls_distinct=False,
                name="one_quarter_per_disposition",
            )
        ]


class StaleQuarter(models.Model):
    """A mark that quarters are to be counted again; triggers write it, the upkeep takes it away.

    Nothing is unique here, so no two calls wait for each other.
    """

    class Kind(models.TextChoices):
        CALLS = "calls"
        OFFERS = "offers"
        AGENTS = "agents"

    kind = models.CharField(max_length=6, choices=Kind.choices)
    since = models.DateTimeField(help_text="The beginning of the first quarter.")
    until = models.DateTimeField(help_text="The beginning of the last one.")

    def __str__(self) -> str:
        return f"{self.kind} {self.since:%Y-%m-%d %H:%M}"
