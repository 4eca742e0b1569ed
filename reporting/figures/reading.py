"""Reading the interval tables: sums, and what the lists of waits say, grouped as asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from reporting.figures import upkeep
from reporting.figures.asked import Asked

Key = tuple[Any, ...]
Params = list[Any]
Sql = tuple[str, Params]  # an expression and its parameters

_SUMS = ", ".join(
    f"sum({name}) AS {name}" for name in (*upkeep.COUNT_COLUMNS, "talk", "hold", "wrap_up")
)
# By the queue's settings as they are now; a call of no queue is in time by none.
_LISTS = {
    "answered_waits": "sum(w)::bigint, max(w), percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP "
    "(ORDER BY w), count(*) FILTER (WHERE w <= level), count(*) FILTER (WHERE w > level)",
    "abandoned_waits": "count(*), max(w), count(*) FILTER (WHERE w < short), "
    "count(*) FILTER (WHERE w <= level)",
    "other_waits": "max(w)",
    "handle_times": "max(w), percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY w)",
}


def seconds(value: timedelta | int | Decimal | None) -> float | None:
    """Return a span, or microseconds, as seconds to the millisecond."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        return round(value.total_seconds(), 3)
    return round(int(value) / 1e6, 3)


class Reading:
    """What is asked, as SQL over the interval tables; `direction` None for both."""

    def __init__(self, asked: Asked, direction: str | None) -> None:
        self.asked = asked
        self.direction = direction

    @property
    def bucket(self) -> Sql:
        """The number of the interval, from 0, of `Asked.starts`."""
        if self.asked.interval is None:
            return "0", []
        return "width_bucket(q.start, %s::timestamptz[]) - 1", [self.asked.edges()]

    def local(self, part: str) -> Sql:
        """A part of the date and time by the clock of the zone."""
        return f"extract({part} FROM q.start AT TIME ZONE %s)::int", [self.asked.zone.key]

    def where(self, *, has_queue: bool = True, has_agent: bool = False) -> Sql:
        """The condition on a table `q`."""
        asked = self.asked
        parts = ["q.start >= %s AND q.start < %s"]
        params: Params = [asked.since, asked.until]
        if has_queue and asked.queues:
            parts.append("q.queue_id = ANY(%s)")
            params.append([queue.pk for queue in asked.queues])
        if has_queue and self.direction:
            parts.append("q.direction = %s")
            params.append(self.direction)
        if has_agent and asked.agents:
            parts.append("q.agent_id = ANY(%s)")
            params.append([agent.pk for agent in asked.agents])
        return " AND ".join(parts), params

    def calls(self, *group: Sql | str) -> dict[Key, dict[str, Any]]:
        """Return the counts and times of calls by group."""
        found: dict[Key, dict[str, Any]] = {}
        names = [*upkeep.COUNT_COLUMNS, "talk", "hold", "wrap_up"]
        for key, row in self._grouped("reporting_queuequarter q", _SUMS, group, self.where()):
            found[key] = {
                name: value if isinstance(value, timedelta) else int(value)
                for name, value in zip(names, row, strict=True)
            }
        answered = self._list("answered_waits", group)
        abandoned = self._list("abandoned_waits", group)
        others = self._list("other_waits", group)
        handled = self._list("handle_times", group)
        for key, into in found.items():
            total, longest, (median, p90), in_time, late = answered.get(
                key, (0, None, (None, None), 0, 0)
            )
            left, longest_left, short, left_in_time = abandoned.get(key, (0, None, 0, 0))
            [longest_other] = others.get(key, (None,))
            handle_max, (handle_median, handle_p90) = handled.get(key, (None, (None, None)))
            longest_of_all = max((longest or 0, longest_left or 0, longest_other or 0))
            has_waits = not longest is longest_left is longest_other is None
            into |= {
                "answered_wait": total, "asa_median": median, "asa_p90": p90, "asa_max": longest,
                "in_time": in_time, "late": late, "abandoned": left, "short_abandons": short,
                "abandoned_in_time": left_in_time, "aht_median": handle_median,
                "aht_p90": handle_p90, "aht_max": handle_max,
                "longest_wait": longest_of_all if has_waits else None,
            }  # fmt: skip
        for key, cost in self._costs(group).items():
            found.setdefault(key, {}).update(cost)
        return found

    def _grouped(
        self, tables: str, columns: str, group: Sequence[Sql | str], where: Sql
    ) -> list[tuple[Key, tuple[Any, ...]]]:
        keys = [each if isinstance(each, str) else each[0] for each in group]
        before = [one for each in group if not isinstance(each, str) for one in each[1]]
        condition, params = where
        by = ", ".join(str(place + 1) for place in range(len(keys)))
        sql = f"SELECT {', '.join(keys)}, {columns} FROM {tables} WHERE {condition} GROUP BY {by}"
        with connection.cursor() as cursor:
            cursor.execute(sql, [*before, *params])
            rows = cursor.fetchall()
        return [(row[: len(keys)], row[len(keys) :]) for row in rows]

    def _list(self, name: str, group: Sequence[Sql | str]) -> dict[Key, tuple[Any, ...]]:
        named = [f"q.{each}" if each == "queue_id" else each for each in group]
        tables = (
            f"reporting_queuequarter q CROSS JOIN unnest(q.{name}) AS w LEFT JOIN LATERAL "
            "(SELECT k.service_level_seconds * 1000000::bigint AS level, "
            "k.short_abandon_seconds * 1000000::bigint AS short "
            "FROM queues_queue k WHERE k.id = q.queue_id) k ON true"
        )
        return dict(self._grouped(tables, _LISTS[name], named, self.where()))

    def _costs(self, group: Sequence[Sql | str]) -> dict[Key, dict[str, Any]]:
        """Return what was charged; in the currency of most, None where there is no record."""
        columns = "sum(minor)::bigint, sum(not_in_yet)::bigint, sum(legs)::bigint"
        found: dict[Key, dict[str, Any]] = {}
        rows = self._grouped("reporting_costquarter q", columns, [*group, "currency"], self.where())
        for (*key, currency), (minor, not_in_yet, legs) in sorted(rows, key=lambda row: row[1][2]):
            into = found.setdefault(tuple(key), {"cost_not_in_yet": 0})
            into["cost_not_in_yet"] += not_in_yet
            if legs > not_in_yet:
                into |= {"cost": minor, "cost_currency": currency}
        return found

    def distribution(self, name: str, edges: Sequence[int]) -> dict[int, int]:
        """Return how many waits lie in each part, from 1, between these edges in seconds."""
        part = "width_bucket(w, %s::bigint[])", [[edge * 1_000_000 for edge in edges]]
        tables = f"reporting_queuequarter q CROSS JOIN unnest(q.{name}) AS w"
        found = self._grouped(tables, "count(*)", [part], self.where())
        return {key[0]: row[0] for key, row in found}

    def offers(self, *group: Sql | str) -> dict[Key, dict[str, Any]]:
        """Return offers by group: how many and for how long by how they ended, and the talks."""
        where = self.where(has_agent=True)
        columns = "sum(offers), sum(ring), sum(talk), sum(hold), sum(wrap_up)"
        found: dict[Key, dict[str, Any]] = defaultdict(
            lambda: {
                "offers": {}, "ring": {}, "talk": timedelta(), "hold": timedelta(),
                "wrap_up": timedelta(),
            }
        )  # fmt: skip
        table = "reporting_offerquarter q"
        for (*key, state), row in self._grouped(table, columns, [*group, "state"], where):
            into = found[tuple(key)]
            into["offers"][state] = int(row[0])
            into["ring"][state] = row[1] // timedelta(microseconds=1)
            for name, span in zip(("talk", "hold", "wrap_up"), row[2:], strict=True):
                into[name] += span
        percentiles = "max(w), percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY w)"
        taken = f"{table} CROSS JOIN unnest(q.accept_times) AS w"
        accepted = "q.state IN ('ended', 'joined') AND " + where[0], where[1]
        for group_key, (_longest, (median, _p90)) in self._grouped(
            taken, percentiles, group, accepted
        ):
            found[group_key]["accept_median"] = median
        handled = f"{table} CROSS JOIN unnest(q.handle_times) AS w"
        for group_key, (longest, (median, p90)) in self._grouped(
            handled, percentiles, group, where
        ):
            found[group_key] |= {"aht_max": longest, "aht_median": median, "aht_p90": p90}
        return dict(found)
