"""Queues, menus and calls in the API."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from callcenter.api import InUse
from callcenter.sautikit import phone
from queues.api_wrap_up import WithWrapUp
from queues.models import (
    CallEvent,
    Contact,
    Leg,
    Menu,
    MenuOption,
    Number,
    Offer,
    Queue,
    QueuedCall,
    Recording,
)
from queues.models.queue import check_language, check_speech, e164


def clean_numbers(raw: list[str], owner: Queue | Menu | None) -> list[str]:
    """Return numbers in E.164 form; refuse bad ones, and those of another queue or menu."""
    numbers: list[str] = []
    for value in raw:
        try:
            number = e164(value, field="numbers")
        except DjangoValidationError as error:
            raise serializers.ValidationError(error.message_dict["numbers"]) from error
        if number not in numbers:
            numbers.append(number)
    for taken in Number.objects.filter(e164__in=numbers).select_related("queue", "menu"):
        other = taken.queue or taken.menu
        if other != owner:
            kind = "queue" if taken.queue else "menu"
            raise serializers.ValidationError(f"{taken.e164} is in use on the {kind} “{other}”.")
    return numbers


def set_numbers(owner: Queue | Menu, numbers: list[str]) -> None:
    """Make exactly these numbers lead to `owner`; refuse to take one away under a live call."""
    gone = owner.numbers.exclude(e164__in=numbers)
    lines = list(gone.values_list("e164", flat=True))
    if QueuedCall.objects.filter(line__in=lines, state__in=QueuedCall.OPEN).exists():
        raise InUse("A live call came in on a number that would be removed.")
    gone.delete()
    field = "queue" if isinstance(owner, Queue) else "menu"
    for number in numbers:
        Number.objects.get_or_create(e164=number, defaults={field: owner})


class QueueSerializer(serializers.ModelSerializer[Queue]):
    """A queue, its numbers and rules. Times in whole seconds."""

    slug = serializers.SlugField(max_length=50)
    numbers = serializers.ListField(
        child=serializers.CharField(max_length=32), required=False, max_length=200,
        help_text="E.164 numbers that customers dial.",
    )  # fmt: skip
    agents = serializers.SerializerMethodField(help_text="Usernames of the members.")

    validate_language = staticmethod(check_language)
    validate_greeting = validate_hold_message = staticmethod(check_speech)
    validate_closed_message = staticmethod(check_speech)

    class Meta:
        model = Queue
        fields = [
            "slug", "name", "numbers", "strategy", "priority", "direct_dial", "ring_timeout",
            "wrap_up_seconds", "service_level_seconds", "short_abandon_seconds",
            "max_wait_seconds", "when_empty", "language", "greeting", "hold_message",
            "say_position", "wrap_up_extension_seconds", "disposition_required",
            "service_level_target", "heartbeat_seconds", "fetch_recordings",
            "keep_recordings_days", "closed_message", "closed_at", "agents",
        ]  # fmt: skip
        read_only_fields = ["closed_at"]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_agents(self, queue: Queue) -> list[str]:
        return [member.agent.user.username for member in queue.memberships.all()]

    def to_representation(self, instance: Queue) -> dict[str, Any]:
        shown = super().to_representation(instance)
        shown["numbers"] = [number.e164 for number in instance.numbers.all()]
        return shown

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(data)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        fields["numbers"].write_only = True
        return fields

    def validate_slug(self, value: str) -> str:
        others = Queue.objects.filter(slug=value, retired_at=None)
        if self.instance:
            others = others.exclude(pk=self.instance.pk)
        if others.exists():
            raise serializers.ValidationError("Another queue already has this slug.")
        return value

    def validate_numbers(self, value: list[str]) -> list[str]:
        return clean_numbers(value, self.instance)

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> Queue:
        numbers = validated_data.pop("numbers", [])
        queue = Queue.objects.create(**validated_data)
        set_numbers(queue, numbers)
        return queue

    @transaction.atomic
    def update(self, instance: Queue, validated_data: dict[str, Any]) -> Queue:
        numbers = validated_data.pop("numbers", None)
        queue = super().update(instance, validated_data)
        if numbers is not None:
            set_numbers(queue, numbers)
            queue.refresh_from_db()
        return queue


class OptionSerializer(serializers.Serializer[Any]):
    """One key of a menu: it leads to a queue or to another menu."""

    digit = serializers.RegexField(r"^[0-9*]$", help_text="0 to 9 or *.")
    queue = serializers.SlugRelatedField(
        slug_field="slug", required=False, allow_null=True,
        queryset=Queue.objects.filter(retired_at=None),
    )  # fmt: skip
    menu = serializers.SlugRelatedField(
        slug_field="slug", required=False, allow_null=True, queryset=Menu.objects.all(),
    )  # fmt: skip
    label = serializers.CharField(  # type: ignore[assignment]  # shadows a field's own label
        max_length=80, required=False, allow_blank=True
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs.get("queue")) == bool(attrs.get("menu")):
            raise serializers.ValidationError("An option leads to a queue or to a menu: name one.")
        return attrs


class MenuSerializer(serializers.ModelSerializer[Menu]):
    """A question before the queue."""

    numbers = serializers.ListField(child=serializers.CharField(max_length=32), max_length=200)
    options = serializers.ListField(child=OptionSerializer(), min_length=1, max_length=11)

    validate_language = staticmethod(check_language)
    validate_prompt = staticmethod(check_speech)

    class Meta:
        model = Menu
        fields = [
            "slug", "name", "numbers", "prompt", "language", "timeout", "tries", "on_failure",
            "options",
        ]  # fmt: skip
        extra_kwargs = {"name": {"required": False}}

    def to_representation(self, instance: Menu) -> dict[str, Any]:
        names = ["slug", "name", "prompt", "language", "timeout", "tries", "on_failure"]
        return {
            **{name: getattr(instance, name) for name in names},
            "numbers": [number.e164 for number in instance.numbers.all()],
            "options": [
                {
                    "digit": option.digit,
                    "label": option.label,
                    "queue": option.queue.slug if option.queue else None,
                    "menu": option.submenu.slug if option.submenu else None,
                }
                for option in instance.options.select_related("queue", "submenu")
            ],
        }

    def validate_numbers(self, value: list[str]) -> list[str]:
        return clean_numbers(value, self.instance)

    def validate_options(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        digits = [option["digit"] for option in value]
        if len(digits) != len(set(digits)):
            raise serializers.ValidationError("Each key can be used once.")
        return value

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> Menu:
        numbers, options = validated_data.pop("numbers"), validated_data.pop("options")
        menu = Menu.objects.create(**validated_data)
        set_numbers(menu, numbers)
        self._set_options(menu, options)
        return menu

    @transaction.atomic
    def update(self, instance: Menu, validated_data: dict[str, Any]) -> Menu:
        numbers = validated_data.pop("numbers", None)
        options = validated_data.pop("options", None)
        for name, value in validated_data.items():
            setattr(instance, name, value)
        instance.save()
        if numbers is not None:
            set_numbers(instance, numbers)
        if options is not None:
            instance.options.all().delete()
            self._set_options(instance, options)
        return Menu.objects.get(pk=instance.pk)

    def _set_options(self, menu: Menu, options: list[dict[str, Any]]) -> None:
        for option in options:  # one by one, so that each has its history
            MenuOption.objects.create(
                menu=menu,
                digit=option["digit"],
                label=option.get("label", ""),
                queue=option.get("queue"),
                submenu=option.get("menu"),
            )


class ContactSerializer(serializers.ModelSerializer[Contact]):
    """A name for a number, shown to agents when it calls."""

    number = serializers.CharField(
        max_length=32, help_text="E.164; 07… is read as +254 7…. Each has one contact."
    )

    class Meta:
        model = Contact
        fields = ["number", "name", "notes"]

    def validate_number(self, value: str) -> str:
        """Return the number in E.164 form; refuse one that has a contact."""
        try:
            number = e164(value, field="number")
        except DjangoValidationError as error:
            raise serializers.ValidationError(error.message_dict["number"]) from error
        others = Contact.objects.filter(number=number)
        if self.instance:
            others = others.exclude(pk=self.instance.pk)
        if others.exists():
            raise serializers.ValidationError("There is a contact with this number already.")
        return number


class LegSerializer(serializers.ModelSerializer[Leg]):
    """One party's connection."""

    status = serializers.CharField(source="state")
    cost_minor = serializers.SerializerMethodField()

    class Meta:
        model = Leg
        fields = [
            "role", "party", "status", "outcome", "session_id", "provider_id", "placed_at",
            "answered_at", "ended_at", "cost_minor",
        ]  # fmt: skip

    def get_cost_minor(self, leg: Leg) -> int | None:
        record = getattr(leg, "record", None)
        return record.cost_minor if record else None


