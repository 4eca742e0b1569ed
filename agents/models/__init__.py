"""Agents, what they asked to be, and what belongs to their desk: one subject a file."""

from agents.models.agent import (
    LIVE_FIELDS,
    Agent,
    AgentInterval,
    AgentQuerySet,
    Engagement,
    HoldOff,
    Presence,
    PresencePeriod,
    current_agent,
    validate_destination,
)
from agents.models.desk import BreakReason, Heartbeat, Notice, NoticeRecipient
from agents.models.preferences import Preferences
from callcenter import account_history

__all__ = [
    "LIVE_FIELDS",
    "Agent",
    "AgentInterval",
    "AgentQuerySet",
    "BreakReason",
    "Engagement",
    "Heartbeat",
    "HoldOff",
    "Notice",
    "NoticeRecipient",
    "Preferences",
    "Presence",
    "PresencePeriod",
    "current_agent",
    "validate_destination",
]

account_history.keep()  # of users, groups and API tokens: its tables are of this app
