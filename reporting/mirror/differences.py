"""Comparing the mirror with our legs: what they disagree about is kept until it is settled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q
from django.utils.translation import gettext_noop

from callcenter.sautikit import errors
from queues import adoption, provider
from queues.models import Leg, Number, Supervision
from reporting.alone import alone
from reporting.mirror import noting
from reporting.mirror.noting import Kind
from reporting.mirror.polling import POLLED_UNTIL
from reporting.mirror.taking_over import OVER, described, take_over
from reporting.models import CallRecord, Difference

UNTOLD_AFTER = timedelta(minutes=2)  # by then a record's call is known, or it is nobody's
LISTED_AFTER = timedelta(minutes=10)  # by then a leg that ended has its record
SETTLED_AFTER = timedelta(minutes=1)  # by then both sides have heard of an end
TALK_MAY_DIFFER = 2.0  # seconds
NOT_SEEN_FOR = timedelta(days=2)
ASKED_AT_ONCE = 20  # legs without a record that one run asks about by name
NEAR = timedelta(minutes=5)
AGAIN_WITHIN = timedelta(minutes=10)  # a list that cannot be read is asked for again sooner
_LOCK = 7_301_013
_NOBODY_KNOWS = gettext_noop("Nothing: asked for by its name, Sautikit does not know it.")

# A record and its leg, both ended, that disagree about the answer or the length of the talk. The
# customer of an inbound call is answered by the queue's own sounds, so there only a talk says
# that we took the leg for answered. A direct dial's talk is that of its offer.
_COMPARED = """
SELECT * FROM (
    SELECT r.id AS record_id, l.id AS leg_id,
        r.answered_at IS NOT NULL AS they_answered,
        CASE WHEN l.role = 'agent'
                THEN coalesce(l.answered_at, o.answered_at, o.joined_at) IS NOT NULL
            WHEN c.direction = 'outbound'
                THEN coalesce(l.answered_at, c.connected_at) IS NOT NULL
            ELSE c.connected_at IS NOT NULL END AS we_answered,
        l.role = 'customer' AND c.direction = 'inbound' AS waits_first,
        coalesce(r.duration_seconds, extract(epoch FROM r.ended_at - r.answered_at)) AS theirs,
        extract(epoch FROM CASE WHEN o.kind = 'direct' THEN o.ended_at - o.joined_at
            ELSE l.ended_at - l.answered_at END) AS ours
    FROM reporting_callrecord r
    JOIN queues_leg l ON l.id = r.leg_id
    JOIN queues_queuedcall c ON c.id = l.call_id
    LEFT JOIN queues_offer o ON o.id = l.offer_id
    WHERE r.started_at >= %(since)s AND r.started_at < %(until)s AND r.status = ANY(%(over)s)
        AND l.ended_at < %(settled)s AND NOT c.is_provisional
) AS pair
WHERE (they_answered <> we_answered AND (we_answered OR NOT waits_first))
    OR (they_answered AND we_answered AND abs(theirs - ours) > %(off)s)
"""


def find(since: datetime, until: datetime, *, at: datetime) -> int:
    """Compare what began from `since` to `until`; return how many differences there are.

    Found again, a difference is the same row; found no more, it is settled. One run at a time:
    who comes meanwhile does nothing and gets 0.
    """
    with alone(_LOCK) as is_alone:
        if not is_alone:
            return 0
        found = _unknown(since, until, at) + _without_record(since, until, at)
        found += _compare(since, until, at)
        _settle(since, until, at)
    return found


# --- Records that we do not know -----------------------------------------------------------------


def _unknown(since: datetime, until: datetime, at: datetime) -> int:
    begin = provider.recall(adoption.ADOPTS_SINCE)
    if begin is None:  # nothing has been read yet; what is older than the centre is not its own
        return 0
    since = max(since, datetime.fromisoformat(begin))
    listening = Supervision.objects.filter(
        Q(provider_id=OuterRef("provider_id")) | Q(provider_id=OuterRef("session_id"))
    )
    began = Q(started_at__gte=since, started_at__lt=min(until, at - UNTOLD_AFTER))
    undated = Q(started_at=None, first_seen_at__gte=since, first_seen_at__lt=until)
    nobodys = CallRecord.objects.filter(began | undated, leg=None).exclude(Exists(listening))
    found = 0
    for record in nobodys.iterator():
        done, is_settled = _done_about(record)
        noting.note(
            Kind.UNKNOWN, str(record), at=at, record=record, settled=is_settled, done=done,
            happened_at=record.started_at or record.first_seen_at, theirs=described(record),
            ours=gettext_noop("No call of ours has this leg."),
        )  # fmt: skip
        found += 1
    return found


def _done_about(record: CallRecord) -> tuple[str, bool]:
    """Say what was done about a record of nobody's, and whether that is the end of it."""
    began = record.started_at or record.first_seen_at
    listened = Supervision.objects.filter(
        phone=record.remote, created_at__gt=began - NEAR, created_at__lt=began + NEAR
    )
    if record.direction == "outbound" and listened.exists():
        return gettext_noop("Nothing: it is the leg of a supervisor who listened in."), True
    if record.is_live:
        return gettext_noop("Nothing yet: it is still going on."), False
    if record.direction == "outbound":
        return gettext_noop("Nothing: no offer of ours was open to this number then."), False
    if not Number.objects.filter(e164=record.local).exists():
        return gettext_noop("Nothing: the number that was called is not set up here."), False
    return gettext_noop("Nothing: it could not be adopted as a call."), False


# --- Legs without a record -----------------------------------------------------------------------


