"""One call in a browser: its picture grows, fits a phone, is walked through by keys, and prints."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from tests.pages import made_up
from tests.pages.made_up_call import with_everything
from tests.pages.test_live_page import Site, browser, site  # noqa: F401 - fixtures
from tests.pages.test_policies import new_page, visit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def width(page: Any, bar: str) -> float:
    return float(page.get_attribute(f"{bar} .ground", "width").rstrip("%"))


def test_the_picture_of_a_call(browser: Any, site: Site) -> None:  # noqa: F811 - the fixtures
    with transaction.atomic():
        amina = made_up.put("amina", "on_call")
        live = made_up.call("support", "connected", ago=70, waited=9, customer="+254722418377",
                            agent=amina)  # fmt: skip
        offer = made_up.offer(live, amina, "joined", ago=66, answered=61)
    page = new_page(browser, site, User.objects.get(username="supervisor"))
    page.set_viewport_size({"width": 360, "height": 760})
    assert visit(page, f"{site.url}/calls-log/{live.public_id}/") == []
    talk = f"#bar-offer-{offer.pk}-2"
    first = width(page, talk)
    for _ in range(40):  # nobody nudges: it grows by itself, a percent of the axis in a second
        if width(page, talk) >= first + 2:
            break
        page.wait_for_timeout(100)
    assert width(page, talk) >= first + 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.get_attribute(talk, "aria-label").startswith("Talk: from 0:09 to 1:")

    done = with_everything(made_up.told())
    assert visit(page, f"{site.url}/calls-log/{done.public_id}/") == []
    page.keyboard.press("Tab")
    bars = page.locator(".lanes .bar")
    bars.first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Ring")
    for name in ("whisper", "barge", "wrap_up", "music"):
        assert page.locator(f".lanes .is-{name}").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.emulate_media(media="print")
    assert page.is_visible("[data-testid=picture]")
    assert not page.is_visible(".top")
    assert not page.is_visible("#raw")
    assert visit(page, f"{site.url}/calls-log/?wait=-5&from=2026-02-30") == []
