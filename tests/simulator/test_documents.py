"""What counts as a voice document, and what happens to a leg when it gets something else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from simulator.documents import Action, InvalidDocument, parse_reply
from tests.simulator.stage import on_stage


def parse(actions: Any) -> list[Action]:
    return parse_reply("application/json; charset=utf-8", json.dumps({"actions": actions}).encode())


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ([{"say": {"text": "a"}, "hangup": {}}], "exactly one verb"),
        ([{}], "exactly one verb"),
        ([{"enqueue": {}}], "unknown verb"),
        ([{"say": {}}], "text is missing"),
        ([{"say": {"text": 1}}], "text cannot be"),
        ([{"say": {"text": "a", "volume": 3}}], "unknown field"),
        ([{"play": {"url": "/music.mp3"}}], "url cannot be"),
        ([{"dial": {}}], "exactly one of"),
        ([{"dial": {"number": "+254722000001", "sip": "sip:a@b"}}], "exactly one of"),
        ([{"dial": {"number": "0722000001"}}], "number cannot be"),
        ([{"dial": {"number": "+254722000001", "timeout": "20"}}], "timeout cannot be"),
        ([{"dial": {"number": "+254722000001", "timeout": True}}], "timeout cannot be"),
        ([{"conference": {"startOnEnter": True}}], "name is missing"),
        ([{"conference": {"name": "a", "startOnEnter": "true"}}], "startOnEnter cannot be"),
        ([{"conference": {"name": "a", "statusEvents": "join,leave"}}], "statusEvents cannot be"),
        ([{"getDigits": {"nested": [{"dial": {"number": "+254722000001"}}]}}], "inside"),
        ([{"hangup": {"reason": "x"}}], "unknown field"),
        ([{"reject": {"reason": "tired"}}], "reason cannot be"),
        ([{"say": {"text": "a"}}] * 51, "at most 50"),
    ],
)
def test_what_the_contract_does_not_know_is_refused(actions, reason):
    with pytest.raises(InvalidDocument, match=reason):
        parse(actions)


def test_a_good_document_is_read_in_order():
    actions = parse(
        [
            {"getDigits": {"numDigits": 1, "nested": [{"play": {"url": "http://a/b"}}]}},
            {"dial": {"numbers": ["+254722000001"], "callerId": "+254200000101"}},
            {"hangup": {}},
        ]
    )
    assert [action.verb for action in actions] == ["getDigits", "dial", "hangup"]
    assert actions[0].nested == (Action("play", {"url": "http://a/b"}),)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b'{"action": []}'),
        ("application/json", b""),
        ("text/html", b"<html></html>"),
        ("application/xml", b"<Response>"),
        ("application/xml", b"<Reply/>"),
        ("application/xml", b"<Response><Enqueue/></Response>"),
    ],
)
def test_a_body_that_is_no_document_is_refused(content_type, body):
    with pytest.raises(InvalidDocument):
        parse_reply(content_type, body)


def test_xml_says_the_same_as_json():
    body = b"""<Response>
      <GetDigits maxDigits="1" timeout="8" finishOnKey="#"><Say voice="alice">Hi</Say></GetDigits>
      <Dial callerId="+254200000101" timeout="20"><Number>+254722000001</Number></Dial>
      <Conference startOnEnter="false">room-1</Conference>
      <Redirect method="POST">http://a/b</Redirect>
    </Response>"""
    digits, dial, room, redirect = parse_reply("text/xml", body)
    assert digits.fields == {"numDigits": 1, "timeout": 8, "finishOnKey": "#"}
    assert digits.nested == (Action("say", {"text": "Hi", "voice": "alice"}),)
    assert dial.fields == {"callerId": "+254200000101", "timeout": 20, "number": "+254722000001"}
    assert room.fields == {"startOnEnter": False, "name": "room-1"}
    assert redirect.fields == {"method": "POST", "url": "http://a/b"}
    assert parse_reply("application/xml", b"<Response></Response>") == []


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ([{"enqueue": {}}], "invalid_document"),
        (500, "bad_reply"),
        (204, "bad_reply"),
        (lambda post: web.Response(text="ok"), "invalid_document"),
    ],
)
def test_a_leg_with_a_bad_reply_fails_and_is_flagged(reply, problem):
    async def play():
        async with on_stage({"/in": reply}) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            assert [one["what"] for one in stage.problems] == [problem]
            assert stage.problems[0]["reason"]
            record = await stage.record(caller)
            assert (record["status"], record["failure_code"]) == ("failed", problem)

    asyncio.run(play())


def test_a_reply_that_takes_too_long_fails_the_leg():
    async def play():
        async with on_stage({"/in": [{"hangup": {}}]}, reply_timeout=0) as stage:
            stage.simulator.exchange.config.switches.reply_timeout = 0.000_001
            caller = await stage.call_in()
            await stage.ended(caller)
            assert {one["what"] for one in stage.problems} == {"bad_reply"}
            assert "no reply within" in stage.problems[0]["reason"]
            assert caller.status == "failed"

    asyncio.run(play())


def test_an_unreachable_call_centre_fails_the_leg_and_nothing_else():
    async def play():
        numbers = [{"e164": "+254200000101", "voice_callback_url": "http://127.0.0.1:9/in"}]
        async with on_stage({}, numbers=numbers) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            assert caller.status == "failed"
            assert (await stage.get("/_sim/health"))["status"] == "ok"

    asyncio.run(play())


def test_actions_in_reply_to_the_end_are_flagged():
    async def play():
        async with on_stage({"/in": [{"hangup": {}}]}, encoding="seed") as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            assert [one["what"] for one in stage.problems] == ["actions_after_end"]

    asyncio.run(play())


def test_a_rejected_call_was_never_answered():
    async def play():
        async with on_stage({"/in": [{"reject": {"reason": "busy"}}]}) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            record = await stage.record(caller)
            assert (record["status"], record["answered_at"]) == ("busy", None)
            assert stage.problems == []

    asyncio.run(play())


def test_redirects_without_end_are_stopped():
    async def play():
        async with on_stage({"/in": [{"redirect": {"url": "/in"}}]}) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            assert [one["what"] for one in stage.problems] == ["redirect_loop"]
            assert caller.status == "failed"

    asyncio.run(play())
