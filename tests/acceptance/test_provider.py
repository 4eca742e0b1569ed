"""The same calls with a provider that reads the open points of its contract in other ways."""

from typing import Any

import pytest

from tests.acceptance.centre import NEVER, Centre, phone
from tests.acceptance.stack import SECRETS


def direct_and_held(centre: Centre) -> None:
    """One call that is dialled and ended by the agent; one that is missed, held, and served."""
    one = centre.queue()
    centre.agent(one, answers=phone(ring=0.2, talk=0.8))
    other = centre.queue(ring_timeout=1)
    centre.agent(other, answers=NEVER)
    second = centre.agent(other, presence="break", answers=phone(ring=0.2))
    direct, held = centre.call_in(one), centre.call_in(other, talk=0.6)
    centre.until_offerable(held)
    centre.present(second)
    told = centre.over(direct, held)
    assert [call["status"] for call in told] == ["completed", "completed"]
    assert told[1]["agent"] == second.username
    assert [offer["kind"] for call in told for offer in call["offers"]] == [
        "direct", "direct", "room",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "switches",
    [
        {"encoding": "json", "after_dial": "continue", "event_envelope": "B"},
        {"encoding": "seed", "conference_events_to": "first"},
        {
            "after_dial": "dial_completed",
            "conference_events_to": "all",
            "redirect_moves_voice_url": True,
            "client_request_id_query": "second_mark",
        },
        {
            "after_room": "hangup",
            "dial_records": False,
            "dial_status_fields": True,
            "answered_state": "Active",
            "event_envelope": "C",
        },
    ],
    ids=lambda switches: ",".join(f"{name}={value}" for name, value in switches.items()),
)
def test_a_direct_and_a_held_call_where(centre: Centre, switches: dict[str, Any]):
    centre.switch(**switches)
    direct_and_held(centre)


def test_no_event_ever_comes(centre: Centre):
    """All is found by asking; news of a dial may take the 3 s between questions."""
    centre.switch(events="off")
    direct, held = centre.queue(), centre.queue(direct_dial=False)
    agent = centre.agent(direct, answers=phone(ring=0.2, talk=6))
    centre.agent(held)
    calls = [centre.call_in(direct), centre.call_in(held, talk=0.6)]
    centre.until_engaged(agent, "on_call", seconds=6)
    told = centre.over(*calls, legs=False)  # the callee's end may be asked for much later
    assert [call["status"] for call in told] == ["completed", "completed"]
    assert told[0]["connected_is_estimated"] is False


def test_a_short_talk_is_found_in_the_record_when_no_event_comes(centre: Centre):
    centre.switch(events="off")
    queue = centre.queue()
    agent = centre.agent(queue)
    call = centre.call_in(queue, talk=0.6)  # over before the first question
    centre.until_status(call, "completed", seconds=20)
    [told] = centre.over(call, legs=False)  # the callee's end may be asked for much later
    assert told["agent"] == agent.username


@pytest.mark.long
def test_a_long_talk_without_any_evidence_is_taken_for_one(centre: Centre):
    """No record, no event, no status of the dial: after ring time and 10 s they must be talking."""
    centre.switch(dial_records=False)
    queue = centre.queue()
    agent = centre.agent(queue)
    call = centre.call_in(queue, talk=22)
    centre.until_engaged(agent, "on_call", seconds=20)
    [told] = centre.over(call, seconds=30)
    assert (told["status"], told["connected_is_estimated"]) == ("completed", True)


def test_a_talk_without_any_evidence_counts_as_missed_and_the_caller_holds(centre: Centre):
    """Where nothing tells: the hold room at once, in the same place."""
    centre.switch(dial_records=False)
    queue = centre.queue()
    agent = centre.agent(queue, answers=phone(ring=0.2, talk=0.5))
    call = centre.call_in(queue)
    centre.until_status(call, "waiting")
    assert centre.state(agent)["hold_off_reason"] == "no_answer"
    centre.hang_up(call)
    centre.until_status(call, "abandoned")
    centre.check_provider()


@pytest.mark.parametrize("schema", ["sdk", "use_case"])
def test_the_body_that_the_provider_takes_is_learnt(centre: Centre, schema: str):
    centre.switch(accept_schema=schema)
    try:
        queue = centre.queue(direct_dial=False, wrap_up_seconds=0)
        centre.agent(queue)
        for _ in range(2):
            [told] = centre.over(centre.call_in(queue, talk=0.5))
            assert told["status"] == "completed"
        receipts = [one["status"] for one in centre.sim("GET", "/posts")["receipts"]]
        assert receipts == ([422, 201, 201] if schema == "use_case" else [201, 201])
    finally:
        centre.forget_facts()


@pytest.mark.parametrize("which", [0, 1])
def test_signed_webhooks_are_trusted(centre: Centre, which: int):
    centre.switch(signing_secrets=[SECRETS[which]])
    before = centre.api("GET", "/api/live/")["webhooks"]["quarantined"]
    queue = centre.queue()
    centre.agent(queue)
    [told] = centre.over(centre.call_in(queue, talk=0.5))
    assert told["status"] == "completed"
    assert centre.api("GET", "/api/live/")["webhooks"]["quarantined"] == before


def test_a_signed_event_that_is_quicker_than_its_call_is_not_unknown(centre: Centre):
    centre.switch(signing_secrets=[SECRETS[0]])
    before = centre.api("GET", "/api/live/")["webhooks"]
    queue = centre.queue()
    centre.agent(queue)
    centre.over(centre.call_in(queue, talk=0.3))
    assert centre.api("GET", "/api/live/")["webhooks"] == before


def test_webhooks_with_a_wrong_signature_change_nothing(centre: Centre):
    centre.switch(signing_secrets=["somebody-else"])
    before = centre.api("GET", "/api/live/")["webhooks"]["quarantined"]
    queue = centre.queue()
    centre.agent(queue)
    call = centre.call_in(queue)
    centre.until(lambda: centre.sim("GET", "/health")["live"] == 0, "the call is refused")
    assert "We are sorry" in centre.heard(call)[0]
    assert centre.status(call) == ""
    assert centre.api("GET", "/api/live/")["webhooks"]["quarantined"] > before
    centre.check_provider()


def test_every_leg_gets_the_cost_of_its_record(centre: Centre):
    centre.switch(inbound_rate_minor=60)
    queue = centre.queue(wrap_up_seconds=0)
    centre.agent(queue)
    handles = [centre.call_in(queue, talk=1)]
    held = centre.queue(direct_dial=False)
    centre.agent(held)
    handles.append(centre.call_in(held, talk=1))
    centre.over(*handles)

    def costs() -> list[tuple[str, int | None]]:
        return [
            (leg["session_id"], leg["cost_minor"])
            for handle in handles
            for leg in centre.call(handle)["legs"]
        ]

    centre.until(
        lambda: all(cost is not None for _, cost in costs()), "costs of all legs", seconds=20
    )
    for handle, cost in costs():
        assert cost == centre.story(handle)["cost_minor"]
    for handle in handles:
        call = centre.call(handle)
        assert len(call["legs"]) == 2
        assert call["cost_minor"] == sum(leg["cost_minor"] for leg in call["legs"]) > 0
