"""One record of the provider's: written into the mirror, linked, and told to its call."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_noop

from callcenter.sautikit.callbacks import Outcome, Record
from queues import adoption, provider, reconcile
from queues.models import Leg, QueuedCall
from reporting import pseudonyms
from reporting.mirror import noting
from reporting.models import CallRecord, Difference, Erasure

OVER = ("completed", "failed", "no_answer", "busy", "canceled")
SETTLING = timedelta(minutes=10)  # after its end a record may still get its bill
ADOPTED_WITHIN = timedelta(days=35)  # what is older is mirrored, and no call is made of it
FUTURE = timedelta(days=1)
_EVER = datetime(2000, 1, 1, tzinfo=UTC)
LONGEST_CALL = 7 * 24 * 3600  # seconds; beyond, a duration is a mistake
_TOLD = {
    "status": "status", "started_at": "began", "answered_at": "answered", "ended_at": "ended",
    "duration_seconds": "seconds", "cost_minor": "cost", "cost_currency": "currency",
    "rate_per_minute_minor": "rate", "direction": "direction", "local": "our number",
    "remote": "other party", "failure_code": "failure",
}  # fmt: skip


def take_over(record: Record, *, at: datetime, looks_back: bool = False) -> bool:
    """Write one record into the mirror and tell our call what it says; True when it is news.

    `looks_back`: it is read long after the call, when no call is to be made of what is older
    than the centre, than `ADOPTED_WITHIN`, or was there before and is nobody's. What is removed
    by age or for a person who asked for it does not come back.
    """
    record = sane(record, at)
    if is_not_kept(record.started_at, at):
        return False
    values = _values(record)
    with transaction.atomic():
        mirrored = _mirrored(record)
        values["remote"] = _name_of(mirrored, record, looks_back)
        old = {name: getattr(mirrored, name) for name in values} if mirrored else None
        news = old != values
        was_over = mirrored is not None and mirrored.status in OVER
        leg = None
        if news or (mirrored and mirrored.leg_id is None):
            leg = Leg.objects.known_by(record.handles)
        if mirrored is None:
            mirrored = CallRecord(first_seen_at=at)
        if news or (leg and mirrored.leg_id is None):
            for name, value in values.items():
                setattr(mirrored, name, value)
            mirrored.leg, mirrored.call = leg, leg.call if leg else None
            mirrored.changed_at = at
            mirrored.save()
    if old and was_over and news:
        _note_change(mirrored, old, values, at)
    if record.flaws:
        noting.malformed(
            record.handles[0], "; ".join(record.flaws), record=mirrored, at=at,
            done=gettext_noop("The rest of the record is taken."),
        )  # fmt: skip
    adopted = None
    if (
        leg is None
        and mirrored.leg_id is None
        and _may_be_adopted(mirrored, record, at, looks_back)
    ):
        leg = adopted = _adopt(mirrored, record, at)
    if leg and (news or adopted) and _tells_more(leg, record):
        _tell(leg, mirrored, record, at)
    return news


def _values(record: Record) -> dict[str, Any]:
    return {
        "provider_id": record.call_id,
        "session_id": record.session_id,
        "direction": record.direction,
        "local": record.local,
        "remote": record.remote,
        "status": record.status.value,
        "started_at": record.started_at,
        "answered_at": record.answered_at,
        "ended_at": record.ended_at,
        "duration_seconds": record.duration_seconds,
        "cost_minor": record.cost_minor,
        "cost_currency": record.cost_currency,
        "rate_per_minute_minor": record.rate_per_minute_minor,
        "failure_code": record.failure_code,
    }


def is_not_kept(began: datetime | None, at: datetime) -> bool:
    """Whether calls of that time have been removed by their age."""
    days = settings.KEEP_CALLS_DAYS
    return bool(days and began and began < at - timedelta(days=days))


def _name_of(mirrored: CallRecord | None, record: Record, looks_back: bool) -> str:
    """Return the other party; a name that has taken the place of a number stays in it."""
    if mirrored and pseudonyms.is_one(mirrored.remote):
        return mirrored.remote
    if mirrored is None and looks_back and record.remote:
        erased = Erasure.objects.filter(
            digest=pseudonyms.digest(record.remote), started_at__gt=record.started_at or _EVER
        ).first()
        return erased.replaced_by if erased else record.remote
    return record.remote


def _mirrored(record: Record) -> CallRecord | None:
    """Lock and return the row of this record; twins, known by one handle each, become one."""
    rows = list(
        CallRecord.objects.select_for_update(of=("self",), no_key=True)
        .filter(Q(provider_id__in=record.handles) | Q(session_id__in=record.handles))
        .order_by("pk")
    )
    for twin in rows[1:]:
        twin.delete()
    return rows[0] if rows else None


def sane(record: Record, at: datetime) -> Record:
    """Leave out times and durations that cannot be, and say so among the record's flaws."""
    flaws, changes = list(record.flaws), dict[str, Any]()

    def leave_out(name: str, why: str) -> None:
        value = getattr(record, name)
        told = value.isoformat() if isinstance(value, datetime) else value
        flaws.append(f"{name}: {told} is {why}")
        changes[name] = None

    times = ("started_at", "answered_at", "ended_at")
    for name in times:
        if (told := getattr(record, name)) and told > at + FUTURE:
            leave_out(name, "to come")
    start = changes.get("started_at", record.started_at)
    for name in times[1:]:
        told = changes.get(name, getattr(record, name))
        if told and start and told < start - adoption.CLOCKS:
            leave_out(name, "before the start")
    answered, ended = (changes.get(name, getattr(record, name)) for name in times[1:])
    if answered and ended and answered > ended + adoption.CLOCKS:
        leave_out("answered_at", "after the end")
    if record.duration_seconds is not None and record.duration_seconds > LONGEST_CALL:
        leave_out("duration_seconds", "longer than any call")
    return replace(record, flaws=tuple(flaws), **changes) if changes else record


