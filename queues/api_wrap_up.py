"""What agents write down about calls, in the API."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import current_agent
from callcenter.api import InUse
from callcenter.permissions import IsSupervisorOrAgent, is_supervisor
from queues import wrapping_up
from queues.models import Disposition, Offer, Queue, QueuedCall, WrapUp


class WrapUpSerializer(serializers.ModelSerializer[WrapUp]):
    """Notes and disposition of a conversation; what is left out stays as it is."""

    disposition = serializers.PrimaryKeyRelatedField(
        queryset=Disposition.objects.all(), allow_null=True, required=False
    )
    label = serializers.SerializerMethodField(  # type: ignore[assignment]  # as OptionSerializer
        help_text="The disposition with its group."
    )
    notes = serializers.CharField(required=False, allow_blank=True, max_length=wrapping_up.LONGEST)

    class Meta:
        model = WrapUp
        fields = ["disposition", "label", "notes", "updated_at"]
        read_only_fields = ["updated_at"]

    def get_label(self, written: WrapUp) -> str | None:
        return str(written.disposition) if written.disposition else None


class WithWrapUp(serializers.Serializer[QueuedCall]):
    """What was written about a call's last conversation, as fields of the call."""

    disposition = serializers.SerializerMethodField(help_text="With its group: Order: Placed.")
    notes = serializers.SerializerMethodField(help_text="What the agent wrote down.")

    def get_disposition(self, call: QueuedCall) -> str | None:
        written = self._wrap_up(call)
        return str(written.disposition) if written and written.disposition else None

    def get_notes(self, call: QueuedCall) -> str:
        written = self._wrap_up(call)
        return written.notes if written else ""

    def _wrap_up(self, call: QueuedCall) -> WrapUp | None:
        written = WrapUp.objects.filter(offer__call=call).select_related("disposition__parent")
        return written.order_by("-offer__joined_at").first()


class WritesWrapUp(viewsets.GenericViewSet[QueuedCall]):
    """The part of `/api/calls/{id}/` that is written by people."""

    @extend_schema(
        request=WrapUpSerializer,
        responses={
            200: WrapUpSerializer,
            409: OpenApiResponse(description="Not possible now; the reason is in `detail`."),
        },
    )
    @action(detail=True, methods=["patch"], url_path="wrap-up")
    def wrap_up(self, request: Request, pk: str) -> Response:
        """Write notes and a disposition: agents of their own calls of today, supervisors of all."""
        asked = WrapUpSerializer(data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        talks = Offer.objects.filter(call=self.get_object(), joined_at__isnull=False)
        writer = None
        if not is_supervisor(request.user):
            writer = current_agent(request.user)
            talks = talks.filter(agent=writer)
        offer = talks.order_by("-joined_at").first()
        if offer is None:
            raise InUse("There was no conversation to write about.")
        changes = dict(asked.validated_data)
        if changes.get("disposition"):
            changes["disposition"] = changes["disposition"].pk
        written = wrapping_up.write(
            offer.pk, writer.pk if writer else None, at=timezone.now(), actor=request.user,
            **changes,
        )  # fmt: skip
        return Response(WrapUpSerializer(written).data)


class DispositionSerializer(serializers.ModelSerializer[Disposition]):
    """A disposition that can be chosen."""

    group = serializers.CharField(source="parent.label", default=None, allow_null=True)
    queue = serializers.CharField(source="queue.slug", default=None, allow_null=True)

    class Meta:
        model = Disposition
        fields = ["id", "label", "group", "queue"]


class DispositionViewSet(viewsets.GenericViewSet[Disposition]):
    """What a call can have come to."""

    queryset = Disposition.objects.none()  # for the schema
    serializer_class = DispositionSerializer
    permission_classes = [IsSupervisorOrAgent]

    @extend_schema(
        parameters=[OpenApiParameter("queue", str, description="Slug: those of this queue.")],
        responses=DispositionSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """Those in use, in the order of the agent's page; `group` is null where there is none."""
        queue = None
        if slug := request.query_params.get("queue"):
            queue = Queue.objects.filter(slug=slug[:50], retired_at=None).first()
            if queue is None:
                raise exceptions.ValidationError({"queue": ["No such queue."]})
        rows: Any = [
            row for top, entries in wrapping_up.choices(queue) for row in (entries or [top])
        ]
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
