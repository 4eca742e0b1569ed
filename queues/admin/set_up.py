"""Queues, their numbers, menus, contacts, dispositions and alert rules are set up here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Field, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from callcenter.admin import Explained, WithHistory
from callcenter.sheets.admin import WithSheets
from callcenter.sheets.contacts import ContactRows
from queues.admin import words
from queues.admin.alerts import WithTestMail
from queues.models import (
    AlertRule,
    Contact,
    Disposition,
    Member,
    Menu,
    MenuOption,
    Number,
    Queue,
    QueuedCall,
)


class NumberFormSet(BaseInlineFormSet):
    """A number under a live call stays where it is."""

    def clean(self) -> None:
        super().clean()
        for form in self.forms:
            number = form.instance
            touched = form.has_changed() or form.cleaned_data.get("DELETE", False)
            was = form.initial.get("e164") if number.pk else None
            if was and touched and _is_live_on(was):
                raise ValidationError(_live_on(was))


def _is_live_on(line: str) -> bool:
    return QueuedCall.objects.filter(line=line, state__in=QueuedCall.OPEN).exists()


def _live_on(line: str) -> str:
    return gettext("A live call came in on %s; change it afterwards.") % line


def _refuse_number(row: Any, names: Sequence[str]) -> str:
    """Say why an undo must leave this row: it is a number under a live call."""
    return _live_on(row.e164) if isinstance(row, Number) and _is_live_on(row.e164) else ""


class NumberInline(Explained, TabularInline):
    model = Number
    formset = NumberFormSet
    extra = 0
    fields = ["e164"]
    help = words.NUMBER


class QueueNumberInline(NumberInline):
    fk_name = "queue"


class MenuNumberInline(NumberInline):
    fk_name = "menu"


class MemberInline(Explained, TabularInline):
    model = Member
    extra = 0
    fields = ["agent", "position"]
    autocomplete_fields = ["agent"]
    help = words.MEMBER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        return Member.objects.select_related("agent", "queue")


@admin.register(Queue)
class QueueAdmin(Explained, WithHistory, ModelAdmin):
    """A line of callers: its numbers, its agents, and the rules by which it is served."""

    list_display = ["name", "slug", "lines", "strategy", "service_level_seconds", "is_open"]
    list_filter = ["strategy", "when_empty", ("closed_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "slug", "numbers__e164"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [QueueNumberInline, MemberInline]
    history_parts = [(Member, "queue"), (Number, "queue")]
    help = words.QUEUE
    fieldsets = [
        (None, {"fields": ["name", "slug", "language"]}),
        (
            _("Who is served, and by whom"),
            {"fields": ["priority", "strategy", "direct_dial", "ring_timeout"]},
        ),
        (
            _("What callers hear"),
            {"fields": ["greeting", "hold_message", "say_position", "closed_message"]},
        ),
        (
            _("When it takes long"),
            {"fields": ["when_empty", "max_wait_seconds"]},
        ),
        (
            _("After the talk"),
            {
                "fields": [
                    "wrap_up_seconds", "wrap_up_extension_seconds", "disposition_required",
                ]
            },
        ),
        (
            _("Figures"),
            {
                "fields": [
                    "service_level_seconds", "service_level_target", "short_abandon_seconds",
                ]
            },
        ),
        (
            _("Agents who have gone"),
            {"fields": ["heartbeat_seconds"]},
        ),
        (
            _("Recordings"),
            {"fields": ["fetch_recordings", "keep_recordings_days"]},
        ),
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        return Queue.objects.filter(retired_at=None).prefetch_related("numbers")

    @admin.display(description=_("Numbers"))
    def lines(self, queue: Queue) -> str:
        return ", ".join(number.e164 for number in queue.numbers.all()) or gettext("none")

    @admin.display(description=_("Open"), boolean=True)
    def is_open(self, queue: Queue) -> bool:
        return queue.closed_at is None

    def has_delete_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        """A queue that has had calls is removed through the API, which keeps the figures."""
        if obj is not None and obj.calls.exists():
            return False
        return bool(super().has_delete_permission(request, obj))

    def refuse_undo(self, row: Any, names: Sequence[str]) -> str:
        """A number under a live call stays where it is."""
        return _refuse_number(row, names)


class OptionInline(Explained, TabularInline):
    model = MenuOption
    fk_name = "menu"
    extra = 1
    fields = ["digit", "label", "queue", "submenu"]
    help = words.OPTION

    def formfield_for_foreignkey(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the queues that are there."""
        if db_field.name == "queue":
            kwargs["queryset"] = Queue.objects.filter(retired_at=None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Menu)
class MenuAdmin(Explained, WithHistory, ModelAdmin):
    """A question before the queue."""

    list_display = ["name", "slug", "tries", "timeout", "on_failure"]
    list_filter = ["on_failure", "language"]
    search_fields = ["name", "slug", "numbers__e164"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [MenuNumberInline, OptionInline]
    history_parts = [(MenuOption, "menu"), (Number, "menu")]
    help = words.MENU
    fieldsets = [
        (None, {"fields": ["name", "slug"]}),
        (_("What callers hear"), {"fields": ["prompt", "language"]}),
        (_("Waiting for a key"), {"fields": ["timeout", "tries", "on_failure"]}),
    ]

    def refuse_undo(self, row: Any, names: Sequence[str]) -> str:
        """A number under a live call stays where it is."""
        return _refuse_number(row, names)


@admin.register(Contact)
class ContactAdmin(WithSheets, WithHistory, ModelAdmin):
    """Whose a number is: agents see the name when it calls."""

    resource_classes = [ContactRows]
    list_display = ["name", "number"]
    search_fields = ["name", "number", "notes"]
    fields = ["number", "name", "notes"]
    show_full_result_count = False


@admin.register(Disposition)
class DispositionAdmin(Explained, WithHistory, ModelAdmin):
    """What an agent can say that a call came to."""

    list_display = ["label", "parent", "queue", "position", "is_active"]
    list_filter = ["is_active", "queue"]
    list_select_related = ["parent", "queue"]
    search_fields = ["label", "parent__label"]
    fields = ["label", "parent", "queue", "position", "is_active"]
    history_parts = [(Disposition, "parent")]
    help = words.DISPOSITION

    def formfield_for_foreignkey(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer groups only, and the queues that are there."""
        if db_field.name == "parent":
            kwargs["queryset"] = Disposition.objects.filter(parent=None)
        else:
            kwargs["queryset"] = Queue.objects.filter(retired_at=None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, *args: Any) -> None:
        """The entries of a group go with it to another queue."""
        super().save_related(request, form, *args)
        for entry in form.instance.children.all():
            if entry.queue_id != form.instance.queue_id:
                entry.queue = form.instance.queue
                entry.save(update_fields=["queue"])


class RuleForm(forms.ModelForm):
    """A rule; its addresses as lines."""

    class Meta:
        model = AlertRule
        fields = ["kind", "queue", "threshold", "emails", "by_webhook", "is_active"]


@admin.register(AlertRule)
class AlertRuleAdmin(WithTestMail, Explained, WithHistory, ModelAdmin):
    """When somebody is told who is not looking at the board."""

    form = RuleForm
    list_display = ["kind", "queue", "threshold", "emails", "by_webhook", "is_active"]
    list_filter = ["kind", "is_active", "by_webhook"]
    list_select_related = ["queue"]
    search_fields = ["emails", "queue__name"]
    help = words.RULE
    fieldsets = [
        (_("When"), {"fields": ["kind", "queue", "threshold", "is_active"]}),
        (_("Who is told"), {"fields": ["emails", "by_webhook"]}),
    ]
