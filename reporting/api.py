"""`/api/live/` and `/api/reports/`."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from callcenter.permissions import IsSupervisor
from queues.api import instant
from reporting import live, metrics


class LiveView(APIView):
    """The wallboard's snapshot."""

    permission_classes = [IsSupervisor]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """How every queue, call and agent stands now."""
        return Response(live.snapshot(timezone.now()))


class QueueReportView(APIView):
    """Counts per queue and interval."""

    permission_classes = [IsSupervisor]

    @extend_schema(
        parameters=[
            OpenApiParameter("since", str, description="ISO 8601; today's midnight if absent."),
            OpenApiParameter("until", str, description="ISO 8601; the next midnight if absent."),
            OpenApiParameter("interval", str, enum=list(metrics.INTERVALS)),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """Inbound calls by the interval in which they entered the queue."""
        asked = request.query_params
        start, end = metrics.today(timezone.now())
        since = instant(asked["since"], "since") if asked.get("since") else start
        until = instant(asked["until"], "until") if asked.get("until") else max(end, since)
        interval = asked.get("interval") or None
        if interval and interval not in metrics.INTERVALS:
            raise exceptions.ValidationError(
                {"interval": [f"One of {', '.join(metrics.INTERVALS)}."]}
            )
        if until < since:
            raise exceptions.ValidationError({"until": ["The end lies before the start."]})
        rows = metrics.queue_rows(since, until, interval)
        return Response({"results": rows, "next": None})
