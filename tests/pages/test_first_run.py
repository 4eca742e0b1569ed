"""The first run in a browser: from an empty database to a first call, ticked off as it happens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from queues.models import Number, Queue, WebhookEvent
from queues.roles import set_up_roles
from tests.factories import LINE, make_agent
from tests.pages.test_live_page import CHROMIUM, Site, browser

__all__ = ["browser"]  # the fixture
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not (Path(CHROMIUM).exists() or shutil.which(CHROMIUM)), reason="needs Chromium"
    ),
]


@pytest.fixture
def site(tmp_path: Path, sautikit_api: Any) -> Iterator[Site]:
    """The web process over an empty database."""
    if sautikit_api:
        sautikit_api.stop(allow_assert=False)
    set_up_roles()
    User.objects.create_superuser("root")
    site = Site(tmp_path / "static")
    site.start()
    yield site
    site.stop()
    if sautikit_api:
        sautikit_api.start()


def done(page: Any) -> list[str]:
    steps = page.locator("[data-done=yes]").all()
    return [step.get_attribute("data-testid").removeprefix("step-") for step in steps]


def test_from_an_empty_board_to_the_first_call(browser: Any, site: Site) -> None:
    client = Client()
    client.force_login(User.objects.get(username="root"))
    context = browser.new_context(
        viewport={"width": 360, "height": 760}, permissions=["clipboard-read", "clipboard-write"]
    )
    cookie = {"name": "sessionid", "value": client.session.session_key, "url": site.url}
    context.add_cookies([cookie])
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)

    # The empty board leads to the steps.
    page.goto(site.url)
    page.locator("#live a[href='/start/']").first.click(timeout=15_000)
    page.wait_for_selector("[data-testid=steps]")
    assert "settings" in done(page)
    assert page.locator("[aria-current=step]").get_attribute("data-testid") == "step-queue"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    # The addresses can be copied whole.
    page.click("#copy-1")
    page.wait_for_selector("#copy-1:text('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"{site.url}/calls/inbound?token=")
    assert copied == page.inner_text("#address-1")

    # A queue and an agent are made elsewhere: the open page ticks them off, and keeps the focus.
    page.focus("#routing-1")
    queue = Queue.objects.create(slug="support", name="Support")
    Number.objects.create(e164=LINE, queue=queue)
    make_agent(queue, username="amina")
    page.wait_for_selector("[data-testid=step-available][data-done=yes]", timeout=12_000)
    assert done(page) == ["settings", "queue", "agent", "available"]
    assert page.evaluate("document.activeElement.id") == "routing-1"

    # Sautikit calls us.
    WebhookEvent.objects.create(key="1", endpoint="inbound", verdict="trusted")
    page.wait_for_selector("[data-testid=step-routing][data-done=yes]", timeout=12_000)

    # Signed out elsewhere: the page leads to the sign-in by itself.
    context.clear_cookies()
    page.wait_for_url("**/login/?next=/start/", timeout=12_000)
    assert problems == []
