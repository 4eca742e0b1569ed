"""Agents in the admin: set-up is edited here, presence only through actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axes.utils import reset as forget_wrong_passwords
from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework.authtoken.admin import TokenAdmin as StockTokenAdmin
from rest_framework.authtoken.models import TokenProxy
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from agents import presence
from agents.models import Agent, BreakReason, Notice, NoticeRecipient, PresencePeriod
from agents.serializers import is_busy
from callcenter.access import second_factor
from callcenter.admin import Explained, ViewOnly, WithHistory
from callcenter.permissions import AGENTS, is_privileged
from callcenter.sheets.admin import WithSheets
from callcenter.sheets.agents import AgentRows
from queues import offers
from queues.models import Member


class MemberInline(Explained, TabularInline):
    model = Member
    extra = 0
    fields = ["queue", "position"]
    autocomplete_fields = ["queue"]
    help = {"queue": _("A queue whose calls this agent takes.")}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        return Member.objects.select_related("agent", "queue")


class PresencePeriodInline(ViewOnly, TabularInline):
    model = PresencePeriod
    extra = 0
    max_num = 0
    fields = ["presence", "reason", "started_at", "ended_at", "actor", "cause"]
    verbose_name_plural = "Presence, newest first"

    def get_queryset(self, request: HttpRequest) -> QuerySet[PresencePeriod]:
        newest = PresencePeriod.objects.order_by("-started_at")
        agent = request.resolver_match.kwargs.get("object_id") if request.resolver_match else None
        shown = newest.filter(agent_id=agent).values_list("pk", flat=True)[:20] if agent else []
        return newest.filter(pk__in=list(shown)).select_related("actor")


class AgentForm(forms.ModelForm):
    """An agent and their account in one form."""

    is_administrator = False  # who fills it in; the admin says

    username = forms.CharField(
        max_length=150, widget=UnfoldAdminTextInputWidget, help_text="For signing in."
    )
    initial_password = forms.CharField(
        max_length=128,
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="The agent changes it after the first sign-in.",
    )

    class Meta:
        model = Agent
        fields = ["name", "destination", "confirm_key"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["username"].initial = self.instance.user.username

    def clean_username(self) -> str:
        username = str(self.cleaned_data["username"])
        UnicodeUsernameValidator()(username)
        taken = User.objects.filter(username=username)
        if self.instance.pk:
            taken = taken.exclude(pk=self.instance.user_id)
        if taken.exists():
            raise forms.ValidationError("This username is taken.")
        user = self.instance.user if self.instance.pk else None
        if user and username != user.username and is_privileged(user) and not self.is_administrator:
            raise forms.ValidationError("Only an administrator renames staff.")
        return username

    def clean_initial_password(self) -> str:
        password = str(self.cleaned_data["initial_password"] or "")
        if password:
            validate_password(password)
        return password

    def account(self) -> User:
        """Return the agent's account, made or renamed as the form says."""
        user = self.instance.user if self.instance.pk else User()
        user.username = self.cleaned_data["username"]
        if user.pk:
            user.save(update_fields=["username"])
        else:
            user.set_password(self.cleaned_data.get("initial_password") or None)
            user.save()
        user.groups.add(Group.objects.get_or_create(name=AGENTS)[0])
        return user


