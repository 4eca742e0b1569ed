"""The provider's list of live calls against ours, both ways, once a minute.

Asking about single legs (`reconcile`) settles what we know to be open. This finds what nobody
would ask about: a leg that lives on after we took it for ended, and a call that we never heard of.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction

from callcenter.sautikit import errors
from callcenter.sautikit.callbacks import Record
from queues import adoption, alerts, calls, offers, provider
from queues.models import Alert, CallEvent, Leg, QueuedCall

log = logging.getLogger(__name__)
LIVE = ("ringing", "started", "answered")
LONGEST_CALL = timedelta(hours=4)  # after which a call that is still open is told
SETTLED = timedelta(seconds=30)  # what is younger may just not have reached the other side


def compare(*, at: datetime) -> None:
    """Compare the two lists; what they disagree about is asked, adopted or hung up.

    The list alone closes nothing: a leg that it lacks is asked about, and only the answer counts.
    """
    _tell_of_long_calls(at)
    try:
        live = _live_at_the_provider(at)
    except errors.SautikitError as error:
        log.info("the lists of live calls could not be compared: %s", error)
        return
    listed = {handle for record in live for handle in record.handles}
    for leg in Leg.objects.filter(ended_at=None, placed_at__lt=at - SETTLED):
        named = {leg.session_id, leg.provider_id} - {None}
        if named and not named & listed:
            calls.ask_soon(leg, at)
    for record in live:
        known = Leg.objects.known_by(record.handles)
        if known is None:
            adoption.adopt_record(record, at=at)
        elif known.ended_at and known.ended_at < at - SETTLED:
            _outlived(known, at)


def _live_at_the_provider(at: datetime) -> list[Record]:
    pages = provider.client().iter_pages(since=at - 2 * LONGEST_CALL, status=LIVE)
    return [record for page in pages for record in page.records if not record.is_over]


def _outlived(leg: Leg, at: datetime) -> None:
    """A leg lives on that we were told had ended: nobody serves it any more, so it is hung up."""
    try:
        record = provider.client().get_call(leg.handle)
    except errors.SautikitError:
        return
    if record.is_over:
        return
    with transaction.atomic():
        reopened = Leg.objects.filter(pk=leg.pk, ended_at=leg.ended_at).update(
            state=Leg.State.ANSWERED if record.answered_at else Leg.State.RINGING,
            ended_at=None, outcome="", ask_at=at + SETTLED, hang_up_at=None,
        )  # fmt: skip
        if not reopened:
            return
        CallEvent.objects.create(
            call_id=leg.call_id, offer_id=leg.offer_id, at=at, kind="leg_outlived",
            source="records", detail={"leg": leg.role, "recovered": True},
        )  # fmt: skip
        leg.hang_up_at = None
        offers.hang_up(leg, at)


def _tell_of_long_calls(at: datetime) -> None:
    """Say which calls have been open for longer than a talk ever is; they are not cut off."""
    long = QueuedCall.objects.filter(state__in=QueuedCall.OPEN, arrived_at__lt=at - LONGEST_CALL)
    told = Alert.objects.filter(kind="long_call", dismissed_at=None).values("subject")
    for call in long.exclude(public_id__in=told):
        hours = int((at - call.arrived_at) / timedelta(hours=1))
        alerts.raise_alert(
            "long_call",
            call.public_id,
            f"Call {call.public_id} has been open for {hours} hours. If nobody talks any more, "
            "hang it up among the queued calls in the admin.",
            at=at,
        )
