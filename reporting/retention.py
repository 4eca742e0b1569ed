"""What is kept for how long: old rows are removed, or lose whose number it was.

Run by housekeeping, in small transactions that lock ended calls only; each run goes on where the
last one was. Figures stay: the interval tables are never removed, and never counted again from
the time of which rows are gone.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from agents.models import Agent
from callcenter.sautikit import phone
from queues import provider, recordings
from queues.models import QueuedCall, Recording
from reporting import pseudonyms
from reporting.alone import alone
from reporting.figures import upkeep
from reporting.figures.asked import quarter_of
from reporting.models import CallRecord

BATCH = 200  # calls in one transaction
AT_MOST = 250  # batches of one class in one run
_LOCK = 7_301_006  # any number that no other advisory lock has
NUMBERS_UNTIL = "numbers_replaced_until"  # calls that arrived before have no number any more

_NOTES = """
UPDATE queues_wrapup SET notes = '' WHERE offer_id IN (
    SELECT offer_id FROM queues_wrapup WHERE notes <> '' AND updated_at < %s
    LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)
"""
# The head of the chain goes, and the first that stays has no predecessor any more; the foreign
# key between the two is looked at when both are done.
_CUT = """
WITH gone AS (
    DELETE FROM agents_agentinterval
    WHERE agent_id = %(agent)s AND started_at <= %(before)s AND ended_at <= %(before)s
    RETURNING id, ended_at
)
SELECT id FROM gone ORDER BY ended_at DESC, id DESC LIMIT 1
"""
_FIRST = """
UPDATE agents_agentinterval SET previous_id = NULL WHERE agent_id = %s AND previous_id = %s
"""
_PERIODS = "DELETE FROM agents_presenceperiod WHERE agent_id = %s AND ended_at <= %s"

_OF = """FROM unnest(%(calls)s::uuid[], %(numbers)s::text[], %(names)s::text[])
    AS v (id, number, name)"""
_NUMBERS = [
    f"""UPDATE queues_queuedcall c SET customer = v.name,
        document = replace(c.document, v.number, v.name) {_OF} WHERE c.id = v.id""",  # noqa: S608 - no words of others
    f"""UPDATE queues_leg l SET party = v.name, request = replace(l.request, v.number, v.name)
        {_OF} WHERE l.call_id = v.id AND l.role = 'customer'""",  # noqa: S608
    f"""UPDATE reporting_callrecord r SET remote = v.name {_OF}
        WHERE r.call_id = v.id AND r.remote = v.number""",  # noqa: S608
    f"""UPDATE queues_callevent e SET detail = CASE WHEN e.detail ? 'customer'
            THEN jsonb_set(e.detail, '{{customer}}', to_jsonb(v.name))
            ELSE replace(e.detail::text, v.number, v.name)::jsonb END
        {_OF} WHERE e.call_id = v.id
        AND (e.detail ? 'customer' OR position(v.number IN e.detail::text) > 0)""",  # noqa: S608
    f"""UPDATE outbox_message m SET payload = replace(m.payload::text, v.number, v.name)::jsonb
        {_OF} JOIN queues_queuedcall c ON c.id = v.id
        WHERE m.subject = c.public_id AND position(v.number IN m.payload::text) > 0""",  # noqa: S608
    "DELETE FROM queues_webhookevent WHERE call_id = ANY(%(calls)s::uuid[])",
]
# Of each contact that there is, the newest row of its history stays.
_OLD_CONTACTS = """
DELETE FROM queues_historicalcontact h WHERE h.history_date < %s AND (
    NOT EXISTS (SELECT FROM queues_contact c WHERE c.id = h.id)
    OR EXISTS (SELECT FROM queues_historicalcontact n
               WHERE n.id = h.id AND n.history_id > h.history_id))
"""


def run(*, at: datetime) -> dict[str, int]:
    """Remove what has been kept for as long as the settings say; return how much of each class."""
    with alone(_LOCK) as is_alone:
        return _run(at) if is_alone else {}


def _run(at: datetime) -> dict[str, int]:
    done = {}
    if settings.KEEP_CALLS_DAYS:
        done["calls"] = _remove_calls(at - timedelta(days=settings.KEEP_CALLS_DAYS), at=at)
    if settings.KEEP_NUMBERS_DAYS:
        done["numbers"] = _replace_numbers(at - timedelta(days=settings.KEEP_NUMBERS_DAYS), at=at)
    if settings.KEEP_NOTES_DAYS:
        done["notes"] = _remove_notes(at - timedelta(days=settings.KEEP_NOTES_DAYS))
    return done


def _bulk() -> None:
    """What is done here makes no quarter stale; only within a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL callcenter.bulk = 'on'")


# --- Calls -------------------------------------------------------------------------------------


def _remove_calls(before: datetime, *, at: datetime) -> int:
    """Remove calls that were over by then, and the agents' time up to it.

    A call that was under way at that moment stays until its quarter is over, too: no figure of a
    quarter that is still counted again depends on it.
    """
    before = quarter_of(before)
    kept_from = upkeep.raw_kept_from()
    if kept_from is None or kept_from < before:
        upkeep.keep_raw_from(before, at=at)
    for agent in Agent.objects.values_list("pk", flat=True):
        _cut_time(agent, before)  # first: the audit asks each interval that is left for its offer
    removed = 0
    over = QueuedCall.objects.filter(
        arrived_at__lt=before, ended_at__lt=before, is_provisional=False
    )
    for _ in range(AT_MOST):
        keys = list(over.order_by("arrived_at").values_list("pk", flat=True)[:BATCH])
        if not keys:
            break
        removed += _remove(keys)
    _remove_records(before)
    return removed


