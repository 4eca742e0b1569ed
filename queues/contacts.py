"""Who calls: names for numbers."""

from __future__ import annotations

from collections.abc import Iterable

from queues.models import Contact


def name_of(number: str) -> str:
    """Return the name of the contact with this E.164 number; empty where there is none."""
    return names_of([number]).get(number, "")


def names_of(numbers: Iterable[str]) -> dict[str, str]:
    """Return the names of those of `numbers` that are contacts, in one query."""
    return dict(Contact.objects.filter(number__in=set(numbers)).values_list("number", "name"))
