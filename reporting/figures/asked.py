"""What a report is asked for: a stretch of time in a time zone, queues, agents, an interval.

Read kindly: what cannot be meant is left out or replaced by the nearest, with a sentence each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, available_timezones

from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from agents.models import Agent
from queues.models import Queue
from reporting import typed

QUARTER = timedelta(minutes=15)
INTERVALS = ("15m", "30m", "hour", "day", "week", "month")
_MINUTES = {"15m": 15, "30m": 30, "hour": 60}
MOST_DAYS = 731  # two years
MOST_DAYS_OF_QUARTERS = 92  # for intervals under an hour


@dataclass(frozen=True)
class Asked:
    """A stretch [since, until) of whole quarters, and what of it. No queues or agents: all.

    `since` and `until` are in UTC: within one zone Python compares and subtracts by the clock on
    the wall, which is wrong on the days on which it is set.
    """

    since: datetime
    until: datetime
    zone: ZoneInfo
    queues: tuple[Queue, ...] = ()
    agents: tuple[Agent, ...] = ()
    interval: str | None = None
    notes: tuple[str, ...] = ()  # sentences about what was typed and is not taken
    wrong: tuple[str, ...] = ()  # the field that each note is about

    def starts(self) -> list[datetime]:
        """Return where each interval begins, in the zone; the first may begin before `since`."""
        return [start.astimezone(self.zone) for start in self.edges()]

    def edges(self) -> list[datetime]:
        """Return the same in UTC."""
        if self.interval is None:
            return [self.since]
        found = [_floor(self.since, self.interval, self.zone)]
        while (following := _following(found[-1], self.interval, self.zone)) < self.until:
            found.append(following)
        return found

    def days(self) -> tuple[date, date]:
        """Return the first and the last day, both included."""
        last = (self.until - QUARTER).astimezone(self.zone)
        return self.since.astimezone(self.zone).date(), last.date()

    @property
    def is_whole_days(self) -> bool:
        """Whether it begins and ends at midnight."""
        first, last = self.days()
        return (self.since, self.until) == (
            midnight(first, self.zone),
            midnight(last + timedelta(days=1), self.zone),
        )

    def address(self) -> str:
        """Return the query that asks for this again."""
        first, last = self.days()
        pairs: list[tuple[str, str]] = []
        if self.is_whole_days:
            pairs += [("from", first.isoformat()), ("to", last.isoformat())]
        else:
            ends = (self.since.astimezone(self.zone), self.until.astimezone(self.zone))
            pairs += [("from", ends[0].isoformat()), ("to", ends[1].isoformat())]
        pairs += [("queue", slug) for slug in dict.fromkeys(each.slug for each in self.queues)]
        pairs += [("agent", each.user.get_username()) for each in self.agents]
        if self.interval:
            pairs.append(("interval", self.interval))
        return urlencode([*pairs, ("tz", self.zone.key)])


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return where a day begins, in UTC; where clocks skip midnight, when they do."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _floor(at: datetime, interval: str, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    if minutes := _MINUTES.get(interval):
        into = timedelta(
            minutes=local.minute % minutes, seconds=local.second, microseconds=local.microsecond
        )
        return at - into
    day = local.date()
    if interval == "week":
        day -= timedelta(days=day.weekday())
    elif interval == "month":
        day = day.replace(day=1)
    return midnight(day, zone)


def _following(start: datetime, interval: str, zone: ZoneInfo) -> datetime:
    """Return where the next interval begins: in real time within a day, by the calendar beyond."""
    local = start.astimezone(zone)
    if minutes := _MINUTES.get(interval):
        return start + timedelta(minutes=minutes - local.minute % minutes)
    day = local.date()
    if interval == "day":
        day += timedelta(days=1)
    elif interval == "week":
        day += timedelta(days=7)
    else:
        day = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return midnight(day, zone)


def quarter_of(at: datetime) -> datetime:
    """Return the beginning of the quarter of an hour of UTC that a moment lies in."""
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def quarter_after(at: datetime) -> datetime:
    """Return the moment itself if a quarter begins with it, else the next beginning."""
    start = quarter_of(at)
    return start if start == at else start + QUARTER


# --- Reading -------------------------------------------------------------------------------------


def read(params: Mapping[str, Any], *, at: datetime, zone: tzinfo) -> Asked:
    """Read a query: from, to, queue, agent, interval, tz. Without dates it is of today.

    `from` and `to` are days, both included, or ISO times (`to` is then the end). `queue` and
    `agent` may be repeated.
    """
    problems: list[tuple[str, str]] = []
    place = _zone(_all(params, "tz"), zone, problems)
    since, until = _stretch(_one(params, "from"), _one(params, "to"), at, place, problems)
    queues = _queues(_all(params, "queue"), problems)
    agents = _agents(_all(params, "agent"), problems)
    interval = _interval(_one(params, "interval"), until - since, problems)
    return Asked(
        since=since, until=until, zone=place, queues=queues,
        agents=agents, interval=interval, notes=tuple(told for _name, told in problems),
        wrong=tuple(name for name, _told in problems),
    )  # fmt: skip


def _all(params: Mapping[str, Any], name: str) -> list[str]:
    if hasattr(params, "getlist"):
        values: Iterable[Any] = params.getlist(name)
    else:
        value = params.get(name) or ()
        values = [value] if isinstance(value, str) else value
    return [raw for raw in (typed.printable(str(value)) for value in values) if raw]


def _one(params: Mapping[str, Any], name: str) -> str:
    return (_all(params, name) or [""])[-1]


def _zone(raws: list[str], zone: tzinfo, problems: list[tuple[str, str]]) -> ZoneInfo:
    fallback = ZoneInfo(str(zone))
    if not raws or raws[-1] == fallback.key:
        return fallback
    raw = raws[-1]
    names = available_timezones()
    if raw in names:
        return ZoneInfo(raw)
    key, _name = typed.nearest(raw, ((name, name) for name in sorted(names)))
    taken = ZoneInfo(key) if key else fallback
    told = _("There is no time zone “{typed}”. {zone} is taken.")
    problems.append(("tz", told.format(typed=raw, zone=taken.key)))
    return taken


def _stretch(
    typed_from: str, typed_to: str, at: datetime, zone: ZoneInfo, problems: list[tuple[str, str]]
) -> tuple[datetime, datetime]:
    today = at.astimezone(zone).date()
    since = _moment(typed_from, "from", zone, problems, is_end=False)
    until = _moment(typed_to, "to", zone, problems, is_end=True)
    if since is None:
        day = (until - QUARTER).astimezone(zone).date() if until else today
        since = midnight(day, zone)
    if until is None:
        day = max(today, since.astimezone(zone).date())
        until = midnight(day + timedelta(days=1), zone)
    if until <= since:
        if _is_midnight(since, zone) and _is_midnight(until, zone):  # both are days
            first = (until - QUARTER).astimezone(zone).date()
            last = since.astimezone(zone).date() + timedelta(days=1)
            since, until = midnight(first, zone), midnight(last, zone)
        else:
            since, until = until, max(since, until + QUARTER)
        problems.append(("to", _("The end is before the beginning. The two are taken in order.")))
    if until - since > timedelta(days=MOST_DAYS):
        day = until.astimezone(zone).date()
        since = midnight(day - timedelta(days=MOST_DAYS), zone)
        told = _("A report is of two years at the most: it begins with {day}.")
        words = date_format(since.astimezone(zone), "j F Y")
        problems.append(("from", told.format(day=words)))
    return quarter_of(since), quarter_after(until)


def _is_midnight(at: datetime, zone: ZoneInfo) -> bool:
    return at == midnight(at.astimezone(zone).date(), zone)


def _moment(
    raw: str, name: str, zone: ZoneInfo, problems: list[tuple[str, str]], *, is_end: bool
) -> datetime | None:
    if not raw:
        return None
    if "T" in raw or ":" in raw:
        return _time(raw, name, zone, problems)
    day, problem = typed.day(raw)
    if problem:
        problems.append((name, problem))
    if day is None:
        return None
    return midnight(day + timedelta(days=1) if is_end else day, zone)


def _time(raw: str, name: str, zone: ZoneInfo, problems: list[tuple[str, str]]) -> datetime | None:
    try:
        # A + of an address that was not encoded has become a space.
        found = parse_datetime(raw) or parse_datetime("+".join(raw.rsplit(" ", 1)))
    except ValueError:
        found = None
    low, high = typed.YEARS
    if found is None or not low <= found.year <= high:
        told = _("Write a day, or a time like 2026-11-22T08:00. This one is left out.")
        problems.append((name, told))
        return None
    found = (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    if found != quarter_of(found):
        problems.append((name, _("Reports count in quarters of an hour: the whole one is taken.")))
    return found


def _queues(raws: list[str], problems: list[tuple[str, str]]) -> tuple[Queue, ...]:
    if not raws:
        return ()
    known = list(Queue.objects.order_by("name", "pk"))
    slugs = _meant(raws, "queue", [(each.slug, each.name) for each in known], problems)
    return tuple(each for each in known if each.slug in slugs)


def _agents(raws: list[str], problems: list[tuple[str, str]]) -> tuple[Agent, ...]:
    if not raws:
        return ()
    known = list(Agent.objects.select_related("user").order_by("name", "pk"))
    names = _meant(
        raws, "agent", [(each.user.get_username(), each.name) for each in known], problems
    )
    return tuple(each for each in known if each.user.get_username() in names)


def _meant(
    raws: list[str], field: str, known: list[tuple[str, str]], problems: list[tuple[str, str]]
) -> set[str]:
    keys = set()
    for raw in raws:
        key, name = typed.nearest(raw, known)
        if key is None:
            told = _("“{typed}” is not one of the choices. It is left out.").format(typed=raw)
            problems.append((field, told))
            continue
        keys.add(key)
        if raw not in (key, name):
            told = _("“{typed}” is not one of the choices. The nearest is taken: {name}.")
            problems.append((field, told.format(typed=raw, name=name)))
    return keys


def _interval(raw: str, length: timedelta, problems: list[tuple[str, str]]) -> str | None:
    if not raw:
        return None
    if raw not in INTERVALS:
        told = _("“{typed}” is no interval. One of {all} can be chosen.")
        problems.append(("interval", told.format(typed=raw, all=", ".join(INTERVALS))))
        return None
    if _MINUTES.get(raw, 60) < 60 and length > timedelta(days=MOST_DAYS_OF_QUARTERS):
        told = _("Parts of an hour can be shown of {days} days at the most. Hours are taken.")
        problems.append(("interval", told.format(days=MOST_DAYS_OF_QUARTERS)))
        return "hour"
    return raw
