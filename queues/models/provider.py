"""How the provider stands, for all workers: whether it answers, and how fast we may dial."""

from __future__ import annotations

from django.db import models


class Breaker(models.Model):
    """The circuit breaker before the provider's API: one row, `queues.breaker` writes it."""

    class State(models.TextChoices):
        CLOSED = "closed"  # the provider answers
        OPEN = "open"  # it does not: nothing is placed, one question at a time looks
        HALF_OPEN = "half_open"  # it answers again: one call at a time is placed

    name = models.CharField(max_length=16, primary_key=True)
    state = models.CharField(max_length=9, choices=State.choices, default=State.CLOSED)
    failures = models.PositiveIntegerField(default=0, help_text="In a row, over all workers.")
    placing_failed = models.BooleanField(default=False, help_text="A call was among them.")
    error = models.CharField(max_length=200, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    look_at = models.DateTimeField(
        null=True, blank=True, help_text="When the sweep looks at an open breaker next."
    )
    trial_until = models.DateTimeField(
        null=True, blank=True, help_text="Until when the one call of a half-open breaker is out."
    )
    paused_until = models.DateTimeField(
        null=True, blank=True, help_text="Told to wait (429): nothing is placed until then."
    )

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"


class Pace(models.Model):
    """The bucket of our own limit on placing calls: one row, `queues.pace` writes it."""

    name = models.CharField(max_length=16, primary_key=True)
    tokens = models.FloatField(help_text="Calls that may be placed at once.")
    at = models.DateTimeField(help_text="When the tokens were counted.")

    def __str__(self) -> str:
        return f"{self.name}: {self.tokens:g}"
