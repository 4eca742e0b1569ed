"""Roles: administrator (superuser), supervisor (group and staff), agent (group)."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.permissions import BasePermission

SUPERVISORS, AGENTS = "supervisor", "agent"


def is_supervisor(user: Any) -> bool:
    """Whether this user may see and change everything of the call centre."""
    if not user.is_authenticated or not user.is_active or owes_second_factor(user):
        return False
    if user.is_superuser:
        return True
    return user.is_staff and SUPERVISORS in _groups(user)


def is_agent(user: Any) -> bool:
    """Whether this user takes calls; not one whose agent was removed."""
    if not user.is_authenticated or not user.is_active:
        return False
    agent = getattr(user, "agent", None)
    return agent is not None and agent.retired_at is None


def is_privileged(user: Any) -> bool:
    """Whether only an administrator may rename, remove or take over this account."""
    return bool(user.is_staff or user.is_superuser)


def must_have_second_factor(user: Any) -> bool:
    """Whether REQUIRE_SECOND_FACTOR asks one of this account."""
    required = settings.REQUIRE_SECOND_FACTOR
    if required == "supervisors":
        return is_privileged(user)
    return required == "administrators" and bool(user.is_superuser)


def owes_second_factor(user: Any) -> bool:
    """Whether this session must show a second factor before it may do anything.

    A request with an API token never does: its user did not come in by a session.
    """
    if settings.REQUIRE_SECOND_FACTOR == "off":
        return False
    is_verified = getattr(user, "is_verified", None)  # django-otp adds it to a session's user
    return is_verified is not None and not is_verified() and must_have_second_factor(user)


def _groups(user: Any) -> set[str]:
    if not hasattr(user, "_group_names"):
        user._group_names = set(user.groups.values_list("name", flat=True))
    names: set[str] = user._group_names
    return names


class IsSupervisor(BasePermission):
    """Supervisors and administrators only."""

    message = "This is for supervisors."

    def has_permission(self, request: HttpRequest, view: Any) -> bool:
        return is_supervisor(request.user)


class IsSupervisorOrAgent(BasePermission):
    """Anybody who works here; the view decides what is theirs."""

    message = "This is for supervisors and agents."

    def has_permission(self, request: HttpRequest, view: Any) -> bool:
        return is_supervisor(request.user) or is_agent(request.user)
