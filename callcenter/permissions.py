"""Roles: administrator (superuser), supervisor (group and staff), agent (group)."""

from typing import Any

from django.http import HttpRequest
from rest_framework.permissions import BasePermission

SUPERVISORS, AGENTS = "supervisor", "agent"


def is_supervisor(user: Any) -> bool:
    """Whether this user may see and change everything of the call centre."""
    if not user.is_authenticated or not user.is_active:
        return False
    if user.is_superuser:
        return True
    return user.is_staff and SUPERVISORS in _groups(user)


def is_agent(user: Any) -> bool:
    """Whether this user takes calls."""
    return user.is_authenticated and user.is_active and hasattr(user, "agent")


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
