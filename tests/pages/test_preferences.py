"""Language and time zone: whose hold where, what they cost, and what is said about bad ones."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from agents.models import Preferences
from tests.factories import make_supervisor
from tests.pages import made_up

pytestmark = pytest.mark.django_db
PAGE = "/preferences/"


@pytest.fixture
def somebody() -> User:
    return make_supervisor("pat")


def signed_in(user: User, **likes: object) -> Client:
    Preferences.objects.update_or_create(user=user, defaults=likes)
    client = Client()
    client.force_login(user)
    return client


def language(client: Client, address: str = PAGE, **headers: str) -> str:
    html = client.get(address, headers=headers).content.decode()
    found = re.search(r'<html lang="([\w-]+)">', html)
    assert found
    return found.group(1)


def test_a_users_own_language_comes_before_the_browsers(somebody: User) -> None:
    assert language(signed_in(somebody)) == "en"
    assert language(signed_in(somebody), **{"Accept-Language": "sw-KE,sw;q=0.9"}) == "sw"
    likes_english = signed_in(somebody, language="en")
    assert language(likes_english, **{"Accept-Language": "sw"}) == "en"
    assert language(signed_in(somebody, language="sw")) == "sw"
    assert language(Client(), "/login/", **{"Accept-Language": "de, fr"}) == "en"


def test_a_language_can_be_chosen_before_signing_in() -> None:
    client = Client()
    html = client.get("/login/?next=/agent/").content.decode()
    assert 'name="next" value="/login/?next=/agent/"' in html
    answer = client.post("/language/", {"language": "sw", "next": "/login/?next=/agent/"})
    assert answer.headers["Location"] == "/login/?next=/agent/"
    assert language(client, "/login/") == "sw"
    assert client.post("/language/", {"language": "sw", "next": "//evil.example/"}).headers[
        "Location"
    ] == "/"  # fmt: skip


def test_times_are_shown_in_the_viewers_zone(somebody: User) -> None:
    made_up.centre()
    row = made_up.call("support", "abandoned", ago=60, customer="+254700000001",
                       waited=4, abandoned_in="queue")  # fmt: skip
    address = f"/calls-log/{row.public_id}/"
    in_nairobi, in_accra = (
        f">{row.arrived_at.astimezone(ZoneInfo(name)):%H:%M:%S}<"
        for name in ("Africa/Nairobi", "Africa/Accra")
    )
    html = signed_in(somebody).get(address).content.decode()
    assert in_nairobi in html
    assert in_accra not in html
    html = signed_in(somebody, time_zone="Africa/Accra").get(address).content.decode()
    assert in_accra in html
    assert in_nairobi not in html
    board = signed_in(somebody, time_zone="Africa/Accra").get("/").content.decode()
    assert 'data-zone="Africa/Accra"' in board


def test_nothing_of_one_request_is_left_for_the_next(somebody: User) -> None:
    signed_in(somebody, language="sw", time_zone="Africa/Accra").get(PAGE)
    assert (translation.get_language(), timezone.get_current_timezone_name()) == (
        "sw", "Africa/Accra",
    )  # fmt: skip
    Client().get("/login/")
    assert (translation.get_language(), timezone.get_current_timezone_name()) == (
        "en", "Africa/Nairobi",
    )  # fmt: skip


@pytest.mark.parametrize("address", ["/api/live/", "/calls/events", "/health/live"])
def test_what_programs_read_is_in_english_and_the_sites_zone(somebody: User, address: str) -> None:
    client = signed_in(somebody, language="sw", time_zone="Africa/Accra")
    client.get(PAGE)
    answer = client.get(address, headers={"Accept-Language": "sw"})
    assert "Content-Language" not in answer.headers
    assert (translation.get_language(), timezone.get_current_timezone_name()) == (
        "en", "Africa/Nairobi",
    )  # fmt: skip


def test_preferences_cost_a_page_no_query(somebody: User) -> None:
    client = signed_in(somebody, language="sw")
    with CaptureQueriesContext(connection) as queries:
        client.get("/password/")
    asked = " ".join(query["sql"] for query in queries)
    assert "preferences" not in asked
    assert "UPDATE" not in asked  # the session is not written again either


def test_what_is_chosen_holds_at_once_and_at_the_next_sign_in(somebody: User) -> None:
    client = signed_in(somebody)
    answer = client.post(
        PAGE,
        {"language": "sw", "time_zone": "africa/dar es salaam", "sounds": "on",
         "phone": "0711 000 099"},
        follow=True,
    )  # fmt: skip
    html = answer.content.decode()
    assert '<html lang="sw">' in html
    assert "Mapendeleo yako yamehifadhiwa." in html
    kept = Preferences.objects.get(user=somebody)
    assert (kept.language, kept.time_zone, kept.sounds) == ("sw", "Africa/Dar_es_Salaam", True)
    again = Client()
    again.force_login(somebody)
    assert language(again) == "sw"
    client.post(PAGE, {"language": "", "time_zone": "", "phone": ""})
    kept.refresh_from_db()
    assert (kept.language, kept.time_zone, kept.sounds) == ("", "", False)
    assert language(client) == "en"


def test_a_bad_field_is_told_at_the_field_and_nothing_typed_is_lost(somebody: User) -> None:
    client = signed_in(somebody, language="en", phone="+254711000001")
    answer = client.post(
        PAGE, {"language": "xx", "time_zone": "Afrika/Nirobi", "phone": "12 crates"}
    )
    html = answer.content.decode()
    for name in ("language", "time_zone", "phone"):
        field = re.search(rf'<\w+ id="{name}"[^>]*>', html)
        assert field
        assert 'aria-invalid="true"' in field.group()
        assert f"e-{name}" in field.group()
        assert f'id="e-{name}"' in html
    assert 'value="Afrika/Nirobi"' in html
    assert 'value="12 crates"' in html
    assert "There is no time zone of this name" in html
    assert Preferences.objects.get(user=somebody).phone == "+254711000001"


def test_zones_can_be_looked_for_and_ours_come_first(somebody: User) -> None:
    html = signed_in(somebody).get(PAGE).content.decode()
    zones = re.findall(r'<option value="([\w/+-]+)"></option>', html)
    assert zones[:3] == ["Africa/Nairobi", "Africa/Kampala", "Africa/Dar_es_Salaam"]
    assert len(zones) == len(set(zones)) > 300
    for name in zones:
        ZoneInfo(name)
