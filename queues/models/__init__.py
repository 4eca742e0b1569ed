"""Queues, their calls, and the evidence of what happened: one subject a file."""

from queues.models.call import CallEvent, QueuedCall
from queues.models.evidence import Alert, ProviderFact, WebhookEvent
from queues.models.leg import Leg
from queues.models.offer import Offer
from queues.models.provider import Breaker, Pace
from queues.models.queue import Member, Menu, MenuOption, Number, Queue

__all__ = [
    "Alert",
    "Breaker",
    "CallEvent",
    "Leg",
    "Member",
    "Menu",
    "MenuOption",
    "Number",
    "Offer",
    "Pace",
    "ProviderFact",
    "Queue",
    "QueuedCall",
    "WebhookEvent",
]
