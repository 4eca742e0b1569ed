"""Who is told, what there is to tell, and how far each has got."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from callcenter.history import Changes
from callcenter.ids import new_id
from callcenter.outbox import addresses
from callcenter.outbox.topics import TOPICS

MOST_SECRETS = 3


class Endpoint(models.Model):
    """One receiver: an address, what it wants to hear, and the secrets that sign it."""

    url = models.CharField("URL", max_length=500, help_text="Where messages are posted: https://…")
    description = models.CharField(max_length=80, help_text="What it is, for people and alerts.")
    topics = ArrayField(
        models.CharField(max_length=32), help_text="What it is told (docs/webhooks.md)."
    )
    secrets = ArrayField(
        models.CharField(max_length=100), editable=False, help_text="The newest first."
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Off: nothing is sent, and nothing new is kept for it."
    )
    allow_private = models.BooleanField(
        "may be on a private network",
        default=False,
        help_text="Needs the setting OUTBOX_ALLOW_PRIVATE. Plain http is taken there.",
    )
    failures = models.PositiveIntegerField(
        default=0, editable=False, help_text="Times in a row that it could not be reached."
    )
    held_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Out of reach: not tried before."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    history = Changes(excluded_fields=["secrets", "failures", "held_until", "created_at"])

    class Meta:
        ordering = ["description"]
        constraints = [
            models.CheckConstraint(condition=Q(topics__len__gte=1), name="endpoint_has_a_topic"),
            models.CheckConstraint(
                condition=Q(secrets__len__gte=1, secrets__len__lte=MOST_SECRETS),
                name="endpoint_has_secrets",
            ),
        ]

    def __str__(self) -> str:
        return self.description

    def clean(self) -> None:
        """Refuse an address that is not to be sent to, and topics that do not exist."""
        unknown = sorted(set(self.topics or []) - set(TOPICS))
        if unknown:
            raise ValidationError({"topics": f"There is no topic {', '.join(unknown)}."})
        if self.allow_private and not settings.OUTBOX_ALLOW_PRIVATE:
            closed = "Private networks are closed: set OUTBOX_ALLOW_PRIVATE=true and restart first."
            raise ValidationError({"allow_private": closed})
        try:
            addresses.resolve(self.url, allow_private=self.may_be_private)
        except (addresses.Refused, addresses.Unresolved) as error:
            raise ValidationError({"url": str(error)}) from error

    @property
    def may_be_private(self) -> bool:
        """Whether both who runs the host and who set this up allow a private address."""
        return self.allow_private and bool(settings.OUTBOX_ALLOW_PRIVATE)

    @property
    def site(self) -> str:
        """The address without path and query, which may be secrets of the receiver's."""
        try:
            place = addresses.parse(self.url)
        except addresses.Refused:
            return "–"
        return f"{'https' if place.is_https else 'http'}://{place.host}:{place.port}"


class Message(models.Model):
    """One thing that happened, as it is told to everybody who wants to hear it.

    The key is its place in the order in which things were told. `uid` names it to receivers for
    good: a database that was restored counts some numbers twice.
    """

    id = models.BigAutoField(primary_key=True, verbose_name="sequence")
    uid = models.UUIDField(default=new_id, editable=False)
    topic = models.CharField(max_length=32)
    subject = models.CharField(max_length=160, help_text="What it is about; told in order.")
    at = models.DateTimeField()
    payload = models.JSONField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["at"], name="messages_by_time"),
            models.Index(fields=["subject"], name="messages_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.topic}"


class Delivery(models.Model):
    """One message for one endpoint: pending, delivered or dead.

    Pending ones have a `next_at`; a worker that is at it has leased the row until `leased_until`.
    """

    # No constraint in the database: an endpoint that is removed while a call ends must not undo
    # what happened to the call. Housekeeping removes what is left.
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, db_index=False, related_name="deliveries"
    )
    subject = models.CharField(max_length=160)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    dead_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "message"], name="one_delivery_per_endpoint_and_message"
            ),
            models.CheckConstraint(
                condition=Q(next_at__isnull=False, delivered_at=None, dead_at=None)
                | Q(next_at=None, leased_until=None, delivered_at__isnull=False, dead_at=None)
                | Q(next_at=None, leased_until=None, delivered_at=None, dead_at__isnull=False),
                name="delivery_is_pending_delivered_or_dead",
            ),
        ]
        indexes = [
            models.Index(fields=["message"], name="deliveries_by_message"),
            models.Index(
                fields=["endpoint", "next_at"],
                condition=Q(next_at__isnull=False),
                name="deliveries_due",
            ),
            models.Index(
                fields=["endpoint", "subject", "message"],
                condition=Q(next_at__isnull=False),
                name="deliveries_in_order",
            ),
            models.Index(
                fields=["endpoint", "leased_until"],
                condition=Q(leased_until__isnull=False),
                name="deliveries_leased",
            ),
            models.Index(
                fields=["dead_at"], condition=Q(dead_at__isnull=False), name="deliveries_dead"
            ),
        ]

    def __str__(self) -> str:
        return f"message {self.message_id} to endpoint {self.endpoint_id}"

    @property
    def state(self) -> str:
        """How far it has got, in a word."""
        if self.next_at:
            return "pending"
        return "delivered" if self.delivered_at else "dead"
