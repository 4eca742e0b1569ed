"""Playing and downloading a recording: supervisors only, and each time is written down."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from callcenter import ranges
from callcenter.permissions import is_supervisor
from queues import arrivals, recordings
from queues.models import Recording


@require_safe
def recording(request: HttpRequest, public_id: str, pk: uuid.UUID) -> HttpResponseBase:
    """The sound of a recording, whole or the part that the player asks for."""
    if not is_supervisor(request.user):
        raise PermissionDenied(_("This page is for supervisors."))
    found, path = _find(public_id, pk)
    how = "download" if "download" in request.GET else "play"
    if request.method == "GET":
        recordings.heard(found.pk, request.user, how, at=timezone.now())
    answer = ranges.answer(
        request, path, content_type=found.content_type, etag=f'"{found.pk.hex}-{found.size_bytes}"'
    )
    answer["Cache-Control"] = "private, no-store"
    answer["X-Accel-Buffering"] = "no"
    if how == "download":
        name = f"{timezone.localtime(found.created_at):%Y-%m-%d-%H%M}-{found.pk}{path.suffix}"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
    leave_no_connection()
    return answer


def _find(public_id: str, pk: uuid.UUID) -> tuple[Recording, Path]:
    call_pk = arrivals.public_id(public_id)
    found = Recording.objects.filter(pk=pk, call=call_pk).first() if call_pk else None
    path = recordings.file_of(found) if found else None
    if found is None or path is None:
        raise Http404(_("There is no such recording, or not any more."))
    return found, path


def leave_no_connection() -> None:
    """Give the database connection back before the sound is sent, which lasts."""
    if not connection.in_atomic_block:  # as in tests
        connection.close()