def _without_record(since: datetime, until: datetime, at: datetime) -> int:
    read_until = provider.recall(POLLED_UNTIL)
    if read_until is None:
        return 0
    listed = min(at, datetime.fromisoformat(read_until)) - LISTED_AFTER
    legs = Leg.objects.filter(
        # Identifiers sort by time, and a leg is made before it is placed: an index for `since`.
        pk__gte=_first_id(since - timedelta(days=1)),
        placed_at__gte=since, placed_at__lt=until, ended_at__lt=listed, record=None,
    ).select_related("call")  # fmt: skip
    known = dict(
        Difference.objects.filter(
            kind=Kind.NO_RECORD, happened_at__gte=since, happened_at__lt=until
        ).values_list("subject", "done")
    )
    asked = found = 0
    for leg in legs.iterator():
        done = known.get(_subject(leg), gettext_noop("Nothing yet."))
        if done != _NOBODY_KNOWS and leg.handle and asked < ASKED_AT_ONCE:
            asked += 1
            is_found = _is_found(leg, at)
            if is_found:
                continue
            done = done if is_found is None else _NOBODY_KNOWS
        noting.note(
            Kind.NO_RECORD, _subject(leg), at=at, leg=leg, call=leg.call,
            happened_at=leg.placed_at or leg.planned_at,
            theirs=gettext_noop("No record of it is listed."),
            ours=_described(leg), done=done,
        )  # fmt: skip
        found += 1
    return found


def _is_found(leg: Leg, at: datetime) -> bool | None:
    """Ask for a record by its name, and mirror it; None without an answer."""
    try:
        record = provider.client().get_call(leg.handle)
    except errors.NotFound:
        return False
    except errors.SautikitError:
        return None
    take_over(record, at=at, looks_back=True)
    return CallRecord.objects.filter(leg=leg).exists()


def _first_id(moment: datetime) -> str:
    return f"{int(moment.timestamp() * 1000) & (2**48 - 1):012x}" + "0" * 20


def _subject(leg: Leg) -> str:
    return leg.handle or str(leg.pk)


def _described(leg: Leg) -> str:
    told = [f"{leg.role}'s leg", leg.outcome or leg.state]
    if leg.answered_at and leg.ended_at:
        told.append(noting.spoken((leg.ended_at - leg.answered_at).total_seconds()))
    return ", ".join(told)


# --- Records and legs side by side ---------------------------------------------------------------


def _compare(since: datetime, until: datetime, at: datetime) -> int:
    asked: dict[str, Any] = {
        "since": since, "until": until, "settled": at - SETTLED_AFTER, "over": list(OVER),
        "off": TALK_MAY_DIFFER,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_COMPARED, asked)
        names = [column.name for column in cursor.description]
        pairs = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for pair in pairs:
        record = CallRecord.objects.get(pk=pair["record_id"])
        leg = Leg.objects.select_related("call").get(pk=pair["leg_id"])
        happened_at = record.started_at or record.first_seen_at
        about: dict[str, Any] = {"at": at, "record": record, "leg": leg, "call": leg.call}
        for kind, said in _disagreements(pair):
            noting.note(kind, str(record), happened_at=happened_at, **about, **said)
    return len(pairs)


def _disagreements(pair: dict[str, Any]) -> Iterator[tuple[Difference.Kind, dict[str, Any]]]:
    word = {True: gettext_noop("Answered."), False: gettext_noop("Not answered.")}
    if pair["they_answered"] != pair["we_answered"]:
        done = gettext_noop("Nothing: the end of the call is final.")
        yield Kind.ANSWERED, {
            "theirs": word[pair["they_answered"]], "ours": word[pair["we_answered"]], "done": done,
        }  # fmt: skip
    else:
        done = gettext_noop("Nothing: ours is kept, the cost is theirs.")
        yield Kind.DURATION, {
            "theirs": noting.spoken(float(pair["theirs"])),
            "ours": noting.spoken(float(pair["ours"])), "done": done,
        }  # fmt: skip


# --- What is over --------------------------------------------------------------------------------


def _settle(since: datetime, until: datetime, at: datetime) -> None:
    """Settle what was looked for and not found any more, in words."""
    gone: dict[str, Any] = {"at": at, "since": since, "until": until}
    unseen = Difference.objects.filter(
        kind=Kind.UNKNOWN, settled_at=None, last_seen_at__lt=at, happened_at__gte=since,
        happened_at__lt=until, record__leg__isnull=False,
    ).select_related("record__call")  # fmt: skip
    for row in unseen:
        if row.record and row.record.call:
            done = f"Adopted as a leg of call {row.record.call.public_id}."
            Difference.objects.filter(pk=row.pk).update(
                settled_at=at, done=done, leg=row.record.leg_id, call=row.record.call_id
            )
    noting.settle_unseen(Kind.UNKNOWN, **gone, done=gettext_noop("It is known by now."))
    noting.settle_unseen(Kind.NO_RECORD, **gone, done=gettext_noop("Its record came later."))
    noting.settle_unseen(Kind.ANSWERED, **gone, done=gettext_noop("Both say the same now."))
    noting.settle_unseen(Kind.DURATION, **gone, done=gettext_noop("Both say the same now."))
    strange = Difference.objects.filter(kind=Kind.MALFORMED, settled_at=None)
    answers = strange.filter(subject__in=("cursor", "list", "stats"))
    answers.filter(last_seen_at__lt=at - AGAIN_WITHIN).update(
        settled_at=at, done=gettext_noop("It has not happened again.")
    )
    strange.filter(last_seen_at__lt=at - NOT_SEEN_FOR).update(
        settled_at=at, done=gettext_noop("It was not seen again for two days.")
    )


def open_by_kind() -> dict[str, int]:
    """Count the open differences of each kind."""
    rows = Difference.objects.filter(settled_at=None).order_by().values_list("kind")
    return dict(rows.annotate(count=Count("pk")))
