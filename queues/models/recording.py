"""Recordings: the provider's file of a leg, fetched into our own storage, and who heard it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from callcenter.ids import new_id
from queues.models.call import QueuedCall
from queues.models.leg import Leg


class Recording(models.Model):
    """The recording of one leg, from the wish for it to its removal."""

    class State(models.TextChoices):
        WANTED = "wanted"  # to be fetched, or not there yet
        STORED = "stored"
        MISSING = "missing"  # the provider has none
        REMOVED = "removed"  # was stored; its time is over

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    call = models.ForeignKey(QueuedCall, on_delete=models.CASCADE, related_name="recordings")
    leg = models.OneToOneField(Leg, on_delete=models.CASCADE, related_name="recording")
    state = models.CharField(max_length=7, choices=State.choices, default=State.WANTED)
    tries = models.PositiveSmallIntegerField(default=0)
    fetch_at = models.DateTimeField(
        null=True, blank=True, help_text="When it is tried next; empty: no more."
    )
    error = models.CharField(max_length=200, blank=True)
    path = models.CharField(max_length=200, blank=True, help_text="Within the storage.")
    content_type = models.CharField(max_length=60, blank=True)
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField()
    stored_at = models.DateTimeField(null=True, blank=True)
    remove_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        call_id: uuid.UUID

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="stored")
                | Q(stored_at__isnull=False, remove_at__isnull=False) & ~Q(path=""),
                name="stored_recording_has_a_file",
            ),
            models.CheckConstraint(
                condition=Q(state="wanted") ^ Q(fetch_at=None),
                name="wanted_recording_is_tried_again",
            ),
        ]
        indexes = [
            models.Index(
                fields=["fetch_at"], condition=Q(state="wanted"), name="recordings_to_fetch"
            ),
            models.Index(
                fields=["remove_at"], condition=Q(state="stored"), name="recordings_to_remove"
            ),
        ]

    def __str__(self) -> str:
        return f"recording {self.pk} ({self.state})"


class RecordingAccess(models.Model):
    """One time that somebody played or downloaded a recording; outlives the file."""

    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="accesses")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()
    how = models.CharField(max_length=8, choices=[("play", "Played"), ("download", "Downloaded")])

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.user} at {self.at}"
