"""The provider's call records, as mirrored."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import ModelAdmin

from callcenter.admin import ViewOnly
from reporting.models import CallRecord


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
