"""Agents in the API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import transaction
from rest_framework import serializers

from agents.models import Agent, HoldOff, Presence
from callcenter.api import InUse
from callcenter.permissions import AGENTS, is_privileged
from callcenter.sautikit import phone
from queues.models import Member, Offer, Queue


class AgentSerializer(serializers.ModelSerializer[Agent]):
    """One agent: who, where their phone rings, in which queues, and how they stand."""

    username = serializers.CharField(
        max_length=150, source="user.username", validators=[UnicodeUsernameValidator()]
    )
    password = serializers.CharField(write_only=True, required=False, max_length=128)
    name = serializers.CharField(max_length=80, required=False)
    destination = serializers.CharField(
        max_length=160, help_text="E.164 (07… is read as +254 7…) or a SIP URI."
    )
    queues = serializers.SlugRelatedField(
        slug_field="slug", many=True, required=False, queryset=Queue.objects.filter(retired_at=None)
    )
    since = serializers.DateTimeField(source="engagement_since", read_only=True)
    hold_off_reason = serializers.ChoiceField(
        choices=[("", "None"), *HoldOff.choices], read_only=True
    )

    class Meta:
        model = Agent
        fields = [
            "username", "password", "name", "destination", "queues", "confirm_key",
            "presence", "presence_reason", "engagement", "hold_off_until", "hold_off_reason",
            "wrap_up_until", "since",
        ]  # fmt: skip
        read_only_fields = [
            "presence", "presence_reason", "engagement", "hold_off_until", "hold_off_reason",
            "wrap_up_until",
        ]  # fmt: skip

    def validate_username(self, value: str) -> str:
        taken = User.objects.filter(username=value)
        if self.instance:
            user = self.instance.user
            if value != user.username and is_privileged(user) and not self._is_administrator():
                raise serializers.ValidationError("Only an administrator renames staff.")
            taken = taken.exclude(pk=user.pk)
        else:
            taken = taken.exclude(
                agent__retired_at__isnull=False, is_staff=False, is_superuser=False
            )
        if taken.exists():
            raise serializers.ValidationError("This username is taken.")
        return value

    def validate_destination(self, value: str) -> str:
        try:
            value = phone.normalise(value)
        except phone.BadDestination as error:
            raise serializers.ValidationError(str(error)) from error
        others = Agent.objects.current().filter(destination=value)
        if self.instance:
            others = others.exclude(pk=self.instance.pk)
        if others.exists():
            raise serializers.ValidationError("Another agent already has this destination.")
        if self.instance and value != self.instance.destination and is_busy(self.instance):
            raise InUse("The agent has a live call; the destination can change afterwards.")
        return value

    def validate_password(self, value: str) -> str:
        if self.instance and not self._is_administrator():
            raise serializers.ValidationError("Only an administrator sets another's password.")
        validate_password(value)
        return value

    def _is_administrator(self) -> bool:
        return bool(self.context["request"].user.is_superuser)

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> Agent:
        username = validated_data.pop("user")["username"]
        password = validated_data.pop("password", None)
        queues = validated_data.pop("queues", [])
        user, _ = User.objects.get_or_create(username=username)
        user.is_active = True
        user.set_password(password)
        user.save()
        user.groups.add(Group.objects.get_or_create(name=AGENTS)[0])
        agent, _ = Agent.objects.update_or_create(
            user=user,
            defaults={
                **validated_data,
                "name": validated_data.get("name") or username,
                "retired_at": None,
            },
        )
        set_queues(agent, queues)
        return agent

    @transaction.atomic
    def update(self, instance: Agent, validated_data: dict[str, Any]) -> Agent:
        user_data = validated_data.pop("user", {})
        password = validated_data.pop("password", None)
        queues = validated_data.pop("queues", None)
        if user_data or password:
            user = instance.user
            user.username = user_data.get("username", user.username)
            if password:
                user.set_password(password)
            user.save()
        for name, value in validated_data.items():
            setattr(instance, name, value)
        if validated_data:  # never the whole row: what the agent is doing may have changed since
            instance.save(update_fields=list(validated_data))
        if queues is not None:
            set_queues(instance, queues)
        return instance


def is_busy(agent: Agent) -> bool:
    """Whether the agent is on an open offer."""
    return Offer.objects.open().filter(agent=agent).exists()


def set_queues(agent: Agent, queues: list[Queue]) -> None:
    """Make the agent a member of exactly these queues."""
    Member.objects.filter(agent=agent).exclude(queue__in=queues).delete()
    for queue in queues:
        Member.objects.get_or_create(agent=agent, queue=queue)


class PresenceSerializer(serializers.Serializer[Any]):
    """What an agent asks to be."""

    presence = serializers.ChoiceField(choices=Presence.choices)
    reason = serializers.CharField(max_length=60, required=False, allow_blank=True)
