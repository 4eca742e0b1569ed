"""What callers and agents hear: the documents we answer, built from our own rows."""

from __future__ import annotations

from collections.abc import Sequence

from callcenter.sautikit import phone
from callcenter.sautikit.actions import (
    Action,
    Conference,
    Dial,
    GetDigits,
    Hangup,
    Play,
    Redirect,
    Say,
    render,
)
from queues import links
from queues.models import Menu, Offer, Queue, QueuedCall

DEFAULT_LANGUAGE = "en-KE"
CONFIRM_SECONDS = 8
AUDIO_SECONDS = 30  # of an audio greeting whose length is not known


def speech(text: str, language: str = DEFAULT_LANGUAGE) -> list[Say | Play]:
    """Say `text`, or play it when it is an audio URL; nothing when it is empty."""
    text = text.strip()
    if not text:
        return []
    if text.startswith(("http://", "https://")):
        return [Play(url=text)]
    return [Say(text=text, language=language)]


def speech_seconds(text: str) -> float:
    """Return how long `text` takes to hear: 1 s per 10 characters; an audio URL 30 s."""
    if text.strip().startswith(("http://", "https://")):
        return AUDIO_SECONDS
    return len(text.strip()) / 10


def _language(call: QueuedCall) -> str:
    if call.queue:
        return call.queue.language
    return call.menu.language if call.menu else DEFAULT_LANGUAGE


def _dial(call: QueuedCall, offer: Offer, timeout: int) -> list[Action]:
    destination = offer.agent.destination
    sip = destination if phone.is_sip(destination) else None
    caller_id = call.line if phone.is_e164(call.line) else None
    return [
        Dial(number=None if sip else destination, sip=sip, caller_id=caller_id, timeout=timeout),
        Redirect(url=links.dial_result(call, call.step + 1)),
    ]


def direct(call: QueuedCall, offer: Offer) -> str:
    """Greet the customer and ring the agent's phone, then ask us what came of it."""
    queue = call.queue
    greeting = speech(queue.greeting, queue.language) if queue and call.is_inbound else []
    return render([*greeting, *_dial(call, offer, queue.ring_timeout if queue else 30)])


def position_words(position: int) -> str:
    """Say a place in line."""
    return "You are next in line." if position == 1 else f"You are number {position} in line."


def hold(call: QueuedCall, *, position: int | None) -> str:
    """Keep the customer in a room of their own, with music, until an agent comes."""
    queue = call.queue
    actions: list[Action] = []
    if queue and call.is_inbound:
        actions += speech(queue.hold_message, queue.language)
        if position is not None and queue.say_position:
            actions.append(Say(text=position_words(position), language=queue.language))
    else:
        actions.append(Say(text="Please hold while we connect you.", language=DEFAULT_LANGUAGE))
    return render([*actions, *_waiting_room(call)])


def _waiting_room(call: QueuedCall) -> list[Action]:
    return [
        Conference(
            name=call.room,
            start_on_enter=False,
            end_on_exit=True,
            wait_url=links.hold_music(),
            status_events=("join", "leave", "end"),
            status_events_callback_url=links.queue_events(call, call.step + 1),
        ),
        Redirect(url=links.dial_result(call, call.step + 1)),
    ]


def lap(call: QueuedCall, *, position: int | None) -> str:
    """Keep the customer for one short lap of music, then ask us again."""
    queue = call.queue
    actions: list[Action] = []
    if queue and position is not None:
        actions += speech(queue.hold_message, queue.language)
        if queue.say_position:
            actions.append(Say(text=position_words(position), language=queue.language))
    return render(
        [
            *actions,
            Play(url=links.lap_music()),
            Redirect(url=links.dial_result(call, call.step + 1)),
        ]
    )


def agent_room(offer: Offer) -> str:
    """Join the agent to the customer's room; the room ends with whoever leaves."""
    return render(
        [
            Conference(
                name=offer.call.room,
                start_on_enter=True,
                end_on_exit=True,
                beep=False,
                status_events=("join", "leave"),
                status_events_callback_url=links.agent_queue_events(offer),
            )
        ]
    )


def agent_confirm(offer: Offer) -> str:
    """Ask the agent to press 1, so that a voicemail never takes a customer."""
    language = offer.queue.language if offer.queue else DEFAULT_LANGUAGE
    name = offer.queue.name if offer.queue else "the call centre"
    prompt = Say(text=f"A call for {name}. Press 1 to take it.", language=language)
    return render(
        [
            GetDigits(nested=(prompt,), timeout=CONFIRM_SECONDS, num_digits=1),
            Redirect(url=links.agent_no_key(offer)),
        ]
    )


def menu(call: QueuedCall, menu: Menu, step: int, *, again: bool = False) -> str:
    """Ask the customer for a key, then come back to us with or without one."""
    prompt: list[Say | Play] = []
    if again:
        prompt.append(Say(text="Sorry, that was not one of the choices.", language=menu.language))
    prompt += speech(menu.prompt or spoken_options(menu), menu.language)
    return render(
        [
            GetDigits(nested=tuple(prompt), timeout=menu.timeout, num_digits=1),
            Redirect(url=links.menu(call, step)),
        ]
    )


def spoken_options(menu: Menu) -> str:
    """Make a prompt from a menu's options."""
    return " ".join(
        f"For {option.label or option.queue or option.submenu}, press {_key_name(option.digit)}."
        for option in menu.options.all()
    )


def _key_name(digit: str) -> str:
    return "star" if digit == "*" else digit


def farewell(sentence: str, language: str = DEFAULT_LANGUAGE) -> str:
    """Say a last sentence and hang up."""
    return render([Say(text=sentence, language=language), Hangup()])


def goodbye(call: QueuedCall) -> str:
    """End a call that was served."""
    return farewell("Thank you for calling. Goodbye.", _language(call))


def after_the_end(call: QueuedCall) -> str:
    """End the leg of a customer whose call is over: served, or not."""
    return goodbye(call) if call.state == QueuedCall.State.COMPLETED else apology(call)


def apology(call: QueuedCall | None = None) -> str:
    """End a call that we cannot serve."""
    language = _language(call) if call else DEFAULT_LANGUAGE
    return farewell("We are sorry, we cannot take your call right now. Please try again.", language)


def unknown_number() -> str:
    """End a call to a number that nobody has set up."""
    return farewell("This number is not in service. Goodbye.")


def nobody_here(queue: Queue) -> str:
    """End a call to a queue that nobody is signed in to and that does not hold."""
    return farewell(
        "We are sorry, nobody is available to take your call. Please call again later.",
        queue.language,
    )


def closed(queue: Queue) -> str:
    """End a call to a queue that a supervisor has closed."""
    message = speech(queue.closed_message, queue.language)
    return render([*message, Hangup()]) if message else nobody_here(queue)


def too_late(language: str = DEFAULT_LANGUAGE) -> str:
    """Tell an agent that the customer has gone."""
    return farewell("The caller has gone. Thank you.", language)


def static_plan(url: str) -> str:
    """Keep a caller for ten seconds and ask again: what is answered without the database."""
    separator = "&" if "?" in url else "?"
    again = url if "resume=1" in url else f"{url}{separator}resume=1"
    actions: Sequence[Action] = [
        Say(text="Please hold, we are connecting you.", language=DEFAULT_LANGUAGE),
        GetDigits(timeout=10, num_digits=1),
        Redirect(url=again),
    ]
    return render(actions)
