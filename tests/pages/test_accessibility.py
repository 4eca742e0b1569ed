"""Every page against the rules of WCAG 2.2 AA that a machine can check; and what a page weighs.

axe-core looks at each page in light and dark, on a phone and at a desk. The long tests leave
pictures of all, at three widths, in var/shots/tests/.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python  # type: ignore[import-untyped]  # no types shipped
import pytest
from django.contrib.auth.models import User
from django.test import Client

from queues.models import QueuedCall
from queues.roles import set_up_roles
from tests.pages import made_up, made_up_desk
from tests.pages.made_up_call import with_everything
from tests.pages.test_live_page import ROOT, Site, browser, pytestmark, site  # noqa: F401 - fixtures

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PICTURES = ROOT / "var" / "shots" / "tests"  # kept for looking at
RUN = "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})"
TOLD = "{id}: {help}: {where}"
BUDGET = 100 * 1024  # bytes of script and style of one page, as they are transferred
LISTEN = """
window.broken = [];
document.addEventListener("securitypolicyviolation",
    (e) => window.broken.push(`${e.violatedDirective} ${e.blockedURI}`));
window.shifted = [];
new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted.push(
        [one.value, ...one.sources.map(({ node, previousRect: was, currentRect: is }) => [
            node?.id || node?.className || node?.parentElement?.id,
            ...[was, is].map(({ x, y, width, height }) => `${x},${y} ${width}x${height}`)])]);
}).observe({type: "layout-shift", buffered: true});
"""


def pages(story: QueuedCall, token: str) -> Iterator[tuple[str, str, str]]:
    """Who looks, at which address, and what they press there."""
    yield from (
        ("", "/login/", ""), ("", f"/wall/{token}/", ""), ("", "/wall/none/", ""),
        ("supervisor", "/", ""), ("supervisor", "/", "[data-status=waiting] .dots"),
        ("supervisor", "/", "[data-testid=write]"), ("supervisor", "/", "[data-testid=user-menu]"),
        ("supervisor", "/wall-links/", ""), ("supervisor", "/calls-log/", ""),
        ("supervisor", "/calls-log/?status=lost&from=soon&wait=x&number=0x", ""),
        ("supervisor", "/calls-log/?number=999999", ""),
        ("supervisor", f"/calls-log/{story.public_id}/", ""),
        ("supervisor", "/start/", ""), ("supervisor", "/start/check/", ""),
        ("supervisor", "/nowhere/", ""), ("supervisor", "/second-factor/", ""),
        ("supervisor", "/reports/", ""), ("supervisor", "/reports/service/", ""),
        ("supervisor", "/reports/service/", "[data-testid=filters]"),
        ("supervisor", "/reports/waits/?from=soon&queue=nosuch", ""),
        ("supervisor", "/reports/hours/", ""), ("supervisor", "/reports/agents/", ""),
        ("supervisor", "/reports/agents/?agent=amina", ""), ("supervisor", "/reports/costs/", ""),
        ("supervisor", "/reports/provider/?show=all", ""),
        ("supervisor", "/reports/definitions/", ""), ("supervisor", "/reports/books/", ""),
        ("supervisor", "/reports/costs/?from=2020-01-01&to=2020-01-01", ""),
        ("supervisor", "/reports/kept/", ""), ("root", "/reports/erasures/", ""),
        ("supervisor", "/reports/files/", ""), ("supervisor", "/reports/schedules/", ""),
        ("amina", "/agent/", ""), ("amina", "/agent/", "[data-testid=presence-break]"),
        ("amina", "/agent/", "[data-testid=show-keys]"), ("amina", "/agent/calls/", ""),
        ("amina", "/preferences/", ""), ("amina", "/password/", ""), ("amina", "/", ""),
    )  # fmt: skip


@pytest.fixture
def story() -> tuple[QueuedCall, str]:
    set_up_roles()
    User.objects.create_superuser("root")
    made_up_desk.set_up()
    made_up.history(12)
    told = with_everything(made_up.told())
    made_up.busy()
    token = made_up.needing_help()
    made_up.put("amina", since=5)
    made_up_desk.missed(2)
    return told, token


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Callable[[str], Any]]:  # noqa: F811
    """A page for each person, signed in."""
    kept: dict[str, Any] = {}

    def page_of(name: str) -> Any:
        if name not in kept:
            context = browser.new_context(bypass_csp=True, reduced_motion="reduce")
            context.add_init_script(LISTEN)
            if name:
                client = Client()
                client.force_login(User.objects.get(username=name))
                key = client.session.session_key
                context.add_cookies([{"name": "sessionid", "value": key, "url": site.url}])
            kept[name] = context.new_page()
        return kept[name]

    yield page_of
    for page in kept.values():
        page.context.close()


def open_at(page: Any, address: str, press: str) -> None:
    page.goto(address)
    page.wait_for_load_state("load")
    if press and page.is_visible(press):  # a phone has no list of keys
        page.click(press)


def violations(page: Any, rules: list[str]) -> list[str]:
    """What axe-core objects to, with the elements."""
    found = page.evaluate(RUN, rules)["violations"]
    return [
        TOLD.format(id=one["id"], help=one["help"], where=[
            (node["html"][:160], node.get("failureSummary", "")[:200]) for node in one["nodes"][:3]
        ])
        for one in found
    ]  # fmt: skip


def _name(*parts: object) -> str:
    words = "-".join(str(part) for part in parts if part)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:90] + ".png"


def test_no_page_breaks_a_rule_of_wcag(
    visit: Callable[[str], Any],
    site: Site,  # noqa: F811
    story: tuple[QueuedCall, str],
) -> None:
    broken: dict[str, list[str]] = {}
    for who, address, press in pages(*story):
        page = visit(who)
        for width, height in ((1440, 900), (360, 760)):
            page.set_viewport_size({"width": width, "height": height})
            open_at(page, site.url + address, press)
            page.add_script_tag(path=str(AXE))
            for scheme, rules in (("light", TAGS), ("dark", ["color-contrast"])):
                page.emulate_media(color_scheme=scheme)
                if found := violations(page, rules):
                    broken[f"{address} {press} {width} {scheme}"] = found
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0 and "/wall/" not in address:
                broken[f"{address} {width} is too wide"] = [str(wide)]
    assert broken == {}


@pytest.mark.long
def test_every_page_has_its_pictures_at_three_widths(
    visit: Callable[[str], Any], site: Site, story: tuple[QueuedCall, str]  # noqa: F811
) -> None:  # fmt: skip
    too_wide = []
    for who, address, press in pages(*story):
        page = visit(who)
        for width, height in ((1440, 900), (768, 1024), (360, 760)):
            page.set_viewport_size({"width": width, "height": height})
            open_at(page, site.url + address, press)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.screenshot(path=PICTURES / _name(who, address, press, width, scheme))
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0 and "/wall/" not in address:
                too_wide.append((address, width, wide))
    assert too_wide == []


def test_no_page_weighs_more_than_its_budget_nor_brings_anything_from_elsewhere(
    visit: Callable[[str], Any],
    site: Site,  # noqa: F811
    story: tuple[QueuedCall, str],
) -> None:
    packed: dict[str, int] = {}
    for who, address, press in pages(*story):
        if press:
            continue
        page = visit(who)
        bodies: dict[str, Any] = {}

        def heard(response: Any, bodies: dict[str, Any] = bodies) -> None:
            if response.request.resource_type in {"script", "stylesheet"}:
                bodies[response.url] = response
            assert response.url.startswith(site.url)

        page.on("response", heard)
        page.goto(site.url + address)
        page.wait_for_load_state("load")
        for url, response in bodies.items():
            packed.setdefault(url, len(gzip.compress(response.body(), 6)))
        page.remove_listener("response", heard)
        assert sum(packed[url] for url in bodies) <= BUDGET, address
        html = page.content()
        assert "<style" not in html
        assert page.evaluate("[...document.scripts].every(one => one.src)")
        # uPlot places its canvas by script, which the policy allows.
        placed = "document.querySelectorAll('[style]:not(.uplot, .uplot *)').length"
        assert page.evaluate(placed) == 0
        assert page.evaluate("performance.getEntriesByType('resource').length") > 0
    assert sum(packed.values()) <= BUDGET  # all of them together


@pytest.mark.long
@pytest.mark.parametrize(("who", "address"), [("supervisor", "/"), ("amina", "/agent/")])
def test_nothing_moves_while_a_page_is_live(
    visit: Callable[[str], Any], site: Site, story: tuple[QueuedCall, str], who: str, address: str  # noqa: F811
) -> None:  # fmt: skip
    page = visit(who)
    page.set_viewport_size({"width": 1440, "height": 900})
    made_up.put("david", since=9)
    page.goto(site.url + address)
    page.wait_for_selector("#live[data-up]")
    page.wait_for_timeout(300)
    page.evaluate("window.shifted.length = 0")
    for number in range(3):  # clocks run, and what is there already changes
        made_up.put("david", since=number)
        with page.expect_response(
            lambda answer: "/state/" in answer.url or "/board/" in answer.url
        ):
            page.evaluate(
                "document.getElementById('live').dispatchEvent(new Event('live:refresh'))"
            )
        page.wait_for_timeout(1100)
    assert page.evaluate("window.shifted") == []
