"""When the worker swept last: told through Redis, read by those who would stand in for it."""

from __future__ import annotations

import redis
from django.conf import settings

_KEY = "callcenter.swept"
_REMEMBERED = 60_000  # milliseconds

_client: redis.Redis | None = None


def _redis() -> redis.Redis:
    global _client
    if _client is None:
        _client = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5
        )
    return _client


def tell() -> None:
    """Say that the worker has just swept. Raises redis.RedisError."""
    _redis().set(_KEY, 1, px=_REMEMBERED)


def age() -> float | None:
    """Return how many seconds ago the worker swept; None: a minute or more, or Redis is away."""
    try:
        left = int(_redis().pttl(_KEY))
    except (redis.RedisError, OSError):
        return None
    return (_REMEMBERED - left) / 1000 if left >= 0 else None
