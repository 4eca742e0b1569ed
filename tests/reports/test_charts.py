"""Charts in a browser: drawn from the table under them, in either scheme, at any width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from queues.roles import set_up_roles
from tests.pages import made_up
from tests.pages.test_live_page import Site, browser, pytestmark, site  # noqa: F401 - fixtures
from tests.pages.test_policies import LISTEN

INK = """canvas => {
    const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let sum = 0;
    for (let at = 0; at < all.length; at += 4) if (all[at + 3]) sum += 1 + all[at];
    return sum;
}"""


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:  # noqa: F811 - fixtures
    set_up_roles()
    made_up.history(30)
    contexts = []

    def page_at(address: str, **look: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **look})
        context.add_init_script(LISTEN)
        client = Client()
        client.force_login(User.objects.get(username="supervisor"))
        key = client.session.session_key
        context.add_cookies([{"name": "sessionid", "value": key, "url": site.url}])
        contexts.append(context)
        page = context.new_page()
        page.goto(site.url + address)
        return page

    yield page_at
    for context in contexts:
        context.close()


def test_a_chart_has_as_many_points_as_its_table_has_rows(visit: Callable[..., Any]) -> None:
    page = visit("/reports/service/?interval=hour")
    chart = page.locator("[data-chart=level] canvas")
    chart.wait_for()
    assert chart.evaluate(INK) > 0
    rows = page.locator("#t-levels tbody tr").count()
    assert rows >= 1
    plot = page.locator("[data-chart=calls] .u-over")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 20)  # over the last point
    told = page.locator("[data-chart=calls] .at").inner_text()
    last = page.locator("#t-levels tbody tr").last
    assert told.startswith(last.locator("th").inner_text())
    assert f"Answered {last.locator('td').nth(1).inner_text()}" in told
    assert page.evaluate("window.broken") == []


def test_a_chart_is_drawn_anew_in_the_other_scheme_and_at_another_width(
    visit: Callable[..., Any],
) -> None:
    page = visit("/reports/service/", color_scheme="light")
    chart = page.locator("[data-chart=calls] canvas")
    chart.wait_for()
    light, wide = chart.evaluate(INK), chart.bounding_box()["width"]
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(200)
    assert chart.evaluate(INK) != light
    page.set_viewport_size({"width": 360, "height": 760})
    page.wait_for_timeout(300)
    assert chart.bounding_box()["width"] < min(wide, 340)
    assert page.locator("[data-chart=calls] canvas").count() == 1


def test_nothing_moves_when_a_chart_is_drawn(visit: Callable[..., Any]) -> None:
    page = visit("/reports/service/")
    page.locator("[data-chart=level] canvas").wait_for()
    assert page.locator("[data-chart=level] .plot").bounding_box()["height"] == 240


def test_without_scripts_the_tables_say_everything(visit: Callable[..., Any]) -> None:
    page = visit("/reports/service/", java_script_enabled=False)
    assert not page.locator("[data-chart=level]").is_visible()
    assert page.locator("#t-levels tbody tr").first.is_visible()
    page.click("[data-testid=filters]")
    page.fill("#r-from", "2026-11-02")
    page.fill("#r-to", "2026-11-08")
    page.get_by_label("Billing").check()
    page.locator("[data-testid=asked-form] button").click()
    assert "2 – 8 November 2026" in page.locator("[data-testid=range]").inner_text()
    assert "queue=billing" in page.url
    assert page.get_by_test_id("none").is_visible()


def test_a_figure_opens_the_calls_behind_it(visit: Callable[..., Any]) -> None:
    page = visit("/reports/service/")
    link = page.get_by_test_id("offered").locator("a")
    count = int(link.inner_text())
    link.click()
    assert page.get_by_test_id("log-row").count() == min(count, 50)
    assert str(count) in page.get_by_test_id("found").inner_text()
