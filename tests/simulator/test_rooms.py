"""Callers and agents meet in rooms."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from tests.simulator.stage import AGENT, CALLER, EMPTY, Post, Stage, conference, on_stage


def queue_document(post: Post) -> list[dict[str, Any]]:
    """The caller's hold document; the base URL is read off the request."""
    base = f"http://{post.headers['Host']}"
    return [
        {"say": {"text": "Please hold."}},
        conference(
            startOnEnter=False,
            endOnExit=True,
            waitUrl=base + "/hold-music",
            statusEventsCallbackUrl=base + "/caller-events",
            statusEvents="join leave end",
        ),
    ]


AGENT_JOINS = [conference(startOnEnter=True, endOnExit=True)]
MUSIC = web.Response


def music(post: Post) -> web.Response:
    return web.Response(body=b"m" * 1234, content_type="audio/mpeg")


async def in_room(stage: Stage, count: int = 1, name: str = "room-1") -> None:
    rooms = stage.simulator.exchange.rooms.open
    await stage.until(lambda: name in rooms and len(rooms[name].members) == count)


def test_a_held_caller_and_an_agent_are_bridged_and_both_records_have_their_cost():
    async def play():
        replies = {"/in": queue_document, "/agent": AGENT_JOINS, "/hold-music": music}
        phones = {AGENT: {"ring": 2, "talk": 20}}
        async with on_stage(replies, phones=phones) as stage:
            caller = await stage.call_in(patience=60)
            await in_room(stage)
            assert not caller.bridges, "nobody to talk to yet"
            agent = await stage.call_out("/agent")
            assert (await stage.record(agent))["status"] == "ringing"
            await stage.ended(caller, agent)

            (talk,) = stage.simulator.exchange.ledger.interactions
            assert (talk.caller, talk.agent) == (CALLER, AGENT)
            assert talk.ended_at is not None
            assert 0.8 < talk.ended_at - talk.began_at < 2, "20 s at twentyfold speed"

            inbound, outbound = await stage.record(caller), await stage.record(agent)
            assert (inbound["status"], inbound["direction"]) == ("completed", "inbound")
            assert (inbound["remote_e164"], inbound["cost_minor"]) == (CALLER, 0)
            assert (outbound["status"], outbound["remote_e164"]) == ("completed", AGENT)
            assert outbound["duration_seconds"] == 2, "begun seconds count"
            assert outbound["cost_minor"] == 10, "2 s of 300 a minute"
            assert stage.simulator.exchange.wallet_minor == 1_000_000_00 - 10

            states = [post.state for post in stage.centre.at("/in")]
            assert states == ["Ringing", "Completed"]
            assert [post.state for post in stage.centre.at("/agent")] == ["Answered", "Completed"]
            kinds = [event["kind"] for event in inbound["events"]]
            assert kinds == ["call.started", "call.answered", "call.completed"]
            assert stage.problems == []

    asyncio.run(play())


def test_the_first_room_url_gets_the_events_of_legs_that_named_none():
    async def play():
        replies = {"/in": queue_document, "/agent": AGENT_JOINS, "/hold-music": music}
        phones = {AGENT: {"ring": 1, "talk": 5}}
        async with on_stage(replies, phones=phones) as stage:
            caller = await stage.call_in()
            await in_room(stage)
            agent = await stage.call_out("/agent")
            await stage.ended(caller, agent)
            events = stage.centre.at("/caller-events")
            named = sorted((post.fields["event"], post.fields["caller"]) for post in events)
            assert [event for event, _ in named] == ["end", "join", "join", "leave", "leave"]
            assert ("join", AGENT) in named
            first = events[0].fields
            assert first["sessionId"] == caller.session_id
            assert (first["conference_name"], first["participants"]) == ("room-1", 1)

    asyncio.run(play())


def test_the_wait_url_is_fetched_once_and_its_kind_and_size_are_noted():
    async def play():
        async with on_stage({"/in": queue_document, "/hold-music": music}) as stage:
            caller = await stage.call_in(patience=4)
            await stage.ended(caller)
            assert len(stage.centre.at("/hold-music")) == 1
            (audio,) = [one for one in caller.entries if one["what"] == "hold_audio"]
            assert (audio["content_type"], audio["size"]) == ("audio/mpeg", 1234)
            assert stage.problems == []

    asyncio.run(play())


def test_a_missing_hold_music_is_flagged():
    async def play():
        async with on_stage({"/in": queue_document, "/hold-music": 404}) as stage:
            await stage.ended(await stage.call_in(patience=2))
            assert [one["what"] for one in stage.problems] == ["bad_wait_url"]

    asyncio.run(play())


