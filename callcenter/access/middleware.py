"""Pages wait until the second factor is shown, where REQUIRE_SECOND_FACTOR asks for one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.deprecation import MiddlewareMixin

from callcenter.permissions import owes_second_factor

# What somebody needs who has yet to set it up.
OPEN_BEFORE = {
    "second-factor", "second-factor-begin", "second-factor-confirm", "logout",
    "password_change", "password_change_done",
}  # fmt: skip


class SecondFactorMiddleware(MiddlewareMixin):
    """Leads who owes a second factor to the page that sets it up.

    Views without sign-in are not looked at: webhooks, and the API, the event streams and metrics,
    which ask `permissions.is_supervisor`.
    """

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Redirect, or let the view answer."""
        if settings.REQUIRE_SECOND_FACTOR == "off" or not getattr(view, "login_required", True):
            return None
        if request.resolver_match and request.resolver_match.url_name in OPEN_BEFORE:
            return None
        if not owes_second_factor(request.user):
            return None
        if request.headers.get("HX-Request"):  # a fragment: the whole page is to go there
            return HttpResponse(status=403, headers={"HX-Refresh": "true"})
        return redirect("second-factor")
