"""What the pages say in each state, and what no page may contain."""

import gzip
import re
from datetime import timedelta
from pathlib import Path

import django_htmx
import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent, PresencePeriod
from queues.models import Alert, CallEvent, Queue, QueuedCall
from reporting import words
from reporting.templatetags import callwords
from tests.pages import made_up

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.django_db


@pytest.fixture
def supervisor() -> Client:
    from django.contrib.auth.models import User

    made_up.centre()
    client = Client()
    client.force_login(User.objects.get(username="supervisor"))
    return client


@pytest.fixture
def amina(supervisor: Client) -> Client:
    client = Client()
    client.force_login(Agent.objects.get(user__username="amina").user)
    return client


def get(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def clean(html: str) -> str:
    """Check the rules of the content security policy to come; return the words of a page."""
    assert not re.search(r"<script(?![^>]*\ssrc=)", html)
    assert not re.search(r"\son[a-z]+=", html)
    assert not re.search(r"\sstyle=|<style", html)
    assert not re.search(r"(src|href)=\"(https?:)?//", html)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# --- The desk ------------------------------------------------------------------------------------


def pressed(html: str) -> list[str]:
    return re.findall(r'value="(\w+)"[^>]*aria-pressed="true"', html)


def test_an_agent_who_is_offline_is_told_how_to_start(amina: Client) -> None:
    html = get(amina, "/agent/")
    assert pressed(html) == ["offline"]
    assert 'data-state="offline"' in html
    assert "You are offline" in clean(html)


def test_one_tap_makes_an_agent_available_without_script_and_with(amina: Client) -> None:
    assert (
        amina.post("/agent/presence/", {"presence": "available"}).headers["Location"] == "/agent/"
    )
    html = get(amina, "/agent/")
    assert pressed(html) == ["available"]
    assert "Waiting for a call" in clean(html)
    answer = amina.post(
        "/agent/presence/", {"presence": "break", "reason": "Lunch"}, headers={"HX-Request": "true"}
    )
    assert pressed(answer.content.decode()) == ["break", "Lunch"]
    assert "<html" not in answer.content.decode()


def test_a_held_off_agent_is_told_why_and_until_when(amina: Client) -> None:
    until = timezone.now() + timedelta(seconds=20)
    made_up.put("amina", hold_off_until=until, hold_off_reason="no_answer")
    html = get(amina, "/agent/")
    assert 'data-state="held_off"' in html
    assert "because the last call was not answered. Calls again in" in clean(html)
    assert f'data-until="{timezone.localtime(until).isoformat()}"' in html


def test_a_break_by_policy_is_not_shown_as_ones_own(amina: Client) -> None:
    agent = made_up.put("amina", presence="break", presence_reason="3 calls were not answered")
    PresencePeriod.objects.filter(agent=agent).delete()
    PresencePeriod.objects.create(
        agent=agent, presence="break", reason=agent.presence_reason, started_at=timezone.now(),
        cause="policy: missed calls",
    )  # fmt: skip
    assert "You were put on break 3 calls were not answered . Check" in clean(get(amina, "/agent/"))


def test_a_ringing_phone_says_who_and_how_long(amina: Client) -> None:
    agent = made_up.put("amina", "ringing")
    row = made_up.call("support", "offered", ago=38, customer="+254722418377")
    made_up.offer(row, agent, "ringing", ago=4)
    html = get(amina, "/agent/")
    words = clean(html)
    assert 'data-title="● Ringing – Support"' in html
    assert "Ringing +254722418377 Support Answer your phone. Has waited 0:38" in words
    Agent.objects.update(confirm_key=True)
    assert "Answer your phone, then press 1 ." in clean(get(amina, "/agent/state/"))


def test_a_call_can_be_hung_up_and_says_what_comes_after(amina: Client) -> None:
    agent = made_up.put("amina", "on_call", presence="break")
    row = made_up.call("support", "connected", ago=70, customer="+254722418377", agent=agent)
    made_up.offer(row, agent, "joined", ago=66, answered=61)
    words = clean(get(amina, "/agent/"))
    assert "On a call +254722418377 Support Talking for 1:01" in words
    assert "Hang up h Ask for help q After this call: break . No further call" in words


def test_wrap_up_counts_down_and_ends_early(amina: Client) -> None:
    made_up.put("amina", "wrap_up", wrap_up_until=timezone.now() + timedelta(seconds=14.5))
    assert "Wrap-up Next call possible in 0:14" in clean(get(amina, "/agent/"))
    answer = amina.post("/agent/done/", headers={"HX-Request": "true"})
    assert 'data-state="idle"' in answer.content.decode()


def test_callers_in_ones_own_queues_are_counted(amina: Client) -> None:
    made_up.call("support", "waiting", ago=40, customer="+254722418377")
    made_up.call("support", "waiting", ago=20, customer="+254722418378")
    made_up.call("appointments", "waiting", ago=20, customer="+254722418379")
    words = clean(get(amina, "/agent/"))
    assert "Waiting in your queues Billing 0 Support longest 0:40 2 Today" in words


# --- The wallboard -------------------------------------------------------------------------------


def test_an_empty_wallboard_explains_itself(supervisor: Client) -> None:
    words = clean(get(supervisor, "/"))
    assert "No calls right now." in words
    assert "Service level –" in words
    Queue.objects.update(retired_at=timezone.now())
    assert "No queues yet." in clean(get(supervisor, "/"))


def test_a_busy_wallboard(supervisor: Client) -> None:
    made_up.busy()
    html = get(supervisor, "/board/")
    words = clean(html)
    assert "4 waiting" in words
    assert "Waiting 1st in line +254712093377 Support No agent is free:" in words
    assert "Answered 0:47 · cost not in yet" in words
    assert "Held off Amina Yusuf" in words
    assert "Break Faisal Hassan 21:00 Lunch" in words
    assert "1 quarantined (bad signature)" in words
    assert "of an unknown kind" not in words
    assert html.count('data-late-after="20"') == 3  # two queues and the longest of all
    assert "3 times, last at" in words


def test_an_alert_is_dismissed(supervisor: Client) -> None:
    now = timezone.now()
    alert = Alert.objects.create(kind="wallet", text="Top it up.", first_at=now, last_at=now)
    assert "Top it up." in get(supervisor, "/")
    answer = supervisor.post(f"/alerts/{alert.pk}/dismiss/", headers={"HX-Request": "true"})
    assert "Top it up." not in answer.content.decode()


def test_the_fragment_changes_only_where_something_happened(supervisor: Client) -> None:
    """What live.js compares: apart from the clocks' text and the moment, the same bytes."""
    made_up.busy()

    def parts() -> str:
        html = get(supervisor, "/board/")
        html = re.sub(r"(<time[^>]*data-(?:since|until)[^>]*>)[^<]*", r"\1", html)
        html = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", html)
        return html.partition('<section id="alerts"')[2]

    assert parts() == parts()


# --- Calls ---------------------------------------------------------------------------------------


def test_calls_are_found_by_queue_status_and_number(supervisor: Client) -> None:
    assert "No calls yet." in clean(get(supervisor, "/calls-log/"))
    made_up.history(60)
    html = get(supervisor, "/calls-log/")
    assert html.count('data-testid="log-row"') == 50
    assert "?older=" in html
    some = QueuedCall.objects.filter(state="abandoned").first()
    assert some is not None
    found = get(supervisor, f"/calls-log/?status=abandoned&number=0{some.customer[4:]}")
    assert found.count('data-testid="log-row"') == 1
    assert "Abandoned while waiting" in clean(found)
    assert "No call matches." in clean(get(supervisor, "/calls-log/?queue=billing&number=999999"))


def test_a_call_tells_its_story(supervisor: Client) -> None:
    row = made_up.told()
    words = clean(get(supervisor, f"/calls-log/{row.public_id}/"))
    assert "+0:04 Offered to Amina Yusuf, dialled straight from the call. Why Amina Yusuf?" in words
    assert "David Mwangi: held off: the last call was not answered" in words
    assert "+0:22 Amina Yusuf did not answer." in words
    assert "The call is complete. The customer hung up." in words
    assert "KES 12.00" in words
    assert "/calls/inbound" in words


def test_a_call_that_goes_on_is_live(supervisor: Client) -> None:
    row = made_up.call("support", "waiting", ago=9, customer="anonymous")
    html = get(supervisor, f"/calls-log/{row.public_id}/")
    assert 'data-stream="/events/board/"' in html
    assert "not in yet" in clean(html)


def test_every_event_has_its_sentence() -> None:
    kinds = {
        kind
        for path in (ROOT / "queues").glob("*.py")
        for kind in re.findall(r'\bnote\(\s*"(\w+)"', path.read_text())
    } | {"key_pressed", "no_key"}  # fmt: skip
    kinds |= {f"offer_{state}" for state in ("ended", "no_answer", "busy", "failed", "declined",
                                             "no_keypress", "caller_gone", "expired")}  # fmt: skip
    kinds |= {"completed", "no_answer", "busy", "expired", "rejected", "failed"}
    assert not {kind for kind in kinds if kind not in words.EVENTS}
    for kind in kinds | {"abandoned", "never_heard_of"}:
        told = callwords.sentence(CallEvent(kind=kind, detail={"agent": "Amina"}))
        assert told.endswith(".")
        assert "{" not in told


@pytest.mark.parametrize(
    ("span", "told"),
    [(0, "0:00"), (7.9, "0:07"), (61, "1:01"), (3723, "1:02:03"), (-3, "0:00"), (None, "–")],
)
def test_clocks(span: float | None, told: str) -> None:
    assert callwords.clock(span) == told


@pytest.mark.parametrize(("place", "told"), [(1, "1st"), (2, "2nd"), (11, "11th"), (23, "23rd")])
def test_places_in_line(place: int, told: str) -> None:
    assert callwords.ordinal(place) == told


# --- All pages -----------------------------------------------------------------------------------


def test_pages_of_the_account(amina: Client, client: Client) -> None:
    assert "Sign in" in clean(get(client, "/login/"))
    wrong = client.post("/login/", {"username": "amina", "password": "wrong"})
    assert "Please enter a correct username and password." in clean(wrong.content.decode())
    page = get(amina, "/password/")
    assert "New password confirmation" in clean(page)
    assert "My desk" in page  # ours, not the admin's
    assert amina.post("/logout/").headers["Location"] == "/login/"


def test_the_admin_leads_to_the_same_password_page(supervisor: Client) -> None:
    assert "Calls Reports Admin API docs" in clean(get(supervisor, "/admin/password_change/"))


def test_a_page_that_was_open_for_too_long_says_so(supervisor: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = supervisor.cookies
    answer = strict.post("/logout/")
    assert answer.status_code == 403
    assert "Please try again" in clean(answer.content.decode())


def test_errors_explain_themselves(amina: Client, supervisor: Client) -> None:
    forbidden = amina.get("/calls-log/")
    assert forbidden.status_code == 403
    words = clean(forbidden.content.decode())
    assert "This page is for supervisors. Nothing was changed." in words
    assert "To your desk" in words
    missing = supervisor.get("/calls-log/nothing/")
    assert missing.status_code == 404
    words = clean(missing.content.decode())
    assert "There is nothing here There is no such call. The address may be mistyped" in words
    assert "To the wallboard" in words
    assert "To your desk" in clean(amina.get("/nowhere/").content.decode())


def test_the_page_of_our_own_mistake_needs_no_database(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        words = clean(render_to_string("500.html"))
    assert "Something went wrong The mistake is ours" in words
    assert "Try again To the start" in words


def test_a_request_for_another_host_gets_a_page_too(client: Client) -> None:
    answer = client.get("/login/", headers={"host": "elsewhere.example"})
    assert answer.status_code == 400
    assert "That could not be read" in clean(answer.content.decode())


def test_navigation_is_by_role(amina: Client, supervisor: Client) -> None:
    html = get(supervisor, "/")
    for address in ("/calls-log/", "/admin/", "/api/docs/", "/password/"):
        assert f'href="{address}"' in html
    assert 'href="/agent/"' not in html
    html = get(amina, "/agent/")
    assert 'href="/admin/"' not in html
    assert 'action="/logout/"' in html


def test_a_page_weighs_less_than_100_kib() -> None:
    htmx = Path(django_htmx.__file__).parent / "static/django_htmx/htmx-2.min.js"
    files = [ROOT / "static/css/app.css", ROOT / "static/js/live.js", htmx]
    assert sum(len(path.read_bytes()) for path in files) < 100 * 1024
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 32 * 1024
