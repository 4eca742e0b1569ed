"""The provider's call records, the nightly audits, and the links of wall screens."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.admin import ModelAdmin

from callcenter.admin import ViewOnly, WithHistory
from reporting import wall_links
from reporting.files import admin as files_admin  # noqa: F401 - registers itself
from reporting.models import AuditRun, CallRecord, WallLink


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


@admin.register(WallLink)
class WallLinkAdmin(ViewOnly, WithHistory, ModelAdmin):
    """Who may look at a wall view without signing in. Made at /wall-links/, revoked here too."""

    list_display = ["name", "created_by", "created_at", "last_used_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["created_by"]
    fields = ["name", "queues", "created_by", "created_at", "last_used_at", "revoked_at"]
    search_fields = ["name"]
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("reporting.change_walllink")

    @admin.action(description="Revoke: its screens go blank", permissions=["revoke"])
    def revoke(self, request: HttpRequest, links: QuerySet[WallLink]) -> None:
        at = timezone.now()
        revoked = sum(wall_links.revoke(link.pk, at=at) for link in links)
        self.message_user(request, f"Revoked {revoked} of {len(links)}.")
