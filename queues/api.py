"""`/api/queues/`, `/api/menus/`, `/api/calls/`, and the page's `/calls/connect-agent`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import exceptions, mixins, status, viewsets
from rest_framework.authentication import TokenAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents.models import Agent
from callcenter.api import InUse
from callcenter.permissions import IsSupervisor, IsSupervisorOrAgent, is_supervisor
from callcenter.sautikit import phone
from queues import arrivals, outbound
from queues.api_floor import FloorActions, QueueActions
from queues.api_wrap_up import WritesWrapUp
from queues.models import Contact, Menu, MenuOption, Queue, QueuedCall
from queues.serializers import (
    CallDetailSerializer,
    CallSerializer,
    ConnectAgentSerializer,
    ContactSerializer,
    MenuSerializer,
    PlaceCallSerializer,
    QueueSerializer,
)

CONFLICT = {409: OpenApiResponse(description="In use by a live call; the reason is in `detail`.")}


class QueueViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    QueueActions,
):
    """Queues and their numbers."""

    queryset = (
        Queue.objects.filter(retired_at=None)
        .prefetch_related("numbers", "memberships__agent__user")
        .order_by("slug")
    )
    serializer_class = QueueSerializer
    permission_classes = [IsSupervisor]
    lookup_field = "slug"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    @extend_schema(responses={204: None, **CONFLICT})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove a queue; its calls stay in the figures."""
        return super().destroy(request, *args, **kwargs)

    @transaction.atomic
    def perform_destroy(self, instance: Queue) -> None:
        queue = Queue.objects.select_for_update(of=("self",)).get(pk=instance.pk)
        if queue.calls.filter(state__in=QueuedCall.OPEN).exists():
            raise InUse("The queue has live calls; remove it when they are over.")
        if option := MenuOption.objects.filter(queue=queue).select_related("menu").first():
            raise InUse(f"The menu “{option.menu}” leads to this queue; change the menu first.")
        if not queue.calls.exists():
            queue.delete()
            return
        queue.numbers.all().delete()
        queue.memberships.all().delete()
        queue.retired_at = timezone.now()
        queue.save(update_fields=["retired_at"])


class MenuViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Menu],
):
    """Menus: a question before the queue."""

    queryset = Menu.objects.prefetch_related("numbers").order_by("slug")
    serializer_class = MenuSerializer
    permission_classes = [IsSupervisor]
    lookup_field = "slug"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    @extend_schema(responses={204: None, **CONFLICT})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove a menu that nobody is in and that no other menu leads to."""
        return super().destroy(request, *args, **kwargs)

    def perform_destroy(self, instance: Menu) -> None:
        if QueuedCall.objects.filter(menu=instance, state=QueuedCall.State.GREETING).exists():
            raise InUse("A caller is in this menu.")
        if MenuOption.objects.filter(submenu=instance).exists():
            raise InUse("Another menu leads to this one.")
        instance.delete()


class ContactViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Contact],
):
    """Contacts: whose a number is. Agents see the name when it calls."""

    queryset = Contact.objects.order_by("number")
    serializer_class = ContactSerializer
    permission_classes = [IsSupervisor]
    lookup_field = "number"
    lookup_value_regex = r"[^/]+"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_object(self) -> Contact:
        """Find the contact by the number as people write it, too."""
        self.kwargs["number"] = _number(self.kwargs["number"])
        return super().get_object()

    def filter_queryset(self, queryset: Any) -> Any:
        if text := self.request.query_params.get("q", "").strip():
            queryset = queryset.filter(Q(name__icontains=text) | Q(number__contains=text))
        return queryset

    @extend_schema(
        parameters=[OpenApiParameter("q", str, description="Part of the name or number.")]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """In the order of their numbers."""
        return super().list(request, *args, **kwargs)


def instant(raw: str, name: str) -> datetime:
    """Parse an ISO time of a query; without a zone it is in TIME_ZONE. Raises ValidationError."""
    try:
        parsed = parse_datetime(raw.strip().replace(" ", "+")) or parse_datetime(f"{raw}T00:00:00")
    except ValueError:
        parsed = None
    if parsed is None:
        raise exceptions.ValidationError({name: ["Not a time, e.g. 2026-11-22T08:00:00+03:00."]})
    return parsed if parsed.tzinfo else timezone.make_aware(parsed)


class CallViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, WritesWrapUp, FloorActions):
    """Calls: supervisors see all, agents their own."""

    queryset = QueuedCall.objects.none()  # for the schema; see get_queryset
    permission_classes = [IsSupervisorOrAgent]
    lookup_value_regex = r"[^/]+"

    def get_serializer_class(self) -> Any:
        return CallDetailSerializer if self.action == "retrieve" else CallSerializer

    def get_queryset(self) -> QuerySet[QueuedCall]:
        calls = (
            QueuedCall.objects.select_related("queue", "agent__user")
            .prefetch_related("legs__record", "records")
            .order_by("-arrived_at", "-pk")
        )
        if not is_supervisor(self.request.user):
            calls = calls.filter(
                Q(agent__user_id=self.request.user.pk)
                | Q(offer__agent__user_id=self.request.user.pk)
            )
        return calls

    def get_object(self) -> QueuedCall:
        call_pk = arrivals.public_id(self.kwargs["pk"])
        call = self.get_queryset().filter(pk=call_pk).first() if call_pk else None
        if call is None:
            raise exceptions.NotFound("No such call.")
        return call

    def filter_queryset(self, queryset: Any) -> Any:
        asked = self.request.query_params
        if states := [word for word in asked.get("status", "").split(",") if word]:
            if unknown := set(states) - set(QueuedCall.State.values):
                raise exceptions.ValidationError({"status": [f"No such status: {min(unknown)}."]})
            queryset = queryset.filter(state__in=states)
        if slug := asked.get("queue"):
            if not Queue.objects.filter(slug=slug[:50]).exists():
                raise exceptions.ValidationError({"queue": ["No such queue."]})
            queryset = queryset.filter(queue__slug=slug)
        if number := asked.get("number"):
            queryset = queryset.filter(Q(customer=_number(number)) | Q(line=_number(number)))
        if since := asked.get("since"):
            queryset = queryset.filter(arrived_at__gte=instant(since, "since"))
        if until := asked.get("until"):
            queryset = queryset.filter(arrived_at__lt=instant(until, "until"))
        return queryset

    @extend_schema(
        parameters=[
            OpenApiParameter("status", str, description="One or more, with commas."),
            OpenApiParameter("queue", str, description="Slug."),
            OpenApiParameter("number", str, description="Of the customer, or ours."),
            OpenApiParameter("since", str, description="Arrived at or after; ISO 8601."),
            OpenApiParameter("until", str, description="Arrived before; ISO 8601."),
        ]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(request=PlaceCallSerializer, responses={201: CallSerializer, **CONFLICT})
    def create(self, request: Request) -> Response:
        """Click to call: reserve the agent, ring the contact, then bring the two together."""
        asked = PlaceCallSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        username = asked.validated_data["agent"]
        if not is_supervisor(request.user) and username != request.user.get_username():
            raise exceptions.PermissionDenied("An agent calls for themselves only.")
        agent = Agent.objects.current().filter(user__username=username).first()
        if agent is None:
            raise exceptions.ValidationError({"agent": ["No such agent."]})
        queue = None
        if slug := asked.validated_data.get("queue"):
            queue = Queue.objects.filter(slug=slug, retired_at=None).first()
            if queue is None:
                raise exceptions.ValidationError({"queue": ["No such queue."]})
        call = outbound.click_to_call(
            agent.pk, asked.validated_data["to"], queue=queue, at=timezone.now()
        )
        shown = self.get_serializer(QueuedCall.objects.get(pk=call.pk)).data
        return Response(shown, status=status.HTTP_201_CREATED)


def _number(raw: str) -> str:
    try:
        return phone.normalise(raw)
    except phone.BadDestination:
        return raw[:128]


class ConnectAgent(APIView):
    """Pull a waiting call to a given agent; for the shop's own systems, with an API token."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [IsSupervisor]
    serializer_class = ConnectAgentSerializer

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        asked = ConnectAgentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            outbound.connect_agent(
                asked.validated_data["customerCallId"],
                asked.validated_data["agentNumber"],
                at=timezone.now(),
            )
        except outbound.NotKnown as error:
            raise exceptions.NotFound(str(error)) from error
        return Response({"ok": True})
