"""Links of wall screens: made, found by their token, revoked. And what such a screen shows.

Only a digest of the token is stored. A screen shows figures of queues: no number, no name.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from callcenter import bell
from reporting import metrics
from reporting.models import WallLink

_NOTED_EVERY = timedelta(minutes=1)  # how exactly it is known when a link was last used


def make(name: str, queue_pks: Collection[int], *, at: datetime, user: Any) -> tuple[WallLink, str]:
    """Make a link; return it with its token, which nobody can read again."""
    token = secrets.token_urlsafe(32)
    link = WallLink.objects.create(
        name=name.strip()[:60], digest=_digest(token), created_by=user, created_at=at
    )
    link.queues.set(queue_pks)
    return link, token


def find(token: str, *, at: datetime) -> WallLink | None:
    """Return the link of a token, unless it was revoked; note that it is used."""
    link = WallLink.objects.filter(digest=_digest(token), revoked_at=None).first()
    if link and (link.last_used_at is None or link.last_used_at < at - _NOTED_EVERY):
        WallLink.objects.filter(pk=link.pk).update(last_used_at=at)
    return link


def revoke(pk: int, *, at: datetime) -> bool:
    """End a link: its screens go blank. False for one that was revoked already."""
    link = WallLink.objects.filter(pk=pk, revoked_at=None).first()
    if link is None:
        return False
    link.revoked_at = at
    link.save(update_fields=["revoked_at"])
    bell.ring("board")
    return True


def shown(board: Mapping[str, Any], slugs: Collection[str]) -> dict[str, Any]:
    """Return what a screen shows of a snapshot: these queues, or all where none is named."""
    queues = [queue for queue in board["queues"] if not slugs or queue["slug"] in slugs]
    names = {queue["slug"] for queue in queues}
    agents = [
        agent for agent in board["agents"] if not slugs or names.intersection(agent["queues"])
    ]
    signed_in = [agent for agent in agents if agent["presence"] != "offline"]
    return {
        "at": board["at"],
        "queues": queues,
        "waiting": sum(queue["waiting"] for queue in queues),
        "worst": max(queues, key=lambda queue: queue["longest_wait_seconds"], default=None),
        "service_level": metrics.overall_service_level(queue["today"] for queue in queues),
        "under_target": sum(is_under_target(queue) for queue in queues),
        "free": sum(a["state"] == "idle" and not a["hold_off_until"] for a in signed_in),
        "talking": sum(agent["state"] == "on_call" for agent in signed_in),
        "signed_in": len(signed_in),
    }


def is_under_target(queue: Mapping[str, Any]) -> bool:
    """Whether a queue's service level of today is below what it aims at."""
    level = queue["today"]["service_level"]
    return level is not None and level < queue["service_level_target"]


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