def _note_change(
    mirrored: CallRecord, old: dict[str, Any], new: dict[str, Any], at: datetime
) -> None:
    """Keep that a record has changed after its end. What was missing and came late is no change."""
    ended_at = old["ended_at"] or old["started_at"] or mirrored.first_seen_at
    young = ended_at > at - SETTLING
    changed = [
        name for name in _TOLD
        if old[name] != new[name] and old[name] not in (None, "")
        and not (name in ("cost_minor", "duration_seconds") and old[name] == 0 and young)
    ]  # fmt: skip
    if not changed:
        return
    only_bill = set(changed) <= {"cost_minor", "cost_currency", "rate_per_minute_minor"}
    noting.note(
        noting.Kind.CHANGED, str(mirrored), at=at, record=mirrored, leg=mirrored.leg,
        call=mirrored.call, happened_at=mirrored.started_at or mirrored.first_seen_at,
        theirs=told(new, changed), ours=f"was {told(old, changed)}", settled=True,
        done=gettext_noop("Cost taken over.") if only_bill else "Taken over.",
    )  # fmt: skip


def told(values: dict[str, Any], names: list[str]) -> str:
    """Write fields of a record in words; numbers are masked."""
    return ", ".join(f"{_TOLD[name]} {_shown(name, values[name])}" for name in names)


def _shown(name: str, value: Any) -> str:
    if value in (None, ""):
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if name.endswith("_minor"):
        return f"{value / 100:.2f}"
    return noting.masked(value) if name in ("local", "remote") else str(value)


# --- Calls ---------------------------------------------------------------------------------------


def _may_be_adopted(
    mirrored: CallRecord, record: Record, at: datetime, looks_back: bool
) -> bool:  # fmt: skip
    if not looks_back:
        return True
    since = provider.recall(adoption.ADOPTS_SINCE)
    began = record.started_at
    if since is None or began is None or began < datetime.fromisoformat(since):
        return False
    if pseudonyms.is_one(mirrored.remote):
        return False
    return began > at - ADOPTED_WITHIN and mirrored.first_seen_at > at - FUTURE


def _adopt(mirrored: CallRecord, record: Record, at: datetime) -> Leg | None:
    leg = adoption.adopt_record(record, at=at)
    if leg is None:
        return None
    CallRecord.objects.filter(pk=mirrored.pk).update(leg=leg, call=leg.call_id)
    mirrored.leg, mirrored.call = leg, leg.call
    if leg.role == Leg.Role.CUSTOMER or leg.is_placed_by_us:  # else known by its record only
        done = f"Adopted as call {leg.call.public_id}."
        if leg.offer and leg.offer.is_final:
            done = f"Adopted as a leg of call {leg.call.public_id}, and hung up."
        noting.note(
            noting.Kind.UNKNOWN, str(mirrored), at=at, record=mirrored, leg=leg, call=leg.call,
            happened_at=mirrored.started_at or at, theirs=described(mirrored),
            ours=gettext_noop("No message had told of it."), done=done, settled=True,
        )  # fmt: skip
    return leg


def described(record: CallRecord) -> str:
    """Write in words what a record says of its leg."""
    told = [record.direction or "no direction", record.status]
    if record.duration_seconds is not None:
        told.append(noting.spoken(record.duration_seconds))
    return ", ".join(told)


def _tells_more(leg: Leg, record: Record) -> bool:
    """Whether the record knows an answer or an end that our leg does not."""
    if leg.state != Leg.State.ENDED and (record.is_over or record.status is Outcome.UNKNOWN):
        return record.is_over
    return record.answered_at is not None and leg.answered_at is None


def _tell(leg: Leg, mirrored: CallRecord, record: Record, at: datetime) -> None:
    """Tell the call; where that corrects an end, keep what was wrong."""
    was = QueuedCall.objects.filter(pk=leg.call_id).values_list("state", flat=True).get()
    reconcile.take_record(leg, record, at=at, source="records")
    if was in QueuedCall.OPEN:
        return
    call = QueuedCall.objects.get(pk=leg.call_id)
    if call.state != was:
        noting.note(
            Difference.Kind.ANSWERED, str(mirrored), at=at, record=mirrored, leg=leg, call=call,
            happened_at=call.arrived_at, theirs=described(mirrored), ours=f"The call was {was}.",
            done=f"Corrected ours: the call is {call.state}.", settled=True,
        )  # fmt: skip
