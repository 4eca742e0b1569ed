"""What an administrator sets up: queues, their numbers and members, and menus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from agents.models import Agent
from callcenter.history import Changes
from callcenter.sautikit import actions, phone

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

AT_LEAST_1 = [MinValueValidator(1)]


class Strategy(models.TextChoices):
    """Which of the routable agents is offered the next call."""

    LONGEST_IDLE = "longest_idle", "Longest idle"
    ROUND_ROBIN = "round_robin", "Round robin"  # least recently offered
    FEWEST_CALLS = "fewest_calls", "Fewest calls today"
    LEAST_TALK = "least_talk", "Least talk time today"
    LINEAR = "linear", "In order of the members"
    RANDOM = "random", "Random"


class WhenEmpty(models.TextChoices):
    """What a caller meets when nobody is signed in."""

    HOLD = "hold", "Hold the caller"
    END = "end", "Say a sentence and hang up"


class Queue(models.Model):
    """A line of callers and the rules by which they are served. Times are whole seconds."""

    slug = models.SlugField(max_length=50, help_text="Its name in the API and in addresses.")
    name = models.CharField(max_length=80)
    strategy = models.CharField(
        max_length=12, choices=Strategy.choices, default=Strategy.LONGEST_IDLE
    )
    priority = models.SmallIntegerField(
        default=0, help_text="Callers of a queue with a higher number are served first."
    )
    direct_dial = models.BooleanField(
        default=True,
        help_text="Dial a free agent from the first answer, without the hold room. "
        "Agents who press 1 are always called into the room.",
    )
    ring_timeout = models.PositiveIntegerField(default=20, validators=AT_LEAST_1)
    wrap_up_seconds = models.PositiveIntegerField(default=30)
    service_level_seconds = models.PositiveIntegerField(default=20, validators=AT_LEAST_1)
    short_abandon_seconds = models.PositiveIntegerField(default=5)
    max_wait_seconds = models.PositiveIntegerField(default=600, validators=AT_LEAST_1)
    when_empty = models.CharField(max_length=4, choices=WhenEmpty.choices, default=WhenEmpty.HOLD)
    language = models.CharField(max_length=16, default="en-KE", help_text="BCP 47, e.g. sw-KE.")
    greeting = models.CharField(
        max_length=500,
        blank=True,
        default="Connecting you to an agent.",
        help_text="What a caller hears before an agent's phone rings: text, or an audio URL.",
    )
    hold_message = models.CharField(
        max_length=500,
        blank=True,
        default="All agents are currently with other customers. Please hold.",
        help_text="What a caller hears before the hold music: text, or an audio URL.",
    )
    say_position = models.BooleanField(default=True, help_text="Tell callers their place in line.")
    wrap_up_extension_seconds = models.PositiveIntegerField(
        default=60,
        db_default=60,
        help_text="By how much an agent may lengthen a wrap-up, once. 0: not at all.",
    )
    disposition_required = models.BooleanField(
        default=False,
        db_default=False,
        help_text="“Done” asks for a disposition. A wrap-up that runs out is noted as without one.",
    )
    service_level_target = models.PositiveSmallIntegerField(
        default=80,
        db_default=80,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Percent of the callers to be answered within the service level's seconds.",
    )
    heartbeat_seconds = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(30)],
        help_text="An agent whose page has been closed for so long is set offline by policy. "
        "Empty: agents need no open page.",
    )
    fetch_recordings = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Fetch the provider's recordings of talks into our own storage.",
    )
    keep_recordings_days = models.PositiveIntegerField(
        default=90, db_default=90, validators=AT_LEAST_1
    )
    closed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Since when a supervisor has closed it: new callers hear the closed message.",
    )
    closed_message = models.CharField(
        max_length=500,
        blank=True,
        default="We are closed at the moment. Please call again later.",
        db_default="We are closed at the moment. Please call again later.",
        help_text="What a caller hears while the queue is closed: text, or an audio URL.",
    )
    retired_at = models.DateTimeField(null=True, blank=True, editable=False)
    members = models.ManyToManyField(Agent, through="Member", related_name="queues")
    history = Changes()

    HEARD = ("greeting", "hold_message", "closed_message")

    if TYPE_CHECKING:
        numbers: RelatedManager[Number]

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["slug"],
                condition=Q(retired_at=None),
                name="one_queue_per_slug",
                violation_error_message="Another queue already has this slug.",
            ),
            models.CheckConstraint(
                condition=Q(
                    ring_timeout__gte=1, service_level_seconds__gte=1, max_wait_seconds__gte=1
                ),
                name="queue_seconds_start_at_1",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what could not be said to a caller, and the slug of another queue."""
        check_heard(self)
        # Forms leave `retired_at` out, and with it the constraint that depends on it.
        others = Queue.objects.filter(slug=self.slug, retired_at=None).exclude(pk=self.pk)
        if self.retired_at is None and others.exists():
            raise ValidationError({"slug": "Another queue already has this slug."})


