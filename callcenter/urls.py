"""The site map: webhooks, pages, API, admin, operations."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import set_language as choose_language

from agents.views import preferences
from callcenter import health, live, start

favicon = login_not_required(RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg"))
set_language = login_not_required(choose_language)  # a cookie, for who has no preferences yet

handler404 = "callcenter.api.not_found"

urlpatterns = [
    path("", include("queues.urls")),
    path("", include("reporting.urls")),
    path("agent/", include("agents.urls")),
    path("", include("callcenter.access.urls")),
    path("preferences/", preferences.own, name="preferences"),
    path("language/", set_language, name="set-language"),
    path("start/", start.start, name="start"),
    path("start/check/", start.check, name="start-check"),
    path("start/check/routing/", start.routing, name="start-routing"),
    path("events/<str:board>/", live.events, name="live-events"),
    path("api/", include("callcenter.api_urls")),
    path("admin/", admin.site.urls),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.metrics),
    path("favicon.ico", favicon),
]
