"""One customer's interaction, from the first ring to its one end, and the log of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Reverse
from django.utils import timezone

from agents.models import Agent
from callcenter.ids import new_id
from callcenter.transitions import Transitions
from queues.models.queue import Menu, Queue

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from queues.models.leg import Leg
    from queues.models.offer import Offer


class QueuedCall(Transitions):
    """A call of a customer, inbound or outbound.

    Moves are compare-and-set (`move_to`); only `queues.calls` makes them. Every end is final.
    """

    class State(models.TextChoices):
        GREETING = "greeting"  # reached us; in a menu, or being answered
        DIALLING = "dialling"  # outbound: the contact's phone rings
        WAITING = "waiting"  # in line, nobody is being rung
        OFFERED = "offered"  # one agent's phone rings
        CONNECTED = "connected"  # customer and agent talk
        COMPLETED = "completed"  # they have talked
        ABANDONED = "abandoned"  # the customer left before an agent came
        NO_ANSWER = "no_answer"  # outbound: the contact did not answer
        BUSY = "busy"  # outbound: the contact was busy
        VOICEMAIL = "voicemail"  # reserved
        CALLBACK = "callback"  # reserved
        OVERFLOWED = "overflowed"  # reserved
        EXPIRED = "expired"  # waited for max_wait_seconds
        CLOSED_HOURS = "closed_hours"  # reserved
        REJECTED = "rejected"  # not let in: unknown number, nobody signed in, no choice in a menu
        FAILED = "failed"  # ended by an error, or nobody of ours could be reached

    class AbandonedIn(models.TextChoices):
        MENU = "menu"
        QUEUE = "queue"
        RINGING = "ringing"

    class Direction(models.TextChoices):
        INBOUND = "inbound"
        OUTBOUND = "outbound"

    OPEN = frozenset(
        {State.GREETING, State.DIALLING, State.WAITING, State.OFFERED, State.CONNECTED}
    )
    FINAL = frozenset(set(State) - OPEN)
    _BEFORE_TALK = frozenset({State.GREETING, State.DIALLING, State.WAITING, State.OFFERED})
    MOVES = {
        State.GREETING: frozenset(),
        State.DIALLING: frozenset(),
        State.WAITING: frozenset({State.GREETING, State.OFFERED, State.WAITING}),
        State.OFFERED: frozenset({State.GREETING, State.WAITING, State.DIALLING}),
        State.CONNECTED: frozenset({State.OFFERED}),
        # Corrected by the provider's record: abandoned <-> completed; failed, of a contact.
        State.COMPLETED: frozenset({State.CONNECTED, State.WAITING, State.ABANDONED, State.FAILED}),
        # From a talk: the customer had left before the agent came, and that was told late.
        State.ABANDONED: _BEFORE_TALK | {State.CONNECTED, State.COMPLETED},
        State.NO_ANSWER: frozenset({State.DIALLING}),
        State.BUSY: frozenset({State.DIALLING}),
        State.VOICEMAIL: _BEFORE_TALK,
        State.CALLBACK: _BEFORE_TALK,
        State.OVERFLOWED: _BEFORE_TALK,
        State.EXPIRED: frozenset({State.WAITING}),
        State.CLOSED_HOURS: frozenset({State.GREETING}),
        State.REJECTED: frozenset({State.GREETING}),
        State.FAILED: _BEFORE_TALK,
    }

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    public_id = models.CharField(max_length=58, unique=True)
    direction = models.CharField(max_length=8, choices=Direction.choices)
    state = models.CharField(max_length=12, choices=State.choices, default=State.GREETING)
    abandoned_in = models.CharField(max_length=7, choices=AbandonedIn.choices, blank=True)
    end_reason = models.CharField(max_length=120, blank=True)
    queue = models.ForeignKey(
        Queue, null=True, blank=True, on_delete=models.PROTECT, related_name="calls",
        db_index=False,
    )  # fmt: skip
    menu = models.ForeignKey(
        Menu, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    menu_tries = models.PositiveSmallIntegerField(default=0)
    last_digits = models.CharField(max_length=8, blank=True)
    stepped_at = models.DateTimeField(null=True, blank=True)
    customer = models.CharField(max_length=128, help_text="The customer's number, SIP URI or word.")
    line = models.CharField(max_length=128, help_text="Our number: dialled, or shown outbound.")
    priority = models.SmallIntegerField(default=0)
    wanted_agent = models.ForeignKey(
        Agent,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="A supervisor keeps this caller for one agent.",
    )
    agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.PROTECT, related_name="calls",
        db_index=False,
    )  # fmt: skip
    offer: models.ForeignKey[Offer | None, Offer | None] = models.ForeignKey(
        "queues.Offer", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    arrived_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(null=True, blank=True)
    offerable_from = models.DateTimeField(
        null=True, blank=True, help_text="From when the router may offer this waiting caller."
    )
    not_before = models.DateTimeField(
        null=True, blank=True, help_text="Not offerable earlier, whatever the room says."
    )
    dialled_at = models.DateTimeField(null=True, blank=True)
    connected_at = models.DateTimeField(null=True, blank=True)
    connected_is_estimated = models.BooleanField(default=False)
    ended_at = models.DateTimeField(null=True, blank=True)
    is_provisional = models.BooleanField(
        default=False, help_text="The end may still be corrected by the provider's record."
    )
    step = models.PositiveIntegerField(default=0, help_text="Counts the documents answered.")
    document = models.TextField(blank=True, help_text="The last document answered, as sent.")
    is_acknowledged = models.BooleanField(
        default=False, help_text="Something later than the first document has been seen."
    )

    if TYPE_CHECKING:
        legs: RelatedManager[Leg]
        offers: RelatedManager[Offer]
        events: RelatedManager[CallEvent]
        agent_id: int | None
        wanted_agent_id: int | None
        queue_id: int | None
        menu_id: int | None
        offer_id: object

    class Meta:
        ordering = ["-arrived_at"]
        constraints = [
            models.CheckConstraint(
                name="call_ends_once",
                condition=Q(state__in=["greeting", "dialling", "waiting", "offered", "connected"])
                ^ Q(ended_at__isnull=False),
            ),
            models.CheckConstraint(
                name="abandoned_somewhere",
                condition=Q(state="abandoned") ^ Q(abandoned_in=""),
            ),
            models.CheckConstraint(
                name="connected_call_has_an_agent",
                condition=~Q(state__in=["connected", "completed"])
                | Q(agent__isnull=False, connected_at__isnull=False),
            ),
            models.CheckConstraint(
                name="waiting_call_has_a_place",
                condition=~Q(state="waiting") | Q(queued_at__isnull=False, queue__isnull=False),
            ),
            models.CheckConstraint(
                name="call_ends_after_it_arrived",
                condition=Q(ended_at=None) | Q(ended_at__gte=F("arrived_at")),
            ),
            models.CheckConstraint(
                name="only_a_talk_is_connected",
                condition=Q(connected_at=None)
                | Q(state__in=["connected", "completed"], queued_at__isnull=False),
            ),
            models.CheckConstraint(
                name="only_an_end_without_a_talk_is_provisional",
                condition=Q(is_provisional=False) | Q(state__in=["abandoned", "failed"]),
            ),
            # SQL compares with nothing as neither true nor false, which a check lets pass.
            models.CheckConstraint(
                name="times_of_a_call_are_in_order",
                condition=Q(queued_at__gte=F("arrived_at"))
                & Q(connected_at__gte=F("queued_at"))
                & Q(ended_at__gte=F("queued_at"))
                & Q(ended_at__gte=F("connected_at")),
            ),
        ]
        indexes = [
            # The line of one queue, in the order in which it is served.
            models.Index(
                F("queue"), F("priority").desc(), F("arrived_at"), F("id"),
                condition=Q(state="waiting"), name="calls_in_line",
            ),
            models.Index(
                fields=["wanted_agent"],
                condition=Q(state="waiting", wanted_agent__isnull=False), name="calls_kept",
            ),
            models.Index(
                fields=["state", "arrived_at"],
                condition=Q(ended_at=None), name="calls_open",
            ),
            models.Index(fields=["queued_at"], name="calls_by_queueing"),
            models.Index(fields=["queue", "arrived_at"], name="calls_by_queue"),
            models.Index(fields=["agent", "-arrived_at"], name="calls_by_agent"),
            models.Index(fields=["-arrived_at"], name="calls_by_arrival"),
            # For the whole number or its beginning, in any collation; and for its last digits.
            models.Index(
                fields=["customer"], opclasses=["varchar_pattern_ops"], name="calls_by_number"
            ),
            models.Index(
                OpClass(Reverse("customer"), name="text_pattern_ops"), name="calls_by_last_digits"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"call {self.public_id}"

    @property
    def room(self) -> str:
        """The name of the conference in which this customer waits and talks."""
        return f"queue-{self.public_id}"

    @property
    def wait_seconds(self) -> float | None:
        """Seconds from entering the queue to the talk, or to the end without one."""
        until = self.connected_at or self.ended_at
        if self.queued_at is None or until is None:
            return None
        return round(max(0.0, (until - self.queued_at).total_seconds()), 3)

    @property
    def talk_seconds(self) -> float | None:
        """Seconds from the connection to the end."""
        if self.connected_at is None or self.ended_at is None:
            return None
        return round(max(0.0, (self.ended_at - self.connected_at).total_seconds()), 3)

    @property
    def is_inbound(self) -> bool:
        """Whether the customer called us."""
        return self.direction == self.Direction.INBOUND


ENDS = sorted(QueuedCall.FINAL)  # the kinds of event that end a call


class CallEvent(models.Model):
    """One thing that happened to a call, never changed afterwards."""

    call = models.ForeignKey(QueuedCall, on_delete=models.CASCADE, related_name="events")
    offer = models.ForeignKey(
        "queues.Offer", null=True, blank=True, on_delete=models.CASCADE, related_name="events"
    )
    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    source = models.CharField(max_length=24, blank=True, help_text="What told us.")
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["call"], condition=Q(kind__in=ENDS), name="one_end_per_call"
            )
        ]
        indexes = [
            models.Index(
                fields=["at"], condition=Q(detail__recovered=True), name="events_recovered"
            ),
            models.Index(fields=["call"], condition=Q(kind="corrected"), name="events_corrected"),
        ]

    def __str__(self) -> str:
        return self.kind
