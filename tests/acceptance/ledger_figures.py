"""The figures of a day, from the provider's own book: what the reports are held to.

The definitions are those of docs/glossary.md, written down here once more and on their own. Lengths
of time are to the second, everything else is exact; a count may lie between two where something
happened so close to a limit that the two books need not have seen it on the same side.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.acceptance.ledger_book import ENDS, Call, Charge, Offer, Rules

RONA = ("no_answer", "busy", "failed", "declined", "no_keypress", "expired")
STATES = ("available_idle", "ringing", "on_call", "wrap_up", "break_paid", "break_unpaid")


@dataclass(frozen=True)
class Between:
    """A count that the two books may see differently: something was too close to the line."""

    low: int
    high: int


@dataclass(frozen=True)
class About:
    """A length of time, and by how many seconds ours may differ from it."""

    seconds: float
    slack: float = 1.0


def nearest_rank(values: Iterable[float], share: float) -> float | None:
    """The smallest value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _about(seconds: float | None, slack: float = 1.0) -> About | None:
    return None if seconds is None else About(seconds, slack)


def _mean(total: float, count: int) -> About | None:
    return About(total / count) if count else None


def _in_all(values: Iterable[float], parts: Iterable[Call | Offer]) -> About:
    """A sum: each part may be off by a little, the whole by a second at least."""
    return About(sum(values), max(1.0, sum(one.doubt for one in parts)))


def _within(waits: list[float], calls: list[Call], limit: float) -> int | Between:
    pairs = list(zip(waits, calls, strict=True))
    low = sum(wait <= limit - call.doubt for wait, call in pairs)
    high = sum(wait <= limit + call.doubt for wait, call in pairs)
    return low if low == high else Between(low, high)


def queue_figures(calls: Iterable[Call], rules: Rules) -> dict[str, Any]:
    """What the report says of these calls of one queue."""
    all_calls = list(calls)
    ends = Counter(one.end for one in all_calls)
    row: dict[str, Any] = {name: ends[name] for name in ENDS}
    offered = [one for one in all_calls if one.queued is not None]
    answered = [one for one in offered if one.connected is not None]
    left = [one for one in offered if one.end.startswith("abandoned")]
    waits = [one.connected - one.queued for one in answered if one.connected and one.queued]
    gone = [one.ended - one.queued for one in left if one.queued]
    other = [
        one.ended - one.queued
        for one in offered
        if one.queued and one not in answered and one not in left
    ]
    talks = [one.ended - one.connected for one in answered if one.connected]
    wrap_ups = [one.wrap_up for one in answered]
    handled = [talk + after for talk, after in zip(talks, wrap_ups, strict=True)]
    in_time = _within(waits, answered, rules.level)
    late = len(waits) - in_time if isinstance(in_time, int) else None
    row |= {
        "arrived": len(all_calls),
        "offered": len(offered),
        "answered": len(answered),
        "abandoned": len(left),
        "still_open": 0,
        "not_offered_ends": len(all_calls) - len(offered),
        "in_time": in_time,
        **({} if late is None else {"late": late}),
        "short_abandons": _within(gone, left, rules.short),
        "abandoned_in_time": _within(gone, left, rules.level),
        "talk": _in_all(talks, answered),
        "hold": About(0.0, 0.0),
        "wrap_up": _in_all(wrap_ups, answered),
        "asa": _mean(sum(waits), len(waits)),
        "asa_median": _about(nearest_rank(waits, 0.5)),
        "asa_p90": _about(nearest_rank(waits, 0.9)),
        "asa_max": _about(max(waits, default=None)),
        "longest_wait": _about(max((*waits, *gone, *other), default=None)),
        "aht": _mean(sum(handled), len(handled)),
        "aht_median": _about(nearest_rank(handled, 0.5)),
        "aht_p90": _about(nearest_rank(handled, 0.9)),
        "aht_max": _about(max(handled, default=None)),
    }
    return loosened(row, sum(not one.is_sure for one in all_calls))


_MAY_DIFFER = {
    "completed", "answered", "abandoned", "abandoned_queue", "abandoned_ringing", "in_time", "late",
    "short_abandons", "abandoned_in_time", "offers", "accepted", "caller_gone",
    *(f"missed_{state}" for state in RONA),
}  # fmt: skip
_LONGEST = 15.0  # seconds that one call may weigh in a sum


