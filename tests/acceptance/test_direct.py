"""A caller comes in while an agent is free: the agent's phone is dialled at once."""

import pytest

from tests.acceptance.centre import BUSY, NEVER, Centre, in_order, phone


def test_a_free_agent_is_dialled_and_the_caller_hangs_up_first(centre: Centre):
    queue = centre.queue()
    agent = centre.agent(queue)
    call = centre.call_in(queue, talk=1.2)
    centre.until_engaged(agent, "on_call")
    assert centre.status(call) == "connected"
    centre.until_engaged(agent, "wrap_up")
    centre.until_engaged(agent, "idle", seconds=3)
    [told] = centre.over(call)
    assert told["status"] == "completed"
    assert told["queue"] == queue.slug
    assert 0.8 < told["talk_seconds"] < 2.5
    again = centre.call_in(queue, talk=0.3)  # routable again: the next caller is dialled too
    [told] = centre.over(again)
    assert told["status"] == "completed"
    assert [offer["kind"] for offer in told["offers"]] == ["direct"]


def test_a_free_agent_is_dialled_and_hangs_up_first(centre: Centre):
    queue = centre.queue()
    agent = centre.agent(queue, answers=phone(ring=0.3, talk=1))
    call = centre.call_in(queue)
    centre.until_engaged(agent, "on_call")
    centre.until_engaged(agent, "wrap_up")
    [told] = centre.over(call)
    assert told["status"] == "completed"
    assert centre.heard(call) == ["Hello.", "Thank you for calling. Goodbye."]
    assert centre.story(call)["ended_by"] == "document"
    centre.until_engaged(agent, "idle", seconds=3)


def test_a_dial_that_is_not_answered_holds_the_caller_in_the_same_place(centre: Centre):
    queue = centre.queue(wrap_up_seconds=0)
    silent = centre.agent(queue, answers=NEVER)
    other = centre.agent(queue, presence="break")
    first = centre.call_in(queue, talk=0.5)
    centre.until_engaged(silent, "ringing")
    second = centre.call_in(queue, talk=0.5)
    centre.until_status(first, "waiting")
    assert centre.state(silent)["hold_off_reason"] == "no_answer"
    assert centre.state(silent)["engagement"] == "idle"
    centre.until_offerable(first)  # not for 2 s, while the provider is asked about the dial
    centre.present(other)
    told = centre.over(first, second)
    assert [call["agent"] for call in told] == [other.username] * 2
    assert list(in_order(centre, [first, second])) == [first, second]
    assert "You are next in line." in centre.heard(first)
    assert [offer["status"] for offer in told[0]["offers"]] == ["no_answer", "ended"]


def test_a_dial_to_a_busy_phone_holds_the_caller_and_passes_the_agent_over(centre: Centre):
    queue = centre.queue()
    busy = centre.agent(queue, answers=BUSY)
    other = centre.agent(queue, presence="break")
    call = centre.call_in(queue, talk=0.5)
    centre.until_status(call, "waiting")
    centre.until(lambda: centre.state(busy)["hold_off_reason"], "the agent is held off")
    centre.present(other)
    [told] = centre.over(call)
    assert told["agent"] == other.username
    assert len(centre.legs_to(busy.destination)) == 1


@pytest.mark.parametrize("told_by", ["record", "dial status"])
def test_a_busy_phone_is_no_strike(centre: Centre, told_by: str):
    centre.switch(dial_status_fields=told_by == "dial status", dial_records=told_by == "record")
    queue = centre.queue()
    busy = centre.agent(queue, answers=BUSY)
    call = centre.call_in(queue)
    centre.until_status(call, "waiting")
    centre.until(
        lambda: centre.state(busy)["hold_off_reason"] == "busy", "held off as busy", seconds=2
    )


def test_a_caller_who_gives_up_while_the_dialled_agent_rings_is_no_strike(centre: Centre):
    queue = centre.queue(ring_timeout=5)
    agent = centre.agent(queue, answers=NEVER)
    call = centre.call_in(queue, patience=1)
    centre.until_engaged(agent, "ringing")
    [told] = centre.over(call)
    assert (told["status"], told["abandoned_in"]) == ("abandoned", "ringing")
    centre.until_engaged(agent, "idle", seconds=4)
    assert centre.state(agent)["hold_off_reason"] == ""
    assert [leg["status"] for leg in centre.legs_to(agent.destination)] == ["canceled"]
