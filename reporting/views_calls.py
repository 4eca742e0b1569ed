"""The call log, and one call with its timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from callcenter.outbox.models import Delivery, Endpoint
from callcenter.sautikit import phone
from queues import arrivals, contacts, recordings, routing
from queues.models import QueuedCall, WrapUp
from reporting import call_log as log
from reporting import picture, words
from reporting.views import supervisors_only

_NAMES = {
    "number": gettext_lazy("Customer"),
    "queue": gettext_lazy("Queue"),
    "agent": gettext_lazy("Agent"),
    "status": gettext_lazy("Status"),
    "direction": gettext_lazy("Direction"),
    "from": gettext_lazy("From"),
    "to": gettext_lazy("To"),
    "disposition": gettext_lazy("Disposition"),
    "wait": gettext_lazy("Waited at least"),
    "talk": gettext_lazy("Talked at least"),
    "recorded": gettext_lazy("With a recording"),
    "corrected": gettext_lazy("Recovered or corrected"),
    "figure": gettext_lazy("Counted in a report as"),
}
_SWITCHES = {"recorded", "corrected"}
_BESIDE = ("older", "newer")  # of the address: the call that a page is beside


@dataclass(frozen=True)
class Chip:
    """A filter that is in use, and the address without it."""

    name: str
    value: str
    without: str


@require_GET
def call_log(request: HttpRequest) -> HttpResponse:
    """Past and present calls, the newest first unless asked otherwise."""
    supervisors_only(request)
    at, zone = timezone.now(), timezone.get_current_timezone()
    offered = log.choices()
    asked, calls = log.ask(request.GET, offered, at=at, zone=zone)
    page, too_long = log.page(
        calls,
        older_than=request.GET.get("older", ""),
        newer_than=request.GET.get("newer", ""),
        oldest_first=asked.oldest_first,
        at=at,
    )
    context: dict[str, Any] = {
        "page": page,
        "rows": log.rows(page.calls),
        "asked": asked,
        "chips": _chips(request, asked),
        "too_long": too_long,
        "offered": offered,
        "states": [state for state in words.CALL if state not in log.RESERVED],
        "directions": log.DIRECTIONS,
        "turned": _address(request, order="" if asked.oldest_first else "oldest"),
        "next": _address(request, **_beyond(page, towards_newer=asked.oldest_first)),
        "previous": _address(request, **_beyond(page, towards_newer=not asked.oldest_first)),
    }
    return render(request, "reporting/call_log.html", context)


def _beyond(page: log.Page, *, towards_newer: bool) -> dict[str, str]:
    return {"newer": page.newer} if towards_newer else {"older": page.older}


def _address(request: HttpRequest, **changes: str) -> str:
    """Return the query of this search, changed, from its first page; "" where nothing follows."""
    if any(name in _BESIDE and not value for name, value in changes.items()):
        return ""
    query = request.GET.copy()
    for name in (*_BESIDE, *(name for name, value in query.items() if not value)):
        query.pop(name, None)
    for name, value in changes.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return f"?{query.urlencode()}"


def _chips(request: HttpRequest, asked: log.Asked) -> list[Chip]:
    return [
        Chip(
            str(_NAMES[name]),
            "" if name in _SWITCHES else asked.meant[name],
            _address(request, **{name: ""}),
        )
        for name in log.FIELDS
        if name in asked.meant
    ]


@require_GET
def call_page(request: HttpRequest, public_id: str) -> HttpResponse:
    """One call: drawn, told in order, and the evidence underneath."""
    supervisors_only(request)
    call_pk = arrivals.public_id(public_id)
    calls = QueuedCall.objects.select_related("queue", "agent", "menu")
    call = calls.filter(pk=call_pk).first() if call_pk else None
    if call is None:
        raise Http404(_("There is no such call."))
    at = timezone.now()
    events = list(call.events.select_related("offer__agent").order_by("at", "pk"))
    offers = list(call.offers.select_related("agent").order_by("created_at"))
    legs = list(call.legs.all())
    supervisions = list(call.supervisions.select_related("supervisor").order_by("created_at"))
    written = WrapUp.objects.filter(offer__call=call).order_by("offer__created_at")
    waiting = call.state == QueuedCall.State.WAITING
    before, after = _neighbours(call)
    context = {
        "call": call,
        "at": at,
        "name": contacts.name_of(call.customer),
        "picture": picture.draw(
            call, events=events, offers=offers, legs=legs, supervisions=supervisions, at=at
        ),
        "events": events,
        "offers": offers,
        "legs": legs,
        "supervisions": supervisions,
        "recordings": recordings.shown(call),
        "written": written.select_related("offer__agent", "disposition__parent", "updated_by"),
        "told": _told(call),
        "records": call.records.order_by("started_at"),
        "webhooks": call.webhook_events.order_by("received_at"),
        "why": routing.why_waiting(call, at) if waiting else "",
        "before": before,
        "after": after,
    }
    return render(request, "reporting/call.html", context)


def _neighbours(call: QueuedCall) -> tuple[QueuedCall | None, QueuedCall | None]:
    """Return the calls of the same customer before and after; a withheld number is nobody's."""
    if call.customer == phone.ANONYMOUS:
        return None, None
    others = QueuedCall.objects.filter(customer=call.customer).exclude(pk=call.pk)
    before = others.filter(arrived_at__lte=call.arrived_at).order_by("-arrived_at").first()
    after = others.filter(arrived_at__gt=call.arrived_at).order_by("arrived_at").first()
    return before, after


def _told(call: QueuedCall) -> list[tuple[Delivery, str]]:
    """Return what was told of the call to other systems, and who each of them is."""
    deliveries = list(
        Delivery.objects.filter(message__subject=call.public_id)
        .select_related("message")
        .order_by("message_id", "pk")[:200]
    )
    names = dict(
        Endpoint.objects.filter(pk__in={one.endpoint_id for one in deliveries}).values_list(
            "pk", "description"
        )
    )
    return [(one, names.get(one.endpoint_id, "–")) for one in deliveries]
