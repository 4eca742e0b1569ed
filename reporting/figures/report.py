"""What the reports say, read from the interval tables. Rows are plain dicts of numbers.

Seconds are floats to the millisecond, ratios 0 to 1, money in minor units. A figure without
anything behind it is None. Medians and the like are of the nearest rank: a wait that was had.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from agents.models import Agent
from queues.models import Disposition, Queue
from reporting.figures import agent_time, definitions, repeat_calls, upkeep
from reporting.figures.asked import Asked
from reporting.figures.counts import BY_THRESHOLD
from reporting.figures.reading import Reading, seconds

INBOUND = "inbound"
WAITS_S = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)  # edges of the distribution
RONA = ("no_answer", "busy", "failed", "declined", "no_keypress", "expired")
ACCEPTED = ("ended", "joined")
PATIENCE = timedelta(seconds=5)  # of a report that finds much to count, as after an upgrade


def _freshen(asked: Asked, at: datetime) -> None:
    upkeep.freshen(at=at, since=asked.since, until=asked.until, patience=PATIENCE)


def is_behind(asked: Asked) -> bool:
    """Whether what is asked for has not been counted to its end yet: a page says so."""
    return upkeep.is_behind(asked.since, asked.until)


def queues(asked: Asked, *, at: datetime, direction: str = INBOUND) -> list[dict[str, Any]]:
    """Return one row per queue (and interval that has calls), by the start, then the name.

    Without an interval every queue in use has its row. Calls that have no queue are under None.
    """
    _freshen(asked, at)
    reading = Reading(asked, direction)
    starts = asked.starts()
    known = Queue.objects.in_bulk()
    counted = reading.calls(reading.bucket, "queue_id")
    if asked.interval is None:
        wanted = asked.queues or [each for each in known.values() if each.retired_at is None]
        for queue in wanted:
            counted.setdefault((0, queue.pk), {})
    rows = [
        {"queue": known.get(key), "start": starts[bucket], **_figures(found)}
        for (bucket, key), found in counted.items()
    ]
    rows.sort(key=lambda row: (row["start"].timestamp(), _name(row["queue"])))
    return rows


def totals(asked: Asked, *, at: datetime, direction: str = INBOUND) -> dict[str, Any]:
    """Return the figures of all queues asked for together, each by its own thresholds."""
    _freshen(asked, at)
    counted = Reading(asked, direction).calls("0")
    return {"queue": None, "start": asked.starts()[0], **_figures(counted.get((0,), {}))}


def service_levels(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return the service level by every definition, all from the same counts."""
    return definitions.evaluate(definitions.SERVICE_LEVELS, totals(asked, at=at))


