"""A morning of calls, with the same numbers in every file that tells of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from queues.models import Disposition, Offer, WrapUp
from reporting.models import CallRecord
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting
from tests.queues.mail_server import mail_server
from tests.reporting.test_metrics import answered, left

AT = T0 + timedelta(hours=4)  # noon in Nairobi and an hour
DAY = "from=2026-11-20&to=2026-11-20"


@pytest.fixture(autouse=True)
def place(tmp_path, settings):
    settings.STATE_DIR = tmp_path
    return tmp_path


@pytest.fixture(autouse=True)
def noon(request):
    """It is AT for whoever asks the clock."""
    if "real_clock" in request.keywords:
        yield
        return
    with time_machine.travel(AT, tick=False):
        yield


@pytest.fixture
def morning():
    """Support: three answered, one left, one short; sales: one left. One talk cost KES 3.50."""
    support = make_queue(service_level_seconds=20, short_abandon_seconds=5)
    sales = make_queue("sales", number="+254200000102")
    amina = make_agent(support, username="amina")
    calls = [
        answered(support, amina, queued=n * 600, wait=wait, talk=60, wrap_up=15)
        for n, wait in enumerate((5, 20, 21))
    ]
    left(support, queued=3000, wait=40)
    left(support, queued=3100, wait=4)
    left(sales, queued=3200, wait=30)
    word = Disposition.objects.create(label="=Order")
    WrapUp.objects.create(offer=Offer.objects.get(call=calls[0]), disposition=word, updated_at=T0)
    CallRecord.objects.create(
        session_id="r1", call=calls[0], leg=calls[0].legs.get(), direction="inbound",
        status="completed", local="+254200000101", remote="+254700000111",
        started_at=T0, ended_at=T0 + timedelta(seconds=65), duration_seconds=65, cost_minor=350,
        cost_currency="KES", first_seen_at=T0, changed_at=T0,
    )  # fmt: skip
    return support


@pytest.fixture
def boss():
    user = make_supervisor()
    user.email = "sarah@example.test"
    user.save()
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def server(settings):
    with mail_server() as listening:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{listening.port}"
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", listening.port
        settings.DEFAULT_FROM_EMAIL = "calls@example.test"
        yield listening


def waiting(queue, count):
    """Many calls that left, an interval of a second apart."""
    return [make_waiting(queue, arrived_at=T0 + timedelta(seconds=n)) for n in range(count)]


def later(seconds):
    return AT + timedelta(seconds=seconds)
