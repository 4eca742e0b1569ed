"""The links of wall screens."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from callcenter.history import Changes
from queues.models import Queue


class WallLink(models.Model):
    """A link that shows the wall view without signing in, until it is revoked.

    Only a digest of its token is kept: the address is shown once, when the link is made.
    """

    name = models.CharField(max_length=60, help_text="Where the screen hangs.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    queues = models.ManyToManyField(Queue, blank=True, help_text="None chosen: every queue.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL,
        related_name="+",
    )  # fmt: skip
    created_at = models.DateTimeField(editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    history = Changes(excluded_fields=["last_used_at"])

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
