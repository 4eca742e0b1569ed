"""The page of exports: asking for a spreadsheet, seeing it being written, taking it away."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from callcenter import ranges
from reporting.files import asking, exports
from reporting.files.tables import TABLES
from reporting.files.xlsx import CONTENT_TYPE
from reporting.models import Download, Export
from reporting.pages import frame
from reporting.views import supervisors_only
from reporting.views_recordings import leave_no_connection

State = Export.State
SHOWN = 40
INTERVALS = "15m 30m hour day week month"


@require_http_methods(["GET", "HEAD", "POST"])
def files(request: HttpRequest) -> HttpResponse:
    """The exports of the last days, and the form that asks for one."""
    supervisors_only(request)
    at = timezone.now()
    if request.method == "POST":
        return _ask(request)
    if getattr(request, "htmx", False):
        return render(request, "reports/_files.html", _listed())
    asked = frame.ask(request, at=at)
    context: dict[str, Any] = {
        **_listed(), "tables": TABLES.values(), "chosen": request.GET.get("table", "queues"),
        "intervals": INTERVALS, "keep": exports.KEEP.days,
    }  # fmt: skip
    return frame.show(request, "reports/files.html", asked, context)


def _ask(request: HttpRequest) -> HttpResponse:
    at = timezone.now()
    table = TABLES.get(request.POST.get("table", ""))
    asked = asking.read(request.GET, at=at)
    address = f"{reverse('report-files')}?{asked.address()}"
    if table is None:
        messages.error(request, _("Choose a table."))
        return redirect(address)
    try:
        exports.ask(
            table, asked, user=request.user, language=translation.get_language() or "", at=at
        )
    except exports.TooMany:
        messages.error(
            request, _("You wait for %(most)s files already.") % {"most": exports.MOST_WAITING}
        )
    return redirect(f"{address}&table={table.key}")


def _listed() -> dict[str, Any]:
    found = Export.objects.select_related("requested_by").exclude(state=State.REMOVED)
    rows = [_shown(export) for export in found[:SHOWN]]
    return {"rows": rows, "is_running": any(row["is_running"] for row in rows)}


def _shown(export: Export) -> dict[str, Any]:
    table = TABLES.get(export.report)
    return {
        "export": export,
        "title": table.title if table else export.report,
        "asked": _in_words(export),
        "again": urlencode(export.query, doseq=True),
        "is_running": export.state in {State.WANTED, State.RUNNING},
        "is_there": exports.file_of(export) is not None,
    }


def _in_words(export: Export) -> str:
    query = export.query
    span = " – ".join(query[name][0] for name in ("from", "to") if query.get(name))
    parts = [span, ", ".join(query.get("queue", [])), ", ".join(query.get("agent", []))]
    return " · ".join([*(part for part in [*parts, *query.get("interval", [])] if part)])


@require_safe
def download(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """The file of an export, whole or a part of it; each time is written down."""
    supervisors_only(request)
    export = Export.objects.filter(pk=pk).first()
    path = exports.file_of(export) if export else None
    table = TABLES.get(export.report) if export else None
    if export is None or path is None or table is None:
        raise Http404(_("There is no such file, or not any more."))
    at = timezone.now()
    asked = asking.read(export.query, at=at)
    if request.method == "GET":
        Download.objects.create(
            report=export.report, query=export.query, how="xlsx", export=export,
            user_id=request.user.pk, at=at,
        )  # fmt: skip
    etag = f'"{export.pk.hex}-{export.size_bytes}"'
    answer = ranges.answer(request, path, content_type=CONTENT_TYPE, etag=etag)
    answer["Cache-Control"] = "private, no-store"
    answer["X-Accel-Buffering"] = "no"
    name = asking.file_name(table, asked, "xlsx")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    leave_no_connection()
    return answer
