"""A day of the call centre, and every figure of the reports about it held to the provider's book.

The day is played once through the whole stack. What the reports should say is worked out from the
simulator's ledger (ledger_book, ledger_figures), never from our rows. Then the same day is laid
over the edges of hours, days and weeks in a copy of the database, and all is compared once more.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.acceptance import day_elsewhere, day_reports, ledger_reading
from tests.acceptance.centre import Centre
from tests.acceptance.day import SHORT, Day
from tests.acceptance.day_checks import Check
from tests.acceptance.day_elsewhere import Shift
from tests.acceptance.day_reports import OfACopy, Reports
from tests.acceptance.ledger_book import Book
from tests.acceptance.stack import WholeStack

QUARTER = 900
SLICE = {"waves": 3, "calls": 20, "clicks": 2, "seconds": 7.0}
WHOLE = {"waves": 4, "calls": 126, "clicks": 8, "seconds": 40.0, "teams": 2}
HAS_ENDS = {
    "completed", "abandoned_menu", "abandoned_queue", "abandoned_ringing", "expired",
}  # fmt: skip
HAS_OFFERS = {"ended", "no_answer", "busy", "failed", "declined", "caller_gone"}
EDGES = [
    datetime.fromisoformat(text).timestamp()
    for text in (
        "2025-10-25T21:00Z",  # midnight in Nairobi
        "2025-10-26T01:00Z",  # 03:00 becomes 02:00 in Berlin
        "2025-10-26T23:00Z",  # a week begins in Berlin
        "2025-10-27T08:15Z",
    )
]
ELSEWHERE = tuple(
    datetime.fromisoformat(text).timestamp() for text in ("2025-10-25T00:00Z", "2025-10-28T00:00Z")
)
_RANGE = ("--since", "2025-10-25T00:00Z", "--until", "2025-10-28T00:00Z")
_NONE = ("arrived", "abandoned_menu", "rejected", "not_offered_ends")


@dataclass
class Past:
    """A day that is over, and what the provider wrote about it."""

    day: Day
    book: Book
    reports: Reports
    since: float
    until: float
    without_queue: dict[str, int]  # counts of calls without a queue that are new

    def check(self, **question: Any) -> Check:
        return Check(
            self.reports, self.book, self.day.house, self.since, self.until,
            dispositions=self.day.dispositions, **question,
        )  # fmt: skip


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(SLICE, id="slice"), pytest.param(WHOLE, id="whole", marks=pytest.mark.long)
    ],
)  # fmt: skip
def past(stack: WholeStack, request: pytest.FixtureRequest) -> Iterator[Past]:
    """The day, lived and over; every record of it is in the mirror."""
    centre = Centre(stack)
    try:
        since = centre.began // QUARTER * QUARTER
        reports = day_reports.of_the_stack(stack.url)
        before = _without_queue(reports, since)
        day = Day(centre, **request.param)
        day.live()
        ledger = centre.sim("GET", "/ledger")
        assert ledger["problems"] == []
        book = ledger_reading.read(ledger, day.house)
        day.draw_the_line(book)
        until = (time.time() // QUARTER + 1) * QUARTER
        after = _without_queue(reports, since)
        new = {name: after[name] - before[name] for name in _NONE}
        past = Past(day, book, reports, since, until, new)
        centre.until(lambda: _is_mirrored(past), "all records are in", 60)
        yield past
    finally:
        centre.leave()


def _without_queue(reports: Reports, since: float) -> dict[str, int]:
    """The counts of calls that never had a queue; other tests have such calls as well."""
    start = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%MZ")
    rows = reports.api(f"/api/reports/queues/?since={start}")
    found = [row for row in rows if row["queue"] is None]
    return found[0] if found else dict.fromkeys(_NONE, 0)


def _is_mirrored(past: Past) -> bool:
    check = past.check()
    check.mirror(past.book.handles)
    return not check.wrong and all(row["costs_not_in_yet"] == 0 for row in check.csv("costs"))


def test_the_day_has_what_a_day_has_and_the_books_can_be_compared(past: Past):
    ends = {call.end for call in past.book.calls if call.is_inbound}
    assert ends >= HAS_ENDS
    assert {offer.state for offer in past.book.offers} >= HAS_OFFERS
    customers = [call.customer for call in past.book.calls if call.is_inbound]
    assert len(set(customers)) < len(customers), "nobody has called twice"
    assert {call.is_inbound for call in past.book.calls} == {True, False}
    left = [
        call.ended - call.queued for call in past.book.calls
        if call.is_sure and call.queued and call.end.startswith("abandoned")
    ]  # fmt: skip
    assert {after < SHORT for after in left} == {True, False}, "no abandon is short, or all are"
    unsure = [call for call in past.book.calls if not call.is_sure]
    assert len(unsure) <= len(past.book.calls) / 8, "too slow to tell what came first"


def test_each_call_is_what_the_provider_saw(past: Past):
    check = past.check()
    check.each_call()
    check.mirror(past.book.handles)
    assert not check.wrong, "\n".join(check.wrong)


def test_every_figure_is_what_the_provider_saw(past: Past):
    check = past.check()
    check.queues()
    check.agents()
    check.others()
    check.waits()
    assert not check.wrong, "\n".join(check.wrong)
    nowhere = [call for call in past.book.calls if call.queue is None]
    left = sum(call.end == "abandoned_menu" for call in nowhere)
    assert past.without_queue == {
        "arrived": len(nowhere), "abandoned_menu": left, "rejected": len(nowhere) - left,
        "not_offered_ends": len(nowhere),
    }  # fmt: skip


def test_the_pages_say_what_the_api_says(past: Past):
    check = past.check()
    rows = {row["queue"]: row for row in check.api("queues")}
    names = {slug: f"Queue {slug.removeprefix('queue-')}" for slug in rows}
    for name in ("service", "waits"):
        shown = {row[0]: row for row in check.page(name).tables["by-queue"][1:]}
        for slug, row in rows.items():
            counts = ("offered", "answered", "in_time", "abandoned", "short_abandons")
            assert shown[names[slug]][1:6] == [str(row[count]) for count in counts]
            lengths = ("asa", "asa_median", "asa_p90", "longest_wait", "aht")
            assert shown[names[slug]][8:13] == [_clock(row[length]) for length in lengths]
    books = check.page("books")
    assert "The books balance." in books.text
    told = {row[1]: row for row in books.tables["books"][1:]}
    for slug, row in rows.items():
        assert told[names[slug]][2:4] == [str(row["offered"]), str(row["not_offered_ends"])]
        assert told[names[slug]][-1] == "0"
    agents = {row["name"]: row for row in check.api("agents", agent=[*past.book.spans])}
    shown = check.page("agents").tables
    by_name = {row[0]: row for row in shown["agent-offers"][1:]}
    times = {row[0]: row for row in shown["agent-time"][1:]}
    for name, row in agents.items():
        assert by_name[name][1:3] == [str(row["offers"]), str(row["accepted"])]
        states = ("signed_in", "on_call", "wrap_up", "ringing", "available_idle")
        assert times[name][1:6] == [_clock(row[state]) for state in states]
    charged = sum(charge.minor for charge in past.book.charges if charge.queue)
    costs = [row[5] for row in check.page("costs").tables["costs"][1:]]
    assert sum(round(float(cost.split()[1].replace(",", "")) * 100) for cost in costs) == charged


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def test_what_is_stored_is_what_is_counted_and_nothing_is_unexplained(past: Past):
    stack = past.day.centre.stack
    stack.finds_none("rebuild_figures", "--check")
    stack.audit()
    page = " ".join(past.reports.page("/reports/provider/").text)
    assert [handle for handle in past.book.handles if handle in page] == []


def test_over_the_edges_of_hours_days_and_weeks_every_figure_stays_right(past: Past, tmp_path):
    shift = _over_the_edges(past)
    moved = past.book.moved(shift)
    with day_elsewhere.copied(past.day.centre.stack.database_url, tmp_path, shift) as copy:
        fetch = OfACopy(copy)
        try:
            fetch.manage("rebuild_figures", *_RANGE)
            assert fetch.manage("rebuild_figures", "--check", *_RANGE) == "none\n"
            found = json.loads(fetch.manage("shell", "-v", "0", "-c", _FIND))
            assert [one for one in found if one[0] not in moved.unsure or not one[-1]] == []
            there = Past(past.day, moved, Reports(fetch), ELSEWHERE[0], ELSEWHERE[1], {})
            wrong = []
            for zone in ("Africa/Nairobi", "Europe/Berlin"):
                for interval in (None, "15m", "hour", "day", "week"):
                    check = there.check(zone=zone, interval=interval)
                    check.queues()
                    check.agents()
                    if interval is None:
                        check.others()
                    wrong += check.wrong
            assert not wrong, "\n".join(wrong)
        finally:
            fetch.close()


# What the comparison of the mirror with our legs finds an hour after the day that is elsewhere.
_FIND = """
import json
import os
from datetime import datetime, timedelta
from queues import adoption, provider
from reporting.mirror import differences
from reporting.models import Difference
since, until = (datetime.fromisoformat(f"2025-10-{day}T00:00Z") for day in (25, 28))
at = until + timedelta(hours=1)
provider.learn(adoption.ADOPTS_SINCE, since.isoformat(), at=at)
differences.find(since, until, at=at)
open_ = Difference.objects.filter(happened_at__gte=since, happened_at__lt=until, settled_at=None)
print(json.dumps([[one.subject, one.kind, one.theirs, one.ours, one.done] for one in open_]))
"""


def _over_the_edges(past: Past) -> Shift:
    """Each wave across an edge, in the widest gap between what counts by its instant."""
    begins = [past.day.centre.began, *past.day.lulls[:-1]]
    instants = sorted(
        [call.counted for call in past.book.calls] + [offer.made for offer in past.book.offers]
    )
    pairs = []
    for begin, end, edge in zip(begins, past.day.lulls, EDGES, strict=False):
        mine = [at for at in instants if begin < at < end]
        middle = mine[len(mine) // 4 : len(mine) * 3 // 4 + 1]
        before, after = max(itertools.pairwise(middle), key=lambda pair: pair[1] - pair[0])
        pairs.append(((before + after) / 2, edge))
    return Shift(begins, pairs)
