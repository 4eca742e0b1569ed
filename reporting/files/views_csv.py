"""A table of a report as CSV, of any length, at the pace of whoever reads it.

Sent in portions by an asynchronous handler (callcenter.asgi): each portion takes a thread and a
connection for as long as it is read from the database, and gives both back before it is sent. So
a reader who is slow, or stops, holds nothing but a socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from reporting.files import asking, lines
from reporting.files.tables import TABLES
from reporting.models import Download
from reporting.views import supervisors_only
from reporting.views_recordings import leave_no_connection

CONTENT_TYPE = "text/csv; charset=utf-8"


@require_safe
def table(request: HttpRequest, table: str) -> HttpResponseBase:
    """The rows that the address asks for. What cannot be meant is refused: a file has no notes."""
    supervisors_only(request)
    found = TABLES.get(table)
    if found is None:
        raise Http404(_("There is no such table."))
    at = timezone.now()
    asked = asking.read(request.GET, at=at)
    if asked.notes:
        text = "\n".join(asked.notes) + "\n"
        return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
    name = asking.file_name(found, asked, "csv")
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-store",
        "X-Accel-Buffering": "no",
    }
    if request.method == "HEAD":
        return HttpResponse(content_type=CONTENT_TYPE, headers=headers)
    Download.objects.create(
        report=found.key, query=asking.kept(request.GET), how="csv", user_id=request.user.pk, at=at
    )
    portions = lines.portions(found, asked, at=at)
    body = _apart(portions) if isinstance(request, ASGIRequest) else portions
    leave_no_connection()
    return StreamingHttpResponse(body, content_type=CONTENT_TYPE, headers=headers)


async def _apart(portions: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (portion := await asyncio.to_thread(_next, portions)) is not None:
        yield portion


def _next(portions: Iterator[bytes]) -> bytes | None:
    try:
        return next(portions, None)
    finally:
        leave_no_connection()
