"""Faults are injected where they are asked for, in the same places with the same seed."""

from __future__ import annotations

import asyncio
import time

import pytest

from simulator.config import ConfigError
from simulator.faults import Faults
from tests.simulator.stage import AGENT, CALLER, DID, HANGUP, Turns, conference, on_stage


def injected(stage) -> list[str]:
    return [one["kind"] for one in stage.simulator.exchange.ledger.injected]


def fates(faults: Faults, subjects: list[str]) -> dict[str, list[bool]]:
    return {who: [faults.outgoing("event", who).dropped for _ in range(20)] for who in subjects}


def test_the_same_seed_gives_the_same_faults_in_whatever_order_the_legs_come():
    rules = [{"kind": "drop", "edge": "event", "probability": 0.5}]
    names = [f"inbound +2547{n} 1" for n in range(10)]
    one, other = fates(Faults(rules, 7), names), fates(Faults(rules, 7), names[::-1])
    assert one == other
    assert 60 < sum(sum(row) for row in one.values()) < 140
    assert one != fates(Faults(rules, 8), names)
    assert not any(Faults(rules, 7).outgoing("ringing", name).dropped for name in names)


def test_the_seed_can_be_changed_while_it_runs():
    async def play():
        rule = {"kind": "drop", "edge": "event", "probability": 0.5}
        async with on_stage({"/in": HANGUP}, faults=[rule]) as stage:
            names = [f"inbound +2547{n} 1" for n in range(10)]
            first = fates(stage.simulator.exchange.faults, names)
            await stage.request("PATCH", "/_sim/config", {"seed": 2})
            assert fates(stage.simulator.exchange.faults, names) != first
            assert stage.simulator.exchange.webhooks.faults is stage.simulator.exchange.faults

    asyncio.run(play())


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "gremlin"},
        {"kind": "drop", "route": "*"},
        {"kind": "delay", "seconds": "long"},
        {"kind": "delay", "seconds": -1},
        {"kind": "rest_error", "after": 1},
        {"kind": "drop", "edge": None},
        "drop",
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(rule):
    with pytest.raises(ConfigError):
        Faults([rule], 1)


def test_a_question_that_is_asked_three_times_must_get_one_document():
    async def play():
        faults = [{"kind": "repeat", "edge": "ringing", "times": 2}]
        for replies, problems in (
            ([HANGUP], []),
            ([HANGUP, "<Response/>"], []),
            ([HANGUP, [{"say": {"text": "Well?"}}]], ["different_documents"]),
        ):
            async with on_stage({"/in": Turns(*replies)}, faults=faults) as stage:
                await stage.ended(await stage.call_in())
                assert len(stage.centre.at("/in", "Ringing")) == 3
                assert [one["what"] for one in stage.problems] == problems

    asyncio.run(play())


def test_copies_may_come_later():
    async def play():
        faults = [{"kind": "repeat", "edge": "completed", "times": 2, "seconds": 0.2}]
        async with on_stage({"/in": HANGUP}, faults=faults) as stage:
            began = time.monotonic()
            await stage.ended(await stage.call_in())
            assert len(stage.centre.at("/in", "Completed")) == 3
            assert time.monotonic() - began > 0.4

    asyncio.run(play())


def test_events_overtake_each_other_within_the_window():
    async def play():
        faults = [{"kind": "reorder", "edge": "event", "seconds": 0.3}]
        async with on_stage({"/in": HANGUP}, faults=faults) as stage:
            for _ in range(8):
                await stage.ended(await stage.call_in())
            kinds = [post.fields["kind"] for post in stage.centre.at("/events")]
            assert len(kinds) == 16
            assert kinds != ["call.started", "call.failed"] * 8
            assert injected(stage).count("delay") == 16

    asyncio.run(play())


def test_a_lost_reply_is_asked_for_again_where_the_switch_says_so():
    async def play():
        lost = {"kind": "lose_reply", "edge": "ringing"}
        for waits, asked, status in (([], 1, "failed"), ([0.02, 0.02], 3, "failed")):
            settings = {"faults": [lost], "voice_retry_seconds": waits}
            async with on_stage({"/in": [{"say": {"text": "Hi"}}]}, **settings) as stage:
                caller = await stage.call_in()
                await stage.ended(caller)
                assert len(stage.centre.at("/in", "Ringing")) == asked
                assert (caller.status, stage.problems) == (status, [])
        half = {**lost, "probability": 0.5}
        settings = {"faults": [half], "voice_retry_seconds": [0.02] * 20}
        async with on_stage({"/in": [{"say": {"text": "Hi"}}]}, **settings) as stage:
            callers = [await stage.call_in() for _ in range(8)]
            await stage.ended(*callers)
            assert [caller.status for caller in callers] == ["completed"] * 8
            assert len(stage.centre.at("/in", "Ringing")) == 8 + injected(stage).count("lose_reply")

    asyncio.run(play())


