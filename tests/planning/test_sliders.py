"""The planning page in a browser: sliders make the plan anew, and what is wrong is told beside."""

from __future__ import annotations

from typing import Any

from tests.pages import made_up_planning
from tests.pages.test_live_page import (  # noqa: F401 - fixtures and marks
    Site,
    browser,
    playwright_api,
    pytestmark,
    sign_in,
    site,
)

LEAD = "[data-testid=plan-lead]"


def test_a_slider_makes_the_plan_anew(browser: Any, site: Site) -> None:  # noqa: F811
    made_up_planning.weeks(count=3)
    page = sign_in(browser, site, "supervisor")
    page.goto(f"{site.url}/reports/planning/?queue=support&shrinkage=30")
    before = page.inner_text(LEAD)
    page.focus("[data-for=p-growth]")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert page.input_value("#p-growth") == "20"
    page.wait_for_url("**growth=20**")
    assert page.inner_text(LEAD) != before
    page.fill("#p-growth", "900")
    page.wait_for_selector("#e-growth:has-text('300 is taken')")
    assert page.get_attribute("#p-growth", "aria-invalid") == "true"
    assert page.input_value("#p-growth") == "900"
    page.fill("#p-growth", "0")
    page.wait_for_selector("#e-growth", state="hidden")
    assert page.get_attribute("#p-growth", "aria-invalid") is None
    assert page.inner_text(LEAD) == before
    page.select_option("#p-queue", "billing")  # of which nothing has been measured
    page.wait_for_url("**queue=billing**")
    assert page.input_value("#p-handle_time") == "180"
    assert page.is_visible("[data-testid=planning-empty]")
    assert page.problems == []
