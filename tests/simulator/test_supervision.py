"""Listening in: one supervisor a call, whose phone rings, listens and goes down with the call."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulator.stage import AGENT, AUTH, conference, on_stage

BOSS = "+254733000001"
LISTEN = {"mode": "listen", "supervisor": {"type": "phone", "number": BOSS}}
TALK = {"/in": [conference()], "/agent": [conference()]}
PHONES = {BOSS: {"ring": 1}, AGENT: {"ring": 0}}


async def talk(stage):
    """A caller and an agent who talk; returns both legs."""
    caller, agent = await stage.call_in(), await stage.call_out("/agent")
    await stage.until(lambda: agent.bridges)
    return caller, agent


def path(leg):
    return f"/v1/calls/{leg.session_id}/supervision"


async def delete(stage, leg):
    async with stage.session.delete(stage.simulator.url + path(leg), headers=AUTH) as response:
        return response.status


def kinds(stage):
    told = [post.fields["kind"] for post in stage.centre.at("/events")]
    return [kind for kind in told if "supervision" in kind]


def story(stage):
    [told] = stage.simulator.exchange.ledger.as_json()["supervisions"]
    return told


def test_a_supervisor_rings_listens_whispers_and_is_taken_off():
    async def play():
        async with on_stage(TALK, phones=PHONES) as stage:
            _, agent = await talk(stage)
            status, told, _ = await stage.request("POST", path(agent), LISTEN)
            assert (status, told["state"], told["mode"]) == (201, "ringing", "listen")
            early = await stage.request("PATCH", path(agent), {"mode": "whisper"})
            assert (early[0], early[1]["error"]["code"]) == (409, "calls.supervision_ringing")
            await stage.until(lambda: story(stage)["state"] == "connected")
            assert (await stage.get(path(agent)))["supervision"]["connected_at"]
            status, told, _ = await stage.request("PATCH", path(agent), {"mode": "whisper"})
            assert (status, told["mode"]) == (200, "whisper")
            assert await delete(stage, agent) == await delete(stage, agent) == 204
            assert await stage.get(path(agent)) == {"supervision": None}
            assert agent.ended_at is None
            await stage.until(lambda: not stage.simulator.exchange.webhooks.busy)
            steps = ["ringing", "connected", "updated", "ended"]
            assert sorted(kinds(stage)) == sorted(f"call.supervision.{step}" for step in steps)
            assert [one["mode"] for one in story(stage)["modes"]] == ["listen", "whisper"]
            assert stage.problems == []

    asyncio.run(play())


def test_one_supervisor_a_call_and_once_per_key():
    async def play():
        async with on_stage(TALK, phones=PHONES) as stage:
            _, agent = await talk(stage)
            first = await stage.request("POST", path(agent), LISTEN, Idempotency_Key="k")
            again = await stage.request("POST", path(agent), LISTEN, Idempotency_Key="k")
            assert (again[0], again[2]["Idempotent-Replay"]) == (201, "true")
            assert first[1]["supervision_id"] == again[1]["supervision_id"]
            other = await stage.request("POST", path(agent), LISTEN, Idempotency_Key="k-2")
            assert other[0] == 409
            assert other[1]["error"]["code"] == "calls.supervision_in_progress"
            barge = {**LISTEN, "mode": "barge"}
            conflict = await stage.request("POST", path(agent), barge, Idempotency_Key="k")
            assert conflict[1]["error"]["code"] == "idempotency.conflict"

    asyncio.run(play())


def test_it_ends_with_the_call_and_when_nobody_answers_it_fails():
    async def play():
        phones = {**PHONES, BOSS: [{"ring": 0}, {"action": "reject"}]}
        async with on_stage(TALK, phones=phones) as stage:
            caller, agent = await talk(stage)
            await stage.request("POST", path(agent), LISTEN)
            await stage.until(lambda: story(stage)["state"] == "connected")
            await stage.request("POST", f"/_sim/calls/{agent.session_id}/hangup")
            assert story(stage)["state"] == "ended"
            late = await stage.request("POST", path(agent), LISTEN)
            assert (late[0], late[1]["error"]["code"]) == (409, "calls.not_live")
            await stage.request("POST", f"/_sim/calls/{caller.session_id}/hangup")
            _, agent = await talk(stage)
            await stage.request("POST", path(agent), LISTEN)
            failed = stage.simulator.exchange.supervisions.of(agent)
            await stage.until(lambda: failed.state == "failed")
            assert failed.connected_at is None

    asyncio.run(play())


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "shout"},
        {"supervisor": {"type": "phone", "number": "0733"}},
        {"supervisor": {"type": "phone", "identity": BOSS}},
        {"announce": "loudly"},
        {"label": "x" * 65},
        {"volume": 11},
    ],
)
def test_what_is_asked_is_read_strictly(wrong):
    async def play():
        async with on_stage(TALK, phones=PHONES) as stage:
            _, agent = await talk(stage)
            status, answer, _ = await stage.request("POST", path(agent), {**LISTEN, **wrong})
            assert (status, answer["error"]["code"]) == (422, "calls.invalid_request")

    asyncio.run(play())


def test_switches_decide_what_the_contract_leaves_open():
    async def play():
        open_questions = {"supervision_wrapped": True, "supervision_after_end": "object"}
        async with on_stage(TALK, phones=PHONES, **open_questions) as stage:
            _, agent = await talk(stage)
            await stage.request("PATCH", "/_sim/config", {"supervise_in_room": False})
            refused = await stage.request("POST", path(agent), LISTEN)
            assert refused[1]["error"]["code"] == "calls.not_supervisable"
            await stage.request("PATCH", "/_sim/config", {"supervise_in_room": True})
            _, told, _ = await stage.request("POST", path(agent), LISTEN)
            assert told["supervision"]["state"] == "ringing"
            await delete(stage, agent)
            assert (await stage.get(path(agent)))["supervision"]["state"] == "failed"

    asyncio.run(play())
