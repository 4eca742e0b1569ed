"""A client whose every request a test must expect; none leaves the machine."""

from collections.abc import Iterator

import pytest
import responses

from callcenter.sautikit.client import SautikitClient
from tests.sautikit.wire import BASE


@pytest.fixture
def api() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> Iterator[SautikitClient]:
    client = SautikitClient(f"{BASE}/", "tsk_live_secret")
    yield client
    client.close()
