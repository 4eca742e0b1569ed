"""Who is told of what besides the board: rules set up in the admin, and the mails they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.db.models import Q

from callcenter.history import Changes
from queues.models.evidence import Alert
from queues.models.queue import Queue


class AlertRule(models.Model):
    """When an alert is raised, and who is told of it by e-mail and webhook."""

    class Kind(models.TextChoices):
        LONGEST_WAIT = "longest_wait", "A caller waits for longer than … seconds"
        SERVICE_LEVEL = "service_level", "The service level of today is under … percent"
        NOBODY_AVAILABLE = "nobody_available", "Callers wait and no agent is available"
        PROVIDER = "provider", "Sautikit does not answer, or refuses our calls"
        WALLET = "wallet", "The wallet is low or empty"
        HELP = "help", "An agent asks for help"
        BREAK_OVER = "break_over", "A break is longer than its limit"
        OTHER = "other", "Anything else that the board shows"

    WITH_THRESHOLD = frozenset({Kind.LONGEST_WAIT, Kind.SERVICE_LEVEL})

    kind = models.CharField(max_length=20, choices=Kind.choices)
    queue = models.ForeignKey(
        Queue,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="alert_rules",
        help_text="Empty: every queue.",
    )
    threshold = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds of waiting, or percent of the service level."
    )
    emails = models.TextField(
        "e-mail to", blank=True, help_text="Addresses, one a line. Empty: nobody by e-mail."
    )
    by_webhook = models.BooleanField(
        "by webhook", default=False, help_text="Sends alert.raised to the endpoints."
    )
    is_active = models.BooleanField("in use", default=True)
    history = Changes()

    if TYPE_CHECKING:
        queue_id: int | None

    class Meta:
        ordering = ["kind", "id"]

    def __str__(self) -> str:
        return self.get_kind_display()

    @property
    def addresses(self) -> list[str]:
        """The e-mail addresses, one each."""
        return [line.strip() for line in self.emails.replace(",", "\n").split("\n") if line.strip()]

    def clean(self) -> None:
        """Refuse a wrong address, and a threshold that is missing."""
        if self.kind in self.WITH_THRESHOLD and self.threshold is None:
            raise ValidationError({"threshold": "Say from how many on."})
        if self.kind == self.Kind.SERVICE_LEVEL and (self.threshold or 0) > 100:
            raise ValidationError({"threshold": "At most 100 percent."})
        for address in self.addresses:
            try:
                validate_email(address)
            except ValidationError as error:
                raise ValidationError({"emails": f"{address} is no e-mail address."}) from error


class AlertMail(models.Model):
    """One e-mail about one alert: written with the alert, sent by a task, tried again."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="mails")
    address = models.EmailField()
    created_at = models.DateTimeField()
    send_at = models.DateTimeField(null=True, blank=True, help_text="Empty: sent, or given up.")
    sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["alert", "address"], name="one_mail_per_alert"),
        ]
        indexes = [
            models.Index(
                fields=["send_at"], condition=Q(send_at__isnull=False), name="alert_mails_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.alert} to {self.address}"
