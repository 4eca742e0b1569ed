"""Import and export on the list pages of the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core import signing
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from import_export.admin import ImportExportMixin
from import_export.forms import ConfirmImportForm
from unfold.contrib.import_export.forms import ExportForm, ImportForm

from callcenter.sheets.formats import CSV, MOST_BYTES, XLSX, Table, Unreadable
from callcenter.sheets.kept import InThePage


class FileForm(ImportForm):
    """The file to import, refused at the field with a sentence when it is not for these rows."""

    def __init__(self, formats: Any, resources: Any, **kwargs: Any) -> None:
        super().__init__(formats, resources, **kwargs)
        self.rows = resources[0]
        field = self.fields["import_file"]
        field.label = "File"
        field.help_text = (
            _(
                "CSV or Excel (.xlsx); the first line names the columns. Nothing happens before "
                "you have seen what would change. %s"
            )
            % self.rows.explained
        )
        self.fields["format"].widget = forms.HiddenInput()
        self.fields["format"].initial = "0"

    def clean_import_file(self) -> UploadedFile:
        """Read the file once to say at the field what is wrong with it."""
        file: UploadedFile = self.cleaned_data["import_file"]
        try:
            if (file.size or 0) > MOST_BYTES:
                raise Unreadable("The file is larger than 512 KB: split it.")
            table = Table().create_dataset(file.read())
        except Unreadable as error:
            raise forms.ValidationError(str(error)) from error
        file.seek(0)
        if problem := self.rows().refuse(table):
            raise forms.ValidationError(problem)
        return file


class WithSheets(ImportExportMixin):
    """Import with a preview, and export, for whoever may add, change or see the rows."""

    import_form_class = FileForm
    confirm_form_class = ConfirmImportForm
    export_form_class = ExportForm
    tmp_storage_class = InThePage
    skip_admin_log = True  # the history has each row
    import_formats = [Table]
    export_formats = [XLSX, CSV]

    def has_import_permission(self, request: HttpRequest) -> bool:
        admin: Any = self
        return bool(admin.has_add_permission(request) and admin.has_change_permission(request))

    def has_export_permission(self, request: HttpRequest) -> bool:
        admin: Any = self
        return bool(admin.has_view_permission(request))

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the form, and after it what the import would do."""
        return self._checked(super().import_action(request, **kwargs))

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Do what the preview has shown; a row that no longer fits stops all of it."""
        admin: Any = self
        try:
            done: HttpResponse = super().process_import(request, **kwargs)
        except (signing.BadSignature, Unreadable):
            admin.message_user(request, "The preview is too old: choose the file again.", "error")
            return redirect(request.path.replace("process_import/", "import/"))
        return done

    def process_dataset(self, *args: Any, **kwargs: Any) -> Any:
        return super().process_dataset(*args, rollback_on_validation_errors=True, **kwargs)

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        """Say what was done; or that nothing was, because the rows no longer fit."""
        admin: Any = self
        if not result.has_errors() and not result.has_validation_errors():
            done: HttpResponse = super().process_result(result, request)
            return done
        told = "Nothing was imported: something has changed since the preview. Try it again."
        admin.message_user(request, told, "error")
        return redirect(request.path.replace("process_import/", "import/"))

    def get_export_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_export_queryset(request)
        return rows

    def _checked(self, reply: TemplateResponse) -> HttpResponse:
        """Add to each refused row which cell each error belongs to."""
        result = (reply.context_data or {}).get("result")
        if result is not None:
            refused = [_cells(row, result) for row in result.invalid_rows]
            reply.context_data = {**(reply.context_data or {}), "refused": refused}
        reply["Cache-Control"] = "no-store"
        return reply


def _cells(row: Any, result: Any) -> dict[str, Any]:
    """Return a refused row as cells with their errors, and the errors that belong to none."""
    told = dict(row.error_dict)
    cells = [
        {"column": column, "value": value, "errors": told.pop(column, [])}
        for column, value in zip(result.diff_headers, row.values, strict=True)
    ]
    told = {"initial_password" if name == "password" else name: each for name, each in told.items()}
    others = [
        text if name == NON_FIELD_ERRORS else f"{name}: {text}"
        for name, texts in told.items()
        for text in texts
    ]
    return {"number": row.number, "cells": cells, "others": others}
