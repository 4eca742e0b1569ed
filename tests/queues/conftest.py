"""The provider's REST API and the telephone, for every test of the queues."""

from contextlib import contextmanager

import pytest
from django.db import connection

from .telephone import Provider, Telephone


@pytest.fixture
def phone():
    return Telephone()


@pytest.fixture
def provider(sautikit_api):
    return Provider(sautikit_api)


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
