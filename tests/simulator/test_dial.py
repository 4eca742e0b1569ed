"""`dial`: answered, unanswered, busy, and what follows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.simulator.stage import AGENT, CALLER, DID, EMPTY, Post, Stage, on_stage

DIAL = {"dial": {"number": AGENT, "callerId": DID, "timeout": 20}}
GOODBYE = [{"say": {"text": "Goodbye."}}, {"hangup": {}}]


def dialling(post: Post) -> Any:
    """Dial first; whatever comes afterwards gets no actions."""
    return [DIAL, *GOODBYE] if post.state == "Ringing" else EMPTY


def spoken(leg: Any) -> list[str]:
    return [one["text"] for one in leg.entries if one["what"] == "heard"]


def callee_of(leg: Any) -> Any:
    (callee,) = leg.children
    return callee


async def dial_once(stage: Stage, **caller: Any) -> tuple[Any, Any]:
    leg = await stage.call_in(**caller)
    await stage.ended(leg)
    assert stage.problems == []
    return leg, callee_of(leg)


def test_an_answered_dial_bridges_and_leaves_two_records():
    async def play():
        phones = {AGENT: {"ring": 2, "talk": 8}}
        async with on_stage({"/in": dialling}, phones=phones) as stage:
            caller, callee = await dial_once(stage)
            (talk,) = stage.simulator.exchange.ledger.interactions
            assert (talk.caller, talk.agent, talk.via) == (CALLER, AGENT, "dial")
            record = await stage.record(callee)
            assert (record["status"], record["direction"]) == ("completed", "outbound")
            assert (record["local_e164"], record["remote_e164"]) == (DID, AGENT)
            assert (record["duration_seconds"], record["cost_minor"]) == (1, 5)
            (after,) = stage.centre.at("/in", "DialCompleted")
            assert after.fields["sessionId"] == caller.session_id
            assert "dialCallStatus" not in after.fields
            assert spoken(caller) == ["Goodbye."], "an empty reply lets the document go on"

    asyncio.run(play())


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        ({"action": "no_answer", "ring": 4}, "no_answer"),
        ({"action": "busy"}, "busy"),
        ({"action": "reject", "ring": 1}, "failed"),
        ({"action": "fail"}, "failed"),
    ],
)
def test_an_unanswered_dial_costs_nothing_and_the_document_goes_on(behaviour, status):
    async def play():
        async with on_stage({"/in": dialling}, phones={AGENT: behaviour}) as stage:
            caller, callee = await dial_once(stage)
            record = await stage.record(callee)
            assert (record["status"], record["answered_at"]) == (status, None)
            assert (record["duration_seconds"], record["cost_minor"]) == (0, 0)
            assert record["failure_code"]
            assert caller.bridges == {}
            assert list(stage.simulator.exchange.ledger.interactions) == []
            assert spoken(caller) == ["Goodbye."]

    asyncio.run(play())


def test_the_timeout_of_a_dial_is_real_time_whatever_the_speed():
    async def play():
        document = [{"dial": {"number": AGENT, "timeout": 1}}, *GOODBYE]
        phones = {AGENT: {"action": "no_answer"}}
        async with on_stage({"/in": document}, phones=phones, after_dial="continue") as stage:
            _, callee = await dial_once(stage)
            assert callee.status == "no_answer"
            assert 0.95 < callee.ended_at - callee.started_at < 3
            assert stage.centre.at("/in", "DialCompleted") == []

    asyncio.run(play())


def test_a_caller_who_leaves_while_the_agent_rings_stops_the_ringing():
    async def play():
        phones = {AGENT: {"action": "no_answer"}}
        async with on_stage({"/in": dialling}, phones=phones) as stage:
            caller, callee = await dial_once(stage, patience=4)
            assert caller.end_cause == "gave_up"
            assert (callee.status, callee.end_cause) == ("canceled", "originator_cancel")
            assert stage.centre.at("/in", "DialCompleted") == []
            assert len(stage.centre.at("/in", "Completed")) == 1

    asyncio.run(play())


def test_actions_in_the_reply_to_dial_completed_replace_the_rest():
    async def play():
        def document(post: Post) -> Any:
            if post.state == "Ringing":
                return [DIAL, *GOODBYE]
            return [{"say": {"text": "Nobody is here."}}, {"hangup": {}}]

        phones = {AGENT: {"action": "busy"}}
        settings = {"phones": phones, "dial_status_fields": True}
        async with on_stage({"/in": document}, **settings) as stage:
            caller, _ = await dial_once(stage)
            assert spoken(caller) == ["Nobody is here."]
            (after,) = stage.centre.at("/in", "DialCompleted")
            assert after.fields["dialCallStatus"] == "busy"
            assert after.fields["dialDurationInSeconds"] == "0"
            assert after.fields["dialDestinationNumber"] == AGENT

    asyncio.run(play())


def test_dial_completed_alone_does_not_continue():
    async def play():
        phones = {AGENT: {"action": "busy"}}
        settings = {"phones": phones, "after_dial": "dial_completed"}
        async with on_stage({"/in": dialling}, **settings) as stage:
            caller, _ = await dial_once(stage)
            assert spoken(caller) == []
            assert caller.end_cause == "document_ended"

    asyncio.run(play())


def test_without_dial_records_rest_does_not_know_the_callee():
    async def play():
        phones = {AGENT: {"ring": 1, "talk": 2}}
        async with on_stage({"/in": dialling}, phones=phones, dial_records=False) as stage:
            caller, callee = await dial_once(stage)
            status, answer, _ = await stage.request("GET", f"/v1/calls/{callee.call_id}")
            assert (status, answer["error"]["code"]) == (404, "calls.not_found")
            listed = (await stage.get("/v1/calls"))["data"]
            assert [call["id"] for call in listed] == [caller.call_id]
            told = {post.fields["data"]["call_id"] for post in stage.centre.at("/events")}
            assert told == {caller.call_id}

    asyncio.run(play())


def test_the_first_of_several_numbers_to_answer_wins():
    async def play():
        slow, quick = "+254722000002", "+254722000003"
        document = [{"dial": {"numbers": [slow, quick], "timeout": 20}}, *GOODBYE]
        phones = {slow: {"ring": 8, "talk": 2}, quick: {"ring": 2, "talk": 2}}
        async with on_stage({"/in": document}, phones=phones, after_dial="continue") as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            assert [one.status for one in caller.children] == ["canceled", "completed"]
            assert [talk.agent for talk in caller.talks] == [quick]

    asyncio.run(play())


def test_a_phone_in_use_is_busy():
    async def play():
        phones = {AGENT: {"ring": 1, "talk": 30}}
        async with on_stage({"/in": dialling}, phones=phones) as stage:
            first = await stage.call_in()
            await stage.until(lambda: first.bridges)
            second = await stage.call_in()
            await stage.ended(second)
            assert callee_of(second).status == "busy"
            assert "line_in_use" in [one["what"] for one in callee_of(second).entries]
            await stage.ended(first)
            third = await stage.call_in()
            await stage.ended(third)
            assert callee_of(third).status == "completed", "free again"

    asyncio.run(play())


def test_a_sip_callee_has_the_sip_rate():
    async def play():
        sip = "sip:amina@pbx.example.com"
        document = [{"dial": {"sip": sip}}]
        phones = {sip: {"ring": 1, "talk": 8}}
        settings = {"per_minute": True, "after_dial": "continue"}
        async with on_stage({"/in": document}, phones=phones, **settings) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            record = await stage.record(callee_of(caller))
            assert record["remote_e164"] == sip
            assert (record["rate_per_minute_minor"], record["cost_minor"]) == (50, 50)

    asyncio.run(play())
