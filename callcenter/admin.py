"""What the admin of every app shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError
from django.db.models import Field, Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from callcenter import changes, undo

VERSION = "_version"  # the field of a form that says as of which change it was filled in


class ViewOnly:
    """Evidence: read it, search it, never add, change or delete it."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Explained:
    """A sentence under each field of a form, also where the model has none."""

    help: Mapping[str, Any] = {}

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        """Add the sentence to a field that has none."""
        admin: Any = super()
        field = admin.formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in self.help:
            field.help_text = self.help[db_field.name]
        return field


class WithHistory:
    """The page "History" of a row, with undo; and no saving over what somebody else has changed.

    History shows who changed what, on the row and on its parts, newest first.
    """

    history_parts: Sequence[tuple[type[Model], str]] = ()  # a model, and its key to this one
    can_undo = True
    change_form_before_template = "admin/version.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the address that undoes a change."""
        admin: Any = self
        name = f"{admin.opts.app_label}_{admin.opts.model_name}_undo"
        view = admin.admin_site.admin_view(self.undo_view)
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]  # a mixin of ModelAdmin
        return [path("<path:object_id>/history/undo/", view, name=name), *urls]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Answer for a row that has been deleted, too."""
        admin: Any = self
        pk, row = self._found(request, object_id)
        if not admin.has_view_permission(request, row):
            raise PermissionDenied
        found = changes.of(admin.model, pk, self.history_parts)
        if row is None and not found:
            raise Http404("There is no such row, and never was.")
        context = {
            **admin.admin_site.each_context(request),
            "title": _("History: %(row)s") % {"row": row or found[0].what},
            "changes": found,
            "object": row,
            "opts": admin.model._meta,
            "may_undo": self._may_undo(request, row),
            **(extra_context or {}),
        }
        request.current_app = admin.admin_site.name
        return TemplateResponse(request, "admin/changes.html", context)

    def undo_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Write back what one change has changed; say why not where that does not fit any more."""
        admin: Any = self
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        pk, row = self._found(request, object_id)
        if not self._may_undo(request, row):
            raise PermissionDenied
        label, _dot, history_id = request.POST.get("change", "").partition(":")
        models: list[Any] = [admin.model, *(part for part, _key in self.history_parts)]
        model = next((each for each in models if each._meta.label == label), None)
        theirs = changes.of(admin.model, pk, self.history_parts) if model else []
        if f"{label}:{history_id}" not in {change.key for change in theirs if change.can_undo}:
            raise Http404("There is no such change of this row that can be undone.")
        try:
            undo.undo(model, int(history_id), refuse=self.refuse_undo)
        except undo.CannotUndo as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("The change has been undone. That is a change too."))
        info = (admin.opts.app_label, admin.opts.model_name)
        return redirect(reverse("admin:{}_{}_history".format(*info), args=[object_id]))

    def refuse_undo(self, row: Any, names: Sequence[str]) -> str:
        """Say why these fields of this row cannot be written now; "" where they can."""
        return ""

    def get_form(self, request: HttpRequest, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Let the form refuse what was filled in before somebody else's change."""
        admin: Any = super()
        form = admin.get_form(request, obj, *args, **kwargs)
        if obj is None or request.method != "POST":
            return form
        parts = self.history_parts

        class Checked(form):  # type: ignore[misc,valid-type]  # made at run time
            def clean(self) -> Any:
                cleaned = super().clean()
                if told := _changed_since(obj, parts, request.POST.get(VERSION, "")):
                    raise forms.ValidationError(told)
                return cleaned

        Checked.__name__ = form.__name__
        return Checked

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Give the form the number of the newest change, seen by whoever gets this page."""
        admin: Any = super()
        row = kwargs.get("obj")
        context["version"] = changes.version(row, self.history_parts) if row else ""
        reply: HttpResponse = admin.render_change_form(request, context, *args, **kwargs)
        return reply

    def _found(self, request: HttpRequest, object_id: str) -> tuple[Any, Any]:
        """Return a key and its row, None where that has been deleted. Raises Http404."""
        admin: Any = self
        try:
            pk = admin.model._meta.pk.get_prep_value(unquote(object_id))
            return pk, admin.get_object(request, pk)
        except (TypeError, ValueError, ValidationError, DataError) as error:
            raise Http404("That is no key of a row.") from error

    def _may_undo(self, request: HttpRequest, row: Any) -> bool:
        admin: Any = self
        return self.can_undo and row is not None and bool(admin.has_change_permission(request, row))


def _changed_since(row: Any, parts: Sequence[tuple[type[Model], str]], seen: str) -> str:
    """Say who has changed what since the form was shown, and let nobody else do so meanwhile."""
    type(row)._default_manager.select_for_update(of=("self",)).filter(pk=row.pk).first()
    if not seen or changes.version(row, parts) == seen:
        return ""
    newer = changes.since(row, parts, seen)
    told = "; ".join(
        _("%(who)s at %(at)s: %(what)s")
        % {
            "who": change.who or change.door,
            "at": f"{timezone.localtime(change.at):%H:%M:%S}",
            "what": change.in_words(),
        }
        for change in newer
    )
    return _(
        "Somebody has changed this since you opened it: %(told)s. Nothing of yours was saved. "
        "Compare, and save again if yours is to stand."
    ) % {"told": told or _("see the history")}
