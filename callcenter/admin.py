"""What the admin of every app shares."""

from typing import Any

from django.http import HttpRequest


class ViewOnly:
    """Evidence: read it, search it, never add, change or delete it."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
