"""A receiver, an endpoint that leads to it, and messages to send."""

import itertools
import json
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from callcenter.outbox import delivering, signature, writing
from callcenter.outbox.models import Endpoint
from callcenter.outbox.topics import TOPICS
from tests.factories import T0

from .receiver import receiving
from .worker import TAKEN


@pytest.fixture
def receiver():
    with receiving() as listening:
        yield listening


@pytest.fixture
def private(settings):
    settings.OUTBOX_ALLOW_PRIVATE = True


@pytest.fixture
def make_endpoint(private):
    """Endpoints with defaults: all topics, one secret, loopback allowed."""

    def make(url="http://127.0.0.1:9/", **values):
        return Endpoint.objects.create(
            **{
                "url": url, "description": "CRM", "topics": list(TOPICS),
                "secrets": [signature.new_secret()], "allow_private": True, **values,
            }
        )  # fmt: skip

    return make


@pytest.fixture
def endpoint(make_endpoint, receiver):
    return make_endpoint(receiver.url)


@pytest.fixture
def tell():
    """Write messages about these subjects, each numbered in its payload."""
    numbers = itertools.count(1)

    def telling(*subjects, topic="call.queued", at=T0):
        with transaction.atomic():
            for subject in subjects:
                writing.tell(writing.News(topic, subject, at, {"n": next(numbers)}))

    return telling


@pytest.fixture
def no_hold(monkeypatch):
    """An endpoint out of reach is tried again at once, so that a test sees each message's turn."""
    monkeypatch.setattr(delivering, "HOLD_FIRST", 0.0)


@pytest.fixture
def no_jitter(monkeypatch):
    monkeypatch.setattr(delivering, "JITTER", 0.0)


@pytest.fixture
def commits():
    """A context whose end is a commit: bells rung inside are heard, earlier ones are dropped."""

    @contextmanager
    def committed():
        connection.run_on_commit = []
        yield
        while connection.run_on_commit:
            _, ring, _ = connection.run_on_commit.pop(0)
            ring()

    return committed


@pytest.fixture
def wire(monkeypatch):
    """What would be posted, and the answers that the test gives: the last one for all others."""

    class Wire:
        def __init__(self):
            self.answers = [TAKEN]
            self.posted = []

        def send(self, url, uid, body, secrets, allow_private, *, at):
            told = json.loads(body)
            self.posted.append((told["sequence"], told["data"]["n"], at))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return answer(told) if callable(answer) else answer

        @property
        def order(self):
            return [n for _, n, _ in self.posted]

    wire = Wire()
    monkeypatch.setattr(delivering, "send", wire.send)
    return wire
