"""The provider's call records, as mirrored, and what the nightly audits said."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html_join
from unfold.admin import ModelAdmin

from callcenter.admin import ViewOnly
from reporting.models import AuditRun, CallRecord


@admin.register(CallRecord)
class CallRecordAdmin(ViewOnly, ModelAdmin):
    """Evidence: one leg as the provider tells it."""

    list_display = [
        "started_at", "direction", "local", "remote", "status", "duration_seconds", "cost", "call",
    ]  # fmt: skip
    list_filter = ["status", "direction", ("call", admin.EmptyFieldListFilter)]
    list_select_related = ["call"]
    search_fields = ["session_id", "provider_id", "remote", "local"]
    date_hierarchy = "started_at"
    show_full_result_count = False

    @admin.display(description="Cost", ordering="cost_minor")
    def cost(self, record: CallRecord) -> str:
        if record.cost_minor is None:
            return "not in yet"
        return f"{record.cost_currency} {record.cost_minor / 100:.2f}"


@admin.register(AuditRun)
class AuditRunAdmin(ViewOnly, ModelAdmin):
    """Evidence: what an audit found; "0 disagreements" is the only good one."""

    list_display = ["started_at", "disagreements", "calls", "not_recountable", "ended_at"]
    fields = ["started_at", "ended_at", "calls", "not_recountable", "disagreements", "told"]
    readonly_fields = ["told"]

    @admin.display(description="Lines")
    def told(self, run: AuditRun) -> str:
        return format_html_join("", "{}<br>", ((line,) for line in run.lines)) or "none"
