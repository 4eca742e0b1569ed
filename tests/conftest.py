"""What every test has: no request leaves the machine, and the bells are heard by the test."""

from collections.abc import Iterator
from typing import Any

import pytest
import responses
from django.conf import settings
from django.utils import timezone, translation

from callcenter import bell
from queues import clock, provider


def pytest_configure() -> None:
    """Hash passwords quickly: a test makes many users and protects none."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


class Bells:
    """The bells that rang and were not answered, in order."""

    def __init__(self) -> None:
        self.rung: list[tuple[Any, ...]] = []

    def of(self, name: str) -> list[Any]:
        """What was rung under `name`: the first argument of each."""
        return [args[0] if args else None for rung, *args in self.rung if rung == name]


@pytest.fixture(autouse=True)
def bells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bells]:
    """Everything but routing is only noted: no Celery, no Redis in a unit test."""
    heard = Bells()
    provider.forget_recalled()
    clock.forget()
    if "real_bells" in request.keywords:
        yield heard
        return
    for name in (
        "place",
        "hang_up",
        "ask",
        "check_offer",
        "ask_handle",
        "handle_event",
        "sweep_at",
        "tell",
        "look_at_provider",
        "look_at_wallet",
        "supervise",
        "mail",
        "fetch_recordings",
        "export",
        "report_mail",
    ):
        monkeypatch.setitem(
            bell._answers, name, lambda *args, name=name: heard.rung.append((name, *args))
        )
    for name in ("board", "desk"):
        monkeypatch.setitem(bell._answers, name, lambda *args: None)
    yield heard


@pytest.fixture(autouse=True)
def site_language() -> None:
    """No test inherits the language or time zone of a page that another has asked for."""
    translation.activate(settings.LANGUAGE_CODE)
    timezone.deactivate()


@pytest.fixture(autouse=True)
def sautikit_api(request: pytest.FixtureRequest) -> Iterator[responses.RequestsMock | None]:
    """Every HTTP request must be expected by the test; none leaves the machine."""
    if "acceptance" in request.keywords or "simulator" in request.keywords:
        yield None
        return
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock
