"""What the tests of the mirror share: a provider that answers with the pages it is given."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.factories import CALLER, LINE, T0
from tests.queues.telephone import Telephone

URL = "https://api.sautikit.test/v1/calls"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def row(n, **values):
    """A record that began `n` seconds after T0 and lasted for five."""
    return {
        "id": f"c-{n}", "session_id": f"HD_{n:012}", "direction": "inbound", "local_e164": LINE,
        "remote_e164": CALLER, "status": "completed", "started_at": after(n).isoformat(),
        "answered_at": None, "ended_at": after(n + 5).isoformat(), "duration_seconds": 5,
        "cost_minor": 0, "cost_currency": "KES", "rate_per_minute_minor": 300, **values,
    }  # fmt: skip


@pytest.fixture
def phone():
    return Telephone()


@pytest.fixture
def lists(sautikit_api):
    """Answer the polls with these pages: each a list of rows."""

    def listed(*pages):
        sautikit_api.remove("GET", URL)
        for n, rows in enumerate(pages):
            more = f"page-{n + 1}" if n + 1 < len(pages) else None
            sautikit_api.get(URL, json={"calls": rows, "next_cursor": more})

    return listed


@pytest.fixture
def asked(sautikit_api):
    return lambda: [parse_qs(urlsplit(call.request.url).query) for call in sautikit_api.calls]
