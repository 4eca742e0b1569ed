"""Counting a stretch of whole quarters from the rows: one SELECT for each interval table.

The same SELECT fills a table and is held against it later. `since` and `until` are beginnings of
quarters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import (
    BooleanField,
    DurationField,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
)

from queues.models import Offer
from reporting.figures import counts
from reporting.models import (
    AgentQuarter,
    CostQuarter,
    DispositionQuarter,
    OfferQuarter,
    QueueQuarter,
    StaleQuarter,
)

Sql = tuple[str, list[Any]]
COUNT_COLUMNS = tuple(each.key for each in counts.STORED)


def _in_quarters(moment: str) -> str:
    return f"date_bin('15 minutes', {moment}, TIMESTAMPTZ '2001-01-01 00:00+00')"


def _micros(span: str) -> str:
    return f"(extract(epoch FROM {span}) * 1000000)::bigint"


def _list(span: str, where: str) -> str:
    """An array of lengths in microseconds, in order; empty rather than null."""
    micros = _micros(span)
    return (
        f"coalesce(array_agg({micros} ORDER BY {micros}) FILTER (WHERE {where}), '{{}}'::bigint[])"
    )


def _sum(span: str, where: str = "true") -> str:
    return f"coalesce(sum({span}) FILTER (WHERE {where}), interval '0')"


def _with(calls: QuerySet[Any]) -> Sql:
    """The calls of the stretch as the table `c`, worked out once each."""
    sql, params = calls.query.sql_with_params()
    return f"WITH c AS MATERIALIZED ({sql}) ", list(params)


def _calls(since: datetime, until: datetime) -> QuerySet[Any]:
    counted = counts.counted(since, until).order_by()
    return counted.annotate(call=F("pk"), begins=F("start"))


# --- One SELECT each -----------------------------------------------------------------------------


def queues(since: datetime, until: datetime) -> Sql:
    wrap_up = (
        Offer.objects.filter(
            call=OuterRef("pk"), state=Offer.State.ENDED, wrap_up_ended_at__isnull=False
        )
        .order_by()
        .values("call")
        .annotate(total=Sum(F("wrap_up_ended_at") - F("ended_at"), output_field=DurationField()))
        .values("total")
    )
    conditions = {
        f"is_{each.key}": ExpressionWrapper(each.where or Q(pk__isnull=False), BooleanField())
        for each in counts.STORED
    }
    abandoned = counts.COUNTS["abandoned"].where
    calls = _calls(since, until).annotate(
        **conditions, is_abandoned=ExpressionWrapper(abandoned, BooleanField()),
        waited=F("wait"), gone=F("left_after"), talked=F("talk_time"),
        wrapped_up=Subquery(wrap_up, output_field=DurationField()),
    )  # fmt: skip
    names = [*conditions, "is_abandoned", "waited", "gone", "talked", "wrapped_up"]
    before, params = _with(calls.values("begins", "queue_id", "direction", *names))
    other = "is_offered AND NOT is_answered AND NOT is_abandoned AND NOT is_still_open"
    wrapped_up = "coalesce(wrapped_up, interval '0')"
    columns = [
        "begins AS start", "queue_id", "direction",
        *(f"count(*) FILTER (WHERE is_{name}) AS {name}" for name in COUNT_COLUMNS),
        f"{_list('waited', 'is_answered')} AS answered_waits",
        f"{_list('gone', 'is_abandoned')} AS abandoned_waits",
        f"{_list('gone', other)} AS other_waits",
        f"{_list(f'(talked + {wrapped_up})', 'is_answered AND NOT is_still_open')} "
        "AS handle_times",
        f"{_sum('talked', 'is_answered')} AS talk",
        "interval '0' AS hold",
        f"{_sum('wrapped_up', 'is_answered')} AS wrap_up",
    ]  # fmt: skip
    return f"{before}SELECT {', '.join(columns)} FROM c GROUP BY 1, 2, 3", params


def offers(since: datetime, until: datetime) -> Sql:
    """An open offer is `joined` while they talk, and `dialling` before that."""
    wrapped_up = "coalesce(o.wrap_up_ended_at - o.ended_at, interval '0')"
    talked = "coalesce(o.ended_at - o.joined_at, interval '0')"
    taken = "coalesce(o.answered_at, o.joined_at)"
    is_settled = "(o.ended_at IS NOT NULL OR o.state = 'joined')"
    is_over = "o.state = 'ended'"
    columns = [
        f"{_in_quarters('o.created_at')} AS start", "o.agent_id", "o.queue_id", "c.direction",
        "CASE WHEN o.ended_at IS NOT NULL OR o.state = 'joined' THEN o.state "
        "ELSE 'dialling' END AS state",
        "count(*) AS offers",
        f"{_sum(f'coalesce({taken}, o.ended_at) - o.created_at', is_settled)} AS ring",
        f"{_list(f'({taken} - o.created_at)', f'{is_settled} AND {taken} IS NOT NULL')} "
        "AS accept_times",
        f"{_list(f'({talked} + {wrapped_up})', is_over)} AS handle_times",
        f"{_sum(talked, is_over)} AS talk",
        "interval '0' AS hold",
        f"{_sum(wrapped_up, is_over)} AS wrap_up",
    ]  # fmt: skip
    # The index is by queue: each is looked up in it.
    sql = (
        f"SELECT {', '.join(columns)} FROM queues_offer o "
        "JOIN queues_queuedcall c ON c.id = o.call_id "
        "WHERE (o.queue_id = ANY(ARRAY(SELECT id FROM queues_queue)) OR o.queue_id IS NULL) "
        "AND o.created_at >= %s AND o.created_at < %s GROUP BY 1, 2, 3, 4, 5"
    )
    return sql, [since, until]


def agents(since: datetime, until: datetime) -> Sql:
    """Intervals that are over, split where quarters begin."""
    sql = f"""
        SELECT q.start, i.agent_id, i.presence, i.reason,
            CASE i.presence WHEN 'available' THEN true WHEN 'break' THEN coalesce((
                SELECT p.is_paid FROM agents_presenceperiod p
                WHERE p.agent_id = i.agent_id AND p.presence = 'break' AND p.reason = i.reason
                  AND p.started_at <= i.started_at
                ORDER BY p.started_at DESC LIMIT 1
            ), true) ELSE false END AS is_paid,
            i.engagement,
            sum(least(i.ended_at, q.start + interval '15 minutes')
                - greatest(i.started_at, q.start)) AS time
        FROM agents_agent a
        CROSS JOIN LATERAL (
            SELECT n.* FROM agents_agentinterval n
            WHERE n.agent_id = a.id AND n.started_at < %s AND n.started_at >= coalesce((
                    SELECT max(l.started_at) FROM agents_agentinterval l
                    WHERE l.agent_id = a.id AND l.started_at <= %s
                ), '-infinity')
              AND n.ended_at > %s AND n.ended_at > n.started_at
            OFFSET 0 -- agent by agent: joined at once, all intervals there ever were are read
        ) i
        CROSS JOIN LATERAL generate_series(
            {_in_quarters("greatest(i.started_at, %s)")},
            least(i.ended_at, %s) - interval '1 microsecond', interval '15 minutes'
        ) AS q(start)
        GROUP BY 1, 2, 3, 4, 5, 6
    """
    return sql, [until, since, since, since, until]


# Without a record, or with one that is not charged yet; see amounts.is_not_in_yet.
_COST = """
    coalesce(r.cost_currency, '') AS currency, r.cost_minor,
    r.id IS NULL OR r.cost_minor IS NULL
        OR r.cost_minor = 0 AND r.status IN ('ringing', 'started', 'answered') AS not_in
