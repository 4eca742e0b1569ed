"""Whether a call can be taken, for load balancers and for people."""

from __future__ import annotations

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from callcenter.permissions import is_supervisor


@login_not_required
def live(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """200 when a call can be taken: the database answers. Redis and the worker are told beside.

    Without Redis calls are taken all the same, only the bells are silent.
    """
    parts = {"database": _database(), "redis": _redis(), "worker": _worker()}
    ok = parts["database"] == "ok"
    return JsonResponse(
        {"status": "ok" if ok else "unavailable", **parts}, status=200 if ok else 503
    )


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM queues_queue LIMIT 1")
    except Error:
        return "unavailable"
    return "ok"


def _redis() -> str:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5) as client:
            client.ping()
    except redis.RedisError:
        return "unavailable"
    return "ok"


def _worker() -> str:
    """A worker takes tasks when it listens on the queue that tasks are sent to."""
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5
        ) as client:
            backlog = int(client.llen("celery"))
            listening = any(entry.get("cmd") == "brpop" for entry in client.client_list())
    except (redis.RedisError, OSError):
        return "unknown"
    if listening:
        return "ok"
    return f"not listening, {backlog} tasks wait"


@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """Gauges in the Prometheus text format; from loopback, or with a supervisor's token."""
    if not _is_loopback(request) and not _has_token(request):
        return HttpResponse(status=403)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, count(*) FROM queues_queuedcall WHERE ended_at IS NULL GROUP BY state"
        )
        open_calls = cursor.fetchall()
        cursor.execute(
            "SELECT engagement, count(*) FROM agents_agent"
            " WHERE retired_at IS NULL AND presence <> 'offline' GROUP BY engagement"
        )
        engaged = cursor.fetchall()
    lines = ["# TYPE callcenter_open_calls gauge"]
    lines += [f'callcenter_open_calls{{state="{state}"}} {count}' for state, count in open_calls]
    lines.append("# TYPE callcenter_agents gauge")
    lines += [f'callcenter_agents{{engagement="{word}"}} {count}' for word, count in engaged]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")


def _is_loopback(request: HttpRequest) -> bool:
    """A request with a forwarded header is never loopback."""
    forwarded = any(
        name.upper().startswith(("HTTP_X_FORWARDED", "HTTP_FORWARDED")) for name in request.META
    )
    return request.META.get("REMOTE_ADDR") in {"127.0.0.1", "::1"} and not forwarded


def _has_token(request: HttpRequest) -> bool:
    from rest_framework.authentication import TokenAuthentication
    from rest_framework.exceptions import AuthenticationFailed

    try:
        found = TokenAuthentication().authenticate(request)  # type: ignore[arg-type]
    except AuthenticationFailed:
        return False
    return found is not None and is_supervisor(found[0])