def waits(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return how many were answered, and how many left, after how long. The last is open."""
    _freshen(asked, at)
    reading = Reading(asked, INBOUND)
    found = {
        name: reading.distribution(f"{name}_waits", WAITS_S) for name in ("answered", "abandoned")
    }
    return [
        {
            "from_s": first,
            "to_s": WAITS_S[place + 1] if place + 1 < len(WAITS_S) else None,
            **{name: counted.get(place + 1, 0) for name, counted in found.items()},
        }
        for place, first in enumerate(WAITS_S)
    ]


def heat(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return the hours of the week, Monday is 0, by the clock of the zone."""
    _freshen(asked, at)
    reading = Reading(asked, INBOUND)
    counted = reading.calls(reading.local("isodow"), reading.local("hour"))
    return [
        {
            "weekday": int(weekday) - 1,
            "hour": int(hour),
            **{name: row[name] for name in ("offered", "abandoned", "service_level")},
        }
        for (weekday, hour), found in sorted(counted.items())
        if (row := _figures(found))["offered"]
    ]


def _name(queue: Queue | None) -> tuple[bool, str]:
    return queue is None, queue.slug if queue else ""


ROW_FIGURES = ("asa", "aht", "service_level", "abandon_rate")
_COUNTS = (*upkeep.COUNT_COLUMNS, *(count.key for count in BY_THRESHOLD))
_SPANS = ("talk", "hold", "wrap_up")
_MARKS = ("asa_median", "asa_p90", "asa_max", "longest_wait", "aht_median", "aht_p90", "aht_max")


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    """Return what is reported of these counts, zeros for what is missing."""
    row: dict[str, Any] = {name: found.get(name, 0) for name in _COUNTS}
    row |= {name: seconds(found.get(name)) or 0.0 for name in _SPANS}
    exact = {**row, "answered_wait": (found.get("answered_wait") or 0) / 1e6}
    row |= {name: definitions.value(definitions.ALL[name], exact) for name in ROW_FIGURES}
    row |= {name: seconds(found.get(name)) for name in _MARKS}
    row["cost"] = found.get("cost")
    row["cost_currency"] = found.get("cost_currency", "")
    row["cost_not_in_yet"] = found.get("cost_not_in_yet", 0)
    return row


# --- Agents --------------------------------------------------------------------------------------


def agents(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return one row per agent (and interval): their time, their offers, their talks.

    Time is split exactly where an interval ends; the state that goes on counts until `at`. Both
    directions. With queues asked for, offers and talks are of these, the time is all.
    """
    _freshen(asked, at)
    reading = Reading(asked, None)
    times = agent_time.by_state(asked, reading, at=at)
    offered = reading.offers(reading.bucket, "agent_id")
    known = {agent.pk: agent for agent in Agent.objects.select_related("user")}
    keys = set(times) | set(offered)
    if asked.interval is None:
        wanted = asked.agents or [each for each in known.values() if each.retired_at is None]
        keys |= {(0, agent.pk) for agent in wanted}
    starts = asked.starts()
    rows = []
    for bucket, key in keys:
        time = times.get((bucket, key)) or agent_time.nothing()
        found = _offers(offered.get((bucket, key), {}))
        found["wrap_up_time"] = found.pop("wrap_up")
        row = {"agent": known[key], "start": starts[bucket], **time, **found}
        for name in ("occupancy", "utilisation"):
            row[name] = definitions.value(definitions.ALL[name], row)
        rows.append(row)
    rows.sort(key=lambda row: (row["start"].timestamp(), row["agent"].name, row["agent"].pk))
    return rows


def strips(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return each agent's states one after the other, clipped to what is asked."""
    return agent_time.strips(asked, at=at)


def offers(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return one row per queue: its offers, by how they ended."""
    _freshen(asked, at)
    reading = Reading(asked, None)
    known = Queue.objects.in_bulk()
    rows = []
    for (key,), found in reading.offers("queue_id").items():
        row = _offers(found)
        row["caller_seconds_lost"] = row.pop("ring_lost")
        rows.append({"queue": known.get(key), **row})
    rows.sort(key=lambda row: _name(row["queue"]))
    return rows


def _offers(found: dict[str, Any]) -> dict[str, Any]:
    by_state = found.get("offers", {})
    row: dict[str, Any] = {
        "offers": sum(by_state.values()),
        "accepted": sum(by_state.get(state, 0) for state in ACCEPTED),
        "caller_gone": by_state.get("caller_gone", 0),
        "ringing_now": by_state.get("dialling", 0),
        "rona": {state: by_state.get(state, 0) for state in RONA},
    }
    row["answered"] = row["accepted"]
    ring = found.get("ring", {})
    row["ring_lost"] = seconds(sum(ring.get(state, 0) for state in RONA))
    for name in ("talk", "hold", "wrap_up"):
        row[name] = seconds(found.get(name)) or 0.0
    row["ring_to_accept_median"] = seconds(found.get("accept_median"))
    for name in ("aht_median", "aht_p90", "aht_max"):
        row[name] = seconds(found.get(name))
    row["rona_total"] = sum(row["rona"].values())
    for key, name in (("aht", "aht"), ("acceptance", "acceptance"), ("rona_rate", "rona")):
        row[key] = definitions.value(definitions.ALL[name], row)
    return row


# --- Money, dispositions, callers who come back --------------------------------------------------


def dispositions(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return per queue what its talks came to, the most frequent first; None: not dispositioned."""
    _freshen(asked, at)
    where, params = Reading(asked, None).where()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT queue_id, disposition_id, sum(talks) FROM reporting_dispositionquarter q "
            f"WHERE {where} GROUP BY 1, 2",
            params,
        )
        found = cursor.fetchall()
    known = Queue.objects.in_bulk()
    words = Disposition.objects.select_related("parent").in_bulk()
    all_of: dict[int | None, int] = {}
    for key, _word, talks in found:
        all_of[key] = all_of.get(key, 0) + talks
    rows = [
        {
            "queue": known.get(key),
            "disposition": words.get(word),
            "talks": talks,
            "share": round(talks / all_of[key], 4),
        }
        for key, word, talks in found
    ]
    rows.sort(key=lambda row: (_name(row["queue"]), -row["talks"], str(row["disposition"] or "")))
    return rows


def costs(asked: Asked, *, at: datetime) -> list[dict[str, Any]]:
    """Return what the provider charged per queue, party, kind of connection and currency.

    `is_estimate` while a record is not in: the sum will still grow.
    """
    _freshen(asked, at)
    where, params = Reading(asked, None).where()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT queue_id, role, kind, currency, sum(minor)::bigint, sum(legs), "
            f"sum(not_in_yet) FROM reporting_costquarter q WHERE {where} GROUP BY 1, 2, 3, 4",
            params,
        )
        found = cursor.fetchall()
    known = Queue.objects.in_bulk()
    rows = [
        {
            "queue": known.get(key),
            "role": role,
            "kind": kind,
            "currency": currency,
            "minor": minor,
            "legs": legs,
            "not_in_yet": not_in_yet,
            "is_estimate": not_in_yet > 0,
        }
        for key, role, kind, currency, minor, legs, not_in_yet in found
    ]
    rows.sort(key=lambda row: (_name(row["queue"]), row["role"], row["kind"], row["currency"]))
    return rows


def repeats(asked: Asked, *, at: datetime) -> dict[str, Any]:
    """Return who called again: see `repeat_calls.repeats`."""
    return repeat_calls.repeats(asked, at=at)