class Member(models.Model):
    """An agent's place in a queue."""

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="memberships")
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="memberships")
    position = models.PositiveSmallIntegerField(
        default=0, help_text="The order of the strategy “in order of the members”."
    )
    history = Changes()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "agent"],
                name="member_once_per_queue",
                violation_error_message="This agent is in the queue already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.agent} in {self.queue}"


class Menu(models.Model):
    """A question before the queue: press 1 for sales, 2 for support."""

    class OnFailure(models.TextChoices):
        """Where a caller goes whose tries are used up."""

        FIRST_OPTION = "first_option", "The first option's queue"
        HANGUP = "hangup", "A polite end"

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=80, blank=True)
    prompt = models.CharField(
        max_length=500,
        blank=True,
        help_text="What the caller hears: text, or an audio URL. Empty: made from the options.",
    )
    language = models.CharField(max_length=16, default="en-KE")
    timeout = models.PositiveIntegerField(
        default=8, validators=AT_LEAST_1, help_text="Seconds to wait for a key."
    )
    tries = models.PositiveSmallIntegerField(default=3, validators=AT_LEAST_1)
    on_failure = models.CharField(
        max_length=12, choices=OnFailure.choices, default=OnFailure.FIRST_OPTION
    )
    history = Changes()

    HEARD = ("prompt",)

    if TYPE_CHECKING:
        options: RelatedManager[MenuOption]
        numbers: RelatedManager[Number]

    class Meta:
        ordering = ["name", "slug"]

    def __str__(self) -> str:
        return self.name or self.slug

    def clean(self) -> None:
        """Refuse what could not be said to a caller."""
        check_heard(self)


class MenuOption(models.Model):
    """One key of a menu."""

    menu = models.ForeignKey(Menu, on_delete=models.CASCADE, related_name="options")
    digit = models.CharField(
        max_length=1, validators=[RegexValidator(r"^[0-9*]$", "One key: 0 to 9 or *.")]
    )
    label = models.CharField(max_length=80, blank=True)
    queue = models.ForeignKey(Queue, null=True, blank=True, on_delete=models.PROTECT)
    submenu = models.ForeignKey(
        Menu, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    history = Changes()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["menu", "digit"],
                name="one_option_per_digit",
                violation_error_message="This menu has an option for that key already.",
            ),
            models.CheckConstraint(
                condition=Q(queue=None) ^ Q(submenu=None),
                name="option_leads_to_a_queue_or_a_menu",
                violation_error_message="An option leads to a queue or to a menu: choose one.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.digit}: {self.label or self.queue or self.submenu}"


class Number(models.Model):
    """A number that customers dial, and what answers it. No number can be on two things."""

    e164 = models.CharField(
        "number",
        max_length=16,
        unique=True,
        error_messages={"unique": "This number is in use on another queue or menu."},
    )
    queue = models.ForeignKey(
        Queue, null=True, blank=True, on_delete=models.CASCADE, related_name="numbers"
    )
    menu = models.ForeignKey(
        Menu, null=True, blank=True, on_delete=models.CASCADE, related_name="numbers"
    )
    history = Changes()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(queue=None) ^ Q(menu=None),
                name="number_leads_to_a_queue_or_a_menu",
                violation_error_message="A number leads to a queue or to a menu: choose one.",
            )
        ]

    def __str__(self) -> str:
        return self.e164

    def clean(self) -> None:
        """Store the number in E.164 form."""
        self.e164 = e164(self.e164, field="e164")


def check_language(value: str) -> str:
    """Return a language tag; raise ValidationError when the provider could not speak it."""
    if not actions.is_language(value):
        raise ValidationError("A language tag like en-KE or sw.")
    return value


def check_speech(value: str) -> str:
    """Return words or an audio URL; raise ValidationError for a URL that cannot be played."""
    audio = value.strip()
    if audio.startswith(("http://", "https://")) and not actions.is_web_url(audio):
        raise ValidationError("An audio URL is one whole address, without spaces.")
    return value


def check_heard(row: Queue | Menu) -> None:
    """Raise ValidationError, at the fields, for words or a language that cannot be said."""
    problems = {}
    for name in ("language", *row.HEARD):
        check = check_language if name == "language" else check_speech
        try:
            check(getattr(row, name))
        except ValidationError as error:
            problems[name] = error
    if problems:
        raise ValidationError(problems)


def e164(raw: str, *, field: str) -> str:
    """Return `raw` as an E.164 number; raise ValidationError on `field` when it is none."""
    try:
        number = phone.normalise(raw)
    except phone.BadDestination as error:
        raise ValidationError({field: str(error)}) from error
    if not phone.is_e164(number):
        raise ValidationError({field: f"{raw} is not a phone number in the form +254…."})
    return number
