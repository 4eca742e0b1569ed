"""The second factor: set up, asked for, thrown away, required."""

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework.authtoken.models import Token

from callcenter import live
from queues.roles import set_up_roles
from tests.factories import make_agent, make_supervisor

pytestmark = pytest.mark.django_db
PASSWORD = {"password": "a-good-password"}


@pytest.fixture
def clock():
    with time_machine.travel("2026-11-22T10:00:00Z", tick=False) as clock:
        yield clock


@pytest.fixture
def sarah(clock):
    set_up_roles()
    return make_supervisor()


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def code(user, confirmed=True) -> str:
    device = TOTPDevice.objects.get(user=user, confirmed=confirmed)
    return f"{totp(device.bin_key, drift=device.drift):06}"


def set_up(user, client=None) -> list[str]:
    """Set the second factor up as a browser does; return the recovery codes."""
    client = client or signed_in(user)
    assert client.post("/second-factor/begin/", PASSWORD).url == "/second-factor/confirm/"
    page = client.post("/second-factor/confirm/", {"code": code(user, confirmed=False)})
    return re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", page.content.decode())


def first_step(client, to="") -> object:
    return client.post("/login/", {"username": "sarah", "next": to, **PASSWORD})


class TestSettingUp:
    def test_the_key_is_shown_as_a_picture_and_as_text(self, sarah):
        client = signed_in(sarah)
        client.post("/second-factor/begin/", PASSWORD)
        page = client.get("/second-factor/confirm/")
        assert b"<svg" in page.content
        assert b" style=" not in page.content
        assert re.search(r'data-testid="key">([A-Z2-7]{4} ){7}[A-Z2-7]{4}<', page.content.decode())
        assert "no-store" in page["Cache-Control"]

    def test_it_counts_from_its_first_code_on(self, sarah):
        client = signed_in(sarah)
        client.post("/second-factor/begin/", PASSWORD)
        reply = client.post("/second-factor/confirm/", {"code": "000000"})
        assert "That code is not right" in reply.content.decode()
        assert first_step(Client()).url == "/"
        assert len(set_up(sarah)) == 10
        assert first_step(Client()).url == "/login/code/"

    def test_it_takes_the_password(self, sarah):
        client = signed_in(sarah)
        for page in ("begin", "codes", "remove"):
            reply = client.post(f"/second-factor/{page}/", {"password": "wrong"})
            assert "That password is not right" in reply.content.decode()
        assert not TOTPDevice.objects.exists()

    def test_guessing_the_password_there_ends_as_at_the_sign_in(self, sarah):
        client = signed_in(sarah)
        for _ in range(5):
            reply = client.post("/second-factor/begin/", {"password": "wrong"})
        assert reply.status_code == 429

    def test_recovery_codes_are_kept_as_digests(self, sarah):
        codes = set_up(sarah)
        kept = set(StaticToken.objects.values_list("token", flat=True))
        assert len(kept) == 10
        assert not kept & {each.replace("-", "") for each in codes}

    def test_a_new_phone_replaces_the_old_one(self, sarah, clock):
        client = signed_in(sarah)
        set_up(sarah, client)
        old = TOTPDevice.objects.get().pk
        set_up(sarah, client)
        assert TOTPDevice.objects.get().pk != old


class TestSigningIn:
    def test_nobody_is_in_between_the_two_steps(self, sarah):
        set_up(sarah)
        client = Client()
        assert first_step(client).url == "/login/code/"
        assert client.get("/board/").status_code == 302
        assert client.get("/api/agents/").status_code == 401
        assert client.get("/second-factor/").url.startswith("/login/")

    def test_the_code_lets_in_and_leads_on(self, sarah, clock):
        set_up(sarah)
        clock.shift(timedelta(seconds=30))  # a code is good for one time
        client = Client()
        first_step(client, to="/calls-log/")
        half = client.session.session_key
        assert client.post("/login/code/", {"code": code(sarah)}).url == "/calls-log/"
        assert client.session.session_key != half
        assert client.get("/board/").status_code == 200

    def test_a_code_works_once(self, sarah, clock):
        set_up(sarah)
        clock.shift(timedelta(seconds=30))
        used = code(sarah)
        for expected in (302, 200):
            client = Client()
            first_step(client)
            assert client.post("/login/code/", {"code": used}).status_code == expected

    def test_wrong_codes_make_one_wait_longer_and_longer(self, sarah, clock):
        set_up(sarah)
        client = Client()
        first_step(client)
        client.post("/login/code/", {"code": "000000"})
        clock.shift(timedelta(seconds=2))
        client.post("/login/code/", {"code": "000000"})
        clock.shift(timedelta(seconds=1))
        reply = client.post("/login/code/", {"code": code(sarah)})
        assert "Too many wrong codes. Wait 1 s" in reply.content.decode()

    def test_a_recovery_code_works_once_however_it_is_typed(self, sarah):
        first, *_ = set_up(sarah)
        for expected in (302, 200):
            client = Client()
            first_step(client)
            typed = first.upper().replace("-", " ")
            assert client.post("/login/code/", {"code": typed}).status_code == expected
        assert StaticToken.objects.count() == 9

    def test_the_second_step_has_five_minutes(self, sarah, clock):
        set_up(sarah)
        client = Client()
        first_step(client)
        clock.shift(timedelta(minutes=5, seconds=1))
        assert client.post("/login/code/", {"code": code(sarah)}).url == "/login/"

    def test_it_ends_with_the_password_and_the_account(self, sarah):
        set_up(sarah)
        for change in ({"password": "x"}, {"is_active": False}):
            client = Client()
            first_step(client)
            User.objects.filter(pk=sarah.pk).update(**change)
            assert client.get("/login/code/").url == "/login/"
            User.objects.filter(pk=sarah.pk).update(password=sarah.password, is_active=True)

    def test_a_token_takes_no_second_factor(self, sarah):
        set_up(sarah)
        key = Token.objects.create(user=sarah).key
        client = Client(headers={"Authorization": f"Token {key}"})
        assert client.get("/api/queues/").status_code == 200


