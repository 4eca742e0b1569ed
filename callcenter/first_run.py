"""From an empty database to the first real call: the steps, and which of them are done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from agents.models import Agent, Presence
from queues.models import Number, ProviderFact, Queue, QueuedCall, WebhookEvent

ROUTED = "routed"  # the fact that the last check found our addresses at the provider
INBOUND, EVENTS = "/calls/inbound", "/calls/events"


@dataclass(frozen=True)
class Step:
    """One thing to do: whether it is done, and what is known about it."""

    key: str
    title: str
    is_done: bool
    told: str
    links: tuple[tuple[str, str], ...] = ()  # address, words


def is_needed() -> bool:
    """Whether no caller could be served yet: there is no queue, or no agent."""
    return not (Queue.objects.filter(retired_at=None).exists() and Agent.objects.current().exists())


def steps() -> list[Step]:
    """Return the steps in their order, ticked off by what the database holds."""
    return [_settings(), _queue(), _agent(), _routing(), _available(), _first_call()]


def routing_url(path: str) -> str:
    """Return the address to paste at the provider, with the newest token; "" without one."""
    tokens = settings.SAUTIKIT_WEBHOOK_TOKENS
    return f"{settings.PUBLIC_BASE_URL}{path}?token={tokens[0]}" if tokens else ""


def without_token(path: str) -> str:
    """Return that address as whoever may not see the token is shown it."""
    return f"{settings.PUBLIC_BASE_URL}{path}?token=…"


def _settings() -> Step:
    missing = [
        name
        for name, value in (
            ("SAUTIKIT_API_KEY", settings.SAUTIKIT_API_KEY),
            ("SAUTIKIT_NUMBER", settings.SAUTIKIT_NUMBER),
            ("SAUTIKIT_WEBHOOK_TOKEN", settings.SAUTIKIT_WEBHOOK_TOKENS),
        )
        if not value
    ]
    told = (
        _("Missing in .env: %s. Set it there, and restart.") % ", ".join(missing)
        if missing
        else _("The API key, your number and the token of the webhooks are set.")
    )
    return Step("settings", _("Key and settings"), not missing, told)


def _queue() -> Step:
    queues = list(Queue.objects.filter(retired_at=None, numbers__isnull=False).distinct()[:3])
    by_menu = Number.objects.filter(menu__isnull=False).exists()
    links = [(reverse("admin:queues_queue_add"), _("Add a queue"))]
    if queues or by_menu:
        told = _("Callers of your number come to: %s.") % ", ".join(
            [queue.name for queue in queues] or [_("a menu")]
        )
    elif first := Queue.objects.filter(retired_at=None).first():
        told = _("There is a queue without a number. Add your number to it.")
        change = reverse("admin:queues_queue_change", args=[first.pk])
        links = [(change, _("Add a number to %s") % first.name)]
    else:
        told = _("Callers wait in a queue. Make one, and add your Sautikit number to it.")
    return Step("queue", _("A queue with your number"), bool(queues or by_menu), told, tuple(links))


def _agent() -> Step:
    agents: Any = Agent.objects.current()
    members = agents.filter(queues__retired_at=None, queues__isnull=False).distinct().count()
    links = [(reverse("admin:agents_agent_add"), _("Add an agent"))]
    if members:
        told = _("Agents in a queue: %d.") % members
    elif first := agents.first():
        told = _("There is an agent who is in no queue. Put the agent into one.")
        change = reverse("admin:agents_agent_change", args=[first.pk])
        links = [(change, _("Put %s into a queue") % first.name)]
    else:
        told = _("An agent is a person with a phone: a number, or a SIP address.")
        links.append((reverse("admin:agents_agent_import"), _("Import agents from a file")))
    return Step("agent", _("An agent"), bool(members), told, tuple(links))


def _routing() -> Step:
    routed = ProviderFact.objects.filter(pk=ROUTED, value=True).exists()
    called = WebhookEvent.objects.filter(
        endpoint="inbound", verdict=WebhookEvent.Verdict.TRUSTED
    ).exists()
    if called:
        told = _("Sautikit has called us: the address of voice is right.")
    elif routed:
        told = _("The check found both addresses at Sautikit.")
    else:
        told = _("Paste these two addresses at your number, in Sautikit's console.")
    return Step(
        "routing", _("Tell Sautikit where to call"), routed or called, told,
        ((reverse("start-check"), _("Check my Sautikit account")),),
    )  # fmt: skip


def _available() -> Step:
    agents: Any = Agent.objects.current()
    free = agents.filter(presence=Presence.AVAILABLE, queues__isnull=False).first()
    told = (
        _("%s is available.") % free.name
        if free
        else _("The agent signs in at /agent/ on any phone or computer, and taps Available.")
    )
    return Step("available", _("The agent is available"), free is not None, told)


def _first_call() -> Step:
    calls = QueuedCall.objects.filter(direction=QueuedCall.Direction.INBOUND)
    first = calls.order_by("arrived_at").first()
    talked = calls.exclude(connected_at=None).order_by("connected_at").first()
    shown = talked or first
    links = ((reverse("call-page", args=[shown.public_id]), _("Look at it")),) if shown else ()
    if talked:
        told = _("The first caller has talked to an agent. Everything is in place.")
    elif first:
        told = _("A call has come in; nobody has talked yet.")
    else:
        told = _("Dial your number from another phone. This page notices by itself.")
    return Step("call", _("The first call"), talked is not None, told, links)
