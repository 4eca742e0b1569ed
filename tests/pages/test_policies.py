"""The content security policies in a browser: no page breaks its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.models import Agent
from callcenter.access import second_factor
from queues.models import Queue, QueuedCall
from queues.roles import set_up_roles
from tests.pages import made_up
from tests.pages.test_live_page import Site, browser, pytestmark  # noqa: F401 - fixture and marks

OURS = [
    "/", "/calls-log/", "/calls-log/{call}/", "/password/", "/password/done/", "/second-factor/",
    "/second-factor/confirm/", "/no-such-page/", "/agent/",
    "/agent/calls/", "/reports/", "/reports/service/", "/reports/waits/", "/reports/hours/",
    "/reports/agents/", "/reports/costs/", "/reports/definitions/", "/reports/books/",
]  # fmt: skip
OTHERS = [
    "/api/docs/", "/admin/", "/admin/queues/queue/", "/admin/queues/queue/add/",
    "/admin/queues/queue/{queue}/change/", "/admin/queues/queue/{queue}/history/",
    "/admin/queues/queue/{queue}/delete/", "/admin/agents/agent/{agent}/change/",
    "/admin/queues/queuedcall/", "/admin/auth/user/", "/admin/auth/user/add/",
    "/admin/password_change/",
]  # fmt: skip
LISTEN = """
window.broken = [];
document.addEventListener("securitypolicyviolation",
    (e) => window.broken.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}`));
"""


@pytest.fixture
def site(tmp_path: Path, sautikit_api: Any) -> Iterator[Site]:
    if sautikit_api:
        sautikit_api.stop(allow_assert=False)
    set_up_roles()
    made_up.centre()
    made_up.call("support", "waiting", ago=12, customer="+254700000001")
    site = Site(tmp_path / "static")
    for package in ("unfold", "django.contrib.admin", "drf_spectacular_sidecar"):
        origin = find_spec(package).origin  # type: ignore[union-attr]
        shutil.copytree(Path(str(origin)).parent / "static", tmp_path / "static",
                        dirs_exist_ok=True)  # fmt: skip
    site.start()
    yield site
    site.stop()
    if sautikit_api:
        sautikit_api.start()


def visit(page: Any, url: str) -> list[str]:
    """Open an address and give its scripts time; return what the browser held against it."""
    page.told.clear()
    page.goto(url)
    page.wait_for_load_state("load")
    page.wait_for_timeout(400)
    return [*page.evaluate("window.broken"), *page.told]


def new_page(browser: Any, site: Site, user: User | None) -> Any:  # noqa: F811 - the fixture
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(LISTEN)
    if user:
        client = Client()
        client.force_login(user)
        context.add_cookies(
            [{"name": "sessionid", "value": client.session.session_key, "url": site.url}]
        )
    page = context.new_page()
    page.told = []
    page.on("console", lambda m: page.told.append(m.text) if "Security Policy" in m.text else None)
    page.on("pageerror", lambda error: page.told.append(str(error)))
    return page


def test_no_page_breaks_its_policy(browser: Any, site: Site) -> None:  # noqa: F811 - the fixture
    root = User.objects.create_superuser("root")
    blanks = {
        "call": QueuedCall.objects.get().public_id,
        "queue": Queue.objects.get(slug="support").pk,
        "agent": Agent.objects.get(user__username="amina").pk,
    }
    page = new_page(browser, site, root)
    second_factor.begin(root)
    page.goto(f"{site.url}/second-factor/confirm/")
    assert page.locator("[data-testid=qr] svg").bounding_box()["width"] > 100
    broken = {}
    for path in (*OURS, *OTHERS):
        path = path.format(**blanks)
        if found := visit(page, site.url + path):
            broken[path] = found
    assert broken == {}
    page.goto(f"{site.url}/api/docs/")
    page.wait_for_selector("text=/api/queues/", timeout=20_000)  # its scripts do run

    desk = new_page(browser, site, User.objects.get(username="amina"))
    assert visit(desk, f"{site.url}/agent/") == []
    stranger = new_page(browser, site, None)
    assert visit(stranger, f"{site.url}/login/") == []


def test_a_page_that_breaks_the_policy_would_be_noticed(browser: Any, site: Site) -> None:  # noqa: F811 - the fixture
    page = new_page(browser, site, None)
    page.goto(f"{site.url}/login/")
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s); document.body.setAttribute('style', 'color: red'); }"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    assert any("script-src" in each for each in page.evaluate("window.broken"))
    assert any("style-src" in each for each in page.evaluate("window.broken"))