def test_a_voice_url_that_fails_is_asked_again_but_one_that_refuses_is_not():
    async def play():
        for replies, status in (
            (Turns(503, [{"say": {"text": "Hi"}}]), "completed"),
            (403, "failed"),
        ):
            async with on_stage({"/in": replies}, voice_retry_seconds=[0.02]) as stage:
                caller = await stage.call_in()
                await stage.ended(caller)
                assert caller.status == status

    asyncio.run(play())


def test_a_room_event_goes_astray_to_the_url_of_the_other_leg():
    async def play():
        def room(path):
            return lambda post: [
                conference(
                    statusEventsCallbackUrl=f"http://{post.headers['Host']}{path}",
                    statusEvents="join leave end",
                    endOnExit=True,
                )
            ]

        faults = [{"kind": "astray"}]
        replies = {"/in": room("/callers"), "/agent": room("/agents")}
        phones = {AGENT: {"ring": 0, "talk": 2}}
        async with on_stage(replies, faults=faults, phones=phones) as stage:
            caller = await stage.call_in()
            await stage.until(lambda: caller.rooms)
            agent = await stage.call_out("/agent")
            await stage.ended(caller, agent)
            # The caller came first, when no other URL was known.
            assert stage.centre.room_events("/callers")[:2] == ["join", "join"]
            assert [post.fields["sessionId"] for post in stage.centre.at("/agents")] == [
                caller.session_id
            ]

    asyncio.run(play())


def test_rest_errors_say_what_was_asked_for():
    async def play():
        faults = [
            {"kind": "rest_error", "route": "GET /v1/wallet", "status": 429, "retry_after": 3},
            {"kind": "rest_error", "route": "GET /v1/numbers", "status": 429},
            {"kind": "rest_error", "route": "POST /v1/calls", "status": 402},
        ]
        async with on_stage({}, faults=faults) as stage:
            status, _, headers = await stage.request("GET", "/v1/wallet")
            assert (status, headers["Retry-After"]) == (429, "3")
            status, _, headers = await stage.request("GET", "/v1/numbers")
            assert status == 429
            assert "Retry-After" not in headers
            status, answer, _ = await stage.request(
                "POST", "/v1/calls", {"from": DID, "to": [AGENT]}
            )
            assert (status, answer["error"]["code"]) == (402, "wallet.insufficient_funds")
            assert injected(stage) == ["rest_error"] * 3

    asyncio.run(play())


def test_an_answer_may_be_a_page_of_html_though_the_call_was_placed():
    async def play():
        rule = {"kind": "rest_error", "route": "POST /v1/calls", "status": 200}
        async with on_stage({}, faults=[{**rule, "not_json": True, "after": True}]) as stage:
            async with stage.session.post(
                stage.simulator.url + "/v1/calls",
                json={"from": DID, "to": [AGENT]},
                headers={"Authorization": "Bearer sim-key"},
            ) as response:
                assert (response.status, response.content_type) == (200, "text/html")
            assert stage.simulator.exchange.ledger.opened == 1

    asyncio.run(play())


def test_a_new_leg_is_unknown_by_rest_for_a_while():
    async def play():
        faults = [
            {"kind": "late_list", "seconds": 0.3},
            {"kind": "late_get", "seconds": 0.15},
        ]
        async with on_stage({"/in": [conference()]}, faults=faults) as stage:
            caller = await stage.call_in()
            path = f"/v1/calls/{caller.call_id}"
            assert (await stage.request("GET", path))[0] == 404
            await asyncio.sleep(0.2)
            assert (await stage.request("GET", path))[0] == 200
            assert (await stage.get("/v1/calls"))["data"] == []
            await asyncio.sleep(0.15)
            assert len((await stage.get("/v1/calls"))["data"]) == 1

    asyncio.run(play())


def test_a_list_may_repeat_its_rows_and_its_cursor():
    async def play():
        async with on_stage({"/in": HANGUP}) as stage:
            callers = [await stage.call_in() for _ in range(3)]
            await stage.ended(*callers)
            faults = [{"kind": "list_twice"}, {"kind": "list_loop"}]
            await stage.request("PATCH", "/_sim/config", {"faults": faults})
            first = await stage.get("/v1/calls?limit=2")
            ids = [row["id"] for row in first["data"]]
            assert ids == [callers[n].call_id for n in (2, 2, 1, 1)]
            again = await stage.get(f"/v1/calls?limit=2&cursor={first['next_cursor']}")
            assert again == first

    asyncio.run(play())


def test_the_ledger_tells_what_was_injected_and_stays_the_truth():
    async def play():
        faults = [{"kind": "drop", "edge": "completed"}]
        async with on_stage({"/in": [{"say": {"text": "Hi"}}]}, faults=faults) as stage:
            caller = await stage.call_in(**{"from": CALLER})
            await stage.ended(caller)
            book = await stage.get("/_sim/ledger")
            [fault] = book["injected"]
            assert (fault["kind"], fault["edge"]) == ("drop", "completed")
            assert fault["session_id"] == caller.session_id
            assert book["legs"][0]["status"] == "completed"
            assert book["legs"][0]["ended_at"] is not None

    asyncio.run(play())
