"""The REST API: authentication, placing, idempotency, reading."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from tests.simulator.stage import AGENT, DID, HANGUP, on_stage

SDK = {"from": DID, "to": [AGENT], "voice_callback_url": "http://127.0.0.1:9/agent"}
USE_CASE = {"from": DID, "to": AGENT, "action_url": "http://127.0.0.1:9/agent"}


def test_a_wrong_key_is_refused_with_the_envelope():
    async def play():
        async with on_stage({}) as stage:
            status, answer, _ = await stage.request("GET", "/v1/calls", Authorization="Bearer no")
            assert (status, answer["error"]["code"]) == (401, "api_key.invalid")
            assert answer["error"]["message"]
            assert answer["error"]["request_id"].startswith("req_")

    asyncio.run(play())


def test_a_placed_call_is_known_by_both_handles():
    async def play():
        async with on_stage({}) as stage:
            body = {**SDK, "client_request_id": "att-1"}
            status, answer, _ = await stage.request("POST", "/v1/calls", body)
            assert status == 201
            assert answer["status"] == "ringing"
            assert answer["client_request_id"] == "att-1"
            assert answer["session_id"].startswith("HD_")
            assert len(answer["session_id"]) == 15
            by_id = await stage.get(f"/v1/calls/{answer['call_id']}")
            assert by_id == await stage.get(f"/v1/calls/{answer['session_id']}")
            assert by_id["call"]["session_id"] == answer["session_id"]

    asyncio.run(play())


def test_the_same_key_and_body_is_answered_again_and_rings_once():
    async def play():
        async with on_stage({}) as stage:
            first = await stage.request("POST", "/v1/calls", SDK, Idempotency_Key="k-1")
            again = await stage.request("POST", "/v1/calls", SDK, Idempotency_Key="k-1")
            assert (first[0], again[0]) == (201, 201)
            assert first[1] == again[1]
            assert "Idempotent-Replay" not in first[2]
            assert again[2]["Idempotent-Replay"] == "true"
            other = {**SDK, "to": ["+254722000009"]}
            conflict = await stage.request("POST", "/v1/calls", other, Idempotency_Key="k-1")
            assert (conflict[0], conflict[1]["error"]["code"]) == (409, "idempotency.conflict")
            assert stage.simulator.exchange.ledger.opened == 1
            receipts = (await stage.get("/_sim/posts"))["receipts"]
            assert [one["status"] for one in receipts] == [201, 201, 409]
            assert [one["replay"] for one in receipts] == [False, True, False]

    asyncio.run(play())


def test_a_refused_request_may_be_repeated_under_its_key():
    async def play():
        async with on_stage({}, wallet_minor=0) as stage:
            status, answer, _ = await stage.request("POST", "/v1/calls", SDK, Idempotency_Key="k")
            assert (status, answer["error"]["code"]) == (402, "wallet.insufficient_funds")
            await stage.request("PATCH", "/_sim/config", {"wallet_minor": 1000})
            status, _, _ = await stage.request("POST", "/v1/calls", SDK, Idempotency_Key="k")
            assert status == 201

    asyncio.run(play())


@pytest.mark.parametrize(
    ("schema", "sdk", "use_case"), [("both", 201, 201), ("sdk", 201, 422), ("use_case", 422, 201)]
)
def test_the_switch_decides_which_body_shape_is_taken(schema, sdk, use_case):
    async def play():
        settings = {"accept_schema": schema, "call_waiting": True}
        async with on_stage({}, **settings) as stage:
            assert (await stage.request("POST", "/v1/calls", SDK))[0] == sdk
            assert (await stage.request("POST", "/v1/calls/originate", USE_CASE))[0] == use_case

    asyncio.run(play())


@pytest.mark.parametrize(
    "change",
    [
        {"from": "+254200000999"},
        {"from": "0200000101"},
        {"to": ["0722000001"]},
        {"to": [AGENT, "+254722000002"]},
        {"to": []},
        {"to": None},
        {"voice_callback_url": "agent"},
        {"client_request_id": "mcp:1"},
        {"caller_id": "+254200000999"},
        {"ring_timeout": 20},
    ],
)
def test_a_call_that_cannot_be_placed_is_422(change):
    async def play():
        async with on_stage({}) as stage:
            status, answer, _ = await stage.request("POST", "/v1/calls", {**SDK, **change})
            assert status == 422, answer
            assert answer["error"]["code"].startswith("calls.")
            assert stage.simulator.exchange.ledger.opened == 0

    asyncio.run(play())


def test_a_sip_destination_is_taken_or_refused_by_switch():
    async def play():
        async with on_stage({}) as stage:
            body = {**SDK, "to": ["sip:amina@pbx.example.com"]}
            assert (await stage.request("POST", "/v1/calls", body))[0] == 201
            await stage.request("PATCH", "/_sim/config", {"accept_sip_to": False})
            assert (await stage.request("POST", "/v1/calls", body))[0] == 422

    asyncio.run(play())


def test_calls_are_listed_newest_first_in_pages():
    async def play():
        async with on_stage({"/in": HANGUP}) as stage:
            legs = [await stage.call_in(**{"from": f"+25471100000{n}"}) for n in range(5)]
            await stage.ended(*legs)
            seen, cursor = [], ""
            for _ in range(3):
                page = await stage.get(f"/v1/calls?limit=2&cursor={cursor}")
                seen += [call["id"] for call in page["data"]]
                cursor = page["next_cursor"]
            assert cursor is None
            assert seen == [leg.call_id for leg in reversed(legs)]
            for limit in ("0", "101", "x"):
                assert (await stage.request("GET", f"/v1/calls?limit={limit}"))[0] == 422

    asyncio.run(play())


def test_the_list_can_be_narrowed():
    async def play():
        async with on_stage({"/in": [{"say": {"text": "a"}}]}) as stage:
            first = await stage.call_in(**{"from": "+254711000007"})
            await stage.ended(first)
            second = await stage.call_out("/none")

            async def ids(query: str) -> list[str]:
                return [one["id"] for one in (await stage.get(f"/v1/calls?{query}"))["data"]]

            assert await ids("direction=inbound") == [first.call_id]
            assert await ids("status=ringing,answered") == [second.call_id]
            assert await ids("q=000007") == [first.call_id]
            assert await ids(f"session_id={second.session_id}") == [second.call_id]
            moment = datetime.fromtimestamp(second.started_at - 0.001).astimezone().isoformat()
            assert await ids(f"from={moment}") == [second.call_id]
            assert await ids(f"to={second.started_at - 0.001}") == [first.call_id]

    asyncio.run(play())


def test_a_placed_call_nobody_answers_is_free_and_ends_with_completed():
    async def play():
        phones = {AGENT: {"action": "no_answer", "ring": 2}}
        async with on_stage({}, phones=phones) as stage:
            leg = await stage.call_out("/agent")
            await stage.ended(leg)
            record = await stage.record(leg)
            assert (record["status"], record["cost_minor"]) == ("no_answer", 0)
            assert record["failure_code"] == "no_answer"
            (post,) = stage.centre.at("/agent")
            assert (post.state, post.fields["durationInSeconds"]) == ("Completed", "0")
            failed = stage.centre.at("/events")[-1].fields
            assert failed["kind"] == "call.failed"
            assert failed["data"]["failure_reason"] == "no_answer"
        async with on_stage({}, phones=phones, completed_unanswered=False) as stage:
            await stage.ended(await stage.call_out("/agent"))
            assert stage.centre.at("/agent") == []

    asyncio.run(play())


def test_a_hangup_before_the_answer_cancels():
    async def play():
        async with on_stage({}) as stage:
            leg = await stage.call_out("/agent")
            await stage.request("POST", f"/v1/calls/{leg.session_id}/hangup")
            assert (await stage.record(leg))["status"] == "canceled"
            status, answer, _ = await stage.request("POST", "/v1/calls/HD_000000000000/hangup")
            assert (status, answer["error"]["code"]) == (404, "calls.not_found")

    asyncio.run(play())


def test_the_wallet_the_numbers_and_the_figures_can_be_read():
    async def play():
        phones = {AGENT: {"ring": 1, "talk": 1}}
        async with on_stage({"/agent": [{"say": {"text": "Hi"}}]}, phones=phones) as stage:
            leg = await stage.call_out("/agent")
            await stage.ended(leg)
            assert leg.cost_minor == 5
            for path in ("/v1/wallet", "/v1/wallet/balance"):
                wallet = await stage.get(path)
                assert wallet["balance_minor"] == 1_000_000_00 - 5
                assert wallet["currency"] == "KES"
            (number,) = (await stage.get("/v1/numbers"))["numbers"]
            assert (number["e164"], number["status"]) == (DID, "active")
            stats = await stage.get("/v1/calls/stats?since=today&bucket=hour")
            assert (stats["total"], stats["failed"], stats["spend_minor"]) == (1, 0, 5)
            assert sum(slot["completed"] for slot in stats["series"]) == 1
            events = (await stage.get(f"/v1/calls/{leg.call_id}/events"))["data"]
            assert events[-1]["kind"] == "call.completed"

    asyncio.run(play())


def test_where_a_number_leads_can_be_set_by_the_method_that_the_switch_allows():
    async def play():
        async with on_stage({}) as stage:
            (number,) = (await stage.get("/v1/numbers"))["numbers"]
            path = f"/v1/numbers/{number['id']}/routing"
            urls = {"voice_callback_url": "https://a.test/in", "events_url": "https://a.test/ev"}
            stage.simulator.exchange.config.switches.routing_method = "PUT"
            assert (await stage.request("PATCH", path, urls))[0] == 405
            assert (await stage.request("PUT", path, urls))[0] == 200
            (number,) = (await stage.get("/v1/numbers"))["numbers"]
            assert {name: number[name] for name in urls} == urls
            assert (await stage.request("PUT", "/v1/numbers/x/routing", urls))[0] == 404

    asyncio.run(play())


def test_a_label_used_twice_at_a_time_is_flagged():
    async def play():
        async with on_stage({}) as stage:
            await stage.call_out("/agent", client_request_id="att-1")
            assert stage.problems == []
            await stage.call_out("/agent", to="+254722000002", client_request_id="att-1")
            assert [one["what"] for one in stage.problems] == ["label_reused"]

    asyncio.run(play())
