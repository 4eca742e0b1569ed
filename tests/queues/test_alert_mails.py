"""Mails about alerts, through a real mail server: sent, tried again, sent once."""

import threading
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from queues import alert_mails, alerts
from queues.models import Alert, AlertMail, AlertRule
from tests.factories import T0

from .mail_server import mail_server

pytestmark = pytest.mark.django_db
ADDRESS = "boss@example.test"


@pytest.fixture
def server(settings):
    with mail_server() as listening:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{listening.port}"
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", listening.port
        settings.DEFAULT_FROM_EMAIL = "calls@example.test"
        yield listening


@pytest.fixture
def mail(server):
    return raised()


def raised():
    AlertRule.objects.create(kind="provider", emails=ADDRESS)
    text = "Sautikit refused a call to +254711000001:\nno route"
    alerts.raise_alert("provider", "refused", text, at=T0)
    return AlertMail.objects.get()


def later(seconds):
    return T0 + timedelta(seconds=seconds)


def again(mail):
    mail.refresh_from_db()
    return mail


def test_it_is_plain_text_with_a_link_and_no_whole_number(server, mail):
    alert_mails.send_due(at=later(1))
    [got] = server.got
    assert (got["From"], got["To"]) == ("calls@example.test", ADDRESS)
    assert got["Subject"] == "Call centre: Sautikit refused a call to +254***001: no route"
    assert got["Auto-Submitted"] == "auto-generated"
    text = got.get_content()
    assert got.get_content_type() == "text/plain"
    assert "https://calls.example.test/" in text.split()
    assert "Since: 2026-11-20 11:00:00 EAT" in text
    assert "+254711000001" not in text + got["Subject"]
    again(mail)
    assert (mail.sent_at, mail.send_at, mail.attempts) == (later(1), None, 1)


def test_what_is_over_by_then_says_so(server, mail):
    alerts.withdraw("provider", "refused", at=later(30))
    alert_mails.send_due(at=later(60))
    assert "Over, or dismissed, at 11:00:30" in server.got[0].get_content()


def test_sent_once_however_often_it_is_asked_for(server, mail):
    for seconds in (1, 2, 500):
        alert_mails.send_due(at=later(seconds))
    assert len(server.got) == 1


def test_not_before_its_time(server, mail):
    AlertMail.objects.update(send_at=later(60))
    alert_mails.send(mail.pk, at=later(59))
    assert server.got == []


def test_a_refusal_is_tried_six_times_then_the_supervisors_know(server, mail):
    server.refuses = True
    at, waits = T0, []
    for _ in range(6):
        alert_mails.send(mail.pk, at=at)
        next_at = again(mail).send_at
        waits.append(next_at and (next_at - at).total_seconds())
        at = next_at or at
    assert waits == [30, 120, 480, 1800, 7200, None]
    assert (mail.attempts, mail.sent_at) == (6, None)
    assert mail.error.startswith("SMTPRecipientsRefused")
    assert "+254711000001" not in mail.error
    assert Alert.objects.get(kind="mail").subject == ADDRESS
    alert_mails.send_due(at=later(1_000_000))
    assert again(mail).attempts == 6


def test_a_server_that_says_nothing_is_given_up_soon(server, mail, settings):
    settings.EMAIL_TIMEOUT = 0.2
    server.silent = True
    began = time.monotonic()
    alert_mails.send(mail.pk, at=T0)
    assert time.monotonic() - began < 2.5
    assert again(mail).error.endswith("timed out")
    assert mail.send_at == later(30)


def test_who_claimed_it_and_died_leaves_it_to_the_next(server, mail):
    AlertMail.objects.update(send_at=T0 + alert_mails.LEASE, attempts=1)
    alert_mails.send_due(at=later(299))
    assert server.got == []
    alert_mails.send_due(at=later(300))
    assert len(server.got) == 1
    assert again(mail).attempts == 2


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_it_once(server):
    mail = raised()
    start = threading.Barrier(2)

    def work():
        start.wait()
        alert_mails.send(mail.pk, at=later(1))
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10)
    assert len(server.got) == 1


class TestTestMail:
    def ask(self, rule):
        client = Client()
        client.force_login(User.objects.create_superuser("root"))
        reply = client.post(
            "/admin/queues/alertrule/",
            {"action": "send_a_test", "_selected_action": [rule.pk]},
            follow=True,
        )
        return reply.content.decode()

    def test_it_goes_to_the_addresses_of_the_rule(self, server):
        page = self.ask(AlertRule.objects.create(kind="wallet", emails=ADDRESS))
        assert "a test was sent to boss@example.test" in page
        assert server.got[0]["Subject"] == "Call centre: a test"

    def test_a_refusal_is_shown(self, server):
        server.refuses = True
        page = self.ask(AlertRule.objects.create(kind="wallet", emails=ADDRESS))
        assert "was not taken: SMTPRecipientsRefused" in page

    def test_without_a_server_it_says_what_to_set(self):
        page = self.ask(AlertRule.objects.create(kind="wallet", emails=ADDRESS))
        assert "EMAIL_URL is empty" in page
        assert "No mail is sent" in page
