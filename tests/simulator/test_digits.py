"""`getDigits`: keys, no input, and the voice URL that hears of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simulator.interpreter import _collect
from simulator.phones import Press
from tests.simulator.stage import Post, Turns, on_stage

MENU = {
    "getDigits": {
        "numDigits": 1,
        "timeout": 1,
        "nested": [{"say": {"text": "Press 1 for sales."}}],
    }
}


def menu(post: Post) -> list[dict[str, Any]]:
    if post.state == "Ringing":
        return [MENU, {"say": {"text": "We heard nothing."}}]
    digits = post.fields["Digits"]
    return [{"say": {"text": f"You pressed {digits or 'nothing'}."}}, {"hangup": {}}]


def spoken(leg: Any) -> list[str]:
    return [one["text"] for one in leg.entries if one["what"] == "heard"]


def test_digits_are_posted_to_the_voice_url_and_its_reply_takes_over():
    async def play():
        async with on_stage({"/in": menu}) as stage:
            caller = await stage.call_in(digits=[{"after": 0.1, "keys": "2"}])
            await stage.ended(caller)
            _, answer, _ = stage.centre.at("/in")
            assert answer.fields["Digits"] == "2"
            assert answer.fields["sessionId"] == caller.session_id
            assert spoken(caller) == ["Press 1 for sales.", "You pressed 2."]
            assert stage.problems == []

    asyncio.run(play())


def test_no_input_is_posted_as_empty_digits_after_the_timeout():
    async def play():
        async with on_stage({"/in": menu}) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            assert spoken(caller)[-1] == "You pressed nothing."
            asked = [one for one in caller.entries if one["what"] == "digits"]
            assert [one["pressed"] for one in asked] == [False]
            assert caller.ended_at is not None
            assert caller.answered_at is not None
            assert caller.ended_at - caller.answered_at > 1.0, "the timeout is real time"

    asyncio.run(play())


def test_no_input_goes_on_with_the_document_when_the_switch_says_so():
    async def play():
        async with on_stage({"/in": menu}, no_input_post=False) as stage:
            caller = await stage.call_in(digits=[None])
            await stage.ended(caller)
            assert spoken(caller)[-1] == "We heard nothing."
            assert [post.state for post in stage.centre.at("/in")] == ["Ringing", "Completed"]

    asyncio.run(play())


def test_each_prompt_uses_up_one_entry():
    async def play():
        replies = {"/in": Turns([MENU], [MENU], [{"hangup": {}}])}
        async with on_stage(replies) as stage:
            caller = await stage.call_in(digits=["9", "1"])
            await stage.ended(caller)
            digits = [post.fields["Digits"] for post in stage.centre.at("/in")[1:-1]]
            assert digits == ["9", "1"]

    asyncio.run(play())


def test_after_a_redirect_digits_go_to_the_voice_url_or_to_the_new_one():
    async def play(moves: bool) -> str:
        def first(post: Post) -> list[dict[str, Any]]:
            if post.state == "Ringing":
                return [{"redirect": {"url": f"http://{post.headers['Host']}/menu"}}]
            return [{"hangup": {}}]

        def second(post: Post) -> list[dict[str, Any]]:
            return [{"hangup": {}}] if "Digits" in post.fields else [MENU]

        replies = {"/in": first, "/menu": second}
        async with on_stage(replies, redirect_moves_voice_url=moves) as stage:
            await stage.ended(await stage.call_in(digits=["1"]))
            (asked,) = [post for post in stage.centre.posts if "Digits" in post.fields]
            return asked.path

    assert asyncio.run(play(False)) == "/in"
    assert asyncio.run(play(True)) == "/menu"


@pytest.mark.parametrize(
    ("keys", "count", "finish", "collected"),
    [
        ("12", 2, "#", ("12", True)),
        ("123", 2, "#", ("12", True)),
        ("1", 2, "#", ("1", False)),
        ("123#4", 0, "#", ("123", True)),
        ("#", 0, "#", ("", True)),
        ("12#", 0, "", ("12#", False)),
    ],
)
def test_keys_become_digits(keys, count, finish, collected):
    assert _collect(Press(0, keys), count, finish) == collected
