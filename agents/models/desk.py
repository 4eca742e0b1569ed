"""What belongs to an agent's desk: reasons for a break, whether the page is open, notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from agents.models.agent import Agent
from callcenter.history import Changes

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class BreakReason(models.Model):
    """Why an agent may be on break, whether it is paid, and for how long it may last."""

    name = models.CharField(max_length=60, unique=True, help_text="As agents see it: Lunch.")
    is_paid = models.BooleanField(
        "paid", default=True, help_text="Counts as working time in the agents' figures."
    )
    limit_minutes = models.PositiveSmallIntegerField(
        "limit in minutes",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Afterwards the agent and the supervisors are told. Empty: no limit.",
    )
    position = models.PositiveSmallIntegerField(default=0, help_text="Order on the agent's page.")
    is_active = models.BooleanField("in use", default=True)
    history = Changes()

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class Heartbeat(models.Model):
    """When an agent's page last said that it is open. Apart from the agent, whom calls lock."""

    agent = models.OneToOneField(
        Agent, on_delete=models.CASCADE, primary_key=True, related_name="heartbeat"
    )
    seen_at = models.DateTimeField()
    asked_at = models.DateTimeField(
        null=True, blank=True, help_text="When a silent page was asked to show itself."
    )

    def __str__(self) -> str:
        return f"{self.agent_id} at {self.seen_at}"

    if TYPE_CHECKING:
        agent_id: int


class Notice(models.Model):
    """A message of a supervisor to agents, shown on their pages until each has read it."""

    text = models.CharField(max_length=280)
    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField()

    if TYPE_CHECKING:
        recipients: RelatedManager[NoticeRecipient]

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.text


class NoticeRecipient(models.Model):
    """One agent whom a notice is for, and when they read it."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="recipients")
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="notices")
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["notice", "agent"], name="notice_once_per_agent")
        ]
        indexes = [
            models.Index(fields=["agent"], condition=Q(read_at=None), name="notices_to_read")
        ]

    def __str__(self) -> str:
        return f"{self.agent}: {self.notice}"
