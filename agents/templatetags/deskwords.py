"""What the desk's templates ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()


@register.filter
def at(found: Mapping[Any, Any], key: Any) -> Any:
    """Return what `found` has under `key`; empty where it has nothing."""
    return found.get(key, "")
