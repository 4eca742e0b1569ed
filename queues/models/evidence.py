"""What arrived from the provider, what we know of it, and what a supervisor should see."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.utils import timezone

from callcenter.history import Removals
from callcenter.ids import new_id
from queues.models.call import QueuedCall


class WebhookEvent(models.Model):
    """A webhook as it arrived: stored once, handled once."""

    class Verdict(models.TextChoices):
        TRUSTED = "trusted"  # signed, or with our own token
        HINT = "hint"  # unsigned: only makes us ask the provider
        QUARANTINED = "quarantined"  # signature wrong or too old: kept, not acted on
        UNKNOWN = "unknown"  # of a kind or a leg that we do not know

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    key = models.CharField(max_length=160, unique=True)
    endpoint = models.CharField(max_length=24)
    kind = models.CharField(max_length=48, blank=True)
    verdict = models.CharField(max_length=11, choices=Verdict.choices)
    note = models.CharField(max_length=200, blank=True)
    call = models.ForeignKey(
        QueuedCall, null=True, blank=True, on_delete=models.CASCADE, related_name="webhook_events",
        db_index=False,
    )  # fmt: skip
    body = models.TextField(blank=True)
    repeats = models.PositiveIntegerField(default=0)
    received_at = models.DateTimeField(default=timezone.now)
    handled_at = models.DateTimeField(
        null=True, blank=True, help_text="Empty while its handling has failed and is tried again."
    )
    context = models.JSONField(
        default=dict,
        db_default=Value({}, models.JSONField()),
        blank=True,
        help_text="What handling it again needs beside its body.",
    )
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    retry_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["-received_at"], name="webhooks_by_time"),
            models.Index(fields=["call", "received_at"], name="webhooks_by_call"),
            models.Index(
                fields=["retry_at"],
                condition=Q(retry_at__isnull=False),
                name="webhooks_to_retry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} {self.kind}".strip()


class Alert(models.Model):
    """Something a supervisor should know, counted until it is dismissed."""

    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=128, blank=True)
    text = models.CharField(max_length=300)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    dismissed_at = models.DateTimeField(null=True, blank=True)
    dismissed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    over_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Of a rule's alert: since when its condition has not held any more. One that "
        "was dismissed before is not raised again while the condition holds.",
    )

    # What a sweep finds in the rows; everything else is raised where it happens.
    CONDITIONS = ("longest_wait", "service_level", "nobody_available")

    class Meta:
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(dismissed_at=None),
                name="one_open_alert_per_subject",
            )
        ]
        indexes = [
            models.Index(
                fields=["kind", "over_at"],
                condition=Q(kind__in=["longest_wait", "service_level", "nobody_available"]),
                name="alerts_of_conditions",
            )
        ]

    def __str__(self) -> str:
        return self.text


class ProviderFact(models.Model):
    """Something learnt about the provider that must outlive a process."""

    name = models.CharField(max_length=48, primary_key=True)
    value = models.JSONField()
    at = models.DateTimeField()
    history = Removals()

    def __str__(self) -> str:
        return self.name
