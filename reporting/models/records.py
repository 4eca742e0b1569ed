"""The mirror: the provider's call records, what they disagree with us about, and back-fills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from queues.models import Leg, QueuedCall


class CallRecord(models.Model):
    """One leg as `GET /v1/calls` tells it. Money in minor units (100 is KES 1)."""

    provider_id = models.CharField(max_length=128, null=True, blank=True, unique=True)
    session_id = models.CharField(max_length=128, null=True, blank=True, unique=True)
    call = models.ForeignKey(
        QueuedCall, null=True, blank=True, on_delete=models.SET_NULL, related_name="records",
        db_index=False,
    )  # fmt: skip
    leg = models.OneToOneField(
        Leg, null=True, blank=True, on_delete=models.SET_NULL, related_name="record"
    )
    direction = models.CharField(max_length=8, blank=True)
    local = models.CharField("our number", max_length=128, blank=True)
    remote = models.CharField("other party", max_length=128, blank=True)
    status = models.CharField(max_length=12)
    started_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    duration_seconds = models.PositiveIntegerField(null=True, blank=True)
    cost_minor = models.BigIntegerField(null=True, blank=True)
    cost_currency = models.CharField(max_length=8, blank=True)
    rate_per_minute_minor = models.BigIntegerField(null=True, blank=True)
    failure_code = models.CharField(max_length=64, blank=True)
    first_seen_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["-started_at"], name="records_by_start"),
            models.Index(fields=["call"], name="records_by_call"),
        ]

    def __str__(self) -> str:
        return self.session_id or self.provider_id or str(self.pk)

    @property
    def is_live(self) -> bool:
        """Whether the provider says that this leg is still there."""
        return self.ended_at is None and self.status in {"ringing", "started", "answered"}


class BackFill(models.Model):
    """The records of a past range, read in slices from its end to its beginning.

    `reached` moves back with each slice, so a back-fill that was cut off goes on from there.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        STOPPED = "stopped"  # by a person

    since = models.DateTimeField()
    until = models.DateTimeField()
    reached = models.DateTimeField(help_text="Everything from here to the end has been read.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    seen = models.PositiveBigIntegerField(default=0, help_text="Records read.")
    news = models.PositiveBigIntegerField(default=0, help_text="Of these, new or changed.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Failures in a row.")
    error = models.CharField(max_length=200, blank=True)
    next_at = models.DateTimeField(help_text="When the next slice is read.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(since__lt=models.F("until"))
                & Q(reached__gte=models.F("since"), reached__lte=models.F("until")),
                name="back_fill_has_a_range",
            ),
            models.CheckConstraint(
                condition=Q(state="running") ^ Q(ended_at__isnull=False),
                name="back_fill_ends_once",
            ),
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="running"), name="one_running_back_fill"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d} to {self.until:%Y-%m-%d} ({self.state})"


class Difference(models.Model):
    """One thing that the provider's records and our rows disagree about, and what was done."""

    class Kind(models.TextChoices):
        UNKNOWN = "unknown", "A record of a call that we do not know"
        NO_RECORD = "no_record", "A leg of ours without a record"
        ANSWERED = "answered", "Answered or not"
        DURATION = "duration", "The length of the talk"
        CHANGED = "changed", "The record changed after its end"
        MALFORMED = "malformed", "The provider's answer could not be read"
        STATS = "stats", "The provider's sums of a day"

    kind = models.CharField(max_length=9, choices=Kind.choices)
    subject = models.CharField(max_length=160, help_text="What it is about: a handle, or a day.")
    record = models.ForeignKey(
        CallRecord, null=True, blank=True, on_delete=models.CASCADE, related_name="differences"
    )
    leg = models.ForeignKey(
        Leg, null=True, blank=True, on_delete=models.CASCADE, related_name="differences"
    )
    call = models.ForeignKey(
        QueuedCall, null=True, blank=True, on_delete=models.CASCADE, related_name="differences"
    )
    theirs = models.CharField(max_length=200, blank=True, help_text="What the provider says.")
    ours = models.CharField(max_length=200, blank=True, help_text="What our rows say.")
    done = models.CharField(max_length=200, blank=True, help_text="What was done about it.")
    happened_at = models.DateTimeField(help_text="When the call was, or the day.")
    found_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-happened_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "subject"], name="one_difference_per_subject")
        ]
        indexes = [
            models.Index(
                fields=["-happened_at"], condition=Q(settled_at=None), name="differences_open"
            ),
            models.Index(fields=["-happened_at"], name="differences_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"

    if TYPE_CHECKING:
        leg_id: object