def loosened(row: dict[str, Any], unsure: int) -> dict[str, Any]:
    """The same where so many calls may have ended in another way by our book."""
    if not unsure:
        return row
    loose = dict[str, Any]()
    for name, right in row.items():
        if name in _MAY_DIFFER:
            low, high = (right, right) if isinstance(right, int) else (right.low, right.high)
            loose[name] = Between(low - unsure, high + unsure)
        elif isinstance(right, int):
            loose[name] = right
        elif isinstance(right, About) and not name.startswith(("asa", "aht", "longest", "ring_to")):
            loose[name] = About(right.seconds, right.slack + _LONGEST * unsure)
    return loose


def shares(row: dict[str, Any]) -> dict[str, float | None]:
    """The shares that follow from a row's counts."""
    base = row["offered"] - row["short_abandons"]
    if base <= 0:
        return {"service_level": None, "abandon_rate": None}
    return {
        "service_level": round(row["in_time"] / base, 4),
        "abandon_rate": round((row["abandoned"] - row["short_abandons"]) / base, 4),
    }


def offer_figures(offers: Iterable[Offer]) -> dict[str, Any]:
    """What the report says of these offers."""
    made = list(offers)
    accepted = [one for one in made if one.is_accepted]
    states = Counter(one.state for one in made)
    lost = [one for one in made if one.state in RONA]
    talks = [one.ended - one.began for one in accepted if one.began]
    wrap_ups = [one.wrap_up for one in accepted]
    rang = [one.taken - one.made for one in accepted if one.taken]
    return {
        "offers": len(made),
        "accepted": len(accepted),
        "caller_gone": states["caller_gone"],
        **{f"missed_{state}": states[state] for state in RONA},
        "talk": _in_all(talks, accepted),
        "hold": About(0.0, 0.0),
        "wrap_up_time": _in_all(wrap_ups, accepted),
        "aht": _mean(sum(talks) + sum(wrap_ups), len(accepted)),
        "ring_to_accept_median": _about(nearest_rank(rang, 0.5)),
        "ring_lost": _in_all(((one.taken or one.ended) - one.made for one in lost), lost),
        "acceptance": round(len(accepted) / len(made), 4) if made else None,
        "rona_rate": round(len(lost) / len(made), 4) if made else None,
    }


def time_figures(
    spans: list[tuple[float, float, str]], offers: list[Offer], since: float, until: float
) -> dict[str, Any]:
    """How an agent, to whom these offers were made, spent the time of [since, until)."""
    times = dict.fromkeys(STATES, 0.0)
    for start, end, state in spans:
        if end > since and start < until:
            times[state] += min(end, until) - max(start, since)
    near = [one for one in offers if since < one.ended + one.wrap_up + 1 and one.made - 1 < until]
    told: dict[str, Any] = {state: _in_all([time], near) for state, time in times.items()}
    told["signed_in"] = About(sum(times.values()))
    return told


def costs(charges: Iterable[Charge]) -> dict[tuple[str | None, str, str], tuple[int, int]]:
    """Minor units and legs, by queue, party and kind of connection."""
    found: dict[tuple[str | None, str, str], tuple[int, int]] = {}
    for one in charges:
        key = one.queue, one.role, one.kind
        minor, legs = found.get(key, (0, 0))
        found[key] = minor + one.minor, legs + 1
    return found


# --- Holding a report to them --------------------------------------------------------------------


def differences(expected: dict[str, Any], told: dict[str, Any], about: str) -> list[str]:
    """Say each figure in which a row of a report differs from what it should be."""
    wrong = []
    for name, right in expected.items():
        if name not in told:
            wrong.append(f"{about}: there is no {name}")
            continue
        value = told[name]
        if isinstance(right, Between):
            fits = value is not None and right.low <= value <= right.high
        elif isinstance(right, About):
            fits = value is not None and abs(value - right.seconds) <= right.slack
        else:
            fits = value == right
        if not fits:
            wrong.append(f"{about}: {name} is {value}, and by the provider's book {right}")
    return wrong