class CallSerializer(serializers.ModelSerializer[QueuedCall]):
    """One call of a customer."""

    id = serializers.CharField(source="public_id")
    status = serializers.ChoiceField(source="state", choices=QueuedCall.State.choices)
    abandoned_in = serializers.ChoiceField(
        choices=[("", "Nowhere"), *QueuedCall.AbandonedIn.choices], read_only=True
    )
    to = serializers.SerializerMethodField()
    queue = serializers.CharField(source="queue.slug", default=None, allow_null=True)
    agent = serializers.CharField(source="agent.user.username", default=None, allow_null=True)
    wait_seconds = serializers.SerializerMethodField(help_text="From entering the queue.")
    talk_seconds = serializers.SerializerMethodField()
    cost_minor = serializers.SerializerMethodField(
        help_text="The sum of the provider's records, 100 is KES 1; null until one is in."
    )
    legs = LegSerializer(many=True)

    class Meta:
        model = QueuedCall
        fields = [
            "id", "direction", "status", "abandoned_in", "end_reason", "to", "queue", "agent",
            "arrived_at", "queued_at", "connected_at", "connected_is_estimated", "ended_at",
            "wait_seconds", "talk_seconds", "cost_minor", "legs",
        ]  # fmt: skip

    def to_representation(self, instance: QueuedCall) -> dict[str, Any]:
        shown = super().to_representation(instance)
        shown["from"] = instance.customer if instance.is_inbound else instance.line
        return shown

    def get_to(self, call: QueuedCall) -> str:
        return call.line if call.is_inbound else call.customer

    def get_wait_seconds(self, call: QueuedCall) -> float | None:
        return call.wait_seconds

    def get_talk_seconds(self, call: QueuedCall) -> float | None:
        return call.talk_seconds

    def get_cost_minor(self, call: QueuedCall) -> int | None:
        costs = [
            record.cost_minor for record in call.records.all() if record.cost_minor is not None
        ]
        return sum(costs) if costs else None


