"""The report pages say what the figures say, read bad input kindly, and lead to the calls."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from callcenter.ids import new_id
from queues.models import Queue, QueuedCall
from reporting.figures import asked as asking
from reporting.figures import books as book_figures
from reporting.figures import report
from reporting.pages import agents, books, hours, rows, today, waits
from tests.factories import T0, make_agent, make_queue, make_waiting
from tests.figures.made import answered, record, refused

pytestmark = pytest.mark.django_db
NAIROBI = ZoneInfo("Africa/Nairobi")
DAY = "from=2026-11-20&to=2026-11-20"
PAGES = ("", "service/", "waits/", "hours/", "agents/", "costs/", "books/", "definitions/")


def make_call(
    queue: Queue, *, at: datetime = T0, waited: float = 10, talked: float | None = 60
) -> QueuedCall:
    """A call that was answered after a wait; without a talk, one that was abandoned."""
    pk, left = new_id(), at + timedelta(seconds=waited)
    told: dict[str, Any] = {"state": "abandoned", "abandoned_in": "queue", "ended_at": left}
    if talked is not None:
        told = {
            "state": "completed", "connected_at": left, "agent": make_agent(queue),
            "ended_at": left + timedelta(seconds=talked),
        }  # fmt: skip
    return QueuedCall.objects.create(
        pk=pk, public_id=str(pk), direction="inbound", queue=queue, customer="+254722000184",
        line="+254200000101", arrived_at=at, queued_at=at, **told,
    )  # fmt: skip


class Table(HTMLParser):
    """The words of each row of the table with a test id, cell by cell."""

    def __init__(self, html: str, testid: str) -> None:
        super().__init__()
        self.testid, self.is_in, self.cells = testid, False, 0
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.is_in = dict(attrs).get("data-testid") == self.testid
        elif self.is_in and tag == "tr":
            self.rows.append([])
        elif self.is_in and tag in {"td", "th"}:
            self.rows[-1].append("")
            self.cells += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.is_in = False
        elif self.is_in and tag in {"td", "th"}:
            self.cells -= 1

    def handle_data(self, data: str) -> None:
        if self.is_in and self.cells:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()


def page_of(client: Client, address: str) -> str:
    reply = client.get(f"/reports/{address}")
    assert reply.status_code == 200
    return str(reply.content.decode())


def table(html: str, testid: str) -> list[list[str]]:
    found = Table(html, testid).rows
    assert found, testid
    return found


def an_hour(queue: Queue) -> None:
    """Seven in time, two late, one short abandon and two others."""
    for number in range(7):
        make_call(queue, at=T0 + timedelta(minutes=number), waited=8)
    for waited in (30, 50):
        make_call(queue, at=T0, waited=waited)
    for waited in (3, 12, 70):
        make_call(queue, at=T0, waited=waited, talked=None)


# --- What the pages say --------------------------------------------------------------------------


def test_the_service_level_is_that_of_the_definition(boss: Client, support: Queue) -> None:
    an_hour(support)
    html = page_of(boss, f"service/?{DAY}")
    [row] = [row for row in table(html, "by-queue") if row[0] == "Support"]
    # 12 offered, 9 answered, 7 in time, 3 abandoned, 1 of them short: 7 / (12 - 1)
    assert row[1:7] == ["12", "9", "7", "3", "1", "63.6 % under target"]
    levels = {row[0].split(" v1")[0]: row[1:5] for row in table(html, "service-levels")}
    assert levels["Service level"] == ["63.6 %", "", "7", "11"]
    assert levels["Asterisk: SL"] == ["77.8 %", "", "7", "9"]
    assert levels["Asterisk: SL2"] == ["75.0 %", "", "9", "12"]
    assert levels["Plain"] == ["58.3 %", "", "7", "12"]


def test_it_says_who_called_again_what_offers_and_what_talks_came_to(
    boss: Client, support: Queue
) -> None:
    agent = make_agent(support)
    answered(support, agent, wait=5, talk=60, ring=3, customer="+254722000001")
    answered(support, agent, queued=600, wait=5, talk=60, ring=3, customer="+254722000001")
    refused(support, agent, "busy", at=1200, ring=4)
    html = page_of(boss, f"service/?{DAY}")
    again = {row[0].split(" v1")[0]: row[1:] for row in table(html, "again")[1:]}
    assert again["Repeat callers"] == ["50.0 %", "1", "2"]
    [row] = table(html, "offers")[1:]
    # offers, accepted, both as shares, and busy, of six ways not to take one
    assert row[1:5] == ["3", "2", "66.7 %", "33.3 %"]
    assert row[5:] == ["0", "1", "0", "0", "0", "0", "0:04"]
    assert table(html, "dispositions")[1:] == [["Support", "Not dispositioned", "2", "100.0 %"]]
    assert "at most 92 days" in page_of(boss, "service/?from=2026-01-01&to=2026-11-20")


def test_a_queue_at_its_target_has_no_warning(boss: Client, support: Queue) -> None:
    Queue.objects.update(service_level_target=63)
    an_hour(support)
    html = page_of(boss, f"service/?{DAY}")
    [row] = [row for row in table(html, "by-queue") if row[0] == "Support"]
    assert row[6] == "63.6 %"
    assert table(html, "over-time")[1][7] == "63 %"
    Queue.objects.update(service_level_target=64)
    [row] = table(page_of(boss, f"service/?{DAY}"), "by-queue")[1:]
    assert row[6] == "63.6 % under target"


def test_every_interval_of_the_day_is_in_the_table(boss: Client, support: Queue) -> None:
    an_hour(support)
    found = table(page_of(boss, f"service/?{DAY}&interval=hour"), "over-time")[1:]
    assert len(found) == 24
    eleven = found[11]  # 8:00 UTC is 11:00 in Nairobi
    assert "11:00" in eleven[0]
    assert eleven[1:3] == ["12", "9"]
    assert found[12][1:3] == ["0", "0"]


def test_intervals_add_up_over_queues(support: Queue) -> None:
    other = make_queue("billing", number=None, service_level_seconds=5, short_abandon_seconds=5)
    an_hour(support)
    an_hour(other)
    asked = asking.read({"from": "2026-11-20", "to": "2026-11-20", "interval": "day"}, at=T0,
                        zone=NAIROBI)  # fmt: skip
    at = T0 + timedelta(hours=3)
    [row] = rows.by_interval(asked, at=at)
    all_of = report.totals(asked, at=at)
    for key in ("offered", "answered", "in_time", "abandoned", "service_level", "abandon_rate"):
        assert row[key] == all_of[key]
    assert (row["offered"], row["in_time"]) == (24, 7)


def test_a_count_leads_to_its_calls(boss: Client, support: Queue) -> None:
    an_hour(support)
    html = page_of(boss, f"service/?{DAY}&queue=support&interval=day")
    links = re.findall(r'href="(/calls-log/[^"]*figure=in_time[^"]*)" data-figure', html)
    assert links
    for link in links:
        listed = boss.get(link.replace("&amp;", "&")).content.decode()
        assert listed.count('data-testid="log-row"') == 7


def test_waits_are_drawn_as_long_as_they_are_many(boss: Client, support: Queue) -> None:
    an_hour(support)
    found = {row[0]: row[2:] for row in table(page_of(boss, f"waits/?{DAY}"), "waits")}
    assert found["0:05 – 0:10"] == ["7", "0", "77.8 %"]
    assert found["0:00 – 0:05"] == ["0", "1", "0.0 %"]
    assert found["1:00 – 1:30"] == ["0", "1", "100.0 %"]
    parts = waits.bars([{"answered": 6, "abandoned": 2}, {"answered": 2, "abandoned": 0}])
    assert [row["answered_width"] for row in parts] == [75.0, 25.0]
    assert [row["abandoned_width"] for row in parts] == [25.0, 0.0]
    assert [row["answered_by_then"] for row in parts] == [0.75, 1.0]


def test_an_hour_of_the_week_stands_where_it_was(boss: Client, support: Queue) -> None:
    an_hour(support)  # Friday, 11:00 in Nairobi
    found = table(page_of(boss, f"hours/?{DAY}"), "map-offered")
    assert found[0] == ["Hour", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert found[1] == ["11", "·", "·", "·", "·", "12", "·", "·"]
    found = table(page_of(boss, f"hours/?{DAY}&tz=Asia/Tokyo"), "map-service_level")
    assert found[1] == ["17", "·", "·", "·", "·", "64", "·", "·"]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("offered", None, 0), ("offered", 0, 0), ("offered", 1, 1), ("offered", 50, 3),
     ("offered", 100, 5), ("service_level", 1.0, 1), ("service_level", 0.0, 5),
     ("service_level", 0.55, 3)],
)  # fmt: skip
def test_a_cell_is_as_dark_as_it_matters(key: str, value: float | None, expected: int) -> None:
    assert hours.step(key, value, 100) == expected


def test_today_is_held_against_the_same_weekday(boss: Client, support: Queue) -> None:
    for days, count in ((0, 3), (7, 2), (1, 5)):
        for _ in range(count):
            make_call(support, at=T0 - timedelta(days=days), waited=8)
    html = page_of(boss, f"?{DAY}")
    assert "How does Friday 20 November compare with Friday 13 November?" in html
    [offered] = [row for row in table(html, "compared") if row[0].startswith("Offered")]
    assert offered[1:] == ["3", "2", "+1"]
    [level] = [row for row in table(html, "compared") if row[0].startswith("Service level")]
    assert level[1:] == ["100.0 %", "100.0 %", "±0.0 points"]
    hour = table(html, "hour-by-hour")[2 + 11]
    assert hour[:3] == ["11:00", "3", "2"]


def test_a_day_that_goes_on_is_held_against_as_much_of_the_other() -> None:
    at = datetime(2026, 11, 20, 9, 52, tzinfo=UTC)
    asked = asking.read({}, at=at, zone=NAIROBI)
    now, then = today.sides(asked, at=at)
    assert now.until == datetime(2026, 11, 20, 9, 45, tzinfo=UTC)
    assert then.until == datetime(2026, 11, 13, 9, 45, tzinfo=UTC)
    assert then.since == datetime(2026, 11, 12, 21, 0, tzinfo=UTC)
    early = datetime(2026, 11, 19, 21, 5, tzinfo=UTC)  # five past midnight in Nairobi
    now, _then = today.sides(asking.read({}, at=early, zone=NAIROBI), at=early)
    assert now.until > now.since


def test_better_and_worse_are_said_in_words() -> None:
    one = {"service_level": 0.9, "asa": 12.0, "offered": 3, "abandoned": 2}
    other = {"service_level": 0.8, "asa": 10.0, "offered": 5, "abandoned": 2}
    found = {row["key"]: row["is_better"] for row in today.compared(one, other)}
    assert found["service_level"] is True
    assert found["asa"] is False
    assert found["offered"] is None  # neither good nor bad
    assert found["abandoned"] is None  # no change


def test_agents_are_shown_with_their_offers_and_strips(boss: Client, support: Queue) -> None:
    agent = make_agent(support, username="amina")
    html = page_of(boss, "agents/?from=2026-11-20&to=2026-11-20&agent=amina")
    assert [row[0] for row in table(html, "agent-time")] == ["Agent", "Amina"]
    assert table(html, "agent-offers")[1][0] == "Amina"
    assert f"/calls-log/?agent={agent.user.username}&amp;from=2026-11-20" in html or (
        table(html, "agent-offers")[1][-1] == "–"
    )
    many = page_of(boss, "agents/?from=2026-11-01&to=2026-11-20")
    assert "Two days at the most can be drawn" in many


def test_a_strip_is_a_share_of_the_range() -> None:
    asked = asking.read({"from": "2026-11-20", "to": "2026-11-20"}, at=T0, zone=NAIROBI)
    start = asked.since.astimezone(NAIROBI)
    strip = {"agent": object(), "parts": [
        {"start": start + timedelta(hours=6), "end": start + timedelta(hours=12),
         "state": "on_call"},
        {"start": start + timedelta(hours=12), "end": start + timedelta(hours=18),
         "state": "offline"},
    ]}  # fmt: skip
    parts = [agents.placed(part, asked) for part in strip["parts"]]  # type: ignore[attr-defined]
    assert [(part["x"], part["width"]) for part in parts] == [(25.0, 25.0), (50.0, 25.0)]
    assert [one["seconds"] for one in agents.sums(parts)] == [6 * 3600, 6 * 3600]
    assert parts[0]["height"] > parts[1]["height"]


def test_strips_are_of_the_hours_in_which_somebody_was_there() -> None:
    asked = asking.read({"from": "2026-11-20", "to": "2026-11-20"}, at=T0, zone=NAIROBI)
    start = asked.since.astimezone(NAIROBI)

    def part(first: float, last: float, state: str) -> dict[str, Any]:
        ends = (start + timedelta(hours=first), start + timedelta(hours=last))
        return {"start": ends[0], "end": ends[1], "state": state}

    strips = [
        {"parts": [part(0, 8.2, "offline"), part(8.2, 16, "available_idle")]},
        {"parts": [part(0, 9, "offline"), part(9, 17.1, "on_call"), part(17.1, 24, "offline")]},
    ]
    busy = agents.busy_hours(strips, asked)
    assert busy.since == asked.since + timedelta(hours=8)
    assert busy.until == asked.since + timedelta(hours=18)
    assert agents.busy_hours([{"parts": [part(0, 24, "offline")]}], asked) == asked
    assert [tick["at"].hour for tick in agents.ticks(busy)] == [8, 10, 12, 14, 16]


def test_costs_are_what_the_provider_charged(boss: Client, support: Queue) -> None:
    call, other = make_waiting(support), make_waiting(support)
    record(call.legs.get(), minor=450)
    record(other.legs.get(), minor=None)
    html = page_of(boss, f"costs/?{DAY}")
    party = ["Support", "customer's leg", "telephone network", "1"]
    assert table(html, "costs")[1:] == [[*party, "1", "–"], [*party, "0", "KES 4.50"]]
    assert "1 leg has no cost yet" in html
    assert "KES 2.25" in html  # per call: two arrived
    assert table(html, "over-time")[12][1:] == ["2", "KES 4.50"]


def test_books_that_balance_have_a_mark_and_those_that_do_not_a_number(
    boss: Client, support: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_hour(support)
    html = page_of(boss, f"books/?{DAY}")
    assert "The books balance." in html
    assert table(html, "books")[1][:3] == ["Fri 20 Nov.", "Support", "12"]
    books.forget()
    assert "Books balance" in boss.get("/").content.decode()

    def broken(*_args: Any, **_kwargs: Any) -> list[dict[str, Any]]:
        row = {"queue": support, "start": T0.astimezone(NAIROBI), "offered": 3, "still_open": 0,
               "not_offered_ends": 0, "difference": 1, **dict.fromkeys(book_figures.ENDS, 0),
               "completed": 2, "breaks": [{"call": "abc", "why": "Offered"}]}  # fmt: skip
        return [row, {**row, "difference": 0, "breaks": []}]

    monkeypatch.setattr(book_figures, "days", broken)
    html = page_of(boss, f"books/?{DAY}")
    assert "1 row does not balance." in html
    assert "/calls-log/abc/" in html
    assert "Books balance" in boss.get("/").content.decode()  # not looked up at every refresh
    books.forget()
    assert "1 row of the books does not balance" in boss.get("/").content.decode()
    books.forget()


def test_every_definition_has_its_version_and_an_address(boss: Client, support: Queue) -> None:
    an_hour(support)
    html = page_of(boss, "definitions/")
    for row in table(html, "definitions-levels")[1:]:
        assert row[1] == "v1"
    for page in ("service/", "waits/", ""):
        for key in set(
            re.findall(r'/reports/definitions/#([\w-]+)"', page_of(boss, f"{page}?{DAY}"))
        ):
            assert f'id="{key}"' in html, key
