"""The erasure of one person: what was removed where, and the proof that nothing is left."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from callcenter.ids import new_id


class Erasure(models.Model):
    """A person's number taken out of all rows and files. The number itself is not kept."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    digest = models.CharField(
        max_length=64, help_text="A keyed digest of the number, to show whom it was about."
    )
    masked = models.CharField(max_length=24, help_text="The number with most digits hidden.")
    replaced_by = models.CharField(max_length=32, help_text="What stands in its place.")
    reason = models.CharField(max_length=200, blank=True)
    counts = models.JSONField(default=dict, help_text="Rows changed or removed, by table.")
    files = models.PositiveIntegerField(default=0, help_text="Recordings and exports removed.")
    remaining = models.PositiveIntegerField(
        null=True, help_text="Places in which the number was found afterwards."
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return self.masked
