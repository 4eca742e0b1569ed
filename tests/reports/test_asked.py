"""What the report pages are asked for: bad input, empty centres, arrows, presets, roles."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from queues.models import Queue
from reporting.figures import asked as asking
from reporting.pages import frame
from tests.factories import T0, make_agent
from tests.reports.test_pages import DAY, NAIROBI, page_of

pytestmark = pytest.mark.django_db
PAGES = ("", "service/", "waits/", "hours/", "agents/", "costs/", "books/", "definitions/")

BAD = (
    "from=soon&to=never", "from=2026-02-30&to=2026-02-31", "from=2026-11-20&to=2026-11-01",
    "from=1990-01-01&to=2026-11-20", "queue=suport&queue=nosuch", "tz=Mars/Olympus",
    "interval=year",
    "from=2026-11-20T11:07&to=2026-11-20T11:08", "from=9999-12-31&to=9999-12-31", "from=%00&tz=%F0",
    "agent=nobody", "from=0001-01-01", "to=2100-12-31", "from=2026-11-20T08:00:00+99:00",
)  # fmt: skip


@pytest.mark.parametrize("query", BAD)
@pytest.mark.parametrize("page", PAGES)
def test_bad_input_is_a_sentence_and_the_nearest_that_makes_sense(
    boss: Client, support: Queue, page: str, query: str
) -> None:
    html = page_of(boss, f"{page}?{query}")
    if page != "definitions/" and "9999" not in query and not query.startswith("to="):
        assert 'data-testid="note"' in html


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_centre_explains_itself(boss: Client, page: str) -> None:
    html = page_of(boss, page)
    if page not in {"definitions/"}:
        assert 'class="empty"' in html


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_for_supervisors(page: str) -> None:
    client = Client()
    assert client.get(f"/reports/{page}").status_code == 302
    client.force_login(make_agent(username="amina").user)
    assert client.get(f"/reports/{page}").status_code == 403


def test_the_range_goes_with_the_reader(boss: Client, support: Queue) -> None:
    html = page_of(boss, f"service/?{DAY}&queue=support&tz=Asia/Tokyo")
    assert "Asia/Tokyo" in html
    assert "UTC+09:00" in html
    [link] = re.findall(r'href="(/reports/waits/[^"]*)"', html)
    for part in ("from=2026-11-20", "queue=support", "tz=Asia%2FTokyo"):
        assert part in link
    assert "Friday 20 November 2026" in page_of(boss, f"waits/?{DAY}")


@pytest.mark.parametrize(
    ("first", "last", "before", "after"),
    [
        (date(2026, 11, 20), date(2026, 11, 20), "from=2026-11-19&to=2026-11-19",
         "from=2026-11-21&to=2026-11-21"),
        (date(2026, 11, 9), date(2026, 11, 15), "from=2026-11-02&to=2026-11-08",
         "from=2026-11-16&to=2026-11-22"),
        (date(2026, 2, 1), date(2026, 2, 28), "from=2026-01-01&to=2026-01-31",
         "from=2026-03-01&to=2026-03-31"),
        (date(2024, 12, 1), date(2024, 12, 31), "from=2024-11-01&to=2024-11-30",
         "from=2025-01-01&to=2025-01-31"),
    ],
)  # fmt: skip
def test_arrows_go_by_as_much_as_is_shown(first: date, last: date, before: str, after: str) -> None:
    asked = frame.days(asking.read({}, at=T0, zone=NAIROBI), first, last)
    assert frame.beside(asked, later=False).address().startswith(before)
    assert frame.beside(asked, later=True).address().startswith(after)


def test_arrows_know_days_of_23_and_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    asked = asking.read({"from": "2026-10-25", "to": "2026-10-25"}, at=T0, zone=berlin)
    assert asked.until - asked.since == timedelta(hours=25)
    following = frame.beside(asked, later=True)
    assert following.is_whole_days
    assert following.until - following.since == timedelta(hours=24)
    spring = frame.beside(
        asking.read({"from": "2026-03-30", "to": "2026-03-30"}, at=T0, zone=berlin), later=False
    )
    assert spring.until - spring.since == timedelta(hours=23)
    assert len(spring.edges()) == 1


def test_presets_are_of_the_calendar() -> None:
    at = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)  # Monday the 23rd already in Nairobi
    found = {
        one["words"]: one for one in frame.presets(asking.read({}, at=at, zone=NAIROBI), at=at)
    }
    assert found["Today"]["address"].startswith("from=2026-11-23&to=2026-11-23")
    assert found["Today"]["is_chosen"]
    assert found["This week"]["address"].startswith("from=2026-11-23&to=2026-11-23")
    assert found["Last week"]["address"].startswith("from=2026-11-16&to=2026-11-22")
    assert found["Last month"]["address"].startswith("from=2026-10-01&to=2026-10-31")
    assert sum(one["is_chosen"] for one in found.values()) == 1


def test_the_present_day_is_that_of_who_looks(boss: Client) -> None:
    html = page_of(boss, "waits/")
    assert timezone.localtime().strftime("%Y-%m-%d") in html
