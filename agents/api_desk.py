"""What an agent does from the desk, in the API; break reasons; and messages to agents."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import notices
from agents.models import Agent, BreakReason
from callcenter.permissions import IsSupervisor, IsSupervisorOrAgent
from queues import declining, help, wrapping_up

CONFLICT = {409: OpenApiResponse(description="Not possible now; the reason is in `detail`.")}
ANSWERS: Any = {204: None, **CONFLICT}
OWN = {"decline", "help", "extend_wrap_up", "end_wrap_up"}


class DeskActions(viewsets.GenericViewSet[Agent]):
    """What only the agent may do, and nobody for them."""

    @extend_schema(request=None, responses=ANSWERS)
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, username: str) -> Response:
        """Decline the call that is ringing; the caller keeps the place in line."""
        declining.decline(self._me(request).pk, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=ANSWERS)
    @action(detail=True, methods=["post", "delete"])
    def help(self, request: Request, username: str) -> Response:
        """Ask the supervisors for help with the call in progress; DELETE: no more."""
        change = help.withdraw if request.method == "DELETE" else help.ask
        change(self._me(request).pk, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=ANSWERS)
    @action(detail=True, methods=["post"], url_path="wrap-up/extend")
    def extend_wrap_up(self, request: Request, username: str) -> Response:
        """Lengthen the wrap-up by the queue's `wrap_up_extension_seconds`, once."""
        wrapping_up.extend(self._me(request).pk, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=ANSWERS)
    @action(detail=True, methods=["post"], url_path="wrap-up/done")
    def end_wrap_up(self, request: Request, username: str) -> Response:
        """End the wrap-up; where the queue asks for a disposition, one must be chosen."""
        wrapping_up.done(self._me(request).pk, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _me(self, request: Request) -> Agent:
        agent: Agent = self.get_object()
        if agent.user_id != request.user.pk:
            raise exceptions.PermissionDenied("Only the agent may do this.")
        return agent


class BreakReasonSerializer(serializers.ModelSerializer[BreakReason]):
    """Why an agent may be on break."""

    class Meta:
        model = BreakReason
        fields = ["id", "name", "is_paid", "limit_minutes"]


class BreakReasonViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[BreakReason]):
    """The reasons for a break that are in use, in the order of the agent's page."""

    queryset = BreakReason.objects.filter(is_active=True)
    serializer_class = BreakReasonSerializer
    permission_classes = [IsSupervisorOrAgent]


@extend_schema_field(serializers.CharField())
class Usernames(serializers.SlugRelatedField[Any]):
    """Agents by their accounts' names."""


class NoticeSerializer(serializers.Serializer[Any]):
    """A message to agents, shown on their pages until each has read it."""

    id = serializers.IntegerField(read_only=True)
    text = serializers.CharField(max_length=notices.LONGEST)
    agents = Usernames(
        slug_field="user__username", many=True, allow_empty=False,
        queryset=Agent.objects.current(), help_text="Usernames.", write_only=True,
    )  # fmt: skip
    created_at = serializers.DateTimeField(read_only=True)


class NoticeViewSet(viewsets.GenericViewSet[Any]):
    """Messages to agents."""

    queryset = Agent.objects.none()
    serializer_class = NoticeSerializer
    permission_classes = [IsSupervisor]

    @extend_schema(responses={201: NoticeSerializer})
    def create(self, request: Request) -> Response:
        """Send a message."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        notice = notices.send(
            asked.validated_data["text"],
            [agent.pk for agent in asked.validated_data["agents"]],
            sender=request.user,
            at=timezone.now(),
        )
        return Response(self.get_serializer(notice).data, status=status.HTTP_201_CREATED)
