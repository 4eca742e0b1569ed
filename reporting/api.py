"""`/api/live/` and `/api/reports/`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from callcenter.permissions import IsSupervisor
from queues.api import instant
from reporting import live, typed
from reporting.figures import asked as asking
from reporting.figures import report
from reporting.figures.asked import Asked

PARAMETERS = [
    OpenApiParameter("since", str, description="ISO 8601; today's midnight if absent."),
    OpenApiParameter("until", str, description="ISO 8601; the next midnight if absent."),
    OpenApiParameter("interval", str, enum=list(asking.INTERVALS)),
    OpenApiParameter("queue", str, many=True, description="Slugs; all if absent."),
    OpenApiParameter("tz", str, description="Of days and weeks; TIME_ZONE if absent."),
]


class LiveView(APIView):
    """The wallboard's snapshot."""

    permission_classes = [IsSupervisor]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """How every queue, call and agent stands now."""
        return Response(live.snapshot(timezone.now()))


class QueueReportView(APIView):
    """Counts per queue and interval."""

    permission_classes = [IsSupervisor]

    @extend_schema(parameters=PARAMETERS, responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Inbound calls by the interval in which they entered the queue."""
        asked = _asked(request)
        rows = report.queues(asked, at=timezone.now())
        for row in rows:
            row["queue"] = row["queue"].slug if row["queue"] else None
        return _answer(asked, rows)


class AgentReportView(APIView):
    """Time, offers and talks per agent and interval."""

    permission_classes = [IsSupervisor]

    @extend_schema(
        parameters=[
            *PARAMETERS,
            OpenApiParameter("agent", str, many=True, description="User names; all if absent."),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """Agents' time by state, split exactly where intervals end, and their offers."""
        asked = _asked(request)
        rows = report.agents(asked, at=timezone.now())
        for row in rows:
            agent = row.pop("agent")
            row |= {"agent": agent.user.get_username(), "name": agent.name}
        return _answer(asked, rows)


def _asked(request: Request) -> Asked:
    """Read the query strictly. Raises ValidationError, with the field that is wrong."""
    query, at = request.query_params, timezone.now()
    names = ("interval", "queue", "agent", "tz")
    asked = asking.read(
        {name: query.getlist(name) for name in names}, at=at, zone=timezone.get_default_timezone()
    )
    if asked.notes:
        told: dict[str, list[str]] = {}
        for name, note in zip(asked.wrong, asked.notes, strict=True):
            told.setdefault(name, []).append(note)
        raise exceptions.ValidationError(told)
    since = _moment(query.get("since"), "since", asked) or asked.since
    until = _moment(query.get("until"), "until", asked) or max(asked.until, since)
    if until < since:
        raise exceptions.ValidationError({"until": ["The end lies before the start."]})
    if until - since > timedelta(days=asking.MOST_DAYS + 1):
        raise exceptions.ValidationError({"since": ["A report is of two years at the most."]})
    is_fine = asked.interval in ("15m", "30m")
    if is_fine and until - since > timedelta(days=asking.MOST_DAYS_OF_QUARTERS):
        raise exceptions.ValidationError(
            {"interval": [f"Of {asking.MOST_DAYS_OF_QUARTERS} days at the most."]}
        )
    return replace(asked, since=asking.quarter_of(since), until=asking.quarter_after(until))


def _moment(raw: str | None, name: str, asked: Asked) -> datetime | None:
    """Read a time; without a zone it is in the one asked for."""
    if not raw:
        return None
    with timezone.override(asked.zone):
        found = instant(raw, name)
    first, last = typed.YEARS
    if not first <= found.year <= last:
        raise exceptions.ValidationError({name: [f"Between the years {first} and {last}."]})
    return found


def _answer(asked: Asked, rows: Iterable[dict[str, Any]]) -> Response:
    """Return the rows, and of what: the stretch is of whole quarters of an hour."""
    return Response(
        {
            "results": [{**row, "start": row["start"].isoformat()} for row in rows],
            "next": None,
            "since": asked.since.astimezone(asked.zone).isoformat(),
            "until": asked.until.astimezone(asked.zone).isoformat(),
            "time_zone": asked.zone.key,
        }
    )
