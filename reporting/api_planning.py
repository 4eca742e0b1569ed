"""`/api/reports/planning/`: the figures of the planning page."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from callcenter.permissions import IsSupervisor
from queues.models import Queue
from reporting.figures import asked as asking
from reporting.planning import plan, wanted


class PlanningView(APIView):
    """Next week by half hours: calls foretold, agents needed, and what those at work come to."""

    permission_classes = [IsSupervisor]

    @extend_schema(
        parameters=[
            OpenApiParameter("queue", str, description="Its slug; the first by name if absent."),
            OpenApiParameter("tz", str, description="The site's time zone if absent."),
            OpenApiParameter("model", str, enum=list(wanted.MODELS)),
            OpenApiParameter("method", str, enum=list(wanted.METHODS)),
            *(
                OpenApiParameter(
                    field.name, float,
                    description=f"{field.label}: {field.least} to {field.most} {field.unit}.",
                )
                for field in wanted.FIELDS.values()
            ),
        ],
        responses=OpenApiTypes.OBJECT,
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Shares are asked for in percent and answered as 0 to 1; times are in seconds."""
        at = timezone.now()
        asked = request.query_params
        place = asking.read(
            {"tz": asked.get("tz", "")}, at=at, zone=timezone.get_current_timezone()
        )
        queues = list(Queue.objects.filter(retired_at=None))
        queue, problem = wanted.queue_of(asked, queues)
        problems = {"queue": problem} if problem else {}
        if place.notes:
            problems["tz"] = " ".join(place.notes)
        if problems:
            raise exceptions.ValidationError({name: [told] for name, told in problems.items()})
        if queue is None:
            raise exceptions.ValidationError({"queue": ["There is no queue yet."]})
        made = plan.make(queue, asked, at=at, zone=place.zone)
        if made.problems:
            raise exceptions.ValidationError({n: [told] for n, told in made.problems.items()})
        return Response(plan.as_json(made))
