"""A supervisor listens in: rung by the provider, heard by whom they choose, off with the call."""

from typing import Any

import psycopg
import pytest

from tests.acceptance.centre import NEVER, Centre, at, phone
from tests.acceptance.stack import ADMIN

BOSS = "+254733000001"


@pytest.fixture
def boss(centre: Centre) -> str:
    """The supervisor's phone, which is set on a page of theirs."""
    with psycopg.connect(centre.stack.database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO agents_preferences (user_id, language, time_zone, sounds, phone)"
            " SELECT id, '', '', true, %s FROM auth_user WHERE username = %s"
            " ON CONFLICT (user_id) DO UPDATE SET phone = EXCLUDED.phone",
            [BOSS, ADMIN],
        )
    centre.set_phone(BOSS, phone(ring=0.3))
    return BOSS


def listening(centre: Centre) -> dict[str, Any]:
    """What the provider has of it; nothing yet while the request is on its way."""
    told = centre.sim("GET", "/ledger")["supervisions"]
    assert len(told) <= 1
    return dict(told[0]) if told else {"state": None, "mode": None}


def kinds(call: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in call["timeline"] if one["kind"].startswith("listening")]


@pytest.mark.parametrize("events", ["on", "off"])
def test_a_supervisor_listens_whispers_and_leaves_while_the_talk_goes_on(
    centre: Centre, boss: str, events: str
):
    centre.switch(events=events)
    queue = centre.queue(direct_dial=False)
    agent = centre.agent(queue)
    call = centre.call_in(queue, talk=20)
    centre.until_status(call, "connected")
    path = f"/api/calls/{call}/supervision/"
    centre.api("POST", path, {"mode": "listen"}, status=201)
    centre.api("POST", path, {"mode": "listen"}, status=409)
    centre.until(lambda: listening(centre)["state"] == "connected", "the supervisor listens")
    centre.api("PATCH", path, {"mode": "whisper"})
    centre.until(lambda: listening(centre)["mode"] == "whisper", "the supervisor whispers", 12)
    centre.api("DELETE", path, status=204)
    centre.until(lambda: listening(centre)["state"] == "ended", "the supervisor is off")
    assert centre.status(call) == "connected"
    [leg] = centre.legs_to(agent.destination)
    assert listening(centre)["session_id"] == leg["session_id"]
    centre.hang_up(call)
    [told] = centre.over(call)
    assert kinds(told) == [
        "listening_asked", "listening_started", "listening_changed", "listening_stopped",
        "listening_ended",
    ]  # fmt: skip
    assert len(centre.legs_to(boss)) == 1


def test_who_listens_to_a_direct_dial_is_off_when_the_call_is_over(centre: Centre, boss: str):
    queue = centre.queue()
    centre.agent(queue)
    call = centre.call_in(queue, talk=3)
    centre.until_status(call, "connected")
    centre.api("POST", f"/api/calls/{call}/supervision/", {"mode": "barge"}, status=201)
    centre.until(lambda: listening(centre)["state"] == "connected", "the supervisor listens")
    assert listening(centre)["session_id"] == call
    [told] = centre.over(call)
    centre.until(lambda: "listening_ended" in kinds(centre.call(call)), "it is told")
    ended = [one for one in centre.call(call)["timeline"] if one["kind"] == "listening_ended"]
    assert abs(at(ended[0]["at"]) - at(told["ended_at"])) < 2


def test_a_supervisor_who_does_not_answer_holds_up_nobody(centre: Centre, boss: str):
    centre.set_phone(BOSS, NEVER)
    queue = centre.queue(direct_dial=False)
    centre.agent(queue)
    call = centre.call_in(queue, talk=4)
    centre.until_status(call, "connected")
    centre.api("POST", f"/api/calls/{call}/supervision/", {"mode": "listen"}, status=201)
    centre.until_rings(BOSS)
    centre.over(call)
    centre.until(lambda: "listening_ended" in kinds(centre.call(call)), "it is told")
    [leg] = centre.legs_to(BOSS)
    assert leg["answered_at"] is None