class TestRemoving:
    def test_by_oneself_with_the_password(self, sarah):
        client = signed_in(sarah)
        set_up(sarah, client)
        assert client.post("/second-factor/remove/", PASSWORD).url == "/second-factor/"
        assert not TOTPDevice.objects.exists()
        assert not StaticToken.objects.exists()
        assert first_step(Client()).url == "/"

    def test_not_in_a_session_that_has_not_shown_it(self, sarah):
        other = signed_in(sarah)
        set_up(sarah)
        for page in ("begin", "codes", "remove"):
            reply = other.post(f"/second-factor/{page}/", PASSWORD)
            assert "sign in again with a code" in reply.content.decode()
        assert TOTPDevice.objects.get().confirmed

    def test_by_an_administrator_who_sees_no_key(self, sarah):
        set_up(sarah)
        root = signed_in(User.objects.create_superuser("root"))
        body = {"action": "remove_second_factor", "_selected_action": [str(sarah.pk)]}
        page = root.post(reverse("admin:auth_user_changelist"), body, follow=True)
        assert "1 of 1 had one." in page.content.decode()
        assert first_step(Client()).url == "/"
        assert root.get("/admin/otp_totp/totpdevice/").status_code == 404


class TestRequired:
    @pytest.fixture
    def required(self, settings):
        settings.REQUIRE_SECOND_FACTOR = "supervisors"

    def test_who_has_none_is_led_to_it_and_can_do_nothing_else(self, sarah, required, monkeypatch):
        # the stream gives back the connection, which here is the test's own
        monkeypatch.setattr(live, "connection", SimpleNamespace(close=lambda: None))
        client = signed_in(sarah)
        for page in ("/", "/board/", "/calls-log/", "/admin/", "/admin/queues/queue/"):
            assert client.get(page).url == "/second-factor/", page
        for path in ("/api/queues/", "/api/live/", "/events/board/", "/api/agents/"):
            assert client.get(path).status_code == 403, path
        assert client.post("/api/queues/", {}).status_code == 403
        page = client.get("/second-factor/").content.decode()
        assert "Set it up to go on" in page
        assert client.get("/board/", headers={"HX-Request": "true"})["HX-Refresh"] == "true"

    def test_setting_it_up_opens_everything(self, sarah, required):
        client = signed_in(sarah)
        set_up(sarah, client)
        assert client.get("/board/").status_code == 200
        assert client.get("/admin/").status_code == 200
        assert client.get("/api/queues/").status_code == 200

    def test_it_cannot_be_removed_by_oneself(self, sarah, required):
        client = signed_in(sarah)
        set_up(sarah, client)
        reply = client.post("/second-factor/remove/", PASSWORD)
        assert "requires a second factor" in reply.content.decode()
        assert TOTPDevice.objects.exists()

    def test_an_agent_is_not_concerned(self, clock, required):
        assert signed_in(make_agent().user).get("/agent/").status_code == 200

    def test_a_token_is_not_concerned(self, sarah, required):
        key = Token.objects.create(user=sarah).key
        client = Client(headers={"Authorization": f"Token {key}"})
        assert client.get("/api/queues/").status_code == 200

    def test_of_administrators_only(self, sarah, settings):
        settings.REQUIRE_SECOND_FACTOR = "administrators"
        assert signed_in(sarah).get("/board/").status_code == 200
        root = signed_in(User.objects.create_superuser("root"))
        assert root.get("/board/").url == "/second-factor/"

    def test_an_open_session_ends_when_an_administrator_resets_it(self, sarah, required):
        client = signed_in(sarah)
        set_up(sarah, client)
        TOTPDevice.objects.all().delete()
        assert client.get("/board/").url == "/second-factor/"
