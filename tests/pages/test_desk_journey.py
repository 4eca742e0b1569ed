"""An agent at the desk, in a browser: a call and its record, the keys, and bad networks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents.models import Agent, Heartbeat, PresencePeriod
from callcenter import live
from queues.models import Offer, Queue, QueuedCall, WrapUp
from tests.pages import made_up, made_up_desk
from tests.pages.test_live_page import (  # noqa: F401 - fixtures and marks
    Site,
    browser,
    pytestmark,
    sign_in,
    site,
)

NUMBER = made_up_desk.KNOWN
SOON = 4000


def at_the_desk(browser: Any, site: Site) -> Any:  # noqa: F811 - the fixtures
    made_up_desk.set_up()
    for name in Agent.objects.values_list("user__username", flat=True):
        made_up.put(name, presence="offline")  # the web process routes, too
    made_up.put("amina")
    page = sign_in(browser, site, "amina")
    page.set_default_timeout(8000)
    return page


def nudge() -> None:
    live.nudge(f"desk:{Agent.objects.get(user__username='amina').pk}")


def ring() -> Offer:
    with transaction.atomic():
        agent = made_up.put("amina", "ringing")
        row = made_up.call("support", "offered", ago=9, customer=NUMBER)
        offer = made_up.offer(row, agent, "ringing", ago=1)
        later = timezone.now() + timedelta(hours=1)  # the web process sweeps, without a worker
        Offer.objects.filter(pk=offer.pk).update(ring_until=later, check_at=later)
    nudge()
    return offer


def talk(offer: Offer) -> None:
    now = timezone.now()
    with transaction.atomic():
        made_up.put("amina", "on_call")
        QueuedCall.objects.filter(pk=offer.call_id).update(
            state="connected", agent=offer.agent, connected_at=now
        )
        Offer.objects.filter(pk=offer.pk).update(state="joined", joined_at=now, check_at=None)
    nudge()


def wrap_up(offer: Offer, seconds: float = 600) -> None:
    now = timezone.now()
    with transaction.atomic():
        made_up.put("amina", "wrap_up", wrap_up_until=now + timedelta(seconds=seconds))
        QueuedCall.objects.filter(pk=offer.call_id).update(
            state="completed", ended_at=now, offer=None
        )
        Offer.objects.filter(pk=offer.pk).update(state="ended", ended_at=now)
    nudge()


def state(page: Any, name: str) -> None:
    page.wait_for_selector(f"[data-testid=now][data-state={name}]", timeout=SOON)


def fetched(page: Any) -> None:
    """Have the page fetch itself, and wait until it has."""
    with page.expect_response("**/agent/state/**"):
        nudge()
    page.wait_for_timeout(150)


def kept_here(page: Any, count: int) -> None:
    """Wait until the browser keeps the notes of so many calls itself."""
    names = "Object.keys(sessionStorage).filter((name) => name.startsWith('notes:'))"
    for _ in range(50):
        if page.evaluate(f"{names}.length") == count:
            return
        page.wait_for_timeout(100)
    raise AssertionError(page.evaluate(names))


def test_a_call_from_its_ringing_to_its_record(browser: Any, site: Site) -> None:  # noqa: F811
    page = at_the_desk(browser, site)
    made_up_desk.known_caller()
    icon = page.get_attribute("link[rel=icon]", "href")

    # It rings: the card, the title, the icon, and a tone as somebody has touched the page before.
    page.mouse.click(5, 5)
    offer = ring()
    state(page, "ringing")
    assert page.inner_text("[data-testid=who]") == "Wanjiru Traders"
    assert page.inner_text("[data-testid=often]") == "Called 3 times this month"
    assert "12 crates" in page.inner_text("[data-testid=caller]")
    assert page.get_attribute("link[rel=icon]", "href") != icon
    page.wait_for_selector("#live[data-sounded]")

    # Declined, it goes back into line.
    page.click("[data-testid=decline]")
    state(page, "held_off")
    offer = Offer.objects.select_related("call").get(pk=offer.pk)
    assert (offer.state, offer.call.state) == ("declined", "waiting")
    offer.call.move_to("abandoned", abandoned_in="queue", ended_at=timezone.now())

    # The next one is taken. Notes are typed while the page goes on refreshing itself.
    offer = ring()
    state(page, "ringing")
    talk(offer)
    state(page, "on_call")
    page.keyboard.press("n")
    page.keyboard.type("Wants two ")
    fetched(page)
    page.keyboard.type("more crates")
    fetched(page)
    notes = page.locator("[data-testid=notes]")
    assert notes.input_value() == "Wants two more crates"
    page.wait_for_selector("[data-testid=saved]:text-is('Saved')")
    assert WrapUp.objects.get(pk=offer.pk).notes == "Wants two more crates"

    # The call ends while they type; nothing is lost, and the disposition is asked for.
    Queue.objects.filter(slug="support").update(disposition_required=True)
    wrap_up(offer)
    state(page, "wrap_up")
    page.keyboard.type(", on Friday")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("[data-testid=disposition-error]")
    assert notes.input_value() == "Wants two more crates, on Friday"
    page.keyboard.press("Escape")
    page.locator("body").press("2")
    page.keyboard.press("Control+Enter")
    state(page, "idle")
    written = WrapUp.objects.get(pk=offer.pk)
    assert (str(written.disposition), written.notes) == (
        "Order: Changed", "Wants two more crates, on Friday",
    )  # fmt: skip
    kept_here(page, 0)
    assert not page.problems


def test_the_keys(browser: Any, site: Site) -> None:  # noqa: F811 - the fixtures
    page = at_the_desk(browser, site)
    page.keyboard.press("b")
    page.wait_for_selector("[data-testid=reasons]:popover-open")
    fetched(page)  # which leaves an open list open
    page.keyboard.press("2")
    state(page, "break")
    amina = Agent.objects.get(user__username="amina")
    assert (amina.presence, amina.presence_reason) == ("break", "Short break")
    page.keyboard.press("o")
    state(page, "offline")
    page.keyboard.press("a")
    state(page, "idle")
    page.keyboard.press("c")
    page.keyboard.type("12ab")  # in a field, letters are letters
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-testid=dial-error]")
    assert page.input_value("[data-testid=dial-to]") == "12ab"
    assert page.evaluate("document.activeElement.id") == "dial-to"
    page.keyboard.press("Escape")

    # Hanging up takes two presses.
    offer = ring()
    talk(offer)
    state(page, "on_call")
    page.keyboard.press("h")
    assert page.inner_text("[data-testid=hang-up] span") == "Press the key once more to hang up"
    offer.refresh_from_db()
    assert offer.state == "joined"
    page.keyboard.press("h")
    state(page, "wrap_up")
    page.keyboard.press("e")
    page.wait_for_selector("[data-testid=extend]", state="detached")
    page.keyboard.press("Enter")
    state(page, "idle")

    # They can be switched off, for good.
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    page.uncheck("[data-testid=keys-on]")
    page.click("[data-testid=keys-close]")
    page.reload()
    page.wait_for_selector("#live[data-up]")
    page.keyboard.press("o")
    page.wait_for_timeout(300)
    assert Agent.objects.get(pk=amina.pk).presence == "available"
    assert not page.problems


def test_the_network_goes_and_comes_back(browser: Any, site: Site) -> None:  # noqa: F811
    page = at_the_desk(browser, site)
    offer = ring()
    talk(offer)
    state(page, "on_call")
    assert Heartbeat.objects.filter(agent__user__username="amina").exists()

    # What is typed without a network is kept, and is saved when there is one, even over a reload.
    page.context.set_offline(True)
    page.click("[data-testid=notes]")
    page.keyboard.type("Call back at five")
    page.wait_for_selector("[data-testid=saved]:has-text('no connection')")
    kept_here(page, 1)
    with transaction.atomic():
        wrap_up(offer, 0.1)
    long_ago = (timezone.now() - timedelta(seconds=300)).isoformat()
    page.evaluate("(at) => { localStorage['desk-seen:' + live.dataset.agent] = at }", long_ago)
    amina = Agent.objects.get(user__username="amina")
    row = made_up.call("support", "abandoned", ago=60, customer=NUMBER, abandoned_in="queue")
    made_up.offer(row, amina, "no_answer", ago=50, until=35)
    with transaction.atomic():
        made_up.put("amina", presence="break", presence_reason="1 call was not answered")
    PresencePeriod.objects.filter(agent=amina, ended_at=None).update(cause="policy: missed calls")
    page.context.set_offline(False)

    away = page.wait_for_selector("[data-testid=away]", timeout=12_000)
    told = away.inner_text()
    assert "1 call rang that you did not answer." in told
    assert "You were put on break at" in told
    kept_here(page, 0)
    assert WrapUp.objects.get(pk=offer.pk).notes == "Call back at five"
    fetched(page)
    assert page.is_visible("[data-testid=away]")  # until it is read
    page.reload()
    page.wait_for_selector("[data-testid=away]")
    page.click("[data-testid=away-read]")
    fetched(page)
    assert not page.is_visible("[data-testid=away]")
    assert not page.problems


def test_the_server_is_restarted_under_an_agent_who_types(browser: Any, site: Site) -> None:  # noqa: F811
    page = at_the_desk(browser, site)
    offer = ring()
    talk(offer)
    state(page, "on_call")
    page.click("[data-testid=notes]")
    site.stop()
    page.keyboard.type("Half a sentence")
    page.wait_for_selector("[data-testid=saved]:has-text('no connection')")
    site.start()
    page.wait_for_selector("[data-testid=saved]:text-is('Saved')", timeout=15_000)
    assert WrapUp.objects.get(pk=offer.pk).notes == "Half a sentence"
    wrap_up(offer)
    state(page, "wrap_up")
    assert not page.problems


def test_a_stale_button_answers_with_a_sentence(browser: Any, site: Site) -> None:  # noqa: F811
    page = at_the_desk(browser, site)
    offer = ring()
    talk(offer)
    state(page, "on_call")
    page.route("**/agent/state/**", lambda route: route.abort())
    wrap_up(offer)
    page.click("[data-testid=hang-up]")
    page.wait_for_selector("[data-testid=news]:has-text('That call has ended already.')")
    state(page, "wrap_up")
    page.unroute("**/agent/state/**")
    fetched(page)
    assert page.is_visible("[data-testid=news]")  # long enough to be read
    assert not page.problems
