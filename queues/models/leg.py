"""One party's connection: one call record at the provider."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from callcenter.ids import new_id
from queues.models.call import QueuedCall
from queues.models.offer import Offer


class LegQuerySet(models.QuerySet["Leg"]):
    def by_handles(self, handles: Iterable[str], label: str = "") -> LegQuerySet:
        """Legs known by any of these provider handles, or placed with `label`, our own key."""
        handles = list(handles)
        known = Q(session_id__in=handles) | Q(provider_id__in=handles)
        with suppress(ValueError):
            known |= Q(pk=uuid.UUID(hex=label))
        return self.filter(known)


class Leg(models.Model):
    """A customer's or an agent's connection, known by either of the provider's two handles."""

    class Role(models.TextChoices):
        CUSTOMER = "customer"
        AGENT = "agent"

    class State(models.TextChoices):
        PLANNED = "planned"  # to be placed by us
        RINGING = "ringing"  # at the provider, not answered
        ANSWERED = "answered"
        ENDED = "ended"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    call = models.ForeignKey(QueuedCall, on_delete=models.CASCADE, related_name="legs")
    offer = models.ForeignKey(
        Offer, null=True, blank=True, on_delete=models.CASCADE, related_name="legs"
    )
    role = models.CharField(max_length=8, choices=Role.choices)
    is_placed_by_us = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PLANNED)
    party = models.CharField(max_length=160, help_text="Who is at the other end.")
    line = models.CharField(max_length=128, help_text="Our number on this leg.")
    session_id = models.CharField(max_length=128, null=True, blank=True, unique=True)
    provider_id = models.CharField(max_length=128, null=True, blank=True, unique=True)
    outcome = models.CharField(max_length=12, blank=True, help_text="The provider's final word.")
    planned_at = models.DateTimeField()
    placed_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    hang_up_at = models.DateTimeField(
        null=True, blank=True, help_text="From when this leg is to be hung up by us."
    )
    ask_at = models.DateTimeField(
        null=True, blank=True, help_text="When the provider is asked about this leg next."
    )
    asks = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=200, blank=True)

    objects = LegQuerySet.as_manager()

    if TYPE_CHECKING:
        call_id: uuid.UUID
        offer_id: uuid.UUID | None

    class Meta:
        ordering = ["planned_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="ended") ^ Q(ended_at=None), name="leg_ends_once"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["ringing", "answered"])
                | Q(ask_at__isnull=False)
                | Q(hang_up_at__isnull=False),
                name="live_leg_has_a_deadline",
            ),
        ]
        indexes = [
            models.Index(fields=["call"], name="legs_by_call"),
            models.Index(fields=["ask_at"], condition=Q(ask_at__isnull=False), name="legs_to_ask"),
            models.Index(
                fields=["hang_up_at"],
                condition=Q(hang_up_at__isnull=False, ended_at=None),
                name="legs_to_hang_up",
            ),
            models.Index(fields=["planned_at"], condition=Q(state="planned"), name="legs_to_place"),
        ]

    def __str__(self) -> str:
        return f"{self.role} leg {self.handle or self.pk}"

    @property
    def handle(self) -> str:
        """Either handle by which the provider knows this leg; empty when it has told none."""
        return self.provider_id or self.session_id or ""

    @property
    def is_live(self) -> bool:
        """Whether the leg may still be connected."""
        return self.state != self.State.ENDED
