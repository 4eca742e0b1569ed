"""`/api/agents/`: supervisors manage agents; agents see themselves and set their own presence."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, mixins
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from agents import presence
from agents.api_desk import OWN, DeskActions
from agents.models import Agent
from agents.serializers import AgentSerializer, PresenceSerializer, is_busy
from callcenter.api import InUse
from callcenter.permissions import (
    IsSupervisor,
    IsSupervisorOrAgent,
    is_privileged,
    is_supervisor,
)


class AgentViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    DeskActions,
):
    """Agents and their state."""

    queryset = Agent.objects.none()  # for the schema; see get_queryset
    serializer_class = AgentSerializer
    lookup_field = "user__username"
    lookup_url_kwarg = "username"
    lookup_value_regex = r"[^/]+"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_permissions(self) -> list[BasePermission]:
        theirs = self.action in {"list", "retrieve", "presence", *OWN}
        return [IsSupervisorOrAgent() if theirs else IsSupervisor()]

    def get_queryset(self) -> QuerySet[Agent]:
        agents = Agent.objects.current().select_related("user").prefetch_related("queues")
        if not is_supervisor(self.request.user):
            agents = agents.filter(user__username=self.request.user.get_username())
        return agents.order_by("user__username")

    @extend_schema(responses={204: None, 409: OpenApiResponse(description="On a live call.")})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove an agent; what they did stays in the figures."""
        return super().destroy(request, *args, **kwargs)

    @transaction.atomic
    def perform_destroy(self, instance: Agent) -> None:
        agent = Agent.objects.select_for_update(of=("self",)).get(pk=instance.pk)
        if is_busy(agent):
            raise InUse(f"{agent.name} has a live call; remove the agent afterwards.")
        if is_privileged(agent.user) and not self.request.user.is_superuser:
            raise exceptions.PermissionDenied("Only an administrator removes an account of staff.")
        if not agent.offers.exists():
            agent.user.delete()
            return
        presence.change(agent.pk, "offline", at=timezone.now(), cause="removed")
        agent.retired_at = timezone.now()
        agent.save(update_fields=["retired_at"])
        agent.memberships.all().delete()
        agent.user.is_active = False
        agent.user.save(update_fields=["is_active"])

    @extend_schema(request=PresenceSerializer, responses=AgentSerializer)
    @action(detail=True, methods=["post"])
    def presence(self, request: Request, username: str) -> Response:
        """Say what the agent is from now on: available, on break, offline."""
        agent = self.get_object()
        asked = PresenceSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        presence.change(
            agent.pk,
            asked.validated_data["presence"],
            reason=asked.validated_data.get("reason", ""),
            at=timezone.now(),
            actor=request.user,
            cause="api",
        )
        return Response(self.get_serializer(self.get_object()).data)
