"""Calls, webhooks and alerts are evidence: read here, and acted on by actions only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline

from callcenter.admin import ViewOnly, WithHistory
from queues import alerts, calls, offers
from queues.models import (
    Alert,
    AlertMail,
    CallEvent,
    Leg,
    Offer,
    ProviderFact,
    QueuedCall,
    Recording,
    RecordingAccess,
    Supervision,
    WebhookEvent,
    WrapUp,
)
from queues.scene import scene


class EventInline(ViewOnly, TabularInline):
    model = CallEvent
    extra = 0
    fields = ["moment", "kind", "source", "detail"]
    readonly_fields = ["moment"]
    verbose_name_plural = "Timeline"

    @admin.display(description="At")
    def moment(self, event: CallEvent) -> str:
        return f"{timezone.localtime(event.at):%H:%M:%S.%f}"[:-3]


class OfferInline(ViewOnly, TabularInline):
    model = Offer
    extra = 0
    fields = ["agent", "kind", "state", "created_at", "answered_at", "joined_at", "ended_at"]


class LegInline(ViewOnly, TabularInline):
    model = Leg
    extra = 0
    fields = ["role", "party", "state", "outcome", "placed_at", "answered_at", "ended_at"]


@admin.register(QueuedCall)
class QueuedCallAdmin(ViewOnly, ModelAdmin):
    """Evidence. A call that is still live can be hung up."""

    list_display = ["public_id", "direction", "state", "customer", "queue", "agent", "arrived_at"]
    list_filter = ["state", "direction", "queue"]
    list_select_related = ["queue", "agent"]
    search_fields = ["public_id", "customer", "legs__session_id", "legs__provider_id"]
    date_hierarchy = "arrived_at"
    show_full_result_count = False
    inlines = [EventInline, OfferInline, LegInline]
    exclude = ["document"]
    actions = ["hang_up"]

    @admin.action(description="Hang up", permissions=["view"])
    def hang_up(self, request: HttpRequest, chosen: QuerySet[QueuedCall]) -> None:
        ended = 0
        for call in chosen.filter(ended_at=None):
            with scene(call.pk, at=timezone.now(), source="admin") as opened:
                if opened.call.is_final:
                    continue
                opened.note("hung_up_by_supervisor", by=request.user.get_username())
                calls.agent_is_done(opened)
                for leg in Leg.objects.filter(call=call, ended_at=None):
                    offers.hang_up(leg, opened.at)
                ended += 1
        self.message_user(
            request, f"{ended} of {len(chosen)} calls are being hung up.", messages.SUCCESS
        )


@admin.register(WebhookEvent)
class WebhookEventAdmin(ViewOnly, ModelAdmin):
    """What arrived, as it arrived."""

    list_display = ["received_at", "endpoint", "kind", "verdict", "note", "repeats", "call"]
    list_filter = ["verdict", "endpoint"]
    list_select_related = ["call"]
    search_fields = ["=key", "call__public_id"]
    show_full_result_count = False


@admin.register(Alert)
class AlertAdmin(ViewOnly, ModelAdmin):
    list_display = ["text", "kind", "count", "first_at", "last_at", "dismissed_at"]
    list_filter = ["kind", ("dismissed_at", admin.EmptyFieldListFilter)]
    actions = ["dismiss"]

    @admin.action(description="Dismiss", permissions=["view"])
    def dismiss(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        for alert in chosen:
            alerts.dismiss(alert.pk, at=timezone.now(), actor=request.user)


@admin.register(ProviderFact)
class ProviderFactAdmin(WithHistory, ModelAdmin):
    """What has been learnt about the provider; deleting a fact makes it be learnt again."""

    list_display = ["name", "value", "at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AccessInline(ViewOnly, TabularInline):
    model = RecordingAccess
    extra = 0
    fields = ["user", "at", "how"]
    verbose_name_plural = "Who has listened, newest first"


@admin.register(Recording)
class RecordingAdmin(ViewOnly, ModelAdmin):
    """Evidence: what was fetched of which call, and who has listened."""

    list_display = ["created_at", "call", "state", "duration_seconds", "remove_at", "error"]
    list_filter = ["state"]
    list_select_related = ["call"]
    search_fields = ["call__public_id", "call__customer"]
    exclude = ["path"]
    show_full_result_count = False
    inlines = [AccessInline]


@admin.register(Supervision)
class SupervisionAdmin(ViewOnly, ModelAdmin):
    """Evidence: who listened in on which call, how, and from when to when."""

    list_display = ["created_at", "supervisor", "call", "mode", "state", "ended_at", "error"]
    list_filter = ["mode", "state"]
    list_select_related = ["supervisor", "call"]
    search_fields = ["supervisor__username", "call__public_id"]
    show_full_result_count = False


@admin.register(WrapUp)
class WrapUpAdmin(ViewOnly, ModelAdmin):
    """Evidence: what agents wrote about conversations."""

    list_display = ["updated_at", "offer", "disposition", "updated_by"]
    list_filter = ["disposition"]
    list_select_related = ["offer__call", "offer__agent", "disposition__parent", "updated_by"]
    search_fields = ["notes", "offer__call__public_id", "offer__agent__name"]
    show_full_result_count = False


@admin.register(AlertMail)
class AlertMailAdmin(ViewOnly, ModelAdmin):
    """Evidence: which e-mail went out about which alert."""

    list_display = ["created_at", "address", "alert", "sent_at", "attempts", "error"]
    list_filter = [("sent_at", admin.EmptyFieldListFilter)]
    list_select_related = ["alert"]
    search_fields = ["address", "alert__text"]
