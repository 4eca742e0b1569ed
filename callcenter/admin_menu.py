"""The admin's menu: what can be set up and looked at, by subject instead of by app."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

# A subject, and its models with their icons (Material Symbols, which the theme brings along).
SUBJECTS: list[tuple[Any, list[tuple[str, str, Any]]]] = [
    (
        _("People"),
        [
            ("agents.Agent", "support_agent", _("Agents")),
            ("agents.BreakReason", "coffee", _("Break reasons")),
            ("queues.Contact", "contacts", _("Contacts")),
            ("agents.Notice", "campaign", _("Notices")),
        ],
    ),
    (
        _("Queues and numbers"),
        [
            ("queues.Queue", "groups", _("Queues and their numbers")),
            ("queues.Menu", "dialpad", _("Menus")),
            ("queues.Disposition", "label", _("Dispositions")),
        ],
    ),
    (
        _("Telling others"),
        [
            ("queues.AlertRule", "notifications", _("Alert rules")),
            ("queues.AlertMail", "mail", _("Alert e-mails")),
            ("reporting.ScheduledReport", "schedule_send", _("Reports by mail")),
            ("reporting.ReportMail", "forward_to_inbox", _("Report mails")),
            ("reporting.WallLink", "tv", _("Wall screens")),
            ("outbox.Endpoint", "webhook", _("Webhook endpoints")),
            ("outbox.Message", "outgoing_mail", _("Webhook messages")),
            ("outbox.Delivery", "local_shipping", _("Webhook deliveries")),
        ],
    ),
    (
        _("Evidence"),
        [
            ("queues.QueuedCall", "call", _("Calls")),
            ("queues.WrapUp", "edit_note", _("Wrap-ups")),
            ("queues.Recording", "mic", _("Recordings")),
            ("queues.Supervision", "hearing", _("Listening in")),
            ("reporting.CallRecord", "receipt_long", _("Sautikit's call records")),
            ("queues.WebhookEvent", "call_received", _("Webhooks received")),
            ("queues.Alert", "warning", _("Alerts")),
            ("queues.ProviderFact", "psychology", _("Learnt about Sautikit")),
            ("reporting.Export", "table_view", _("Reports as files")),
            ("reporting.Download", "download", _("Downloads of reports")),
            ("reporting.AuditRun", "fact_check", _("Nightly audits")),
        ],
    ),
    (
        _("Access"),
        [
            ("auth.User", "person", _("Accounts")),
            ("auth.Group", "shield_person", _("Groups")),
            ("authtoken.TokenProxy", "key", _("API tokens")),
            ("agents.HistoricalToken", "history", _("History of API tokens")),
        ],
    ),
]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu of whoever asks: what they may see, subject by subject."""
    start = {"title": _("First steps"), "icon": "flag", "link": reverse("start")}
    menu: list[dict[str, Any]] = [{"items": [start]}]
    for title, models in SUBJECTS:
        items = [
            {"title": name, "icon": icon, "link": reverse(_list(label))}
            for label, icon, name in models
            if _may_see(request, label)
        ]
        if items:
            menu.append({"title": title, "separator": True, "collapsible": False, "items": items})
    return menu


def _may_see(request: HttpRequest, label: str) -> bool:
    page = admin.site._registry.get(apps.get_model(label))
    return page is not None and page.has_view_permission(request)


def _list(label: str) -> str:
    return f"admin:{label.replace('.', '_').lower()}_changelist"
