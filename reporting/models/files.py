"""Reports as files and as mails: exports, who took them away, schedules, and what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from callcenter.history import Changes
from callcenter.ids import new_id


class Export(models.Model):
    """A report as a spreadsheet, written by a task into a file that is kept for a while."""

    class State(models.TextChoices):
        WANTED = "wanted"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        REMOVED = "removed"  # its time is over

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    report = models.CharField(max_length=24, help_text="Which table.")
    query = models.JSONField(default=dict, help_text="The filters, as in the page's address.")
    state = models.CharField(max_length=7, choices=State.choices, default=State.WANTED)
    rows_done = models.PositiveBigIntegerField(default=0)
    rows_total = models.PositiveBigIntegerField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=200, blank=True)
    path = models.CharField(max_length=200, blank=True, help_text="Within the exports' folder.")
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    language = models.CharField(max_length=8, blank=True)
    zone = models.CharField(max_length=64, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField()
    claimed_until = models.DateTimeField(
        null=True, blank=True, help_text="Until when a worker has it; then another takes it."
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    remove_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        requested_by_id: int | None

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="done") | Q(ended_at__isnull=False) & ~Q(path=""),
                name="written_export_has_a_file",
            )
        ]

    def __str__(self) -> str:
        return f"{self.report} ({self.state})"


class Download(models.Model):
    """One time that somebody took a report away as a file; outlives the file."""

    report = models.CharField(max_length=24, help_text="Which table.")
    query = models.JSONField(default=dict, help_text="The filters.")
    how = models.CharField(max_length=4, choices=[("csv", "CSV"), ("xlsx", "Spreadsheet")])
    export = models.ForeignKey(
        Export, null=True, blank=True, on_delete=models.SET_NULL, related_name="downloads"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.report} ({self.how}) by {self.user}"


class ScheduledReport(models.Model):
    """A report that is mailed after each day, week or month."""

    class Every(models.TextChoices):
        DAY = "day", "Every day"
        WEEK = "week", "Every week, on Monday"
        MONTH = "month", "Every month, on the first"

    name = models.CharField(max_length=80, help_text="The subject of the mail.")
    report = models.CharField(max_length=24)
    query = models.JSONField(
        default=dict, blank=True, help_text="Filters, as in the page's address."
    )
    every = models.CharField(max_length=5, choices=Every.choices, default=Every.DAY)
    hour = models.PositiveSmallIntegerField(
        default=7, validators=[MaxValueValidator(23)], help_text="Not before this hour."
    )
    recipients = models.TextField(help_text="One mail address per line.")
    language = models.CharField(max_length=8, default="en")
    is_active = models.BooleanField("in use", default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL,
        related_name="+",
    )  # fmt: skip
    next_at = models.DateTimeField(null=True, blank=True, editable=False)
    history = Changes(excluded_fields=["next_at"])

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ReportMail(models.Model):
    """One period of a scheduled report, and whether its mail has gone out."""

    schedule = models.ForeignKey(ScheduledReport, on_delete=models.CASCADE, related_name="mails")
    since = models.DateTimeField()
    until = models.DateTimeField()
    created_at = models.DateTimeField()
    try_at = models.DateTimeField(null=True, blank=True, help_text="Empty: no more.")
    tries = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    recipients_left = models.TextField(
        blank=True, db_default="", help_text="Addresses that have not been sent it, one per line."
    )
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-since"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "since"], name="one_mail_per_period")
        ]
        indexes = [
            models.Index(
                fields=["try_at"], condition=Q(try_at__isnull=False), name="report_mails_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.schedule} of {self.since:%Y-%m-%d}"
