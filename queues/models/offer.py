"""One attempt to put one agent on one call; the unit of ringing, refusal and no-answer."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q

from agents.models import Agent
from callcenter.ids import new_id
from callcenter.transitions import Transitions
from queues.models.call import QueuedCall
from queues.models.queue import Queue

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from queues.models.leg import Leg

OPEN_STATES = ["dialling", "ringing", "answered", "joined"]


class OfferQuerySet(models.QuerySet["Offer"]):
    def open(self) -> OfferQuerySet:
        """Offers that still hold their agent and their call."""
        return self.filter(state__in=OPEN_STATES)


class Offer(Transitions):
    """Later states may be reached from any earlier one: messages overtake each other."""

    class State(models.TextChoices):
        DIALLING = "dialling"  # decided; the agent's phone is to be rung
        RINGING = "ringing"  # the provider has the leg
        ANSWERED = "answered"  # the agent has picked up
        JOINED = "joined"  # agent and customer talk
        ENDED = "ended"  # they have talked
        NO_ANSWER = "no_answer"
        BUSY = "busy"
        FAILED = "failed"  # the agent could not be reached
        DECLINED = "declined"
        NO_KEYPRESS = "no_keypress"  # picked up, and 1 was not pressed
        CALLER_GONE = "caller_gone"  # the customer left first; no strike
        EXPIRED = "expired"  # our own deadline passed without any word

    class Kind(models.TextChoices):
        DIRECT = "direct"  # the customer's own document dials the agent
        ROOM = "room"  # we call the agent into the customer's room
        CLICK = "click"  # click to call: reserved first, rung when the contact has answered

    OPEN = frozenset({State.DIALLING, State.RINGING, State.ANSWERED, State.JOINED})
    FINAL = frozenset(set(State) - OPEN)
    MOVES = {
        State.DIALLING: frozenset(),
        State.RINGING: frozenset({State.DIALLING}),
        State.ANSWERED: frozenset({State.DIALLING, State.RINGING}),
        State.JOINED: frozenset({State.DIALLING, State.RINGING, State.ANSWERED}),
        # The last two: a direct dial without evidence that the provider's record corrects.
        State.ENDED: OPEN | {State.NO_ANSWER, State.CALLER_GONE},
        State.NO_ANSWER: OPEN,
        State.BUSY: OPEN,
        State.FAILED: OPEN,
        State.DECLINED: OPEN,
        State.NO_KEYPRESS: OPEN,
        State.CALLER_GONE: OPEN,
        State.EXPIRED: OPEN,
    }

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    call = models.ForeignKey(QueuedCall, on_delete=models.CASCADE, related_name="offers")
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, related_name="offers", db_index=False
    )
    queue = models.ForeignKey(
        Queue, null=True, on_delete=models.PROTECT, related_name="offers", db_index=False
    )
    kind = models.CharField(max_length=6, choices=Kind.choices)
    state = models.CharField(max_length=11, choices=State.choices, default=State.DIALLING)
    created_at = models.DateTimeField()
    ring_until = models.DateTimeField(help_text="When our own timer ends the ringing.")
    check_at = models.DateTimeField(
        null=True, blank=True, help_text="When the sweep looks at this offer next."
    )
    checks = models.PositiveSmallIntegerField(default=0)
    answered_at = models.DateTimeField(null=True, blank=True)
    conference_at = models.DateTimeField(
        null=True, blank=True, help_text="When the agent was answered with the room."
    )
    joined_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    wrap_up_ended_at = models.DateTimeField(null=True, blank=True)

    objects = OfferQuerySet.as_manager()

    if TYPE_CHECKING:
        legs: RelatedManager[Leg]
        agent_id: int
        queue_id: int | None
        call_id: uuid.UUID

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent"],
                condition=Q(state__in=OPEN_STATES),
                name="one_open_offer_per_agent",
            ),
            models.UniqueConstraint(
                fields=["call"], condition=Q(state__in=OPEN_STATES), name="one_open_offer_per_call"
            ),
            models.CheckConstraint(
                condition=Q(state__in=OPEN_STATES) ^ Q(ended_at__isnull=False),
                name="offer_ends_once",
            ),
            models.CheckConstraint(
                condition=~Q(state="joined") | Q(joined_at__isnull=False),
                name="joined_offer_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["dialling", "ringing", "answered"])
                | Q(check_at__isnull=False)
                | Q(kind="click"),  # its deadline is that of the contact's leg
                name="ringing_offer_has_a_deadline",
            ),
            # SQL compares with nothing as neither true nor false, which a check lets pass.
            models.CheckConstraint(
                condition=Q(answered_at__gte=F("created_at"))
                & Q(joined_at__gte=F("answered_at"))
                & Q(ended_at__gte=F("created_at"))
                & Q(ended_at__gte=F("joined_at"))
                & Q(wrap_up_ended_at__gte=F("ended_at")),
                name="times_of_an_offer_are_in_order",
            ),
        ]
        indexes = [
            models.Index(
                fields=["check_at"], condition=Q(check_at__isnull=False), name="offers_to_check"
            ),
            models.Index(fields=["agent", "-created_at"], name="offers_by_agent"),
            models.Index(fields=["queue", "created_at"], name="offers_by_queue"),
        ]

    def __str__(self) -> str:
        return f"offer {self.pk} ({self.state})"
