"""Menus: a question before the queue, and what a pressed key leads to."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from agents.models import Agent
from queues import calls, documents, routing
from queues.inbox import Arrival
from queues.models import Menu, MenuOption, Queue, QueuedCall
from queues.scene import Scene, scene

State = QueuedCall.State
REPEAT_WITHIN = timedelta(seconds=1)
DEEPEST = 5  # menus within menus


def ask(opened: Scene, menu: Menu, *, again: bool = False) -> str:
    """Answer with the menu's question, as the call's next step."""
    call = opened.call
    QueuedCall.objects.filter(pk=call.pk).update(menu=menu)
    call.menu = menu
    return calls.answer_with(opened, documents.menu(call, menu, call.step + 1, again=again))


def key_pressed(
    call_pk: uuid.UUID, digits: str, *, at: datetime, arrival: Arrival, step: int | None = None
) -> str:
    """Answer the keys that a caller pressed (none: an empty string).

    `step` is what the URL's token says; without one the keys are for the step last issued. Tries
    advance by compare-and-set on the step, so the same keys told twice count once; who asks about
    a step that is over gets the present one's document.
    """
    call = QueuedCall.objects.select_related("menu").get(pk=call_pk)
    digit = digits.strip().rstrip("#")[:1]
    option = call.menu.options.filter(digit=digit).first() if call.menu and digit else None
    target = _destination(call, option)
    with scene(call_pk, at=at, source=arrival.endpoint, pick=_claim(target, at)) as opened:
        is_new = arrival.store(opened.call, about=f":{arrival.signature or opened.call.step}")
        current = opened.call
        if current.state != State.GREETING or current.menu is None:
            return "" if current.is_final else current.document
        if arrival.signature and not is_new:
            return current.document
        if step is None and _is_repeat(current, digits, at):
            return current.document
        if current.step != (call.step if step is None else step):
            return current.document
        current.last_digits, current.stepped_at = digits[:8], at
        current.is_acknowledged = True
        current.menu_tries = 0 if option else current.menu_tries + 1
        current.save(update_fields=["last_digits", "stepped_at", "is_acknowledged", "menu_tries"])
        opened.note("key_pressed" if digit else "no_key", digits=digits[:8] or None)
        if option and option.submenu:
            return ask(opened, option.submenu)
        if target:
            return calls.enter_queue(opened, target)
        if current.menu_tries < current.menu.tries:
            return ask(opened, current.menu, again=bool(digit))
        calls.end(opened, State.REJECTED, reason="no choice in the menu")
        return documents.apology(current)


def _is_repeat(call: QueuedCall, digits: str, at: datetime) -> bool:
    same = call.last_digits == digits[:8] and call.stepped_at is not None
    return same and call.stepped_at is not None and at - call.stepped_at < REPEAT_WITHIN


def _destination(call: QueuedCall, option: MenuOption | None) -> Queue | None:
    """Return the queue that this answer leads to, or None: ask again, a submenu, or an end."""
    if option:
        return option.queue
    menu = call.menu
    if menu is None or call.menu_tries + 1 < menu.tries:
        return None
    return first_queue(menu) if menu.on_failure == Menu.OnFailure.FIRST_OPTION else None


def first_queue(menu: Menu) -> Queue | None:
    """Return the queue of the menu's first option, through submenus."""
    for _ in range(DEEPEST):
        option = menu.options.select_related("queue", "submenu").first()
        if option is None:
            return None
        if option.queue:
            return option.queue
        menu = option.submenu or menu
    return None


def _claim(target: Queue | None, at: datetime) -> Callable[[], Agent | None] | None:
    if target is None:
        return None
    return lambda: routing.claim_for_arrival(target, at)