@admin.register(Agent)
class AgentAdmin(WithSheets, WithHistory, ModelAdmin):
    """Who takes calls. What an agent is doing now is derived from calls and cannot be edited."""

    list_display = ["name", "account", "destination", "presence", "engagement", "hold_off"]
    list_filter = ["presence", "engagement", "queues"]
    list_select_related = ["user"]
    search_fields = ["name", "destination", "user__username"]
    form = AgentForm
    resource_classes = [AgentRows]
    inlines = [MemberInline, PresencePeriodInline]
    history_parts = [(Member, "agent")]
    actions = ["make_available", "send_on_break", "sign_out", "end_wrap_up", "let_sign_in"]
    fieldsets = [
        (None, {"fields": ["name", "username", "initial_password"]}),
        (_("Phone"), {"fields": ["destination", "confirm_key"]}),
        (_("Now"), {"fields": ["presence", "presence_reason", "engagement", "hold_off"]}),
    ]
    readonly_fields = ["presence", "presence_reason", "engagement", "hold_off"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        return Agent.objects.current()

    @admin.display(description="Username", ordering="user__username")
    def account(self, agent: Agent) -> str:
        return agent.user.username

    @admin.display(description="Passed over")
    def hold_off(self, agent: Agent) -> str:
        if not agent.hold_off_until or agent.hold_off_until <= timezone.now():
            return "–"
        until = timezone.localtime(agent.hold_off_until)
        return f"until {until:%H:%M:%S}: {agent.get_hold_off_reason_display()}"

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        """Save what the form has, and no more: engagement may have changed since it was shown."""
        obj.user = form.account()
        if change:
            obj.save(update_fields=["user", *AgentForm.Meta.fields])
        else:
            obj.save()

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Tell the form who fills it in."""
        form = super().get_form(request, *args, **kwargs)
        form.is_administrator = request.user.is_superuser
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Agent | None = None) -> list[str]:
        fixed = ["destination"] if obj and is_busy(obj) else []
        return [*self.readonly_fields, *fixed]

    def refuse_undo(self, row: Any, names: Sequence[str]) -> str:
        """The phone of an agent with a live call stays what it is."""
        if isinstance(row, Agent) and "destination" in names and is_busy(row):
            return gettext("The agent has a live call; the destination can change afterwards.")
        return ""

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        """The password is asked for once, when the agent is made."""
        if obj is None:
            return self.fieldsets
        (label, options), *rest = self.fieldsets
        kept = [name for name in options["fields"] if name != "initial_password"]
        return [(label, {"fields": kept}), *rest]

    def has_delete_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """An agent with calls is removed through the API, which keeps the figures."""
        if obj is not None and (is_busy(obj) or obj.offers.exists()):
            return False
        return bool(super().has_delete_permission(request, obj))

    def _set(self, request: HttpRequest, agents: QuerySet[Agent], wish: str) -> None:
        for agent in agents:
            presence.change(
                agent.pk, wish, at=timezone.now(), actor=request.user, cause="admin",
                reason="Set by a supervisor" if wish == "break" else "",
            )  # fmt: skip
        self.message_user(request, f"{len(agents)} agents are now {wish}.", messages.SUCCESS)

    @admin.action(description="Set available", permissions=["change"])
    def make_available(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        self._set(request, agents, "available")

    @admin.action(description="Send on break", permissions=["change"])
    def send_on_break(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        self._set(request, agents, "break")

    @admin.action(description="Set offline", permissions=["change"])
    def sign_out(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        self._set(request, agents, "offline")

    @admin.action(description="End wrap-up now", permissions=["change"])
    def end_wrap_up(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        ended = sum(offers.end_wrap_up(agent.pk, at=timezone.now(), early=True) for agent in agents)
        self.message_user(request, f"{ended} of {len(agents)} were in wrap-up.")

    @admin.action(description="Let try signing in again at once", permissions=["change"])
    def let_sign_in(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        for agent in agents.select_related("user"):
            forget_wrong_passwords(username=agent.user.username)
        self.message_user(request, f"{len(agents)} agents may try again.", messages.SUCCESS)


@admin.register(BreakReason)
class BreakReasonAdmin(Explained, WithHistory, ModelAdmin):
    """What an agent may say when going on break."""

    list_display = ["name", "is_paid", "limit_minutes", "position", "is_active"]
    list_filter = ["is_active", "is_paid"]
    search_fields = ["name"]
    fields = ["name", "is_paid", "limit_minutes", "position", "is_active"]
    help = {"is_active": _("Off: agents are not offered it any more.")}


class NoticeRecipientInline(ViewOnly, TabularInline):
    model = NoticeRecipient
    extra = 0
    fields = ["agent", "read_at"]


@admin.register(Notice)
class NoticeAdmin(ViewOnly, ModelAdmin):
    """Evidence: what supervisors told agents, and who has read it. Sent from the room."""

    list_display = ["text", "sender", "created_at"]
    list_select_related = ["sender"]
    search_fields = ["text"]
    inlines = [NoticeRecipientInline]


for stock in (User, Group, TokenProxy, TOTPDevice, StaticDevice):  # the devices show their keys
    admin.site.unregister(stock)


@admin.register(User)
class UserAdmin(WithHistory, StockUserAdmin, ModelAdmin):
    """Accounts; for administrators."""

    can_undo = False  # rights are given, not written back
    actions = ["let_sign_in", "remove_second_factor"]

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    @admin.action(description="Let try signing in again at once", permissions=["change"])
    def let_sign_in(self, request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users:
            forget_wrong_passwords(username=user.username)
        self.message_user(request, f"{len(users)} accounts may try again.", messages.SUCCESS)

    @admin.action(description="Remove the second factor", permissions=["change"])
    def remove_second_factor(self, request: HttpRequest, users: QuerySet[User]) -> None:
        removed = [user for user in users if second_factor.remove(user)]
        for user in removed:
            self.log_change(request, user, "Removed the second factor.")
        self.message_user(request, f"{len(removed)} of {len(users)} had one.", messages.SUCCESS)


@admin.register(Group)
class GroupAdmin(WithHistory, ModelAdmin):
    can_undo = False
    search_fields = ["name"]
    filter_horizontal = ["permissions"]


@admin.register(TokenProxy)
class TokenAdmin(StockTokenAdmin, ModelAdmin):
    """API tokens; for administrators. A token may do what its user may do."""

    list_display = ["user", "created"]


class HistoryOfTokensAdmin(ViewOnly, ModelAdmin):
    """Who made or removed whose API token, and when."""

    list_display = ["history_date", "user", "history_type", "history_user", "history_change_reason"]
    list_filter = ["history_type"]
    list_select_related = ["user", "history_user"]
    search_fields = ["user__username"]


admin.site.register(apps.get_model("agents", "HistoricalToken"), HistoryOfTokensAdmin)
