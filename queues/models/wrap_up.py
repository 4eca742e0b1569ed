"""What an agent says about a conversation: notes, and a disposition out of the queue's list."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from callcenter.history import Changes
from queues.models.offer import Offer
from queues.models.queue import Queue

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Disposition(models.Model):
    """What a call came to, in two levels: a group such as “Order”, and “Placed” within it."""

    queue = models.ForeignKey(
        Queue,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="dispositions",
        help_text="Empty: offered in every queue.",
    )
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="children",
        help_text="The group it belongs to. Empty: it is a group, or stands alone.",
    )
    label = models.CharField(max_length=60)
    position = models.PositiveSmallIntegerField(default=0, help_text="Order on the agent's page.")
    is_active = models.BooleanField("in use", default=True)
    history = Changes()

    if TYPE_CHECKING:
        children: RelatedManager[Disposition]
        queue_id: int | None
        parent_id: int | None

    class Meta:
        ordering = ["position", "label"]
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "parent", "label"],
                condition=Q(is_active=True),
                nulls_distinct=False,
                name="one_disposition_per_label",
                violation_error_message="There is one of this name here already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.parent.label}: {self.label}" if self.parent else self.label

    def clean(self) -> None:
        """Refuse a third level, and a parent of another queue."""
        if self.parent is None:
            return
        if self.parent.parent_id is not None or (self.pk and self.parent_id == self.pk):
            raise ValidationError({"parent": "There are two levels only: choose a group."})
        if self.pk and self.children.exists():
            raise ValidationError({"parent": "This is a group itself: it has entries."})
        if self.parent.queue_id is not None and self.parent.queue_id != self.queue_id:
            raise ValidationError({"parent": "The group is of another queue."})


class WrapUp(models.Model):
    """What the agent of one conversation wrote down, from its beginning on.

    Without a disposition when the wrap-up is over, the conversation is “not dispositioned”.
    """

    offer = models.OneToOneField(
        Offer, on_delete=models.CASCADE, primary_key=True, related_name="wrap_up"
    )
    disposition = models.ForeignKey(
        Disposition, null=True, blank=True, on_delete=models.PROTECT, related_name="wrap_ups"
    )
    notes = models.TextField(blank=True, max_length=4000)
    extended_at = models.DateTimeField(
        null=True, blank=True, help_text="When the agent took more time; once only."
    )
    updated_at = models.DateTimeField()
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        indexes = [
            models.Index(fields=["updated_at"], condition=~Q(notes=""), name="notes_by_time")
        ]

    if TYPE_CHECKING:
        offer_id: uuid.UUID
        disposition_id: int | None

    def __str__(self) -> str:
        return str(self.disposition or "not dispositioned")
