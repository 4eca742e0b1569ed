"""Whether a call can be taken, for load balancers and for people."""

from __future__ import annotations

import os

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from callcenter import disk, pulse, standby
from callcenter.permissions import is_supervisor
from queues import provider


@login_not_required
def live(request: HttpRequest) -> JsonResponse:
    """The process answers; its number tells processes that share a port apart."""
    return JsonResponse({"status": "ok", "process": os.getpid()})


@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """200 when a call can be taken: the database answers. What else is away is told beside.

    Without Redis, worker or beat calls are taken all the same, and `status` is `degraded`: the
    web processes stand in for them.
    """
    parts = {
        "database": _database(), "redis": _redis(), "worker": _worker(), "sweep": _sweep(),
        "disk": _disk(),
    }  # fmt: skip
    ok = parts["database"] == "ok"
    status = "ok" if set(parts.values()) == {"ok"} else "degraded"
    return JsonResponse(
        {"status": status if ok else "unavailable", **parts}, status=200 if ok else 503
    )


def _sweep() -> str:
    """Beat, Redis and worker together make the sweep: the surest sign that all three live."""
    age = pulse.age()
    if age is not None and age < standby.PATIENCE:
        return "ok"
    when = "unknown" if age is None else f"{age:.0f} s ago"
    return f"last by the worker: {when}{'; done by the web processes' if standby.on_duty() else ''}"


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


def _disk() -> str:
    """The worst of the disks that are written to. Full, they still let a database answer."""
    levels = {space.level(settings.DISK_WARN_MB) for space in _spaces()}
    return next((level for level in ("full", "nearly full") if level in levels), "ok")


def _spaces() -> list[disk.Space]:
    return disk.spaces(disk.written_to(settings.STATE_DIR))


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
    age = pulse.age()
    lines.append("# HELP callcenter_sweep_age_seconds Since the worker swept; NaN: not known.")
    lines.append("# TYPE callcenter_sweep_age_seconds gauge")
    lines.append(f"callcenter_sweep_age_seconds {'NaN' if age is None else round(age, 3)}")
    lines.append("# HELP callcenter_standing_in 1 while this web process does the worker's work.")
    lines.append("# TYPE callcenter_standing_in gauge")
    lines.append(f"callcenter_standing_in {int(standby.on_duty())}")
    lines.append("# HELP callcenter_disk_free_bytes Left on each disk that is written to.")
    lines.append("# TYPE callcenter_disk_free_bytes gauge")
    lines += [
        f'callcenter_disk_free_bytes{{directory="{space.directory.name}"}} {space.free}'
        for space in _spaces()
    ]
    lines += _recovered_lines()
    lines += _provider_lines()
    lines += _audit_lines()
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")


def _recovered_lines() -> list[str]:
    """What no webhook told in the last day, by what it was: found by asking the provider."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, count(*) FROM queues_callevent"
            " WHERE (detail -> 'recovered') = 'true'::jsonb AND at > now() - interval '1 day'"
            " GROUP BY kind ORDER BY kind"
        )
        counted = cursor.fetchall()
    lines = [
        "# HELP callcenter_recovered_day Events of the last day that only asking brought.",
        "# TYPE callcenter_recovered_day gauge",
    ]
    return lines + [f'callcenter_recovered_day{{kind="{kind}"}} {count}' for kind, count in counted]


def _provider_lines() -> list[str]:
    """How the provider stands: gauges that are 0 or 1, and what the wallet holds."""
    standing = provider.standing(timezone.now())
    gauges = {
        f'callcenter_provider_breaker{{state="{state}"}}': int(standing["breaker"] == state)
        for state in ("closed", "half_open", "open")
    }
    gauges["callcenter_provider_failures"] = standing["failures"]
    gauges["callcenter_dialling_stopped"] = int(standing["dialling_stopped"])
    wallet = standing["wallet"] or {}
    if wallet.get("balance_minor") is not None:
        gauges["callcenter_wallet_balance_minor"] = wallet["balance_minor"]
    lines = []
    for name, value in gauges.items():
        kind = f"# TYPE {name.split('{')[0]} gauge"
        lines += [f"{name} {value}"] if kind in lines else [kind, f"{name} {value}"]
    return lines


def _audit_lines() -> list[str]:
    """What the last nightly audit said; nothing before the first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT disagreements, extract(epoch FROM ended_at) FROM reporting_auditrun"
            " ORDER BY started_at DESC LIMIT 1"
        )
        last = cursor.fetchone()
    if last is None:
        return []
    return [
        "# HELP callcenter_audit_disagreements Found by the last nightly audit; 0 is right.",
        "# TYPE callcenter_audit_disagreements gauge",
        f"callcenter_audit_disagreements {last[0]}",
        "# HELP callcenter_audit_timestamp_seconds When the last nightly audit ended.",
        "# TYPE callcenter_audit_timestamp_seconds gauge",
        f"callcenter_audit_timestamp_seconds {float(last[1]):.0f}",
    ]


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
