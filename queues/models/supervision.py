"""Listening in: one row for each time a supervisor was on a call that was not theirs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from callcenter.ids import new_id
from queues.models.call import QueuedCall
from queues.models.leg import Leg

OPEN_STATES = ["planned", "ringing", "connected"]


class Supervision(models.Model):
    """Who listened to which call, in which mode, from when to when; kept as evidence."""

    class Mode(models.TextChoices):
        LISTEN = "listen", "Listen"  # hears both, is heard by nobody
        WHISPER = "whisper", "Whisper"  # heard by the agent only
        BARGE = "barge", "Barge in"  # heard by both

    class State(models.TextChoices):
        PLANNED = "planned"  # to be asked of the provider
        RINGING = "ringing"  # the supervisor's phone rings
        CONNECTED = "connected"
        ENDED = "ended"
        FAILED = "failed"  # refused, or nobody answered

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    call = models.ForeignKey(QueuedCall, on_delete=models.CASCADE, related_name="supervisions")
    leg = models.ForeignKey(
        Leg, on_delete=models.CASCADE, related_name="+", help_text="The one that is listened to."
    )
    supervisor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    phone = models.CharField(max_length=160, help_text="The supervisor's: a number or a SIP URI.")
    mode = models.CharField(max_length=7, choices=Mode.choices)
    wanted_mode = models.CharField(
        max_length=7,
        choices=Mode.choices,
        blank=True,
        db_default="",
        help_text="Asked for, and not yet taken by the provider.",
    )
    state = models.CharField(max_length=9, choices=State.choices, default=State.PLANNED)
    provider_id = models.CharField(max_length=128, blank=True)
    created_at = models.DateTimeField()
    connected_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    check_at = models.DateTimeField(
        null=True, blank=True, help_text="When the sweep asks the provider about it."
    )
    stop_at = models.DateTimeField(
        null=True, blank=True, help_text="From when it is to be ended by us."
    )
    error = models.CharField(max_length=200, blank=True)

    if TYPE_CHECKING:
        call_id: uuid.UUID
        supervisor_id: int | None

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["call"],
                condition=Q(state__in=OPEN_STATES),
                name="one_supervisor_per_call",
            ),
            models.CheckConstraint(
                condition=Q(state__in=OPEN_STATES) ^ Q(ended_at__isnull=False),
                name="supervision_ends_once",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=OPEN_STATES) | Q(check_at__isnull=False),
                name="open_supervision_has_a_deadline",
            ),
        ]
        indexes = [
            models.Index(
                fields=["check_at"], condition=Q(ended_at=None), name="supervisions_to_check"
            )
        ]

    def __str__(self) -> str:
        return f"{self.supervisor}: {self.mode} ({self.state})"
