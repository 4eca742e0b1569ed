"""Breaks: the reasons that agents choose from, and how long a break may last."""

from __future__ import annotations

from agents.models import BreakReason, Presence, PresencePeriod


def reasons() -> list[BreakReason]:
    """Return the reasons in use, in their order."""
    return list(BreakReason.objects.filter(is_active=True))


def known(name: str) -> BreakReason | None:
    """Return the reason in use of this name, however its letters are written; else None."""
    return BreakReason.objects.filter(is_active=True, name__iexact=name).first()


def current(agent_pk: int) -> PresencePeriod | None:
    """Return the break that an agent is on: its `limit_at` is None without a limit."""
    on_break = PresencePeriod.objects.filter(agent=agent_pk, ended_at=None)
    return on_break.filter(presence=Presence.BREAK).first()
