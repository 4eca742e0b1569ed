"""In which language and time zone somebody sees the pages.

Chosen at /preferences/ and kept in the session, so that a page costs no query for it. Without a
choice of their own: the language that the browser asks for (or that was chosen at the sign-in),
and the site's TIME_ZONE. What programs read (webhooks, the API, metrics) stays in English and in
TIME_ZONE.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin

from agents.models import Preferences

FOR_PROGRAMS = ("/calls/", "/api/", "/events/", "/health/", "/metrics", "/static/")
_LANGUAGE, _ZONE = "language", "time_zone"  # in the session
FIRST = [
    "Africa/Nairobi", "Africa/Kampala", "Africa/Dar_es_Salaam", "Africa/Kigali",
    "Africa/Bujumbura", "Africa/Addis_Ababa", "Africa/Mogadishu", "Africa/Juba", "Africa/Lusaka",
    "Africa/Harare", "Africa/Johannesburg", "Africa/Lagos", "Africa/Accra", "Africa/Cairo",
]  # fmt: skip


@cache
def zones() -> list[str]:
    """Return every time zone's name; those of the neighbourhood first."""
    known = available_timezones()
    first = [name for name in FIRST if name in known]
    return [*first, *sorted(name for name in known - set(first) if "/" in name), "UTC"]


def remember(session: Any, language: str, time_zone: str) -> None:
    """Let these hold for the rest of this session; "" for the site's own."""
    session[_LANGUAGE], session[_ZONE] = language, time_zone


@receiver(user_logged_in, dispatch_uid="preferences")
def recall(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Take a user's choices into the session that begins."""
    session = getattr(request, "session", None)
    if session is not None:
        chosen = Preferences.objects.filter(user_id=user.pk).values_list("language", "time_zone")
        remember(session, *(chosen.first() or ("", "")))


class PreferencesMiddleware(MiddlewareMixin):
    """Switches language and time zone for pages, and back for everything else."""

    def process_request(self, request: HttpRequest) -> None:
        """Activate what holds for this request; a thread keeps nothing of the one before."""
        if request.path_info.startswith(FOR_PROGRAMS):
            translation.activate(settings.LANGUAGE_CODE)
            timezone.deactivate()
            return
        session = request.session if SESSION_KEY in request.session else {}
        language = session.get(_LANGUAGE) or translation.get_language_from_request(request)
        translation.activate(language)
        name = session.get(_ZONE)
        if name in zones():
            timezone.activate(ZoneInfo(name))
        else:
            timezone.deactivate()

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Say in which language a page is."""
        if not request.path_info.startswith(FOR_PROGRAMS):
            patch_vary_headers(response, ("Accept-Language",))
            response.headers.setdefault("Content-Language", translation.get_language())
        return response
