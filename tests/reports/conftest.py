"""A queue with known thresholds, and a supervisor who looks."""

import pytest
from django.test import Client

from queues.models import Queue
from tests.factories import make_queue, make_supervisor


@pytest.fixture
def support() -> Queue:
    return make_queue("support", service_level_seconds=20, short_abandon_seconds=5)


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_supervisor())
    return client
