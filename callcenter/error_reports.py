"""What an error report may say: for the debug page, and for e-mail where somebody sets that up."""

from __future__ import annotations

import re
from typing import Any

from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from callcenter import masking


class ReporterFilter(SafeExceptionReporterFilter):
    """Hides more of the settings and the request than Django does: addresses with passwords too."""

    hidden_settings = re.compile(
        "API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|COOKIE|_URL|DATABASE|NUMBER", re.IGNORECASE
    )
    cleansed_substitute = masking.HIDDEN


class Reporter(ExceptionReporter):
    """An error report that is masked as the log is."""

    def get_traceback_data(self) -> dict[str, Any]:
        """Return what both forms of the report are made of, without secrets of the query."""
        data: dict[str, Any] = super().get_traceback_data()
        if self.request is not None:
            hides = ReporterFilter.hidden_settings.search
            items = self.request.GET.items()
            data["request_GET_items"] = [
                (name, masking.HIDDEN if hides(name) else value) for name, value in items
            ]
        return data

    def get_traceback_text(self) -> SafeString:
        """Return the report for an e-mail."""
        return SafeString(masking.mask(super().get_traceback_text()))

    def get_traceback_html(self) -> SafeString:
        """Return the report for a page."""
        return SafeString(masking.mask(super().get_traceback_html()))
