"""What the admin of every app shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from callcenter import changes


class ViewOnly:
    """Evidence: read it, search it, never add, change or delete it."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WithHistory:
    """The page "History" of a row: who changed what, on it and on its parts, newest first."""

    history_parts: Sequence[tuple[type[Model], str]] = ()  # a model, and its key to this one

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Answer for a row that has been deleted, too."""
        admin: Any = self
        try:
            pk = admin.model._meta.pk.get_prep_value(unquote(object_id))
            row = admin.get_object(request, pk)
        except (TypeError, ValueError, ValidationError, DataError) as error:
            raise Http404("That is no key of a row.") from error
        if not admin.has_view_permission(request, row):
            raise PermissionDenied
        found = changes.of(admin.model, pk, self.history_parts)
        if row is None and not found:
            raise Http404("There is no such row, and never was.")
        context = {
            **admin.admin_site.each_context(request),
            "title": f"History: {row or found[0].what}",
            "changes": found,
            "object": row,
            "opts": admin.model._meta,
            **(extra_context or {}),
        }
        request.current_app = admin.admin_site.name
        return TemplateResponse(request, "admin/changes.html", context)
