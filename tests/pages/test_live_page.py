"""A live page in a browser: fresh by itself, honest when it is not, kind to who is using it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import django_htmx
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from callcenter import live
from callcenter.embedded import free_port
from tests.pages import made_up

playwright_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Chromium"),
]


class Site:
    """The web process over the test's database, which can be stopped and started again."""

    def __init__(self, static: Path) -> None:
        self.port = free_port(8750)
        self.url = f"http://127.0.0.1:{self.port}"
        shutil.copytree(ROOT / "static", static)
        shutil.copytree(Path(django_htmx.__file__).parent / "static", static, dirs_exist_ok=True)
        database = urlsplit(os.environ["DATABASE_URL"])
        name = str(connection.settings_dict["NAME"])
        self.environment = os.environ | {
            "DATABASE_URL": urlunsplit(database._replace(path=f"/{name}")),
            "PUBLIC_BASE_URL": self.url, "STATIC_ROOT": str(static), "LOG_LEVEL": "ERROR",
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1",
             "--port", str(self.port), "--log-level", "error", "--workers-kill-timeout", "1",
             "callcenter.asgi:application"],
            env=self.environment, cwd=ROOT,
        )  # fmt: skip
        for _ in range(150):
            try:
                urllib.request.urlopen(f"{self.url}/health/live", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("The web server does not answer.")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(20)
            self.process = None


@pytest.fixture
def site(tmp_path: Path, sautikit_api: Any) -> Iterator[Site]:
    if sautikit_api:
        sautikit_api.stop(allow_assert=False)
    made_up.centre()
    site = Site(tmp_path / "static")
    site.start()
    yield site
    site.stop()
    if sautikit_api:
        sautikit_api.start()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # Playwright's loop runs in this thread; the test's own queries are synchronous all the same.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()
        connection.close()  # beside Playwright's loop this is not the one that pytest-django closes


def sign_in(browser: Any, site: Site, name: str) -> Any:
    client = Client()
    client.force_login(User.objects.get(username=name))
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_cookies(
        [{"name": "sessionid", "value": client.session.session_key, "url": site.url}]
    )
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(site.url)
    page.wait_for_selector("#live[data-up]")
    return page


def test_a_page_keeps_fresh_keeps_focus_and_owns_up(browser: Any, site: Site) -> None:
    first = made_up.call("support", "waiting", ago=12, customer="+254700000001")
    page = sign_in(browser, site, "supervisor")
    link = f"#call-{first.public_id}"
    page.focus(link)

    # Told that it is stale, it shows the next caller within two seconds; the focus stays.
    made_up.call("support", "waiting", ago=1, customer="+254700000002")
    live.nudge("board")
    page.wait_for_selector("text=+254700000002", timeout=2000)
    assert page.evaluate("document.activeElement.id") == link[1:]

    # A clock runs between two fetches, and the wait turns late by itself.
    card = page.locator("[data-testid=queue][data-queue=support]")
    assert card.get_attribute("data-late") is None
    page.wait_for_selector("[data-testid=queue][data-queue=support][data-late]", timeout=12_000)
    assert page.is_visible("[data-testid=queue][data-queue=support] [data-testid=late]")

    # The server goes away: it says so, and from when the figures are.
    site.stop()
    page.wait_for_selector("[data-testid=stale-banner]:visible", timeout=15_000)
    assert "What you see is from" in page.inner_text("[data-testid=stale-banner]")

    # The server comes back: so does the page, without anybody's help.
    made_up.call("support", "waiting", ago=1, customer="+254700000003")
    site.start()
    page.wait_for_selector("text=+254700000003", timeout=12_000)
    page.wait_for_selector("[data-testid=stale-banner]", state="hidden", timeout=3000)
    assert not page.problems


def test_the_desk_acts_tells_and_signs_out(browser: Any, site: Site) -> None:
    page = sign_in(browser, site, "amina")
    page.click("[data-testid=presence-available]")
    page.wait_for_selector("[data-testid=presence-available][aria-pressed=true]")
    assert page.title() == "● Available"

    # The phone rings: the title, the headline and the voice of the page say so.
    with transaction.atomic():
        agent = made_up.put("amina", "ringing")
        row = made_up.call("support", "offered", ago=9, customer="+254722418377")
        made_up.offer(row, agent, "ringing", ago=1)
    live.nudge(f"desk:{agent.pk}")
    page.wait_for_selector("[data-testid=now][data-state=ringing]", timeout=2000)
    assert page.title() == "● Ringing – Support"
    assert page.inner_text("#spoken") == "Ringing: Support +254722418377."

    # An action that does not get through is not swallowed.
    page.context.set_offline(True)
    page.click("[data-testid=presence-offline]")
    page.wait_for_selector("[data-testid=unsent]:visible")
    page.context.set_offline(False)

    # Signed out elsewhere: the page leads to the sign-in by itself.
    page.context.clear_cookies()
    live.nudge(f"desk:{agent.pk}")
    page.wait_for_url("**/login/?next=/agent/", timeout=10_000)
    assert not page.problems
