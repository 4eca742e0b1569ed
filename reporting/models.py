"""The provider's call records, the nightly audits, and the links of wall screens."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from callcenter.history import Changes
from queues.models import Leg, Queue, QueuedCall


class CallRecord(models.Model):
    """One leg as `GET /v1/calls` tells it. Money in minor units (100 is KES 1)."""

    provider_id = models.CharField(max_length=128, null=True, blank=True, unique=True)
    session_id = models.CharField(max_length=128, null=True, blank=True, unique=True)
    call = models.ForeignKey(
        QueuedCall, null=True, blank=True, on_delete=models.SET_NULL, related_name="records"
    )
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


class AuditRun(models.Model):
    """One nightly audit and what it said; its lines are cut at the first hundred."""

    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    calls = models.PositiveBigIntegerField(help_text="Recounted.")
    not_recountable = models.PositiveBigIntegerField(
        help_text="Of these, written down too long ago for all of it."
    )
    disagreements = models.PositiveBigIntegerField()
    lines = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.disagreements or 'no'} disagreements"


class WallLink(models.Model):
    """A link that shows the wall view without signing in, until it is revoked.

    Only a digest of its token is kept: the address is shown once, when the link is made.
    """

    name = models.CharField(max_length=60, help_text="Where the screen hangs.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    queues = models.ManyToManyField(Queue, blank=True, help_text="None chosen: every queue.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL,
        related_name="+",
    )  # fmt: skip
    created_at = models.DateTimeField(editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    history = Changes(excluded_fields=["last_used_at"])

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