@transaction.atomic
def _remove(keys: list[uuid.UUID]) -> int:
    _bulk()
    for recording in Recording.objects.filter(call__in=keys).exclude(path=""):
        (recordings.storage() / recording.path).unlink(missing_ok=True)
    CallRecord.objects.filter(call__in=keys).delete()
    CallRecord.objects.filter(leg__call__in=keys).delete()
    return QueuedCall.objects.filter(pk__in=keys).delete()[1].get("queues.QueuedCall", 0)


def _remove_records(before: datetime) -> None:
    """Records of no call of ours."""
    for _ in range(AT_MOST):
        old = CallRecord.objects.filter(call=None, leg=None, started_at__lt=before)
        keys = list(old.order_by("started_at").values_list("pk", flat=True)[: 5 * BATCH])
        if not keys:
            return
        with transaction.atomic():
            _bulk()
            CallRecord.objects.filter(pk__in=keys).delete()


@transaction.atomic
def _cut_time(agent: int, before: datetime) -> None:
    _bulk()
    with connection.cursor() as cursor:
        cursor.execute(_CUT, {"agent": agent, "before": before})
        if last := cursor.fetchone():
            cursor.execute(_FIRST, [agent, last[0]])
        cursor.execute(_PERIODS, [agent, before])


# --- Numbers -----------------------------------------------------------------------------------


def _replace_numbers(before: datetime, *, at: datetime) -> int:
    """Give calls that arrived before a name for the number; the same number, the same name.

    Calls that were open when it came by are remembered, and done when they are over.
    """
    mark = provider.recall(NUMBERS_UNTIL) or {"until": None, "open": []}
    old = QueuedCall.objects.filter(arrived_at__lt=before)
    replaced, is_open = _replace_over(QueuedCall.objects.filter(pk__in=mark["open"]))
    reached = datetime.fromisoformat(mark["until"]) if mark["until"] else None
    for _ in range(AT_MOST):
        calls = old.filter(arrived_at__gt=reached) if reached else old
        last = calls.order_by("arrived_at").values_list("arrived_at", flat=True)[BATCH - 1 : BATCH]
        reached = next(iter(last), None)
        calls = calls.filter(arrived_at__lte=reached) if reached else calls
        done, still_open = _replace_over(calls)
        replaced, is_open = replaced + done, [*is_open, *still_open]
        told = (reached or before).isoformat()
        provider.learn(NUMBERS_UNTIL, {"until": told, "open": is_open}, at=at)
        if reached is None:
            break
    with connection.cursor() as cursor:
        cursor.execute(_OLD_CONTACTS, [before])
    return replaced + _replace_in_records(before)


def _replace_over(calls: QuerySet[QueuedCall]) -> tuple[int, list[str]]:
    """Replace the numbers of those that are over; return how many, and which are still open."""
    rows = list(calls.values_list("pk", "customer", "ended_at", "is_provisional"))
    is_open = [str(pk) for pk, _, ended_at, provisional in rows if not ended_at or provisional]
    over = {pk: number for pk, number, *_ in rows if str(pk) not in is_open}
    return _replace(over), is_open


@transaction.atomic
def _replace(customers: dict[uuid.UUID, str]) -> int:
    meant = {
        pk: number for pk, number in customers.items()
        if number != phone.ANONYMOUS and not pseudonyms.is_one(number)
    }  # fmt: skip
    if not meant:
        return 0
    _bulk()
    values: dict[str, Any] = {
        "calls": list(meant), "numbers": list(meant.values()),
        "names": [pseudonyms.of(number) for number in meant.values()],
    }  # fmt: skip
    with connection.cursor() as cursor:
        for statement in _NUMBERS:
            cursor.execute(statement, values)
    return len(meant)


def _replace_in_records(before: datetime) -> int:
    """Records of calls that we do not know name a caller, too."""
    old = CallRecord.objects.filter(
        call=None, leg=None, direction="inbound", started_at__lt=before
    ).exclude(remote__startswith=pseudonyms.CALLER)
    old = old.exclude(remote__startswith=f"sip:{pseudonyms.CALLER}")
    old = old.exclude(remote__startswith=pseudonyms.ERASED).exclude(remote=phone.ANONYMOUS)
    rows = list(old.exclude(remote="").values_list("pk", "remote")[: BATCH * AT_MOST])
    for pk, number in rows:
        with transaction.atomic():
            _bulk()
            CallRecord.objects.filter(pk=pk).update(remote=pseudonyms.of(number))
    return len(rows)


# --- Notes -------------------------------------------------------------------------------------


def _remove_notes(before: datetime) -> int:
    removed = 0
    for _ in range(AT_MOST):
        with connection.cursor() as cursor:
            cursor.execute(_NOTES, [before, BATCH])
            if not cursor.rowcount:
                break
            removed += int(cursor.rowcount)
    return removed