"""


def _kind(party: str) -> str:
    return f"CASE WHEN {party} ILIKE 'sip:%%' OR {party} ILIKE 'sips:%%' THEN 'sip' ELSE 'pstn' END"


def costs(since: datetime, until: datetime) -> Sql:
    """Legs that the provider knows, with their records; and the records of no leg of ours."""
    before, params = _with(_calls(since, until).values("begins", "call", "queue_id", "direction"))
    sql = f"""
        {before}, one AS (
            SELECT c.begins, c.queue_id, c.direction, l.role, {_kind("l.party")} AS kind, {_COST}
            FROM c JOIN queues_leg l ON l.call_id = c.call
            LEFT JOIN reporting_callrecord r ON r.leg_id = l.id
            WHERE r.id IS NOT NULL OR l.session_id IS NOT NULL OR l.provider_id IS NOT NULL
            UNION ALL
            SELECT c.begins, c.queue_id, c.direction, '', {_kind("r.remote")}, {_COST}
            FROM c JOIN reporting_callrecord r ON r.call_id = c.call WHERE r.leg_id IS NULL
            UNION ALL
            SELECT {_in_quarters("coalesce(r.started_at, r.first_seen_at)")}, NULL, r.direction,
                '', {_kind("r.remote")}, {_COST}
            FROM reporting_callrecord r
            WHERE r.call_id IS NULL AND r.leg_id IS NULL
              AND (r.started_at >= %s AND r.started_at < %s
                   OR r.started_at IS NULL AND r.first_seen_at >= %s AND r.first_seen_at < %s)
        )
        SELECT begins AS start, queue_id, direction, role, kind, currency,
            coalesce(sum(cost_minor) FILTER (WHERE NOT not_in), 0)::bigint AS minor,
            count(*) AS legs, count(*) FILTER (WHERE not_in) AS not_in_yet
        FROM one GROUP BY 1, 2, 3, 4, 5, 6
    """
    return sql, [*params, since, until, since, until]


def dispositions(since: datetime, until: datetime) -> Sql:
    before, params = _with(_calls(since, until).values("begins", "call", "queue_id", "direction"))
    sql = f"""
        {before} SELECT c.begins AS start, c.queue_id, c.direction, w.disposition_id,
            count(*) AS talks
        FROM c JOIN queues_offer o ON o.call_id = c.call AND o.state = 'ended'
        LEFT JOIN queues_wrapup w ON w.offer_id = o.id
        GROUP BY 1, 2, 3, 4
    """
    return sql, params


# --- The tables ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """An interval table, how it is counted, and which marks make its quarters stale."""

    model: Any
    kind: str
    keys: tuple[str, ...]  # beside `start`
    counted: Callable[[datetime, datetime], Sql]

    @property
    def name(self) -> str:
        """Its name in the database."""
        return str(self.model._meta.db_table)

    @property
    def columns(self) -> list[str]:
        """All but the row's own number."""
        return [field.column for field in self.model._meta.concrete_fields if field.column != "id"]


_KIND = StaleQuarter.Kind
TABLES = (
    Table(QueueQuarter, _KIND.CALLS, ("queue_id", "direction"), queues),
    Table(CostQuarter, _KIND.CALLS, ("queue_id", "direction", "role", "kind", "currency"), costs),
    Table(DispositionQuarter, _KIND.CALLS, ("queue_id", "direction", "disposition_id"),
          dispositions),
    Table(OfferQuarter, _KIND.OFFERS, ("agent_id", "queue_id", "direction", "state"), offers),
    Table(AgentQuarter, _KIND.AGENTS,
          ("agent_id", "presence", "reason", "is_paid", "engagement"), agents),
)  # fmt: skip