class EventSerializer(serializers.ModelSerializer[CallEvent]):
    """One thing that happened to a call."""

    class Meta:
        model = CallEvent
        fields = ["at", "kind", "source", "detail"]


class OfferSerializer(serializers.ModelSerializer[Offer]):
    """One attempt to put an agent on a call."""

    agent = serializers.CharField(source="agent.user.username")
    status = serializers.CharField(source="state")

    class Meta:
        model = Offer
        fields = ["agent", "kind", "status", "created_at", "answered_at", "joined_at", "ended_at"]


class RecordingSerializer(serializers.ModelSerializer[Recording]):
    """The recording of one leg; `url` is for a supervisor's browser, where it can be heard."""

    leg = serializers.CharField(source="leg.handle")
    status = serializers.CharField(source="state")
    url = serializers.SerializerMethodField()

    class Meta:
        model = Recording
        fields = [
            "id", "leg", "status", "error", "content_type", "size_bytes", "duration_seconds",
            "stored_at", "remove_at", "removed_at", "url",
        ]  # fmt: skip

    def get_url(self, recording: Recording) -> str | None:
        if recording.state != Recording.State.STORED:
            return None
        where = reverse("recording", args=[recording.call.public_id, recording.pk])
        return f"{settings.PUBLIC_BASE_URL}{where}"


class CallDetailSerializer(WithWrapUp, CallSerializer):
    """One call with its whole timeline."""

    recordings = RecordingSerializer(many=True)
    offers = OfferSerializer(many=True)
    timeline = EventSerializer(source="events", many=True)
    why_waiting = serializers.SerializerMethodField()

    class Meta(CallSerializer.Meta):
        fields = [
            *CallSerializer.Meta.fields, "disposition", "notes", "offers", "timeline",
            "recordings", "why_waiting",
        ]  # fmt: skip

    def get_why_waiting(self, call: QueuedCall) -> str | None:
        from django.utils import timezone

        from queues import routing

        if call.state != QueuedCall.State.WAITING:
            return None
        return routing.why_waiting(call, timezone.now())


class PlaceCallSerializer(serializers.Serializer[Any]):
    """Click to call."""

    agent = serializers.CharField(max_length=150, help_text="Username.")
    to = serializers.CharField(max_length=160, help_text="The contact: E.164.")
    queue = serializers.SlugField(required=False, allow_null=True)

    def validate_to(self, value: str) -> str:
        try:
            return phone.normalise(value)
        except phone.BadDestination as error:
            raise serializers.ValidationError(str(error)) from error


class ConnectAgentSerializer(serializers.Serializer[Any]):
    """Pull a waiting call to a given agent."""

    customerCallId = serializers.CharField(max_length=128)
    agentNumber = serializers.CharField(max_length=160)

    def validate_agentNumber(self, value: str) -> str:
        try:
            return phone.normalise(value)
        except phone.BadDestination as error:
            raise serializers.ValidationError(str(error)) from error
