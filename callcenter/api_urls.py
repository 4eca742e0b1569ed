"""`/api/`: the routes of all apps, their schema, and a page to try them on."""

from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from agents.api import AgentViewSet
from agents.api_desk import BreakReasonViewSet, NoticeViewSet
from queues.api import CallViewSet, ContactViewSet, MenuViewSet, QueueViewSet
from queues.api_wrap_up import DispositionViewSet
from reporting.api import AgentReportView, LiveView, QueueReportView
from reporting.api_planning import PlanningView

router = DefaultRouter()
router.include_root_view = False
router.include_format_suffixes = False
router.register("queues", QueueViewSet, basename="api-queue")
router.register("agents", AgentViewSet, basename="api-agent")
router.register("menus", MenuViewSet, basename="api-menu")
router.register("contacts", ContactViewSet, basename="api-contact")
router.register("calls", CallViewSet, basename="api-call")
router.register("break-reasons", BreakReasonViewSet, basename="api-break-reason")
router.register("dispositions", DispositionViewSet, basename="api-disposition")
router.register("notices", NoticeViewSet, basename="api-notice")

# A page: it has no OPTIONS in JSON.
docs = SpectacularSwaggerSplitView.as_view(url_name="api-schema", http_method_names=["get", "head"])

urlpatterns = [
    path("live/", LiveView.as_view(), name="api-live"),
    path("reports/queues/", QueueReportView.as_view(), name="api-report-queues"),
    path("reports/agents/", AgentReportView.as_view(), name="api-report-agents"),
    path("reports/planning/", PlanningView.as_view(), name="api-report-planning"),
    path("schema/", login_not_required(SpectacularAPIView.as_view()), name="api-schema"),
    path("docs/", docs, name="api-docs"),
    path("", include(router.urls)),
]
