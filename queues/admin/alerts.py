"""The test mail of an alert rule."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from queues import alert_mails
from queues.models import AlertRule


class WithTestMail:
    """The action "Send a test mail", and a warning where mails would go nowhere."""

    actions = ["send_a_test"]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Say so where rules name addresses and there is no mail server."""
        rules = AlertRule.objects.filter(is_active=True).exclude(emails="")
        if request.method == "GET" and not settings.EMAIL_URL and rules.exists():
            text = _("E-mail is not set up: set EMAIL_URL in .env and restart. No mail is sent.")
            messages.warning(request, text)
        page: Any = super()
        shown: HttpResponse = page.changelist_view(request, extra_context)
        return shown

    @admin.action(description=gettext_lazy("Send a test mail"), permissions=["change"])
    def send_a_test(self, request: HttpRequest, chosen: QuerySet[AlertRule]) -> None:
        for rule in chosen:
            level, text = _try(rule)
            messages.add_message(request, level, text)


def _try(rule: AlertRule) -> tuple[int, str]:
    """Send a test to the addresses of a rule; return what became of it."""
    facts = {"rule": rule, "to": ", ".join(rule.addresses)}
    if not rule.addresses:
        return messages.WARNING, _("%(rule)s: there is no address to send to.") % facts
    if not settings.EMAIL_URL:
        return messages.ERROR, _("E-mail is not set up: EMAIL_URL is empty.")
    try:
        alert_mails.send_test(rule)
    except alert_mails.FAILED as error:
        facts["why"] = alert_mails.why(error)
        return messages.ERROR, _("%(rule)s: the mail to %(to)s was not taken: %(why)s") % facts
    return messages.SUCCESS, _("%(rule)s: a test was sent to %(to)s.") % facts
