"""Calls that we place, with a provider that answers late, not at all, or only for money."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.centre import NEVER, Centre, phone

LOST = {"kind": "rest_error", "route": "POST /v1/calls", "status": 503, "after": True}
AWAY = {"kind": "rest_error", "route": "*", "status": 503}


@pytest.fixture(autouse=True)
def back_again(centre: Centre) -> Iterator[None]:
    """The next test finds a provider that answers, and a product that knows it."""
    try:
        yield
    finally:
        centre.sim("PATCH", "/config", {"faults": [], "wallet_minor": 100_000_000})
        centre.until(lambda: provider(centre)["breaker"] != "open", "the breaker is closed")
        centre.forget_facts()


def provider(centre: Centre) -> dict[str, Any]:
    """How the product sees its provider."""
    return dict(centre.api("GET", "/api/live/")["provider"])


def receipts(centre: Centre) -> list[dict[str, Any]]:
    """The requests to place a call that reached the provider."""
    return list(centre.sim("GET", "/posts")["receipts"])


def alerts(centre: Centre) -> list[str]:
    return [alert["text"] for alert in centre.api("GET", "/api/live/")["alerts"]]


@pytest.mark.parametrize("lost", [LOST, {**LOST, "status": 0, "seconds": 0.2}], ids=["503", "cut"])
def test_a_call_whose_answer_was_lost_rings_once_and_the_repeat_is_a_replay(
    centre: Centre, lost: dict[str, Any]
):
    centre.switch(events="off")  # else an event tells of the leg before it is asked for again
    queue = centre.queue(direct_dial=False, ring_timeout=8)
    agent = centre.agent(queue, answers=phone(ring=3))
    centre.sim("PATCH", "/config", {"faults": [lost]})
    call = centre.call_in(queue, talk=0.5)
    centre.until(lambda: len(receipts(centre)) >= 2, "it is asked for again")
    centre.sim("PATCH", "/config", {"faults": []})
    [told] = centre.over(call)
    assert (told["status"], told["agent"]) == ("completed", agent.username)
    assert len(centre.legs_to(agent.destination)) == 1
    first, *repeats = receipts(centre)
    assert first["replay"] is False
    assert repeats
    assert all(one["replay"] for one in repeats)
    assert {one["idempotency_key"] for one in repeats} == {first["idempotency_key"]}


def test_the_phone_of_a_caller_who_has_gone_stops_ringing_though_its_handle_was_never_told(
    centre: Centre,
):
    centre.switch(events="off")
    queue = centre.queue(direct_dial=False, ring_timeout=20)
    agent = centre.agent(queue, answers=NEVER)
    centre.sim("PATCH", "/config", {"faults": [LOST]})
    call = centre.call_in(queue)
    leg = centre.until_rings(agent.destination)
    centre.hang_up(call)
    centre.until_status(call, "abandoned")
    ended = centre.until(
        lambda: [one for one in centre.legs_to(agent.destination) if one["ended_at"]], "hung up", 6
    )
    assert [(one["session_id"], one["ended_by"]) for one in ended] == [(leg["session_id"], "api")]
    centre.sim("PATCH", "/config", {"faults": []})
    centre.over(call)


def test_while_the_provider_is_away_callers_wait_and_are_served_within_5_s_of_its_return(
    centre: Centre,
):
    queue = centre.queue(direct_dial=False, ring_timeout=4, wrap_up_seconds=0)
    agents = [centre.agent(queue) for _ in range(2)]
    centre.sim("PATCH", "/config", {"faults": [AWAY]})
    calls = [centre.call_in(queue, talk=0.5) for _ in range(3)]
    centre.until(lambda: provider(centre)["breaker"] == "open", "the breaker opens", 20)
    assert any("does not answer" in text for text in alerts(centre))
    centre.until(lambda: all(centre.status(call) == "waiting" for call in calls), "all in line", 6)
    for agent in agents:
        centre.until_engaged(agent, "idle")
    sent = len(receipts(centre))
    whys = [centre.call(call)["why_waiting"] or "" for call in calls]
    assert all("provider is away" in why for why in whys), whys
    assert len(receipts(centre)) == sent  # nobody is tried in vain

    centre.sim("PATCH", "/config", {"faults": []})
    centre.until(
        lambda: any(centre.status(call) in {"connected", "completed"} for call in calls),
        "work goes on", 5,
    )  # fmt: skip
    told = centre.over(*calls, legs=False)  # what got a 503 may exist: looked for, for a minute
    assert {call["status"] for call in told} == {"completed"}
    assert provider(centre)["breaker"] == "closed"
    assert not any("does not answer" in text for text in alerts(centre))


def test_an_empty_wallet_stops_the_dialling_until_it_is_filled(centre: Centre):
    queue = centre.queue(direct_dial=False)
    agent = centre.agent(queue)
    centre.sim("PATCH", "/config", {"wallet_minor": 0})
    call = centre.call_in(queue, talk=0.5)
    centre.until(
        lambda: (provider(centre)["wallet"] or {}).get("balance_minor") == 0, "the wallet is seen"
    )
    centre.until_status(call, "waiting")
    assert provider(centre)["dialling_stopped"] is True
    assert any("wallet is empty" in text for text in alerts(centre))
    centre.api("POST", "/api/calls/", {"agent": agent.username, "to": "+254733000001"}, status=409)
    assert [one["status"] for one in receipts(centre)] == [402]

    centre.sim("PATCH", "/config", {"wallet_minor": 5_000_00})
    hint = {"kind": "wallet.top_up", "event_id": f"top-up-{call}", "data": {}}
    answer = centre.simulator.post(
        f"{centre.stack.url}/calls/events?token={centre.stack.webhook_token}", json=hint, timeout=10
    )
    assert answer.status_code == 200
    [told] = centre.over(call)
    assert told["status"] == "completed"
    assert not any("wallet is empty" in text for text in alerts(centre))
