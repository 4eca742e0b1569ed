"""What supervisors do with live calls and queues. What is too late is a 409 in words."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Agent
from agents.refusals import Refused
from callcenter.permissions import IsSupervisor
from queues import floor
from queues import supervision as listening
from queues.models import Queue, QueuedCall, Supervision
from queues.serializers import CallSerializer, QueueSerializer

CONFLICT = {409: OpenApiResponse(description="Not possible now; the reason is in `detail`.")}


class ToAgentSerializer(serializers.Serializer[Any]):
    """The agent to whom a caller goes."""

    agent = serializers.CharField(max_length=150, help_text="Username.")

    def validate_agent(self, value: str) -> int:
        return _agent(value)


class KeepForSerializer(serializers.Serializer[Any]):
    """For whom a caller is kept; null: for whoever is free."""

    agent = serializers.CharField(max_length=150, allow_null=True, help_text="Username.")

    def validate_agent(self, value: str | None) -> int | None:
        return _agent(value) if value else None


def _agent(username: str) -> int:
    agents = Agent.objects.current().filter(user__username=username)
    agent_pk = agents.values_list("pk", flat=True).first()
    if agent_pk is None:
        raise serializers.ValidationError("No such agent.")
    return agent_pk


class ToQueueSerializer(serializers.Serializer[Any]):
    """The queue into whose line a caller goes."""

    queue = serializers.SlugField(max_length=50)

    def validate_queue(self, value: str) -> str:
        if not Queue.objects.filter(slug=value, retired_at=None).exists():
            raise serializers.ValidationError("No such queue.")
        return value


class ModeSerializer(serializers.Serializer[Any]):
    """How to listen in."""

    mode = serializers.ChoiceField(choices=Supervision.Mode.choices)


class SupervisionSerializer(serializers.ModelSerializer[Supervision]):
    """A supervisor on a call. `wanted_mode` is asked for and not taken by the provider yet."""

    call = serializers.CharField(source="call.public_id")
    supervisor = serializers.CharField(source="supervisor.username", default=None, allow_null=True)
    status = serializers.CharField(source="state")

    class Meta:
        model = Supervision
        fields = [
            "id", "call", "supervisor", "mode", "wanted_mode", "status", "created_at",
            "connected_at", "ended_at", "error",
        ]  # fmt: skip


class FloorActions(viewsets.GenericViewSet[QueuedCall]):
    """The part of `/api/calls/{id}/` that acts on a live call. Supervisors only."""

    def _shown(self) -> Response:
        return Response(CallSerializer(self.get_object()).data)

    @extend_schema(request=None, responses={200: CallSerializer, **CONFLICT})
    @action(
        detail=True, methods=["post"], url_path="actions/move-up",
        permission_classes=[IsSupervisor],
    )  # fmt: skip
    def move_up(self, request: Request, pk: str) -> Response:
        """Put a waiting caller at the head of the line."""
        floor.move_up(self.get_object().public_id, at=timezone.now(), actor=request.user)
        return self._shown()

    @extend_schema(request=ToQueueSerializer, responses={200: CallSerializer, **CONFLICT})
    @action(
        detail=True, methods=["post"], url_path="actions/move", permission_classes=[IsSupervisor]
    )
    def move(self, request: Request, pk: str) -> Response:
        """Put a waiting caller into another queue's line, by the time of arrival."""
        asked = _checked(ToQueueSerializer, request)
        floor.move_to_queue(
            self.get_object().public_id, asked["queue"], at=timezone.now(), actor=request.user
        )
        return self._shown()

    @extend_schema(request=KeepForSerializer, responses={200: CallSerializer, **CONFLICT})
    @action(
        detail=True, methods=["post"], url_path="actions/keep-for",
        permission_classes=[IsSupervisor],
    )  # fmt: skip
    def keep_for(self, request: Request, pk: str) -> Response:
        """Keep a waiting caller for one agent; `null`: for whoever is free."""
        asked = _checked(KeepForSerializer, request)
        floor.keep_for(
            self.get_object().public_id, asked["agent"], at=timezone.now(), actor=request.user
        )
        return self._shown()

    @extend_schema(request=ToAgentSerializer, responses={200: CallSerializer, **CONFLICT})
    @action(
        detail=True, methods=["post"], url_path="actions/pull", permission_classes=[IsSupervisor]
    )
    def pull(self, request: Request, pk: str) -> Response:
        """Offer a waiting caller now to this free agent, whoever is ahead."""
        asked = _checked(ToAgentSerializer, request)
        floor.pull(
            self.get_object().public_id, asked["agent"], at=timezone.now(), actor=request.user
        )
        return self._shown()

    @extend_schema(request=None, responses={200: CallSerializer, **CONFLICT})
    @action(
        detail=True, methods=["post"], url_path="actions/hang-up",
        permission_classes=[IsSupervisor],
    )  # fmt: skip
    def hang_up(self, request: Request, pk: str) -> Response:
        """End a call, in whatever state it is."""
        floor.hang_up(self.get_object().public_id, at=timezone.now(), actor=request.user)
        return self._shown()

    @extend_schema(request=ModeSerializer, responses={201: SupervisionSerializer, **CONFLICT})
    @action(
        detail=True, methods=["post"], url_path="supervision", permission_classes=[IsSupervisor]
    )
    def supervision(self, request: Request, pk: str) -> Response:
        """Listen in: your phone (of your preferences) is rung."""
        mode = _checked(ModeSerializer, request)["mode"]
        started = listening.start(
            self.get_object().public_id, mode, user=request.user, at=timezone.now()
        )
        return Response(SupervisionSerializer(started).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ModeSerializer, responses={200: SupervisionSerializer, **CONFLICT})
    @supervision.mapping.patch
    def change_supervision(self, request: Request, pk: str) -> Response:
        """Change whether you are heard: by nobody, by the agent, by both."""
        mode = _checked(ModeSerializer, request)["mode"]
        changed = listening.change(self._listening(), mode, user=request.user, at=timezone.now())
        return Response(SupervisionSerializer(changed).data)

    @extend_schema(request=None, responses={204: None, **CONFLICT})
    @supervision.mapping.delete
    def end_supervision(self, request: Request, pk: str) -> Response:
        """Take whoever listens off the call."""
        listening.stop(self._listening(), user=request.user, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _listening(self) -> Any:
        call = self.get_object()
        found = listening.open_by_call().get(call.pk)
        if found is None:
            raise Refused("Nobody listens to this call.")
        return found.pk


class QueueActions(viewsets.GenericViewSet[Queue]):
    """Closing and opening, of `/api/queues/{slug}/`."""

    @extend_schema(request=None, responses={200: QueueSerializer, **CONFLICT})
    @action(detail=True, methods=["post"])
    def close(self, request: Request, slug: str) -> Response:
        """Let nobody in any more: new callers hear `closed_message`; the line is still served."""
        floor.close_queue(self.get_object().slug, at=timezone.now(), actor=request.user)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses={200: QueueSerializer, **CONFLICT})
    @action(detail=True, methods=["post"])
    def open(self, request: Request, slug: str) -> Response:
        """Let callers in again."""
        floor.open_queue(self.get_object().slug, at=timezone.now(), actor=request.user)
        return Response(self.get_serializer(self.get_object()).data)


def _checked(serializer: Any, request: Request) -> dict[str, Any]:
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    values: dict[str, Any] = asked.validated_data
    return values
