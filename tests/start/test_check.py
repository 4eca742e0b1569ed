"""The check of the account, line by line; and setting the addresses at the provider."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import requests
import responses
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.http import http_date

from callcenter import account_check
from callcenter.sautikit import own_door, signature
from queues.models import ProviderFact, WebhookEvent
from tests.factories import LINE, make_queue, make_supervisor

pytestmark = pytest.mark.django_db
API, OURS = "https://api.sautikit.test", "https://calls.example.com"
VOICE, EVENTS = f"{OURS}/calls/inbound?token=hook-token", f"{OURS}/calls/events?token=hook-token"
KEY = "a-secret-key-of-the-account"


@pytest.fixture(autouse=True)
def account(settings, monkeypatch):
    settings.SAUTIKIT_API_BASE_URL, settings.SAUTIKIT_API_KEY = API, KEY
    settings.SAUTIKIT_NUMBER, settings.SAUTIKIT_WEBHOOK_TOKENS = LINE, ["hook-token", "older"]
    settings.SAUTIKIT_SIGNING_SECRETS, settings.PUBLIC_BASE_URL = ["sign"], OURS
    monkeypatch.setattr(own_door.socket, "getaddrinfo", lambda *args: [()])


@pytest.fixture
def sarah():
    client = Client()
    client.force_login(make_supervisor())
    return client


@pytest.fixture
def root():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def answers(api, *, number=None, wallet=50_000_00, calls=200, door=200, date=None):
    """A provider and a public address in order, but for what is given."""
    headers = {"Date": http_date(date)} if date else {}
    api.get(f"{API}/v1/calls", json={"data": []}, status=calls, headers=headers)
    api.get(f"{API}/v1/wallet", json={"balance_minor": wallet, "currency": "KES"}, headers=headers)
    row = {"id": "n1", "e164": LINE, "status": "active", "voice_callback_url": VOICE,
           "events_url": EVENTS} | (number or {})  # fmt: skip
    api.get(f"{API}/v1/numbers", json={"numbers": [row]}, headers=headers)
    api.add_callback(
        responses.POST, f"{OURS}/calls/events", lambda request: _ourselves(request, door)
    )


def _ourselves(request: requests.PreparedRequest, status: int):
    """Hand the test event to our own webhook, as the proxy would."""
    if status != 200:
        return status, {}, ""
    reply = Client().post(
        request.path_url, request.body, content_type="application/json",
        headers={signature.HEADER: request.headers.get(signature.HEADER, "")},
    )  # fmt: skip
    return reply.status_code, {}, ""


def found(at=None) -> dict[str, account_check.Line]:
    lines = account_check.check(at=at or timezone.now())
    assert KEY not in str(lines)
    return {line.title: line for line in lines}


def tones(lines) -> dict[str, str]:
    return {title: line.tone for title, line in lines.items()}


def test_an_account_in_order_is_good_in_every_line(sautikit_api):
    make_queue()
    answers(sautikit_api)
    lines = found()
    assert tones(lines) == {
        "API key": "good", "Wallet": "good", f"Number {LINE}": "good", "Clock": "good",
        "Our public address": "good",
    }  # fmt: skip
    assert lines["Wallet"].told == "It holds KES 50,000.00."
    assert "signature was verified" in lines["Our public address"].told
    assert ProviderFact.objects.get(pk="routed").value is True


@pytest.mark.parametrize(
    ("status", "tone", "told"),
    [
        (401, "bad", "does not take the key"),
        (403, "warn", "does not let it read calls"),
        (503, "bad", "did not answer"),
        (404, "bad", "not that of Sautikit's API"),
        (301, "bad", "not that of Sautikit's API"),
    ],
)
def test_a_key_that_does_not_work(sautikit_api, status, tone, told):
    make_queue()
    answers(sautikit_api, calls=status)
    lines = found()
    assert lines["API key"].tone == tone
    assert told in lines["API key"].told
    assert lines["API key"].todo
    assert ("Wallet" in lines) == (tone == "warn")  # what cannot be asked is not


def test_no_key_and_no_token(sautikit_api, settings):
    settings.SAUTIKIT_API_KEY, settings.SAUTIKIT_WEBHOOK_TOKENS = "", []
    lines = found()
    assert tones(lines) == {"API key": "bad", "Our public address": "bad"}


@pytest.mark.parametrize(
    ("balance", "tone", "told"),
    [(0, "bad", "KES 0.00"), (4_999, "warn", "KES 49.99, which is low"), (5_000, "good", "50.00")],
)
def test_the_wallet(sautikit_api, settings, balance, tone, told):
    settings.SAUTIKIT_LOW_BALANCE_MINOR = 5_000
    answers(sautikit_api, wallet=balance)
    line = found()["Wallet"]
    assert line.tone == tone
    assert told in line.told


@pytest.mark.parametrize(
    ("number", "tone", "told"),
    [
        ({"e164": "+254200000999"}, "bad", "no such number"),
        ({"status": "suspended"}, "bad", "“suspended”"),
        ({"voice_callback_url": "https://elsewhere.example/x"}, "bad", "elsewhere: voice"),
        ({"events_url": ""}, "bad", "elsewhere: events"),
        ({"events_url": EVENTS.replace("hook-token", "wrong")}, "bad", "elsewhere: events"),
        ({"voice_callback_url": VOICE.replace("hook-token", "older")}, "good", "lead here"),
        ({"voice_callback_url": None, "events_url": None}, "open", "does not tell"),
    ],
)
def test_a_number_and_where_it_leads(sautikit_api, number, tone, told):
    make_queue()
    answers(sautikit_api, number=number)
    line = found()[f"Number {LINE}"]
    assert line.tone == tone
    assert told in line.told
    assert ProviderFact.objects.get(pk="routed").value is (tone == "good")


@pytest.mark.parametrize(("seconds", "tone"), [(-400, "bad"), (30, "good"), (400, "bad")])
def test_the_clock_against_the_providers(sautikit_api, seconds, tone):
    answers(sautikit_api, date=(timezone.now() - timedelta(seconds=seconds)).timestamp())
    line = found()["Clock"]
    assert line.tone == tone
    if tone == "bad":
        assert ("ahead" if seconds > 0 else "behind") in line.told
        assert "7 min" in line.told


class TestOurAddress:
    @pytest.mark.parametrize(
        ("status", "todo"),
        [(401, "asks for a password"), (403, "token was refused"), (404, "does not lead /calls/"),
         (502, "does not reach this program"), (301, "final address"), (418, "Another program")],
    )  # fmt: skip
    def test_an_answer_that_is_not_ours(self, sautikit_api, status, todo):
        answers(sautikit_api, door=status)
        line = found()["Our public address"]
        assert line.tone == "bad"
        assert f"answered {status}" in line.told
        assert todo in line.todo

    @pytest.mark.parametrize(
        ("problem", "told"),
        [
            (requests.exceptions.SSLError("x"), "certificate"),
            (requests.exceptions.ConnectTimeout("x"), "Nobody answers"),
            (requests.exceptions.ConnectionError("x"), "Nobody answers"),
        ],
    )
    def test_nobody_there(self, sautikit_api, problem, told):
        answers(sautikit_api)
        sautikit_api.replace(responses.POST, f"{OURS}/calls/events", body=problem)
        assert told in found()["Our public address"].told

    def test_a_name_without_an_address(self, sautikit_api, monkeypatch):
        def nowhere(*args):
            raise OSError

        answers(sautikit_api)
        monkeypatch.setattr(own_door.socket, "getaddrinfo", nowhere)
        assert "has no address" in found()["Our public address"].told

    def test_somebody_elses_yes(self, sautikit_api):
        answers(sautikit_api)
        sautikit_api.replace(responses.POST, f"{OURS}/calls/events", json={})
        assert "nothing arrived here" in found()["Our public address"].told

    def test_unsigned_where_no_secret_is_set_and_refused_where_one_is_required(
        self, sautikit_api, settings
    ):
        settings.SAUTIKIT_SIGNING_SECRETS = []
        answers(sautikit_api)
        assert "No signing secret is set" in found()["Our public address"].told
        settings.SAUTIKIT_REQUIRE_SIGNATURE = True
        assert "not signed" in found()["Our public address"].told

    def test_the_test_event_makes_no_call(self, sautikit_api):
        answers(sautikit_api)
        found()
        event = WebhookEvent.objects.get()
        assert (event.kind, event.call, event.endpoint) == (own_door.KIND, None, "events")


class TestPages:
    def test_a_check_is_made_when_asked_for_and_not_twice_within_ten_seconds(
        self, sautikit_api, sarah
    ):
        make_queue()
        answers(sautikit_api)
        assert "Check now" in sarah.get("/start/check/").content.decode()
        assert not sautikit_api.calls
        page = sarah.post("/start/check/")
        assert page.content.decode().count('data-tone="good"') == 5
        assert KEY not in page.content.decode()
        assert "hook-token" not in page.content.decode()
        asked = len(sautikit_api.calls)
        again = sarah.post("/start/check/")
        assert (again.status_code, len(sautikit_api.calls)) == (429, asked)
        ProviderFact.objects.filter(pk="account_checked").update(
            at=timezone.now() - timedelta(seconds=11)
        )
        assert sarah.post("/start/check/").status_code == 200

    def test_administrators_are_offered_to_set_the_addresses(self, sautikit_api, sarah, root):
        make_queue()
        answers(sautikit_api, number={"events_url": ""})
        assert 'data-testid="route"' not in sarah.post("/start/check/").content.decode()
        ProviderFact.objects.all().delete()
        assert 'data-testid="route"' in root.post("/start/check/").content.decode()

    @pytest.mark.parametrize("knows_patch", [True, False])
    def test_they_are_set_when_confirmed_by_patch_or_put(self, sautikit_api, root, knows_patch):
        make_queue()
        answers(sautikit_api)
        url = f"{API}/v1/numbers/n1/routing"
        sautikit_api.patch(url, json={}, status=200 if knows_patch else 405)
        sautikit_api.put(url, json={})
        shown = root.post("/start/check/routing/", {"number": LINE}).content.decode()
        assert VOICE in shown
        assert not sautikit_api.calls
        done = root.post("/start/check/routing/", {"number": LINE, "confirm": "yes"})
        assert 'data-testid="routed"' in done.content.decode()
        last = sautikit_api.calls[-1].request
        assert last.method == ("PATCH" if knows_patch else "PUT")
        assert json.loads(last.body) == {"voice_callback_url": VOICE, "events_url": EVENTS}

    def test_of_our_own_numbers_only_and_a_refusal_is_told(self, sautikit_api, root):
        make_queue()
        answers(sautikit_api)
        sautikit_api.patch(f"{API}/v1/numbers/n1/routing", status=403,
                           json={"error": {"code": "api_key.scope_denied"}})  # fmt: skip
        body = {"number": LINE, "confirm": "yes"}
        assert "did not take them" in root.post("/start/check/routing/", body).content.decode()
        other = root.post("/start/check/routing/", body | {"number": "+254200000999"})
        assert "is on no queue" in other.content.decode()


class TestSteps:
    def done(self, client) -> list[str]:
        steps = client.get("/start/").context["steps"]
        return [step.key for step in steps if step.is_done]

    def test_each_is_ticked_off_by_what_is_there(self, sarah):
        from tests.factories import T0, make_agent, make_waiting

        assert self.done(sarah) == ["settings"]
        queue = make_queue(number=None)
        assert self.done(sarah) == ["settings"]
        queue.numbers.create(e164=LINE)
        assert self.done(sarah) == ["settings", "queue"]
        make_agent(username="lost", presence="offline")
        assert self.done(sarah) == ["settings", "queue"]
        amina = make_agent(queue, username="amina")
        assert self.done(sarah) == ["settings", "queue", "agent", "available"]
        WebhookEvent.objects.create(key="1", endpoint="inbound", verdict="trusted")
        assert self.done(sarah)[3] == "routing"
        make_waiting(queue, state="completed", agent=amina, connected_at=T0,
                     ended_at=T0)  # fmt: skip
        assert len(self.done(sarah)) == 6

    def test_the_token_is_shown_to_administrators_only(self, sarah, root):
        assert "hook-token" not in sarah.get("/start/").content.decode()
        page = root.get("/start/")
        assert VOICE in page.content.decode()
        assert "no-store" in page["Cache-Control"]

    def test_what_is_missing_is_named(self, sarah, settings):
        settings.SAUTIKIT_API_KEY, settings.SAUTIKIT_WEBHOOK_TOKENS = "", []
        page = sarah.get("/start/").content.decode()
        assert "SAUTIKIT_API_KEY, SAUTIKIT_WEBHOOK_TOKEN" in page

    def test_an_empty_board_leads_there(self, sarah):
        assert 'href="/start/"' in sarah.get("/").content.decode()
