"""Queues and menus are set up here; calls are evidence, live ones change by actions only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline

from callcenter.admin import ViewOnly, WithHistory
from queues import alerts, calls, offers
from queues.models import (
    Alert,
    CallEvent,
    Leg,
    Member,
    Menu,
    MenuOption,
    Number,
    Offer,
    ProviderFact,
    Queue,
    QueuedCall,
    WebhookEvent,
)
from queues.scene import scene


class NumberFormSet(BaseInlineFormSet):
    """A number under a live call stays where it is."""

    def clean(self) -> None:
        super().clean()
        for form in self.forms:
            number = form.instance
            touched = form.has_changed() or form.cleaned_data.get("DELETE", False)
            was = form.initial.get("e164") if number.pk else None
            if was and touched and _is_live_on(was):
                raise ValidationError(f"A live call came in on {was}; change it afterwards.")


def _is_live_on(line: str) -> bool:
    return QueuedCall.objects.filter(line=line, state__in=QueuedCall.OPEN).exists()


class NumberInline(TabularInline):
    model = Number
    formset = NumberFormSet
    extra = 0
    fields = ["e164"]


class QueueNumberInline(NumberInline):
    fk_name = "queue"


class MenuNumberInline(NumberInline):
    fk_name = "menu"


class MemberInline(TabularInline):
    model = Member
    extra = 0
    fields = ["agent", "position"]
    autocomplete_fields = ["agent"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        return Member.objects.select_related("agent", "queue")


@admin.register(Queue)
class QueueAdmin(WithHistory, ModelAdmin):
    list_display = ["name", "slug", "lines", "strategy", "service_level_seconds", "when_empty"]
    search_fields = ["name", "slug", "numbers__e164"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [QueueNumberInline, MemberInline]
    history_parts = [(Member, "queue"), (Number, "queue")]
    fieldsets = [
        (None, {"fields": ["name", "slug", "language"]}),
        (
            "Who is served, and by whom",
            {"fields": ["priority", "strategy", "direct_dial", "ring_timeout", "wrap_up_seconds"]},
        ),
        (
            "What callers hear",
            {"fields": ["greeting", "hold_message", "say_position"]},
        ),
        (
            "When it takes long",
            {"fields": ["when_empty", "max_wait_seconds"]},
        ),
        (
            "Figures",
            {"fields": ["service_level_seconds", "short_abandon_seconds"]},
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        return Queue.objects.filter(retired_at=None).prefetch_related("numbers")

    @admin.display(description="Numbers")
    def lines(self, queue: Queue) -> str:
        return ", ".join(number.e164 for number in queue.numbers.all()) or "none"

    def has_delete_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        """A queue that has had calls is removed through the API, which keeps the figures."""
        if obj is not None and obj.calls.exists():
            return False
        return bool(super().has_delete_permission(request, obj))


class OptionInline(TabularInline):
    model = MenuOption
    fk_name = "menu"
    extra = 1
    fields = ["digit", "label", "queue", "submenu"]


@admin.register(Menu)
class MenuAdmin(WithHistory, ModelAdmin):
    list_display = ["name", "slug", "tries", "timeout", "on_failure"]
    search_fields = ["name", "slug", "numbers__e164"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [MenuNumberInline, OptionInline]
    history_parts = [(MenuOption, "menu"), (Number, "menu")]


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
