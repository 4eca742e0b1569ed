"""Who takes calls: agents, and what they asked to be."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext

from callcenter.history import Changes
from callcenter.sautikit import phone


class Presence(models.TextChoices):
    """What the agent asked for; changed only by a person or a named policy."""

    AVAILABLE = "available", "Available"  # wants calls
    BREAK = "break", "Break"  # signed in, takes none for now
    OFFLINE = "offline", "Offline"  # not at work


class Engagement(models.TextChoices):
    """What the agent is doing, derived from offers and legs; never set by hand."""

    IDLE = "idle", "Idle"
    RINGING = "ringing", "Ringing"  # an offer is open and not yet connected
    ON_CALL = "on_call", "On a call"
    WRAP_UP = "wrap_up", "Wrap-up"  # after-call work, ends on the server's clock


class HoldOff(models.TextChoices):
    """Why an agent is passed over for a while after an offer that failed."""

    NO_ANSWER = "no_answer", "Did not answer"
    BUSY = "busy", "Was busy"
    DECLINED = "declined", "Declined"
    NO_KEYPRESS = "no_keypress", "Answered without pressing 1"
    UNREACHABLE = "unreachable", "Could not be reached"
    HANGING_UP = "hanging_up", "Phone is being hung up"  # of an offer that nobody waits for


def validate_destination(value: str) -> None:
    """Refuse what is neither an E.164 number nor a SIP URI, with a sentence."""
    try:
        phone.normalise(value)
    except phone.BadDestination as error:
        raise ValidationError(gettext(str(error))) from error


# What calls and people at work change; everything else of an agent is set up, and has a history.
LIVE_FIELDS = [
    "presence", "presence_reason", "presence_since", "engagement", "engagement_since",
    "idle_since", "wrap_up_until", "hold_off_until", "hold_off_reason", "strikes",
]  # fmt: skip


class AgentQuerySet(models.QuerySet["Agent"]):
    def current(self) -> AgentQuerySet:
        """Agents who have not been removed."""
        return self.filter(retired_at=None)

    def routable(self, at: datetime) -> AgentQuerySet:
        """Agents who may be offered a call at this instant: available, idle, past hold-off."""
        return self.current().filter(
            Q(hold_off_until=None) | Q(hold_off_until__lte=at),
            presence=Presence.AVAILABLE,
            engagement=Engagement.IDLE,
        )


class Agent(models.Model):
    """One person with one phone.

    Three separate facts: `presence` (asked for), `engagement` (derived from offers; a cache that
    only `queues` writes, in the offer's transaction), and the hold-off (passed over until).
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agent"
    )
    name = models.CharField(max_length=80, help_text="As supervisors and colleagues see it.")
    destination = models.CharField(
        max_length=160,
        validators=[validate_destination],
        help_text="Where the agent's phone rings: a number (+254…, 07…) or a SIP URI (sip:…).",
    )
    confirm_key = models.BooleanField(
        "press 1 to take a call",
        default=False,
        help_text="The agent presses 1 before the caller is joined, "
        "so that a mobile's voicemail never takes a caller.",
    )
    presence = models.CharField(
        max_length=9, choices=Presence.choices, default=Presence.OFFLINE, editable=False
    )
    presence_reason = models.CharField(max_length=60, blank=True, editable=False)
    presence_since = models.DateTimeField(default=timezone.now, editable=False)
    engagement = models.CharField(
        max_length=7, choices=Engagement.choices, default=Engagement.IDLE, editable=False
    )
    engagement_since = models.DateTimeField(default=timezone.now, editable=False)
    idle_since = models.DateTimeField(
        default=timezone.now, editable=False, help_text="Orders agents by longest idle."
    )
    wrap_up_until = models.DateTimeField(null=True, blank=True, editable=False)
    hold_off_until = models.DateTimeField(null=True, blank=True, editable=False)
    hold_off_reason = models.CharField(
        max_length=11, choices=HoldOff.choices, blank=True, editable=False
    )
    strikes = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Offers not answered in a row."
    )
    retired_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AgentQuerySet.as_manager()
    history = Changes(excluded_fields=LIVE_FIELDS)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["destination"],
                condition=Q(retired_at=None),
                name="one_agent_per_destination",
                violation_error_message="Another agent already has this destination.",
            ),
            models.CheckConstraint(
                condition=~Q(destination=""),
                name="agent_has_a_destination",
                violation_error_message="An agent needs a number or a SIP URI.",
            ),
            models.CheckConstraint(
                condition=Q(engagement="wrap_up") ^ Q(wrap_up_until=None),
                name="wrap_up_ends_some_time",
            ),
            models.CheckConstraint(
                condition=Q(hold_off_until=None) ^ ~Q(hold_off_reason=""),
                name="hold_off_has_a_reason",
            ),
        ]
        indexes = [
            models.Index(
                fields=["idle_since"],
                condition=Q(presence="available", engagement="idle", retired_at=None),
                name="agents_routable",
            ),
            models.Index(
                fields=["wrap_up_until"], condition=Q(engagement="wrap_up"), name="agents_wrap_up"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Store the destination in its one canonical form."""
        try:
            self.destination = phone.normalise(self.destination)
        except phone.BadDestination as error:
            raise ValidationError({"destination": str(error)}) from error
        # Forms leave `retired_at` out, and with it the constraint that depends on it.
        others = Agent.objects.current().filter(destination=self.destination).exclude(pk=self.pk)
        if self.retired_at is None and others.exists():
            taken = "Another agent already has this destination."
            raise ValidationError({"destination": taken})

    @property
    def is_sip(self) -> bool:
        """Whether the agent's phone is a SIP softphone rather than a number."""
        return phone.is_sip(self.destination)

    def why_not_routable(self, at: datetime) -> str:
        """Return why the router passes this agent over, in a word; empty when it does not."""
        if self.presence != Presence.AVAILABLE:
            return self.presence
        if self.engagement != Engagement.IDLE:
            return self.engagement
        if self.hold_off_until and self.hold_off_until > at:
            return f"hold_off:{self.hold_off_reason}"
        return ""


class PresencePeriod(models.Model):
    """A stretch of one presence: from when to when, who set it and why."""

    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, related_name="presence_periods", db_index=False
    )
    presence = models.CharField(max_length=9, choices=Presence.choices)
    reason = models.CharField(max_length=60, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    cause = models.CharField(max_length=60, help_text="page, api, admin, or the policy's name.")
    is_paid = models.BooleanField(
        null=True, blank=True, help_text="Of a break with a known reason: as it was set up then."
    )
    limit_at = models.DateTimeField(
        null=True, blank=True, help_text="When a break becomes longer than its reason allows."
    )
    over_told_at = models.DateTimeField(
        null=True, blank=True, help_text="When agent and supervisors were told that it is."
    )

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent"], condition=Q(ended_at=None), name="one_open_presence_per_agent"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=models.F("started_at")),
                name="presence_ends_after_it_starts",
            ),
            models.CheckConstraint(condition=~Q(cause=""), name="presence_has_a_cause"),
        ]
        indexes = [models.Index(fields=["agent", "started_at"], name="periods_by_agent")]

    def __str__(self) -> str:
        return f"{self.agent}: {self.presence}"


