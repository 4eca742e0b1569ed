"""People and shops whose number is known: what the desk shows instead of bare digits."""

from __future__ import annotations

from django.db import models

from callcenter.history import Changes
from queues.models.queue import e164


class Contact(models.Model):
    """A name for a number."""

    number = models.CharField(
        max_length=16,
        unique=True,
        help_text="In the form +254…; 07… is read as +254 7….",
        error_messages={"unique": "There is a contact with this number already."},
    )
    name = models.CharField(
        max_length=80, help_text="What the desk shows when this number calls: Wanjiru Traders."
    )
    notes = models.TextField(
        blank=True,
        max_length=2000,
        help_text="Anything an agent should know beforehand. Supervisors see it here.",
    )
    history = Changes()

    class Meta:
        ordering = ["name", "number"]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(name=""),
                name="contact_has_a_name",
                violation_error_message="A contact needs a name.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.number})"

    def clean(self) -> None:
        """Store the number in E.164 form."""
        self.number = e164(self.number, field="number")
