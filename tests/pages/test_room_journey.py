"""The supervisor's room in a browser: each action reaches its row, by keys and by touch."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents.models import Agent, Notice, Preferences
from callcenter import live
from queues.models import Alert, Queue, QueuedCall
from reporting.models import WallLink
from tests.pages import made_up
from tests.pages.test_live_page import (  # noqa: F401 - fixtures and marks
    Site,
    browser,
    playwright_api,
    pytestmark,
    sign_in,
    site,
)


@pytest.fixture
def board(browser: Any, site: Site) -> Any:  # noqa: F811 - the fixtures
    for agent in Agent.objects.select_related("user"):
        made_up.put(agent.user.username, presence="offline")  # nobody takes a call by chance
    page = sign_in(browser, site, "supervisor")
    yield page
    assert page.problems == []


def waiting(customer: str, ago: float) -> QueuedCall:
    row = made_up.call("support", "waiting", ago=ago, customer=customer)
    live.nudge("board")
    return row


@transaction.atomic
def talking(username: str) -> QueuedCall:
    agent = made_up.put(username, "on_call", since=40)
    row = made_up.call("support", "connected", ago=60, waited=9, agent=agent, customer="+254700009")
    made_up.offer(row, agent, "joined", ago=50, answered=40)
    return row


def menu(page: Any, row: str) -> None:
    page.click(f"{row} .dots")
    page.wait_for_selector("dialog[open]")


def toast(page: Any, words: str) -> None:
    page.wait_for_selector(f"[data-testid=toast]:has-text('{words}')", timeout=8000)


def test_callers_are_moved_kept_and_hung_up(board: Any) -> None:
    waiting("+254700000001", 30)
    last = waiting("+254700000002", 20)
    row = f"[data-call='{last.public_id}']"
    board.wait_for_selector(f"{row} [data-testid=place]:has-text('2nd')", timeout=4000)

    # The menu stays open while the board goes on, and the keyboard reaches it.
    board.focus(f"{row} .dots")
    board.keyboard.press("Enter")
    board.wait_for_selector("#menu-call[open]")
    third = waiting("+254700000003", 10)
    board.wait_for_selector(f"[data-call='{third.public_id}']", timeout=4000)
    assert board.inner_text("#menu-call-title") == "+254700000002"
    board.keyboard.press("Escape")
    board.wait_for_selector("#menu-call", state="hidden")
    assert board.evaluate("document.activeElement.id") == f"do-call-{last.public_id}"

    menu(board, row)
    board.click("[data-testid=do-move-up]")
    toast(board, "Moved to the front")
    board.wait_for_selector(f"{row} [data-testid=place]:has-text('1st')", timeout=4000)

    made_up.put("faisal", presence="break")
    menu(board, row)
    board.select_option("#keep-agent", label="Faisal Hassan")
    board.click("[data-testid=do-keep]")
    board.wait_for_selector(f"{row} [data-testid=why]:has-text('Kept for Faisal Hassan')")

    menu(board, row)
    board.select_option("#to-queue", label="Billing")
    board.click("[data-testid=do-queue]")
    board.wait_for_selector(f"{row} .c-where:has-text('Billing')")

    # Hanging up asks first; afterwards the row has gone.
    menu(board, row)
    assert not board.is_visible("[data-testid=do-hang-up]")
    board.click("[data-testid=sure-hang-up]")
    board.click("[data-testid=do-hang-up]")
    board.wait_for_selector(row, state="detached", timeout=4000)
    last.refresh_from_db()
    assert last.is_final


def test_a_caller_is_offered_now_to_the_agent_who_was_chosen(board: Any) -> None:
    Queue.objects.filter(slug="support").update(direct_dial=False)
    row = waiting("+254700000001", 30)
    QueuedCall.objects.filter(pk=row.pk).update(wanted_agent=Agent.objects.get(name="Amina Yusuf"))
    made_up.put("amina", presence="break")
    free = made_up.put("faisal", since=20)
    live.nudge("board")
    board.wait_for_selector("[data-agent=faisal][data-state=idle]", timeout=4000)
    menu(board, f"[data-call='{row.public_id}']")
    assert board.locator("#pull-agent option").all_inner_texts() == ["Faisal Hassan"]
    board.click("[data-testid=do-pull]")
    toast(board, "phone is being rung")
    row.refresh_from_db()
    assert row.offer
    assert row.offer.agent == free


def test_a_stale_action_gives_a_sentence(board: Any) -> None:
    row = waiting("+254700000001", 30)
    where = f"[data-call='{row.public_id}']"
    board.wait_for_selector(where, timeout=4000)
    menu(board, where)
    QueuedCall.objects.filter(pk=row.pk).update(
        state="abandoned", abandoned_in="queue", ended_at=timezone.now()
    )
    board.click("[data-testid=do-move-up]")
    toast(board, "The caller has hung up meanwhile.")
    board.wait_for_selector(where, state="detached")
    assert not board.is_visible("#unsent")


def test_an_agents_page_follows_what_a_supervisor_does(
    board: Any,
    browser: Any,  # noqa: F811 - the fixtures
    site: Site,  # noqa: F811
) -> None:
    made_up.put("amina", since=20)
    desk = sign_in(browser, site, "amina")
    desk.wait_for_selector("[data-testid=presence-available][aria-pressed=true]")
    menu(board, "[data-agent=amina]")
    board.select_option("#break-reason", index=1)
    reason = board.input_value("#break-reason")
    board.click("[data-testid=do-break]")
    toast(board, "Amina Yusuf is on break.")
    board.wait_for_selector(f"[data-agent=amina][data-state=break]:has-text('{reason}')")
    desk.wait_for_selector("[data-testid=presence-break][aria-pressed=true]", timeout=4000)

    # A message: what was typed stays until it is sent, and the agent sees it.
    menu(board, "[data-agent=amina]")
    board.click("[data-testid=do-message]")
    assert board.locator("#message-to option:checked").inner_text() == "Amina Yusuf"
    board.fill("#message-text", "   ")
    board.click("[data-testid=do-send]")
    board.wait_for_selector("[data-testid=message-error]:has-text('Write what')")
    board.fill("#message-text", "Please come to my desk.")
    board.click("[data-testid=do-send]")
    board.wait_for_selector("#menu-message", state="hidden")
    toast(board, "The message was sent")
    assert Notice.objects.get().recipients.get().agent.name == "Amina Yusuf"
    desk.wait_for_selector("text=Please come to my desk.", timeout=4000)

    until = timezone.now() + made_up.seconds(600)
    made_up.put("amina", "wrap_up", presence="break", since=5, wrap_up_until=until)
    live.nudge("board")
    board.wait_for_selector("[data-agent=amina][data-state=wrap_up]", timeout=4000)
    menu(board, "[data-agent=amina]")
    board.click("[data-testid=do-wrap-up]")
    board.wait_for_selector("[data-agent=amina][data-state=break]", timeout=4000)


def test_help_is_asked_for_and_given(board: Any) -> None:
    user = User.objects.get(username="supervisor")
    Preferences.objects.update_or_create(user=user, defaults={"phone": "+254711000999"})
    talk, now = talking("chebet"), timezone.now()
    Alert.objects.create(kind="help", subject=talk.public_id, text="Chebet Koech asks for help.",
                         first_at=now, last_at=now)  # fmt: skip
    live.nudge("board")
    board.wait_for_selector("[data-kind=help]", timeout=4000)
    board.click("[data-testid=help-whisper]")
    toast(board, "Your phone rings in a moment.")
    row = f"[data-call='{talk.public_id}']"
    board.wait_for_selector(f"{row} [data-testid=listener]:has-text('is being rung')")
    talk.supervisions.update(state="connected", connected_at=now)
    live.nudge("board")
    board.wait_for_selector(f"{row} [data-testid=listener]:has-text('whispers')", timeout=4000)
    menu(board, row)
    assert board.get_attribute("[data-testid=do-whisper]", "aria-pressed") == "true"
    board.click("[data-testid=do-barge]")
    toast(board, "Both hear you now.")
    menu(board, row)
    board.click("[data-testid=do-stop]")
    toast(board, "Listening in has ended.")
    board.click("[data-testid=dismiss]")
    board.wait_for_selector("[data-kind=help]", state="detached")


def test_a_queue_is_closed_on_a_phone_and_opened_again(board: Any) -> None:
    board.set_viewport_size({"width": 360, "height": 740})
    menu(board, "[data-queue=support]")
    assert board.evaluate("document.documentElement.scrollWidth") <= 360
    box = board.locator("#menu-queue").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    board.click("[data-testid=sure-close]")
    board.click("[data-testid=do-close]")
    board.wait_for_selector("[data-queue=support] [data-testid=closed]")
    menu(board, "[data-queue=support]")
    board.click("[data-testid=do-open]")
    board.wait_for_selector("[data-queue=support] [data-testid=closed]", state="detached")


def test_a_screen_on_a_wall_needs_no_sign_in_and_goes_blank_when_revoked(
    board: Any,
    browser: Any,  # noqa: F811 - the fixtures
    site: Site,  # noqa: F811
) -> None:
    board.goto(f"{site.url}/wall-links/")
    board.fill("#id_name", "Reception")
    board.click("[data-testid=make-link]")
    address = board.inner_text("[data-testid=wall-address]")
    screen = browser.new_context(viewport={"width": 1920, "height": 1080}).new_page()
    problems: list[str] = []
    screen.on("pageerror", lambda error: problems.append(str(error)))
    screen.goto(address)
    screen.wait_for_selector("#live[data-up]")
    waiting("+254700000001", 3)
    screen.wait_for_selector("[data-testid=wall-waiting]:has-text('1')", timeout=4000)
    assert screen.inner_text("#time")
    assert "+2547" not in screen.content()
    assert screen.evaluate("document.documentElement.scrollHeight") <= 1080

    board.reload()  # which sends the form again
    board.wait_for_selector("[data-testid=wall-link]")
    assert address not in board.content()
    board.click("text=Revoke…")
    board.click("[data-testid=revoke]")
    board.wait_for_selector("[data-testid=note]:has-text('its screens go blank')")
    screen.wait_for_selector("[data-testid=wall-ended]", timeout=8000)
    assert "This link does not work any more." in screen.inner_text("body")
    assert WallLink.objects.get().revoked_at
    assert problems == []
