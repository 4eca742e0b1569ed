"""Scheduled reports are set up here; exports, downloads and mails are looked at."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from callcenter.admin import Explained, ViewOnly, WithHistory
from reporting.files import asking, schedules
from reporting.files.tables import choices
from reporting.models import Download, Export, ReportMail, ScheduledReport

OF_A_PERIOD = ("queue", "agent", "interval")  # what a schedule can be narrowed by


class Query(forms.CharField):
    """Filters as they stand in a page's address; kept as names with their values."""

    def prepare_value(self, value: Any) -> Any:
        """Show what is kept as it was typed."""
        return urlencode(value, doseq=True) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        """Read an address's query; raise ValidationError for what is not meant."""
        if isinstance(value, dict):
            return value
        typed = str(value or "").strip().rpartition("?")[2]
        found = parse_qs(typed, keep_blank_values=True)
        if typed and "=" not in typed:
            raise ValidationError(_("Write it like queue=support&interval=day."))
        dates = {"from", "to", "tz"}
        if unknown := sorted(set(found) - {*OF_A_PERIOD, *dates}):
            told = _("“%(name)s” is no filter. There are: %(all)s.")
            raise ValidationError(told % {"name": unknown[0], "all": ", ".join(OF_A_PERIOD)})
        kept = asking.kept({name: found[name] for name in OF_A_PERIOD if name in found})
        asked = asking.read(kept, at=timezone.now())
        if asked.notes:
            raise ValidationError(list(asked.notes))
        return kept

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare what is meant."""
        try:
            return bool((initial or {}) != self.to_python(data))
        except ValidationError:
            return True


class ScheduleForm(forms.ModelForm):
    report = forms.ChoiceField(
        label=gettext_lazy("Table"), choices=choices, widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("What is in the mail, and attached as CSV."),
    )  # fmt: skip
    query = Query(
        label=gettext_lazy("Filters"), required=False, widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy(
            "As in a page's address: queue=support&queue=sales&interval=day. Empty: every queue, "
            "one row each. The days are those of the schedule."
        ),
    )  # fmt: skip
    language = forms.ChoiceField(
        label=gettext_lazy("Language"), choices=settings.LANGUAGES, widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("Of the mail."),
    )  # fmt: skip

    class Meta:
        model = ScheduledReport
        fields = [
            "name", "report", "query", "every", "hour", "recipients", "language", "is_active",
        ]  # fmt: skip

    def clean_recipients(self) -> str:
        """Refuse what is no mail address, and name it."""
        text: str = self.cleaned_data["recipients"]
        found = schedules.addresses(ScheduledReport(recipients=text))
        for address in found:
            try:
                validate_email(address)
            except ValidationError:
                told = _("%(address)s is no e-mail address.")
                raise ValidationError(told % {"address": address[:80]}) from None
        return "\n".join(found)


@admin.register(ScheduledReport)
class ScheduledReportAdmin(Explained, WithHistory, ModelAdmin):
    """What goes out by mail after each day, week or month."""

    form = ScheduleForm
    list_display = ["name", "report", "every", "hour", "is_active", "next_at"]
    list_filter = ["every", "is_active"]
    search_fields = ["name", "recipients"]
    help = {
        "name": gettext_lazy("The subject of the mail."),
        "every": gettext_lazy("The mail is of the day, week or month before, in TIME_ZONE."),
        "hour": gettext_lazy("Not before this hour of TIME_ZONE, 0 to 23."),
        "recipients": gettext_lazy(
            "One mail address per line. Each gets a mail of their own. Lists of calls have "
            "callers' numbers in them: mail is not a safe place for these."
        ),
        "is_active": gettext_lazy("Not ticked: nothing is sent."),
    }

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Have the next time worked out anew; periods that are over are not sent for that."""
        if not change:
            obj.created_by = request.user
        if obj.is_active:
            obj.next_at = schedules.following(obj, at=timezone.now()).send_at
        super().save_model(request, obj, form, change)


@admin.register(ReportMail)
class ReportMailAdmin(ViewOnly, ModelAdmin):
    """Evidence: one period of a schedule, and whether its mail has gone out."""

    list_display = ["schedule", "since", "until", "sent_at", "tries", "error"]
    list_filter = ["schedule", ("sent_at", admin.EmptyFieldListFilter)]
    list_select_related = ["schedule"]


@admin.register(Export)
class ExportAdmin(ViewOnly, ModelAdmin):
    """Evidence: what was written into files, for whom."""

    list_display = ["created_at", "report", "requested_by", "state", "rows_done", "remove_at"]
    list_filter = ["state", "report"]
    list_select_related = ["requested_by"]


@admin.register(Download)
class DownloadAdmin(ViewOnly, ModelAdmin):
    """Evidence: who took which report away as a file."""

    list_display = ["at", "user", "report", "how", "query"]
    list_filter = ["how", "report"]
    list_select_related = ["user"]
    date_hierarchy = "at"
