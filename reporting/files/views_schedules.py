"""The page of scheduled reports: what goes out when, what went wrong, and one now to oneself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from queues.alert_mails import FAILED, why
from reporting.files import mails, schedules
from reporting.files.tables import TABLES
from reporting.models import ReportMail, ScheduledReport
from reporting.views import supervisors_only

EVERY = {
    "day": gettext_lazy("each day"),
    "week": gettext_lazy("each week, on Monday"),
    "month": gettext_lazy("each month, on the first"),
}


@require_safe
def scheduled(request: HttpRequest) -> HttpResponse:
    """All schedules, with their next and their last mail."""
    supervisors_only(request)
    at = timezone.now()
    found = ScheduledReport.objects.order_by("-is_active", "name")
    context: dict[str, Any] = {
        "asked": None,
        "rows": [_shown(schedule, at) for schedule in found],
        "is_set_up": bool(settings.EMAIL_URL),
        "zone": timezone.get_default_timezone_name(),
    }
    return render(request, "reports/schedules.html", context)


def _shown(schedule: ScheduledReport, at: Any) -> dict[str, Any]:
    mails_of = ReportMail.objects.filter(schedule=schedule).order_by("-since")
    table = TABLES.get(schedule.report)
    zone = timezone.get_default_timezone()
    next_at = schedule.next_at or schedules.following(schedule, at=at).send_at
    newest = mails_of.first()
    return {
        "schedule": schedule,
        "title": table.title if table else schedule.report,
        "every": EVERY[schedule.every],
        "recipients": schedules.addresses(schedule),
        "next_at": timezone.localtime(next_at, zone) if schedule.is_active else None,
        "last": mails_of.filter(sent_at__isnull=False).first(),
        "newest": newest,
        "is_late": newest is not None and newest.sent_at is None,
    }


@require_POST
def send_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the latest period to whoever asks."""
    supervisors_only(request)
    schedule = get_object_or_404(ScheduledReport, pk=pk)
    address = getattr(request.user, "email", "")
    if not address:
        text = _("Your account has no mail address. An administrator can give it one.")
        messages.error(request, text)
    elif not settings.EMAIL_URL:
        messages.error(request, _("E-mail is not set up: EMAIL_URL is empty."))
    elif schedule.report not in TABLES:
        messages.error(request, _("There is no such table."))
    else:
        try:
            mails.send_now(schedule, address, at=timezone.now())
        except FAILED as error:
            facts = {"address": address, "why": why(error)}
            messages.error(request, _("The mail to %(address)s was not taken: %(why)s") % facts)
        else:
            messages.success(request, _("Sent to %(address)s.") % {"address": address})
    return redirect("report-schedules")
