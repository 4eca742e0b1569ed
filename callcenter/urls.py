"""The site map: webhooks, pages, API, admin, operations."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView

from callcenter import health, live

favicon = login_not_required(RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg"))

urlpatterns = [
    path("", include("queues.urls")),
    path("", include("reporting.urls")),
    path("agent/", include("agents.urls")),
    path("", include("callcenter.access.urls")),
    path("events/<str:board>/", live.events, name="live-events"),
    path("api/", include("callcenter.api_urls")),
    path("admin/", admin.site.urls),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.metrics),
    path("favicon.ico", favicon),
]
