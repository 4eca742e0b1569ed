"""The agent's page and the wallboard in a real browser, while a real call goes through."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator

import pytest

from tests.acceptance.centre import Centre, phone
from tests.acceptance.stack import ADMIN, PASSWORD

pytestmark = pytest.mark.browser
_CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
]  # fmt: skip
SOON = 2500  # milliseconds: pushed within a second or two


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Headless Chromium; without one the test is skipped, unless it must run."""
    if not _CHROMIUM:
        advice = "there is no Chromium (on Debian: `apt-get install chromium`)"
        if os.environ.get("CALLCENTER_REQUIRE_BROWSER") == "1":
            pytest.fail(advice)
        pytest.skip(advice)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield chromium
        chromium.close()


def signed_in(browser, centre: Centre, username: str, path: str):
    """A page of this user, in a browser of its own; what goes wrong in it is collected."""
    page = browser.new_context().new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on(
        "response",
        lambda response: (
            page.wrong.append(f"{response.status} {response.url}")
            if response.status >= 400
            else None
        ),
    )
    page.set_default_timeout(10_000)
    page.goto(f"{centre.stack.url}/login/?next={path}")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"**{path}")
    return page


def test_an_agent_takes_a_call_and_the_wallboard_shows_it_by_itself(centre: Centre, browser):
    from playwright.sync_api import expect

    queue = centre.queue(wrap_up_seconds=60, ring_timeout=10)
    agent = centre.agent(queue, presence="offline", answers=phone(ring=2.5), password=PASSWORD)
    desk = signed_in(browser, centre, agent.username, "/agent/")
    board = signed_in(browser, centre, ADMIN, "/")
    now = desk.get_by_test_id("now")
    line = board.locator(f"[data-testid=agent][data-agent={agent.username}]")

    def both_show(state: str) -> None:
        expect(now).to_have_attribute("data-state", state, timeout=SOON)
        expect(line).to_have_attribute("data-state", state, timeout=SOON)

    both_show("offline")
    desk.get_by_test_id("presence-available").click()
    both_show("idle")
    call = centre.call_in(queue, caller="+254711999888")
    both_show("ringing")
    expect(now).to_contain_text("+254711999888")
    row = board.locator(f"[data-testid=call][data-call={call}]")
    expect(row).to_have_attribute("data-status", "offered", timeout=SOON)
    expect(now).to_have_attribute("data-state", "on_call", timeout=6000)
    both_show("on_call")
    expect(row).to_have_attribute("data-status", "connected", timeout=SOON)
    centre.hang_up(call)
    both_show("wrap_up")
    expect(row).to_have_count(0, timeout=SOON)
    desk.get_by_test_id("done").click()
    both_show("idle")
    assert centre.state(agent)["engagement"] == "idle"
    card = board.locator(f"[data-testid=queue][data-queue={queue.slug}]")
    expect(card.get_by_test_id("answered")).to_have_text("1", timeout=SOON)
    expect(desk.get_by_test_id("my-calls")).to_contain_text("+254711999888", timeout=SOON)
    centre.over(call)
    assert desk.wrong == []
    assert board.wrong == []


def test_an_agent_hangs_up_on_the_page(centre: Centre, browser):
    from playwright.sync_api import expect

    queue = centre.queue()
    agent = centre.agent(queue, password=PASSWORD)
    desk = signed_in(browser, centre, agent.username, "/agent/")
    call = centre.call_in(queue)
    now = desk.get_by_test_id("now")
    expect(now).to_have_attribute("data-state", "on_call", timeout=5000)
    desk.get_by_test_id("hang-up").click()
    expect(now).to_have_attribute("data-state", re.compile("wrap_up|idle"), timeout=SOON)
    expect(now).to_have_attribute("data-state", "idle", timeout=5000)  # nobody pressed anything
    [told] = centre.over(call)
    assert told["status"] == "completed"
    assert centre.story(call)["ended_by"] == "api"
    assert desk.wrong == []


def test_the_wallboard_shows_who_waits_and_an_agent_sees_no_wallboard(centre: Centre, browser):
    from playwright.sync_api import expect

    queue = centre.queue()
    agent = centre.agent(queue, presence="break", password=PASSWORD)
    board = signed_in(browser, centre, ADMIN, "/")
    call = centre.call_in(queue)
    card = board.locator(f"[data-testid=queue][data-queue={queue.slug}]")
    expect(card.get_by_test_id("waiting")).to_have_text("1", timeout=SOON)
    expect(card.get_by_test_id("agents-break")).to_contain_text("1")
    row = board.locator(f"[data-testid=call][data-call={call}]")
    expect(row.get_by_test_id("why")).to_contain_text("1 on break", timeout=SOON)
    centre.hang_up(call)
    expect(card.get_by_test_id("waiting")).to_have_text("0", timeout=SOON)
    expect(card.get_by_test_id("abandoned")).to_have_text("1", timeout=SOON)
    centre.over(call)
    assert board.wrong == []
    desk = signed_in(browser, centre, agent.username, "/agent/")
    desk.goto(f"{centre.stack.url}/")
    assert desk.url.endswith("/agent/")
