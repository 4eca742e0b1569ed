"""What the room and the wall say: sums over the board, and how a queue does by its target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import template

from reporting.wall_links import is_under_target

register = template.Library()


@register.simple_tag
def room_totals(board: Mapping[str, Any]) -> dict[str, Any]:
    """Sum the board up: who waits, since when, who talks, who is free."""
    queues, calls, agents = board["queues"], board["calls"], board["agents"]
    return {
        "waiting": sum(queue["waiting"] for queue in queues),
        "worst": max(queues, key=lambda queue: queue["longest_wait_seconds"], default=None),
        "talking": sum(call["status"] == "connected" for call in calls),
        "free": sum(agent["state"] == "idle" and not agent["hold_off_until"] for agent in agents),
        "signed_in": sum(agent["presence"] != "offline" for agent in agents),
        "under_target": sum(is_under_target(queue) for queue in queues),
    }


@register.filter
def under_target(queue: Mapping[str, Any]) -> bool:
    """Whether a queue's service level of today is below what it aims at."""
    return is_under_target(queue)


@register.filter
def in_line(calls: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The callers who wait, the first to be served on top of each queue's line."""
    found = [call for call in calls if call["place"]]
    return sorted(found, key=lambda call: (call["place"], call["arrived_at"]))


@register.filter
def under_way(calls: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All other calls: talks first, then who arrives and who is dialled."""
    found = [call for call in calls if not call["place"]]
    return sorted(found, key=lambda call: (call["status"] != "connected", call["arrived_at"]))
