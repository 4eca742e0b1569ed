"""Holds every table of the reports, of any stretch, interval and zone, to the provider's book."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from tests.acceptance import ledger_figures as figures
from tests.acceptance.day_reports import Reports, Row
from tests.acceptance.ledger_book import ENDS, Book, Call, House
from tests.acceptance.ledger_figures import About, differences

OFFER_COUNTS = ("offers", "accepted", "caller_gone", *(f"missed_{one}" for one in figures.RONA))


def start_of(at: float, interval: str | None, zone: ZoneInfo, since: float) -> float:
    """Where the interval begins in which an instant lies, by the clock on the wall there."""
    if interval is None:
        return since
    local = datetime.fromtimestamp(at, UTC).astimezone(zone)
    if interval in {"15m", "hour"}:
        past = local.minute % 15 if interval == "15m" else local.minute
        return at - past * 60 - local.second - local.microsecond / 1e6
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if interval == "week":
        midnight -= timedelta(days=local.weekday())
    return midnight.timestamp()


@dataclass
class Check:
    """One question to all reports, and the answers that the provider's book gives."""

    reports: Reports
    book: Book
    house: House
    since: float
    until: float
    interval: str | None = None
    zone: str = "UTC"
    dispositions: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    # --- asking

    def _query(self, since: str, until: str, *, interval: bool = True) -> str:
        ends = [datetime.fromtimestamp(at, UTC) for at in (self.since, self.until)]
        pairs = [
            (since, ends[0].isoformat()), (until, ends[1].isoformat()), ("tz", self.zone),
            *(("queue", slug) for slug in self.house.queues),
        ]  # fmt: skip
        if interval and self.interval:
            pairs.append(("interval", self.interval))
        return urlencode(pairs)

    def api(self, name: str, **extra: Any) -> list[Row]:
        more = urlencode(extra, doseq=True)
        return self.reports.api(f"/api/reports/{name}/?{self._query('since', 'until')}&{more}")

    def csv(self, name: str) -> list[Row]:
        return [
            {key: _value(text) for key, text in row.items()}
            for row in self.reports.csv(f"/reports/{name}.csv?{self._query('from', 'to')}")
        ]

    def page(self, name: str) -> Any:
        return self.reports.page(f"/reports/{name}/?{self._query('from', 'to')}")

    def _start(self, at: float) -> float:
        return round(start_of(at, self.interval, ZoneInfo(self.zone), self.since))

    def _compare(self, expected: dict[Any, Row], told: dict[Any, Row], about: str) -> None:
        """Row by row; a row too many or too few is wrong as well."""
        about = f"{about} by {self.interval} in {self.zone}"
        for key in sorted(set(expected) ^ set(told), key=str):
            here = "in the report only" if key in told else "not in the report"
            self.wrong.append(f"{about}: {_named(key)} is {here}")
        for key in set(expected) & set(told):
            self.wrong += differences(expected[key], told[key], f"{about}, {_named(key)}")

    # --- queues

    def queues(self) -> None:
        """The API and the CSV of queues: each count, each time, each share, the cost."""
        calls, costs = defaultdict(list), defaultdict(list)
        for call in (one for one in self.book.calls if one.is_inbound and one.queue):
            calls[self._start(call.counted), call.queue].append(call)
        for one in (one for one in self.book.charges if one.is_inbound and one.queue):
            costs[self._start(one.counted), one.queue].append(one.minor)
        if self.interval is None:
            calls |= {
                (self._start(self.since), slug): calls[self._start(self.since), slug]
                for slug in self.house.queues
            }
        expected = {
            key: {
                **figures.queue_figures(found, self.house.queues[key[1] or ""]),
                "cost": sum(costs[key]) if costs[key] else None,
                "cost_currency": "KES" if costs[key] else "",
                "cost_not_in_yet": 0,
            }
            for key, found in calls.items()
        }
        told = {(_at(row["start"]), row["queue"]): row for row in self.api("queues")}
        self._compare(expected, told, "queues, API")
        for key, row in told.items():
            self.wrong += differences(figures.shares(row), row, f"shares of {_named(key)}")
            into = row["offered"] + row["not_offered_ends"]
            out = sum(row[end] for end in ENDS) + row["still_open"]
            if into != out:
                self.wrong.append(f"{_named(key)}: {into} came and {out} ended")
        for row in self.csv("queues"):
            key = _at(row["start"]), row["queue"]
            self.wrong += _same(row, told[key], f"queues, CSV, {_named(key)}")

    # --- agents

    def agents(self) -> None:
        """The API and the CSV of agents: their time, their offers, their talks."""
        names = list(self.house.agents.values())
        expected: dict[Any, Row] = {}
        offers = defaultdict(list)
        for one in self.book.offers:
            offers[self._start(one.made), one.agent].append(one)
        told = {
            (_at(row["start"]), row["agent"]): _flat(row) for row in self.api("agents", agent=names)
        }
        unsure = [one for one in self.book.calls if not one.is_sure]
        spent = {
            (self._start(min(at, end)), agent)
            for agent, spans in self.book.spans.items()
            for begin, end, _ in spans
            for at in (begin, *_quarters(begin, end))
            if end - begin > 1
        }
        for key in {*told, *offers, *spent}:
            start, agent = key
            end = self._end(start)
            row = {
                **figures.time_figures(
                    self.book.spans[agent],
                    [one for one in self.book.offers if one.agent == agent],
                    max(start, self.since),
                    end,
                ),
                **figures.offer_figures(offers.get(key, [])),
            }
            near = [one for one in unsure if self._may_concern(one, agent, start, end)]
            expected[key] = figures.loosened(row, len(near))
        self._compare(expected, told, "agents, API")
        for key, row in told.items():
            worked = row["on_call"] + row["wrap_up"]
            shares = {
                "occupancy": _share(worked, worked + row["available_idle"]),
                "utilisation": _share(worked, row["paid"]),
            }
            self.wrong += differences(shares, row, f"shares of {_named(key)}")
        for row in self.csv("agents"):
            if row["agent"] in names:
                key = _at(row["start"]), row["agent"]
                renamed = {
                    "wrap_up": row.pop("in_wrap_up_seconds"),
                    "wrap_up_time": row.pop("wrap_up_seconds"),
                    "ring_lost": row.pop("callers_waited_in_vain_seconds"),
                }
                self.wrong += _same(row | renamed, told[key], f"agents, CSV, {_named(key)}")

    def _may_concern(self, call: Call, agent: str, start: float, end: float) -> bool:
        """Whether an unsure call may have rung this agent in [start, end)."""
        mine = [one for one, name in self.house.agents.items() if name == agent]
        is_theirs = any(call.queue in self.house.members[one] for one in mine)
        return is_theirs and call.arrived < end and call.ended >= start

    def _end(self, start: float) -> float:
        """Where the interval ends that begins there."""
        if self.interval is None:
            return self.until
        at = start
        while at < self.until and self._start(at) == start:
            at += 900
        return min(at, self.until)

    # --- what has no intervals

    def others(self) -> None:
        """Offers, costs, dispositions, waits and hours of the week, as CSV."""
        slugs = list(self.house.queues)
        by_queue = {slug: [one for one in self.book.offers if one.queue == slug] for slug in slugs}
        expected = {}
        for slug, offers in by_queue.items():
            row = figures.offer_figures(offers)
            names = (*OFFER_COUNTS, "acceptance", "ring_to_accept_median")
            expected[slug] = {name: row[name] for name in names}
            expected[slug]["caller_lost"] = row["ring_lost"]
            unsure = sum(not one.is_sure for one in self.book.calls if one.queue == slug)
            expected[slug] = figures.loosened(expected[slug], unsure)
        told = {row["queue"]: _flat(row) for row in self.csv("offers")}
        for row in told.values():
            row["caller_lost"] = row.pop("caller_seconds_lost")
        self._compare(expected, told, "offers, CSV")

        charged = figures.costs(one for one in self.book.charges if one.queue in slugs)
        costs = {
            key: {"cost": minor / 100, "legs": legs, "costs_not_in_yet": 0, "is_estimate": False,
                  "currency": "KES"}
            for key, (minor, legs) in charged.items()
        }  # fmt: skip
        bill = {(row["queue"], row["role"], row["kind"]): row for row in self.csv("costs")}
        self._compare(costs, bill, "costs, CSV")

        talks: dict[tuple[str, Any], int] = defaultdict(int)
        for call in self.book.calls:
            if call.end == "completed" and call.queue:
                talks[call.queue, self.dispositions.get(call.handle)] += 1
        words = {key: {"talks": count} for key, count in talks.items()}
        said = {(row["queue"], row["disposition"]): row for row in self.csv("dispositions")}
        self._compare(words, said, "dispositions, CSV")
        self._hours()

    def _hours(self) -> None:
        zone, hours = ZoneInfo(self.zone), defaultdict(list)
        for call in self.book.calls:
            if call.is_inbound and call.queued is not None and call.queue in self.house.queues:
                local = datetime.fromtimestamp(call.queued, UTC).astimezone(zone)
                hours[local.isoweekday(), local.hour].append(call)
        expected = {
            key: {
                "offered": len(calls),
                "abandoned": sum(one.end.startswith("abandoned") for one in calls),
            }
            for key, calls in hours.items()
        }
        told = {(row["weekday"], row["hour"]): row for row in self.csv("hours")}
        self._compare(expected, told, "hours, CSV")

    def waits(self) -> None:
        """How many waited how long; the edges are those of the file itself."""
        offered = [
            one for one in self.book.calls
            if one.is_inbound and one.queue in self.house.queues and one.queued is not None
        ]  # fmt: skip
        for row in self.csv("waits"):
            about = f"waits from {row['from_seconds']}"
            for name, ends in (
                ("answered", [one.connected for one in offered]),
                ("abandoned", [one.ended if "aband" in one.end else None for one in offered]),
            ):
                pairs = zip(offered, ends, strict=True)
                waits = [(end - (one.queued or 0), one.doubt) for one, end in pairs if end]
                above = row["to_seconds"] or float("inf")
                inner = [row["from_seconds"] + d <= wait < above - d for wait, d in waits]
                outer = [row["from_seconds"] - d <= wait < above + d for wait, d in waits]
                unsure = sum(not one.is_sure for one in offered)
                right = figures.Between(sum(inner) - unsure, sum(outer) + unsure)
                self.wrong += differences({name: right}, row, about)

    # --- one by one

    def each_call(self) -> None:
        """The list of calls: whose, how it ended, when, for how long, and what it cost."""
        rows = {row["call"]: row for row in self.csv("calls")}
        expected: dict[str, Row] = {}
        for call in (one for one in self.book.calls if one.queue):
            if not call.is_sure:
                expected[call.handle] = {"queue": call.queue, "customer": call.customer}
                continue
            talk = None if call.connected is None else call.ended - call.connected
            where = call.end.removeprefix("abandoned_") if "abandoned_" in call.end else None
            expected[call.handle] = {
                "state": "abandoned" if where else call.end,
                "abandoned_in": where,
                "direction": "inbound" if call.is_inbound else "outbound",
                "queue": call.queue, "customer": call.customer,
                "arrived_at": About(call.arrived), "ended_at": About(call.ended),
                "queued_at": None if call.queued is None else About(call.queued),
                "connected_at": None if call.connected is None else About(call.connected),
                "talk_seconds": None if talk is None else About(talk),
                "cost": call.cost / 100, "costs_not_in_yet": 0, "is_provisional": False,
            }  # fmt: skip
            if any(call.arrived < at < call.ended for at, _ in self.book.guessed):
                del expected[call.handle]["cost"]  # the bill may be that of another who waited
            if call.agent:
                expected[call.handle] |= {
                    "agent": call.agent, "wrap_up_seconds": About(call.wrap_up),
                    "disposition": self.dispositions.get(call.handle),
                }  # fmt: skip
        for row in rows.values():
            for name in ("arrived_at", "queued_at", "connected_at", "ended_at"):
                row[name] = row[name] and datetime.fromisoformat(row[name]).timestamp()
        self._compare(expected, rows, "calls, CSV")

    def mirror(self, linked: Iterable[str]) -> None:
        """Every leg of the provider has its record here, and the record its call."""
        path = f"/reports/records.csv?{self._query('from', 'to').partition('&queue=')[0]}"
        known = {row["session_id"]: row for row in self.reports.csv(path)}
        for handle in sorted(linked):
            if handle not in known:
                self.wrong.append(f"mirror: no record of {handle}")
            elif not known[handle]["call"] or not known[handle]["role"]:
                self.wrong.append(f"mirror: the record of {handle} has no call: {known[handle]}")


