"""Endpoints are set up by administrators; messages and deliveries are evidence."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from callcenter.admin import ViewOnly, WithHistory
from callcenter.outbox import again, delivering, signature
from callcenter.outbox.models import MOST_SECRETS, Delivery, Endpoint, Message
from callcenter.outbox.topics import TOPICS


class EndpointForm(forms.ModelForm):
    """An endpoint; its topics as boxes to tick."""

    topics = forms.MultipleChoiceField(
        choices=[(topic, f"{topic}: {meaning}") for topic, meaning in TOPICS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=list(TOPICS),
        help_text="docs/webhooks.md describes each.",
    )

    class Meta:
        model = Endpoint
        fields = ["description", "url", "topics", "is_active", "allow_private"]


class AdministratorsAct:
    """Whoever may see a model may not yet act on it: that is for administrators."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        """For `permissions=["act"]` of an action."""
        return bool(request.user.is_superuser)


@admin.register(Endpoint)
class EndpointAdmin(WithHistory, AdministratorsAct, ModelAdmin):
    """A secret is made with the endpoint, and shown by an action only."""

    form = EndpointForm
    list_display = ["description", "number", "site", "is_active", "held_until", "pending", "dead"]
    list_filter = ["is_active"]
    search_fields = ["description"]
    readonly_fields = ["failures", "held_until", "created_at"]
    actions = ["send_a_test", "show_secrets", "add_secret", "drop_secret", "replay"]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the changes to administrators: a whole address may hold a secret."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_act_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_act_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_act_permission(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show supervisors the site only: path and query may be secrets of the receiver's."""
        own = ["topics", "is_active", "allow_private", *self.readonly_fields]
        return ["description", "url" if self.has_act_permission(request) else "site", *own]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*self.readonly_fields, "site"]

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        """Make the first secret; a changed address is tried at once."""
        if not obj.secrets:
            obj.secrets = [signature.new_secret()]
            told = "Its secret is made: choose the endpoint in the list, and “Show the secrets”."
            self.message_user(request, told)
        if "url" in form.changed_data:
            obj.failures, obj.held_until = 0, None
        super().save_model(request, obj, form, change)

    @admin.display(description="No.", ordering="pk")
    def number(self, endpoint: Endpoint) -> int:
        return endpoint.pk

    @admin.display(description="Pending")
    def pending(self, endpoint: Endpoint) -> int:
        return Delivery.objects.filter(endpoint=endpoint, next_at__isnull=False).count()

    @admin.display(description="Dead")
    def dead(self, endpoint: Endpoint) -> int:
        return Delivery.objects.filter(endpoint=endpoint, dead_at__isnull=False).count()

    @admin.action(description="Send a test", permissions=["act"])
    def send_a_test(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        if (endpoint := self._one(request, chosen)) is None:
            return
        answer = delivering.ping(endpoint, at=timezone.now())
        if answer.is_taken:
            self.message_user(request, f"{endpoint} has taken it ({answer.status}).")
            return
        told = f"{endpoint} has not taken it: {answer.error}"
        self.message_user(request, f"{told} {answer.excerpt}".strip(), messages.ERROR)

    @admin.action(description="Show the secrets", permissions=["act"])
    def show_secrets(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> HttpResponse | None:
        if (endpoint := self._one(request, chosen)) is None:
            return None
        return self._page(request, "secrets", f"The secrets of {endpoint}", endpoint=endpoint)

    @admin.action(description="Add a new secret", permissions=["act"])
    def add_secret(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        """Sign with one more from now on; the receiver may know either."""
        if (endpoint := self._one(request, chosen)) is None:
            return
        if len(endpoint.secrets) >= MOST_SECRETS:
            self.message_user(request, "Remove the oldest secret first.", messages.ERROR)
            return
        endpoint.secrets = [signature.new_secret(), *endpoint.secrets]
        endpoint.save(update_fields=["secrets"])
        self.message_user(request, "Messages are signed with the new secret too from now on.")

    @admin.action(description="Remove the oldest secret", permissions=["act"])
    def drop_secret(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        if (endpoint := self._one(request, chosen)) is None:
            return
        if len(endpoint.secrets) < 2:
            self.message_user(request, "It is the only one: add a new one first.", messages.ERROR)
            return
        endpoint.secrets = endpoint.secrets[:-1]
        endpoint.save(update_fields=["secrets"])
        self.message_user(request, "The oldest secret signs nothing any more.")

    @admin.action(description="Replay from a sequence number …", permissions=["act"])
    def replay(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> HttpResponse | None:
        if (endpoint := self._one(request, chosen)) is None:
            return None
        first = request.POST.get("first", "").strip()
        if not first:
            return self._page(request, "replay", f"Replay to {endpoint}", endpoint=endpoint)
        if not (first.isascii() and first.isdigit() and 0 < int(first[:19]) < 2**63):
            self.message_user(request, "A sequence number is 1 or more.", messages.ERROR)
            return None
        count = again.replay(endpoint.pk, int(first[:19]), at=timezone.now())
        self.message_user(request, f"{count} messages will be sent again.")
        return None

    def _one(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> Endpoint | None:
        if len(chosen) == 1:
            return chosen[0]
        self.message_user(request, "Choose one endpoint for this.", messages.ERROR)
        return None

    def _page(self, request: HttpRequest, name: str, title: str, **more: Any) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "title": title, **more}
        return TemplateResponse(request, f"outbox/{name}.html", context)


class DeliveryInline(ViewOnly, TabularInline):
    model = Delivery
    extra = 0
    fields = ["endpoint", "attempts", "next_at", "delivered_at", "dead_at", "last_status",
              "last_error"]  # fmt: skip


@admin.register(Message)
class MessageAdmin(ViewOnly, ModelAdmin):
    """What was told, in order."""

    list_display = ["id", "at", "topic", "subject"]
    list_filter = ["topic"]
    search_fields = ["=subject"]
    show_full_result_count = False
    inlines = [DeliveryInline]


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in ("pending", "delivered", "dead")]

    def queryset(self, request: Any, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        states = {
            "pending": Q(next_at__isnull=False),
            "delivered": Q(delivered_at__isnull=False),
            "dead": Q(dead_at__isnull=False),
        }
        return queryset.filter(states.get(self.value() or "", Q()))


@admin.register(Delivery)
class DeliveryAdmin(AdministratorsAct, ViewOnly, ModelAdmin):
    """How far each message has got at each endpoint."""

    list_display = ["message", "endpoint", "subject", "state", "attempts", "next_at",
                    "delivered_at", "last_status", "last_error"]  # fmt: skip
    list_filter = [StateFilter, "endpoint", "message__topic"]
    list_select_related = ["message", "endpoint"]
    search_fields = ["=subject"]
    show_full_result_count = False
    actions = ["redeliver"]

    @admin.action(description="Send the dead ones again", permissions=["act"])
    def redeliver(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> None:
        pks = list(chosen.values_list("pk", flat=True))
        count = again.redeliver(pks, at=timezone.now())
        self.message_user(request, f"{count} of {len(pks)} were dead and will be sent again.")