class AgentInterval(models.Model):
    """A stretch in which an agent's presence and engagement stayed the same.

    The intervals of an agent are one chain: no gap, no overlap, from the agent's first row until
    now. The database writes it (a trigger on the agent's row, migration 0002), with the times of
    `presence_since` and `engagement_since`; nothing else does. Where those go back, a clock was
    set back: the new interval starts where the open one did, whose length is then zero.
    """

    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, related_name="intervals", db_index=False
    )
    presence = models.CharField(
        max_length=9, choices=Presence.choices, help_text="A retired agent is offline."
    )
    reason = models.CharField(max_length=60, blank=True)
    engagement = models.CharField(max_length=7, choices=Engagement.choices)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it goes on.")
    # Its start refers to its predecessor's end by a foreign key over (agent, previous, started_at).
    previous = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+",
        db_constraint=False, db_index=False,
    )  # fmt: skip

    if TYPE_CHECKING:
        agent_id: int
        previous_id: int | None

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=models.F("started_at")),
                name="interval_ends_after_it_starts",
            ),
            models.UniqueConstraint(
                fields=["agent"], condition=Q(previous=None), name="one_first_interval_per_agent"
            ),
            models.UniqueConstraint(
                fields=["agent"], condition=Q(ended_at=None), name="one_open_interval_per_agent"
            ),
            models.UniqueConstraint(fields=["previous"], name="one_next_interval"),
            models.UniqueConstraint(fields=["agent", "id", "ended_at"], name="interval_end"),
        ]
        indexes = [models.Index(fields=["agent", "started_at"], name="intervals_by_agent")]

    def __str__(self) -> str:
        return f"{self.agent_id}: {self.presence}, {self.engagement}"


def current_agent(user: Any) -> Agent | None:
    """Return the agent that this signed-in user is, or None."""
    return Agent.objects.current().filter(user_id=user.pk).first() if user.pk else None