# --- Reading rows --------------------------------------------------------------------------------


def _quarters(begin: float, end: float) -> Iterator[float]:
    """The beginnings of quarters of an hour in between."""
    at = (begin // 900 + 1) * 900
    while at < end:
        yield at
        at += 900


def _at(start: str) -> float:
    return round(datetime.fromisoformat(start).timestamp())


def _named(key: Any) -> str:
    if isinstance(key, tuple) and isinstance(key[0], int | float) and key[0] > 1e6:
        at = datetime.fromtimestamp(key[0], UTC)
        return f"{key[1]} from {at:%Y-%m-%d %H:%M}Z"
    return str(key)


def _value(text: str) -> Any:
    """What a cell of a CSV file says."""
    if text in {"", "true", "false"}:
        return {"": None, "true": True, "false": False}[text]
    try:
        return float(text) if "." in text else int(text) if not text.startswith("+") else text
    except ValueError:
        return text


def _flat(row: Row) -> Row:
    """An agent's or an offers' row with its refusals side by side, and names without units."""
    missed = {f"missed_{state}": count for state, count in row.pop("rona", {}).items()}
    return {key.removesuffix("_seconds"): value for key, value in row.items()} | missed


def _same(cells: Row, row: Row, about: str) -> list[str]:
    """A CSV file says what the API says: what both have, in the units of the file."""
    expected = {}
    for key, value in cells.items():
        name = key.removesuffix("_seconds")
        if name in {"start", "queue", "queue_name", "agent", "agent_name", "currency", "offline"}:
            continue
        if name == "cost":
            value = None if value is None else round(value * 100)
        expected[{"costs_not_in_yet": "cost_not_in_yet"}.get(name, name)] = value
    return differences(expected, row, about)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
