"""The planning page and its API: the same figures, bad input in words, changes of clocks."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils.html import strip_tags

from callcenter.permissions import SUPERVISORS
from reporting.amounts import percent
from reporting.models import AgentQuarter
from tests.factories import make_agent, make_queue, make_supervisor
from tests.planning.rows import make_days, make_quarter

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)  # a Wednesday
BERLIN = ZoneInfo("Europe/Berlin")
HALVES = ("00", "30")
PAGE, API = "/reports/planning/", "/api/reports/planning/"


@pytest.fixture
def supervisor(client, time_machine):
    time_machine.move_to(AT, tick=False)
    client.force_login(make_supervisor())
    return client


@pytest.fixture
def queue():
    """Ten weeks to yesterday: 20 calls in each half hour from 8 to 18, 40 on Mondays."""
    queue = make_queue()
    make_days(queue, date(2026, 9, 9), 70, lambda day, hour: 40 if day.weekday() == 0 else 20)
    return queue


def page(client, query=""):
    reply = client.get(f"{PAGE}?{query}")
    assert reply.status_code == 200
    return reply.content.decode()


def words(html, testid):
    """The text of the element with this test id, without the marks of what is too low."""
    found = re.search(rf'<(\w+)[^>]*data-testid="{testid}".*?</\1>', html, re.DOTALL)
    return " ".join(strip_tags(found[0]).split()) if found else None


def table(html):
    """The numbers of the table by row and day."""
    body = re.search(r'data-testid="plan-table".*?<tbody>(.*?)</tbody>', html, re.DOTALL)[1]
    rows = {}
    for row in body.split("<tr>")[1:]:
        clock = strip_tags(re.search(r"<th.*?</th>", row, re.DOTALL)[0]).strip()
        cells = [strip_tags(one) for one in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        rows[clock] = [cell.replace("▾too low: ", "") for cell in cells]
    return rows


def test_the_page_shows_what_the_api_tells(supervisor, queue):
    query = "queue=support&growth=10&handle_time=240&patience=90&shrinkage=25&agents=4"
    told = supervisor.get(f"{API}?{query}").json()
    by_place = {}
    for half in told["half_hours"]:
        by_place.setdefault(half["start"][11:16], []).append(half)
    for show, of in {
        "rostered": lambda half: str(half["rostered"]),
        "needed": lambda half: str(half["needed"]),
        "calls": lambda half: f"{half['calls']:.1f}",
        "level": lambda half: percent(half["expected"]["service_level"]),
        "abandoned": lambda half: percent(half["expected"]["abandoned"]),
        "occupancy": lambda half: percent(half["expected"]["occupancy"]),
        "handle_time": lambda half: "3:00",
    }.items():
        shown = table(page(supervisor, f"{query}&show={show}"))
        assert list(shown) == [f"{hour:02}:{minute}" for hour in range(8, 18) for minute in HALVES]
        for clock, cells in shown.items():
            assert cells == [of(half) for half in by_place[clock]]


def test_a_plan_by_hand(supervisor, queue):
    """60 calls of 300 s need 13 agents for 76 % in 20 s by Erlang C, and 14 for 77 %."""
    query = "model=c&handle_time=300&growth=50&share=76&within=20&shrinkage=30&occupancy=100"
    found = supervisor.get(f"{API}?{query}").json()["half_hours"]
    monday = next(half for half in found if half["start"].startswith("2026-11-23T08:00"))
    assert (monday["calls"], monday["needed"], monday["rostered"]) == (60, 13, 19)
    assert monday["needed_c"] == 13
    assert monday["needed_a"] < 13  # who leaves needs no agent
    found = supervisor.get(f"{API}?{query}&share=77").json()["half_hours"]
    assert max(half["needed"] for half in found) == 14


def test_next_week_is_foretold_from_the_queues_own_past(supervisor, queue):
    told = supervisor.get(API).json()
    assert told["queue"] == "support"
    assert (told["half_hours"][0]["start"], told["half_hours"][-1]["start"]) == (
        "2026-11-23T00:00:00+03:00", "2026-11-29T23:30:00+03:00",
    )  # fmt: skip
    calls = {half["start"][:10]: 0 for half in told["half_hours"]}
    for half in told["half_hours"]:
        calls[half["start"][:10]] += half["calls"]
    assert list(calls.values()) == [800, 400, 400, 400, 400, 400, 400]
    assert told["forecast"]["past_error"]["mean"] == {"wape": 0, "bias": 0, "days": 28}
    assert told["forecast"]["weeks"] == 8
    assert told["measured"]["handle_time"]["value"] == 180
    assert told["measured"]["patience"]["value"] == pytest.approx(140)
    assert (
        told["asked"] | {"handle_time": 180, "patience": 140, "share": 80, "within": 20}
        == (told["asked"])
    )


def test_the_agents_who_were_at_work_are_those_of_now(supervisor, queue):
    agent = make_agent(queue)
    monday = datetime(2026, 11, 16, 5, 0, tzinfo=UTC)  # 8:00 in Nairobi
    for weeks in range(8):
        for minutes in (0, 15):
            AgentQuarter.objects.create(
                start=monday - timedelta(weeks=weeks) + timedelta(minutes=minutes), agent=agent,
                presence="available", is_paid=True, engagement="idle", time=timedelta(minutes=15),
            )  # fmt: skip
    told = supervisor.get(API).json()["half_hours"]
    present = {half["start"][:16]: half["present"] for half in told}
    assert (present["2026-11-23T08:00"], present["2026-11-23T08:30"]) == (1, 0)
    assert supervisor.get(f"{API}?agents=7").json()["half_hours"][0]["present"] == 7


def test_without_agents_known_nothing_is_expected_of_them(supervisor, queue):
    half = supervisor.get(API).json()["half_hours"][16]
    assert (half["present"], half["expected"]) == (None, None)
    assert {cell for row in table(page(supervisor, "show=level")).values() for cell in row} == {"–"}


def test_in_overload_erlang_c_says_that_it_has_no_answer(supervisor, queue):
    html = page(supervisor, "model=c&agents=2&show=level")
    assert table(html)["08:00"] == ["∞"] * 7  # 2 erlangs and more for 2 agents
    assert "too low" in html
    assert "∞" not in table(page(supervisor, "model=a&agents=2&show=level"))["08:00"]


@pytest.mark.parametrize(("query", "field", "told"), [
    ("handle_time=0", "handle_time", "From 10 to 1800; 10 is taken."),
    ("handle_time=1e999", "handle_time", "From 10 to 1800; 1800 is taken."),
    ("patience=-5", "patience", "From 5 to 1800; 5 is taken."),
    ("share=100", "share", "From 1 to 99; 99 is taken."),
    ("share=much", "share", "is no number"),
    ("shrinkage=NaN", "shrinkage", "is no number"),
    ("agents=2.5", "agents", "A whole number; 2 is taken."),
    ("weeks=900", "weeks", "From 1 to 26; 26 is taken."),
    ("model=x", "model", "Choose one of a, c."),
    ("method=guess", "method", "Choose one of"),
    ("queue=suport", "queue", "Support is shown"),
    ("queue=zzz", "queue", "There is no queue"),
])  # fmt: skip
def test_what_cannot_be_meant_is_told_at_its_field(supervisor, query, field, told):
    make_days(make_queue(), date(2026, 11, 15), 3, lambda day, hour: 5)
    html = page(supervisor, query)
    at_field = re.search(rf'id="e-{field}">(.*?)</p>', html, re.DOTALL)[1]
    assert told in at_field
    reply = supervisor.get(f"{API}?{query}")
    assert reply.status_code == 400
    assert list(reply.json()) == [field]
    assert told in reply.json()[field][0]


def test_what_was_typed_stays_in_the_field(supervisor):
    make_days(make_queue(), date(2026, 11, 9), 9, lambda day, hour: 5)
    html = page(supervisor, "handle_time=99999&share=82,5%25")
    assert 'name="handle_time" value="99999"' in html
    assert 'name="share" value="82,5%"' in html
    assert not re.search(r'id="e-share">[^<]', html)
    assert "To answer 82.5 %" in words(html, "plan-lead")


def test_a_time_zone_that_does_not_exist(supervisor):
    make_days(make_queue(), date(2026, 11, 9), 9, lambda day, hour: 5)
    assert "There is no time zone" in page(supervisor, "tz=Afrika/Nirgends")
    reply = supervisor.get(f"{API}?tz=Afrika/Nirgends")
    assert (reply.status_code, list(reply.json())) == (400, ["tz"])


def test_without_any_past_the_page_says_how_much_is_needed(supervisor):
    make_queue()
    html = page(supervisor)
    assert "one whole week of calls" in html
    assert "4 weeks one to plan by" in html
    assert supervisor.get(API).json()["half_hours"] == []


def test_without_a_queue_there_is_nothing_to_plan(supervisor):
    assert "there is none yet" in page(supervisor)
    assert supervisor.get(API).status_code == 400


def test_a_short_past_says_that_it_is_short(supervisor):
    make_days(make_queue(), date(2026, 11, 3), 15, lambda day, hour: 1)
    html = page(supervisor)
    assert "figures of 2 whole weeks only" in words(html, "plan-note")
    assert "Nobody has left while waiting" in html
    assert "too few weeks to try it on" in words(html, "plan-error")


def test_the_error_of_the_past_is_shown_beside_that_of_last_week(supervisor):
    """30 and 10 calls in turn; on a Wednesday the newest Monday is of the other sort."""
    make_days(make_queue(), date(2026, 8, 5), 105,
              lambda day, hour: 30 if day.isocalendar().week % 2 else 10)  # fmt: skip
    html = page(supervisor, "method=mean")
    assert "Method: mean." in words(html, "plan-error")
    assert "off by 50 % of the calls" in words(html, "plan-error")  # 20 instead of 30 or 10
    # 4 weeks x 2 days x 20 half hours x 20 calls of 4 x 7 x 20 x 20
    assert "“As last week” was off by 29 %." in words(html, "plan-error")
    assert "Method: as last week." in words(page(supervisor), "plan-error")


def test_the_week_of_a_change_of_clocks_has_its_hours(supervisor, time_machine):
    """In Berlin the last Sunday of October has the hour from 2:00 twice."""
    queue = make_queue()
    make_days(queue, date(2026, 9, 1), 43, lambda day, hour: 5, zone=BERLIN)
    night = datetime(2026, 10, 11, 2, 30, tzinfo=BERLIN)
    make_quarter(queue, night, 8).save()
    time_machine.move_to(datetime(2026, 10, 14, 9, 0, tzinfo=UTC), tick=False)
    half_hours = supervisor.get(f"{API}?tz=Europe/Berlin&method=last_week").json()["half_hours"]
    assert len(half_hours) == 338
    calls = {half["start"]: half["calls"] for half in half_hours if half["calls"]}
    assert calls["2026-10-24T08:00:00+02:00"] == calls["2026-10-25T08:00:00+01:00"] == 5
    assert calls["2026-10-25T02:30:00+02:00"] == calls["2026-10-25T02:30:00+01:00"] == 8
    shown = table(page(supervisor, "tz=Europe/Berlin&method=last_week&show=calls"))
    assert shown["02:30 again"] == ["–"] * 6 + ["8.0"]
    assert shown["08:00"] == ["5.0"] * 7
    time_machine.move_to(datetime(2026, 10, 21, 9, 0, tzinfo=UTC), tick=False)
    assert len(supervisor.get(f"{API}?tz=Europe/Berlin").json()["half_hours"]) == 336


def test_the_form_works_without_scripts_and_htmx_takes_parts_of_the_same_page(supervisor):
    make_days(make_queue(), date(2026, 11, 9), 9, lambda day, hour: 5)
    html = page(supervisor)
    assert 'method="get"' in html
    assert 'data-testid="plan-go"' in html
    assert 'id="plan"' in html
    assert 'type="range" hidden' in html  # planning.js shows it
    assert " style=" not in html
    for name in re.search(r'hx-select-oob="([^"]*)"', html)[1].split(","):
        assert f'id="{name[1:]}"' in html


def test_agents_may_not_look(client):
    assert SUPERVISORS
    client.force_login(make_agent().user)
    assert client.get(PAGE).status_code == 403
    assert client.get(API).status_code == 403
