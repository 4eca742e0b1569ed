"""The nightly audits."""

from __future__ import annotations

from django.db import models


class AuditRun(models.Model):
    """One nightly audit and what it said; its lines are cut at the first hundred."""

    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    calls = models.PositiveBigIntegerField(help_text="Recounted.")
    not_recountable = models.PositiveBigIntegerField(
        help_text="Of these, written down too long ago for all of it."
    )
    disagreements = models.PositiveBigIntegerField()
    lines = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.disagreements or 'no'} disagreements"