def test_a_caller_whose_patience_ends_gives_up_and_the_room_closes():
    async def play():
        async with on_stage({"/in": queue_document, "/hold-music": music}) as stage:
            caller = await stage.call_in(patience=10)
            await stage.ended(caller)
            assert caller.ended_at is not None
            waited = caller.ended_at - caller.rooms[0]["entered_at"]
            assert 0.45 < waited < 2, "10 s at twentyfold speed"
            assert (caller.end_cause, caller.ended_by) == ("gave_up", "phone")
            assert stage.simulator.exchange.rooms.open == {}
            assert sorted(stage.centre.room_events("/caller-events")) == ["end", "join", "leave"]

    asyncio.run(play())


def test_patience_does_not_end_a_conversation():
    async def play():
        replies = {"/in": queue_document, "/agent": AGENT_JOINS, "/hold-music": music}
        phones = {AGENT: {"ring": 1, "talk": 30}}
        async with on_stage(replies, phones=phones) as stage:
            caller = await stage.call_in(patience=12)
            await in_room(stage)
            agent = await stage.call_out("/agent")
            await stage.ended(caller, agent)
            assert agent.ended_by == "phone"
            assert caller.end_cause != "gave_up"

    asyncio.run(play())


def test_without_end_on_exit_the_caller_stays_when_the_agent_leaves():
    async def play():
        stays = [conference(startOnEnter=False)]
        goes = [conference(startOnEnter=True)]
        phones = {AGENT: {"ring": 1, "talk": 4}}
        async with on_stage({"/in": stays, "/agent": goes}, phones=phones) as stage:
            caller = await stage.call_in(patience=10)
            await in_room(stage)
            agent = await stage.call_out("/agent")
            await stage.ended(agent)
            assert caller.ended_at is None, "the room goes on"
            assert caller.member is not None
            await stage.ended(caller)
            assert caller.end_cause == "gave_up", "left alone, the caller gets impatient anew"

    asyncio.run(play())


def test_a_room_ended_by_another_lets_the_caller_go_on_with_the_document():
    async def play():
        def document(post: Post) -> list[dict[str, Any]]:
            base = f"http://{post.headers['Host']}"
            return [conference(startOnEnter=False), {"redirect": {"url": base + "/after"}}]

        replies = {"/in": document, "/agent": AGENT_JOINS, "/after": [{"hangup": {}}]}
        phones = {AGENT: {"ring": 1, "talk": 2}}
        async with on_stage(replies, phones=phones) as stage:
            caller = await stage.call_in()
            await in_room(stage)
            await stage.ended(await stage.call_out("/agent"), caller)
            assert len(stage.centre.at("/after")) == 1
            assert caller.ended_by == "document"

        async with on_stage(replies, phones=phones, after_room="hangup") as stage:
            caller = await stage.call_in()
            await in_room(stage)
            await stage.ended(await stage.call_out("/agent"), caller)
            assert stage.centre.at("/after") == []
            assert caller.end_cause == "room_ended"

    asyncio.run(play())


def test_an_arrival_over_the_cap_stalls():
    async def play():
        replies = {"/in": [conference(maxParticipants=1), {"hangup": {}}]}
        async with on_stage(replies) as stage:
            first = await stage.call_in()
            await in_room(stage)
            second = await stage.call_in(hangup_after=5)
            await stage.ended(second)
            assert "stalled" in [one["what"] for one in second.entries]
            assert first.ended_at is None
            assert first.bridges == {}

    asyncio.run(play())


def test_a_hangup_by_rest_ends_the_leg_and_may_be_repeated():
    async def play():
        async with on_stage({"/in": queue_document, "/hold-music": music}) as stage:
            caller = await stage.call_in()
            await in_room(stage)
            for handle in (caller.session_id, caller.call_id):
                status, answer, _ = await stage.request("POST", f"/v1/calls/{handle}/hangup")
                assert (status, answer["status"]) == (200, "hung_up")
                assert answer["call_id"] == caller.call_id
            await stage.ended(caller)
            assert len(stage.centre.at("/in", "Completed")) == 1
            assert (await stage.record(caller))["status"] == "completed"

    asyncio.run(play())


def test_a_document_that_holds_nobody_drops_the_call():
    async def play():
        async with on_stage({"/in": [{"say": {"text": "Bye."}}], "/xml": EMPTY}) as stage:
            caller = await stage.call_in()
            await stage.ended(caller)
            assert (caller.status, caller.end_cause) == ("completed", "document_ended")

    asyncio.run(play())
