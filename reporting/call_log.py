"""Finding calls: what was asked for, what is meant by it, and one page of the answer.

A page is reached from a call next to it, never by counting: it costs the same among a million
calls. Counting stops at a thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo

from django.db import OperationalError, connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value, prefetch_related_objects
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents.models import Agent
from queues import arrivals, contacts
from queues.models import CallEvent, Disposition, Offer, Queue, QueuedCall, Recording, WrapUp
from reporting import typed, words
from reporting.figures import asked as asking
from reporting.figures import counts
from reporting.figures.counts import COUNTS

PAGE = 50
MOST_COUNTED = 1000
PATIENCE_MS = 2500  # for one question to the database
WITHOUT_DATES = timedelta(days=7)  # looked at where all calls take longer than that
FIELDS = (
    "number", "queue", "agent", "status", "direction", "from", "to", "disposition", "wait",
    "talk", "recorded", "corrected", "figure",
)  # fmt: skip
OPEN, NO_DISPOSITION = "open", "none"  # beside the states, and beside the dispositions' keys
RESERVED = {"voicemail", "callback", "overflowed", "closed_hours"}  # states of later features
DIRECTIONS = [("inbound", gettext_lazy("Inbound")), ("outbound", gettext_lazy("Outbound"))]


@dataclass
class Asked:
    """What was typed, by field, and what was wrong with it, in a sentence each."""

    typed: dict[str, str]
    oldest_first: bool = False
    problems: dict[str, str] = field(default_factory=dict)
    meant: dict[str, str] = field(default_factory=dict)  # in words, for who looks

    @property
    def anything(self) -> bool:
        """Whether the calls are narrowed down at all."""
        return any(self.typed.values())

    @property
    def more(self) -> bool:
        """Whether one of the fields is in use that are folded away otherwise."""
        folded = ("direction", "disposition", "wait", "talk", "recorded", "corrected")
        return any(self.typed[name] for name in folded)


@dataclass(frozen=True)
class Choices:
    """What the fields of the form offer."""

    queues: list[tuple[str, str, bool]]  # slug, name, whether it has been removed
    agents: list[tuple[str, str, bool]]  # user name, name, whether they have been removed
    dispositions: list[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """Calls in order, and from which call on there are newer and older ones."""

    calls: list[QueuedCall]
    newer: str = ""
    older: str = ""
    count: int = 0
    is_capped: bool = False


def choices() -> Choices:
    """Read what can be chosen; what has been removed still has its calls."""
    queues = Queue.objects.order_by("name").values_list("slug", "name", "retired_at")
    agents = Agent.objects.order_by("name").values_list("user__username", "name", "retired_at")
    found = Disposition.objects.select_related("parent").order_by("parent__position", "position")
    return Choices(
        queues=[(slug, name, gone is not None) for slug, name, gone in queues],
        agents=[(user, name, gone is not None) for user, name, gone in agents],
        dispositions=[(str(one.pk), str(one)) for one in found],
    )


def ask(
    query: Mapping[str, str], offered: Choices, *, at: datetime, zone: tzinfo
) -> tuple[Asked, QuerySet[QueuedCall]]:
    """Read a query; dates are days of `zone`. What cannot be meant is left out, with a sentence."""
    asked = Asked({name: typed.printable(query.get(name, "")) for name in FIELDS})
    asked.oldest_first = query.get("order") == "oldest"
    figure = _one_of(asked, "figure", [(key, str(one.label)) for key, one in COUNTS.items()])
    calls = QueuedCall.objects.all()
    if figure:
        calls = _counted(asked, figure, query, at=at, zone=zone)
    if asked.typed["number"]:
        calls, problem = typed.customers(calls, asked.typed["number"])
        _settle(asked, "number", asked.typed["number"], problem)
    known = [each[:2] for each in offered.queues]
    queue = None if figure else _one_of(asked, "queue", known)
    agent = _one_of(asked, "agent", [each[:2] for each in offered.agents])
    states = [(state, str(word[0])) for state, word in words.CALL.items() if state not in RESERVED]
    status = _one_of(asked, "status", [*states, (OPEN, _("Going on now"))])
    direction = _one_of(asked, "direction", [(key, str(word)) for key, word in DIRECTIONS])
    no_disposition = (NO_DISPOSITION, _("Not dispositioned"))
    disposition = _one_of(asked, "disposition", [*offered.dispositions, no_disposition])
    if queue:
        keys = Queue.objects.filter(slug=queue).values_list("pk", flat=True)
        calls = calls.filter(queue__in=list(keys))
    if agent:
        calls = calls.filter(agent=Agent.objects.get(user__username=agent))
    if status:
        calls = calls.filter(Q(ended_at=None) if status == OPEN else Q(state=status))
    if direction:
        calls = calls.filter(direction=direction)
    if disposition:
        calls = _with_disposition(calls, disposition)
    calls = _lasting(asked, calls, at)
    calls = _marked(asked, calls)
    return asked, calls if figure else _between(asked, calls, zone)


def _counted(
    asked: Asked, figure: str, query: Mapping[str, str], *, at: datetime, zone: tzinfo
) -> QuerySet[QueuedCall]:
    """The calls behind a number of a report: they count where they entered the queue.

    What is asked is read as the reports read it: times beside days, several queues, a time zone,
    and today without any dates.
    """
    stretch = asking.read(query, at=at, zone=zone)
    asked.problems |= {
        name: told
        for name, told in zip(stretch.wrong, stretch.notes, strict=True)
        if name in ("from", "to", "queue")
    }
    ends: list[date | datetime] = list(stretch.days())
    if not stretch.is_whole_days:
        ends = [one.astimezone(stretch.zone) for one in (stretch.since, stretch.until)]
    asked.meant |= {"from": ends[0].isoformat(), "to": ends[1].isoformat()}
    if stretch.queues:
        asked.meant["queue"] = ", ".join(queue.name for queue in stretch.queues)
    if asked.typed["direction"] == QueuedCall.Direction.OUTBOUND:
        return counts.calls(
            figure, stretch.since, stretch.until, queues=stretch.queues,
            direction=QueuedCall.Direction.OUTBOUND,
        )  # fmt: skip
    return counts.calls(figure, stretch.since, stretch.until, queues=stretch.queues)


def _settle(asked: Asked, name: str, meant: str, problem: str) -> None:
    """Note what a field means, in words, and what was wrong with it."""
    if meant:
        asked.meant[name] = meant
    if problem:
        asked.problems[name] = problem


def _one_of(asked: Asked, name: str, known: list[tuple[str, str]]) -> str | None:
    """Return the choice that is meant; of a misspelt one the nearest, with a sentence."""
    raw = asked.typed[name]
    if not raw:
        return None
    key, word = typed.nearest(raw, known)
    if key is None:
        told = _("“{typed}” is not one of the choices. All are shown.")
        _settle(asked, name, "", told.format(typed=raw))
    elif key != raw:
        told = _("“{typed}” is not one of the choices. The nearest is taken: {name}.")
        _settle(asked, name, word, told.format(typed=raw, name=word))
    else:
        _settle(asked, name, word, "")
    return key


def _with_disposition(calls: QuerySet[QueuedCall], chosen: str) -> QuerySet[QueuedCall]:
    """Narrow to calls with a disposition, or one of its group; or to talks without any."""
    if chosen != NO_DISPOSITION:
        meant = Q(disposition=chosen) | Q(disposition__parent=chosen)
        return calls.filter(pk__in=WrapUp.objects.filter(meant).values("offer__call"))
    talked = Offer.objects.filter(call=OuterRef("pk"), state=Offer.State.ENDED)
    chosen_for = talked.filter(wrap_up__disposition__isnull=False)
    return calls.filter(Exists(talked), ~Exists(chosen_for), state=QueuedCall.State.COMPLETED)


def _lasting(
    asked: Asked, calls: QuerySet[QueuedCall], at: datetime
) -> QuerySet[QueuedCall]:  # fmt: skip
    """Narrow to calls that waited or talked for at least so long, the present ones until `at`."""
    spans = {
        "wait": Coalesce("connected_at", "ended_at", Value(at)) - F("queued_at"),
        "talk": Coalesce("ended_at", Value(at)) - F("connected_at"),
    }
    for name, lasted in spans.items():
        if not asked.typed[name]:
            continue
        least, problem = typed.span(asked.typed[name])
        _settle(asked, name, asked.typed[name] if least else "", problem)
        if least:
            calls = calls.alias(**{f"{name}_lasted": lasted})
            calls = calls.filter(**{f"{name}_lasted__gte": least})
    return calls


def _marked(asked: Asked, calls: QuerySet[QueuedCall]) -> QuerySet[QueuedCall]:
    """Narrow to calls with a recording, and to those of which something was told late."""
    if asked.typed["recorded"]:
        _settle(asked, "recorded", "1", "")
        stored = Recording.objects.filter(state=Recording.State.STORED)
        calls = calls.filter(pk__in=stored.values("call"))
    if asked.typed["corrected"]:
        _settle(asked, "corrected", "1", "")
        recovered = CallEvent.objects.filter(detail__recovered=True)
        corrected = CallEvent.objects.filter(kind="corrected")
        calls = calls.filter(
            Q(pk__in=recovered.values("call")) | Q(pk__in=corrected.values("call"))
        )
    return calls


def _between(
    asked: Asked, calls: QuerySet[QueuedCall], zone: tzinfo
) -> QuerySet[QueuedCall]:  # fmt: skip
    """Narrow to the days of `zone` from the first to the last, both included."""
    days: dict[str, date] = {}
    for name in ("from", "to"):
        if asked.typed[name]:
            found, problem = typed.day(asked.typed[name])
            _settle(asked, name, found.isoformat() if found else "", problem)
            if found:
                days[name] = found
    first, last = days.get("from"), days.get("to")
    if first and last and first > last:
        first, last = last, first
        asked.meant |= {"from": first.isoformat(), "to": last.isoformat()}
        asked.problems["to"] = _("The last day is before the first. The two are taken in order.")
    if first:
        calls = calls.filter(arrived_at__gte=datetime.combine(first, time.min, zone))
    if last:
        after = datetime.combine(last + timedelta(days=1), time.min, zone)
        calls = calls.filter(arrived_at__lt=after)
    return calls


# --- One page ------------------------------------------------------------------------------------


def page(
    calls: QuerySet[QueuedCall],
    *,
    older_than: str = "",
    newer_than: str = "",
    oldest_first: bool = False,
    at: datetime,
) -> tuple[Page, str]:
    """Return a page of `calls` beside the named call, and a sentence where it is of fewer.

    A search that takes too long over all calls is made over the last days only.
    """
    try:
        return _page(calls, older_than, newer_than, oldest_first), ""
    except TooLong:
        told = _(
            "Looking through all calls for this takes too long: those of the last {days} days are "
            "shown. Choose dates to look further back."
        ).format(days=WITHOUT_DATES.days)
    try:
        recent = calls.filter(arrived_at__gte=at - WITHOUT_DATES)
        return _page(recent, "", "", oldest_first), told
    except TooLong:
        return Page([]), _("This takes too long. Choose fewer days, or look for something else.")


class TooLong(Exception):
    """The database did not answer in time."""


def _page(
    calls: QuerySet[QueuedCall], older_than: str, newer_than: str, oldest_first: bool
) -> Page:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {PATIENCE_MS}")
            found = _beside(calls, older_than, newer_than, oldest_first)
            count = calls.order_by()[: MOST_COUNTED + 1].count()
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == "57014":  # cancelled by the time-out
            raise TooLong from error
        raise
    rows, has_newer, has_older = found
    if oldest_first:
        rows.reverse()
    ends = [row.public_id for row in (rows[:1] + rows[-1:])]
    newest, oldest = reversed(ends) if oldest_first else ends or ("", "")
    return Page(
        calls=rows,
        newer=newest if has_newer else "",
        older=oldest if has_older else "",
        count=min(count, MOST_COUNTED),
        is_capped=count > MOST_COUNTED,
    )


def _beside(
    calls: QuerySet[QueuedCall], older_than: str, newer_than: str, oldest_first: bool
) -> tuple[list[QueuedCall], bool, bool]:
    """Return up to a page of calls, the newest first, and whether there are newer and older."""
    calls = calls.select_related("queue", "agent")
    newest_first = calls.order_by("-arrived_at", "-pk")
    forwards = calls.order_by("arrived_at", "pk")
    if beside := _pivot(newer_than):
        later = Q(arrived_at__gt=beside.arrived_at) | Q(
            arrived_at=beside.arrived_at, pk__gt=beside.pk
        )
        later &= Q(arrived_at__gte=beside.arrived_at)  # what the index can be searched by
        rows = list(forwards.filter(later)[: PAGE + 1])
        if len(rows) == PAGE + 1 or oldest_first:
            return rows[:PAGE][::-1], len(rows) > PAGE, True
    elif beside := _pivot(older_than):
        earlier = Q(arrived_at__lt=beside.arrived_at) | Q(
            arrived_at=beside.arrived_at, pk__lt=beside.pk
        )
        earlier &= Q(arrived_at__lte=beside.arrived_at)
        rows = list(newest_first.filter(earlier)[: PAGE + 1])
        if len(rows) == PAGE + 1 or not oldest_first:
            return rows[:PAGE], True, len(rows) > PAGE
    if oldest_first:
        rows = list(forwards[: PAGE + 1])
        return rows[:PAGE][::-1], len(rows) > PAGE, False
    rows = list(newest_first[: PAGE + 1])
    return rows[:PAGE], False, len(rows) > PAGE


def _pivot(public_id: str) -> QueuedCall | None:
    pk = arrivals.public_id(public_id) if public_id else None
    return QueuedCall.objects.only("pk", "arrived_at").filter(pk=pk).first() if pk else None


@dataclass(frozen=True)
class Row:
    """A call with what is known of it elsewhere."""

    call: QueuedCall
    name: str  # of the contact
    disposition: str
    is_recorded: bool


def rows(calls: list[QueuedCall]) -> list[Row]:
    """Return calls with the names of their customers, and what they came to."""
    prefetch_related_objects(calls, "records")
    names = contacts.names_of(call.customer for call in calls)
    keys = [call.pk for call in calls]
    written = WrapUp.objects.filter(offer__call__in=keys, disposition__isnull=False)
    dispositions = {
        one.offer.call_id: str(one.disposition)
        for one in written.select_related("offer", "disposition__parent")
    }
    stored = Recording.objects.filter(call__in=keys, state=Recording.State.STORED)
    recorded = set(stored.values_list("call_id", flat=True))
    return [
        Row(call, names.get(call.customer, ""), dispositions.get(call.pk, ""), call.pk in recorded)
        for call in calls
    ]
