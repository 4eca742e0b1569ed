"""Queues, their calls, and the evidence of what happened: one subject a file."""

from queues.models.alert_rule import AlertMail, AlertRule
from queues.models.call import CallEvent, QueuedCall
from queues.models.contact import Contact
from queues.models.evidence import Alert, ProviderFact, WebhookEvent
from queues.models.leg import Leg
from queues.models.offer import Offer
from queues.models.provider import Breaker, Pace
from queues.models.queue import Member, Menu, MenuOption, Number, Queue
from queues.models.recording import Recording, RecordingAccess
from queues.models.supervision import Supervision
from queues.models.wrap_up import Disposition, WrapUp

__all__ = [
    "Alert",
    "AlertMail",
    "AlertRule",
    "Breaker",
    "CallEvent",
    "Contact",
    "Disposition",
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
    "Recording",
    "RecordingAccess",
    "Supervision",
    "WebhookEvent",
    "WrapUp",
]
