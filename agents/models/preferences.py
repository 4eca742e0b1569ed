"""How one user likes the pages, and where they listen in to calls."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from agents.models.agent import validate_destination


class Preferences(models.Model):
    """A user's own choices. Without a row, or with an empty field, the site's own hold."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="preferences",
    )
    language = models.CharField(
        max_length=8, blank=True, choices=settings.LANGUAGES, help_text="Of the pages."
    )
    time_zone = models.CharField(
        max_length=48, blank=True, help_text="In which times are shown, such as Africa/Nairobi."
    )
    sounds = models.BooleanField(default=True, help_text="A sound when a call comes.")
    phone = models.CharField(
        "phone for listening in",
        max_length=160,
        blank=True,
        validators=[validate_destination],
        help_text="Where a supervisor's phone rings: a number (+254…, 07…) or a SIP URI.",
    )

    def __str__(self) -> str:
        return f"preferences of {self.user}"
