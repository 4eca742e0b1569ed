"""One party's connection: one call record at the provider."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from callcenter.ids import new_id
from queues.models.call import QueuedCall
from queues.models.offer import Offer

# By hand: it runs for nearly every webhook, and building it anew costs more than running it.
_KNOWN_BY = """
SELECT * FROM queues_leg
WHERE session_id = ANY(%s) OR provider_id = ANY(%s) OR id = %s LIMIT 1
"""


def our_label(label: str) -> uuid.UUID | None:
    """Return the key of the leg that we placed under this label, if it is one of ours."""
    try:
        return uuid.UUID(hex=label)
    except ValueError:
        return None


class LegQuerySet(models.QuerySet["Leg"]):
    def known_by(self, handles: Iterable[str], label: str = "") -> Leg | None:
        """Return the leg with any of these handles, or placed under our own label, or None."""
        known = list(handles)
        if not known and not label:
            return None
        return next(iter(self.raw(_KNOWN_BY, [known, known, our_label(label)])), None)

    def by_handles(self, handles: Iterable[str]) -> LegQuerySet:
        """Legs known by any of these provider handles."""
        handles = list(handles)
        return self.filter(Q(session_id__in=handles) | Q(provider_id__in=handles))


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
    call = models.ForeignKey(
        QueuedCall, on_delete=models.CASCADE, related_name="legs", db_index=False
    )
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
    sent_at = models.DateTimeField(
        null=True, blank=True, help_text="From when the provider may have our request to place it."
    )
    shape = models.CharField(max_length=8, blank=True, db_default="")
    request = models.TextField(
        blank=True,
        db_default="",
        help_text="The body that was sent; a repeat sends the same bytes.",
    )
    held_back_at = models.DateTimeField(
        null=True, blank=True, help_text="When our own limits held this leg back last."
    )
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
