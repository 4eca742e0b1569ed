"""Signing in: how often a password may be wrong, for whom, and for how long."""

from datetime import timedelta

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.urls import reverse

from agents.models import Agent
from callcenter.access.sign_in import client_address
from queues.roles import set_up_roles
from tests.factories import make_agent, make_supervisor

pytestmark = pytest.mark.django_db
RIGHT, WRONG = "a-good-password", "not-the-password"
TRIES = 5


@pytest.fixture
def amina():
    return make_agent(username="amina").user


def sign_in(password=RIGHT, username="amina", client=None, **extra):
    body = {"username": username, "password": password, "next": ""}
    return (client or Client()).post("/login/", body, **extra)


def lock(**extra):
    for _ in range(TRIES):
        reply = sign_in(WRONG, **extra)
    return reply


class TestThrottling:
    def test_the_fifth_wrong_password_closes_the_door_and_says_for_how_long(self, amina):
        for _ in range(TRIES - 1):
            assert sign_in(WRONG).status_code == 200
        reply = sign_in(WRONG)
        assert reply.status_code == 429
        assert "<strong>5 minutes</strong>" in reply.content.decode()
        assert 290 <= int(reply["Retry-After"]) <= 300
        assert sign_in(RIGHT).status_code == 429

    def test_it_opens_again_by_itself_and_trying_does_not_prolong_it(self, amina):
        with time_machine.travel("2026-11-22T10:00:00Z", tick=False) as clock:
            lock()
            clock.shift(timedelta(minutes=4))
            reply = sign_in(WRONG)
            assert "about <strong>a minute</strong>" in reply.content.decode()
            clock.shift(timedelta(seconds=61))
            assert sign_in(RIGHT).status_code == 302

    def test_another_address_and_another_name_are_not_concerned(self, amina):
        make_agent(username="brian")
        lock(REMOTE_ADDR="10.0.0.7")
        assert sign_in(REMOTE_ADDR="10.0.0.8").status_code == 302
        assert sign_in(username="brian", REMOTE_ADDR="10.0.0.7").status_code == 302
        assert sign_in(REMOTE_ADDR="10.0.0.7").status_code == 429

    def test_a_right_password_forgets_the_wrong_ones(self, amina):
        for _ in range(TRIES - 1):
            sign_in(WRONG)
        sign_in(RIGHT)
        assert sign_in(WRONG).status_code == 200

    def test_a_name_that_nobody_has_is_answered_alike(self, amina):
        assert sign_in(WRONG).content.count(b"correct username and password") == 1
        assert sign_in(WRONG, username="zoe").content.count(b"correct username and password") == 1
        assert lock(username="zoe").status_code == 429

    def test_no_password_is_kept(self, amina):
        sign_in(WRONG)
        attempt = AccessAttempt.objects.get()
        assert WRONG not in str(attempt.__dict__)

    def test_a_supervisor_lets_an_agent_try_again(self, amina):
        set_up_roles()
        lock()
        boss = Client()
        boss.force_login(make_supervisor())
        body = {"action": "let_sign_in", "_selected_action": [str(Agent.objects.get().pk)]}
        boss.post(reverse("admin:agents_agent_changelist"), body)
        assert sign_in(RIGHT).status_code == 302

    def test_so_does_the_command(self, amina):
        lock()
        call_command("axes_reset_username", "amina")
        assert sign_in(RIGHT).status_code == 302

    def test_webhooks_health_and_tokens_are_not_throttled(self, amina):
        lock()
        for _ in range(30):
            assert Client().get("/health/live").status_code == 200
            reply = Client().get("/api/agents/", headers={"Authorization": "Token wrong"})
            assert reply.status_code == 401
            assert Client().post("/calls/inbound?token=wrong").status_code == 403

    def test_only_signing_in_costs_statements(self, amina, django_assert_num_queries):
        with django_assert_num_queries(0):
            Client().post("/calls/inbound?token=wrong")
            Client().get("/login/")


class TestTheAddress:
    @pytest.mark.parametrize(
        ("peer", "forwarded", "found"),
        [
            ("127.0.0.1", None, "127.0.0.1"),
            ("127.0.0.1", "203.0.113.9", "203.0.113.9"),  # our proxy on this machine
            ("::1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # what came before it is hearsay
            ("127.0.0.1", "2001:db8::5", "2001:db8::5"),
            ("127.0.0.1", "unknown", "127.0.0.1"),
            ("203.0.113.9", "10.0.0.1", "203.0.113.9"),  # not from our proxy: made up
            ("", "10.0.0.1", None),
        ],
    )
    def test_it_is_the_last_that_our_own_proxy_names(self, peer, forwarded, found):
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}
        request = RequestFactory().get("/login/", headers=headers, REMOTE_ADDR=peer)
        assert client_address(request) == found

    def test_a_forged_header_does_not_open_the_door_again(self, amina):
        lock(REMOTE_ADDR="10.0.0.7")
        for n in range(3):
            headers = {"X-Forwarded-For": f"10.1.1.{n}"}
            assert sign_in(REMOTE_ADDR="10.0.0.7", headers=headers).status_code == 429


class TestSessions:
    def test_signing_in_begins_a_new_session(self, amina):
        client = Client()
        planted = client.session.session_key  # the client makes one and sends its cookie
        assert client.session.session_key == planted
        sign_in(client=client)
        assert client.session.session_key != planted
        assert not client.session.exists(planted)

    def test_the_cookies_are_for_this_host_over_https_only(self, amina, settings):
        client = Client()
        sign_in(client=client)
        session = client.cookies["__Host-sessionid"]
        assert session["secure"]
        assert session["httponly"]
        assert session["samesite"] == "Lax"
        assert session["path"] == "/"
        assert session["domain"] == ""
        assert client.get("/password/").cookies["__Host-csrftoken"]["httponly"]

    def test_logging_out_takes_a_post_and_ends_the_session(self, amina):
        client = Client()
        client.force_login(amina)
        assert client.get("/logout/").status_code == 405
        key = client.session.session_key
        assert client.post("/logout/").url == "/login/"
        assert not client.session.exists(key)

    def test_signing_in_leads_nowhere_else(self, amina):
        client = Client()
        body = {"username": "amina", "password": RIGHT, "next": "https://evil.test/"}
        assert client.post("/login/", body).url == "/"

    def test_who_is_switched_off_cannot_sign_in(self, amina):
        User.objects.update(is_active=False)
        assert sign_in(RIGHT).status_code == 200
