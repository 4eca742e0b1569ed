"""Callers who wait: their order, those who give up, and the rules of the queue."""

import time

import pytest

from tests.acceptance.centre import NEVER, Centre, at, in_order, phone


def test_five_callers_are_served_by_two_agents_in_the_order_of_their_arrival(centre: Centre):
    queue = centre.queue(wrap_up_seconds=0)
    agents = [centre.agent(queue, answers=phone(ring=0.2)) for _ in range(2)]
    handles = []
    for n in range(5):
        handles.append(centre.call_in(queue, talk=2))
        centre.until_status(handles[-1], "connected" if n < 2 else "waiting")
    told = centre.over(*handles, seconds=20)
    assert [call["status"] for call in told] == ["completed"] * 5
    assert {call["agent"] for call in told} == {agent.username for agent in agents}
    assert list(in_order(centre, handles)) == handles
    said = [
        next((text for text in centre.heard(handle) if "in line" in text), None)
        for handle in handles
    ]
    assert said == [
        None, None, "You are next in line.", "You are number 2 in line.",
        "You are number 3 in line.",
    ]  # fmt: skip


def test_a_caller_of_a_queue_with_priority_is_served_first(centre: Centre):
    plain, gold = centre.queue(wrap_up_seconds=0), centre.queue(wrap_up_seconds=0, priority=5)
    agent = centre.agent(plain, gold, presence="offline")
    first, second = centre.call_in(plain, talk=0.4), centre.call_in(gold, talk=0.4)
    centre.until_offerable(first)
    centre.until_offerable(second)
    centre.present(agent)
    centre.over(first, second)
    assert list(in_order(centre, [first, second])) == [second, first]


def test_the_agent_who_is_idle_longest_is_taken(centre: Centre):
    queue = centre.queue(wrap_up_seconds=0)
    early, late = centre.agent(queue), centre.agent(queue)
    calls = [centre.over(centre.call_in(queue, talk=0.3))[0] for _ in range(3)]
    assert [call["agent"] for call in calls] == [early.username, late.username, early.username]


def test_a_caller_gives_up_while_waiting(centre: Centre):
    queue = centre.queue()
    agent = centre.agent(queue, presence="break")
    call = centre.call_in(queue, patience=1.5)
    centre.until_status(call, "waiting")
    [told] = centre.over(call)
    assert (told["status"], told["abandoned_in"]) == ("abandoned", "queue")
    assert 1 < told["wait_seconds"] < 3
    centre.present(agent)
    time.sleep(0.5)
    assert centre.legs_to(agent.destination) == []


def test_a_caller_gives_up_while_an_agent_rings_whose_phone_stops(centre: Centre):
    queue = centre.queue(direct_dial=False, ring_timeout=10)
    agent = centre.agent(queue, answers=NEVER)
    call = centre.call_in(queue)
    centre.until_rings(agent.destination)
    centre.until_engaged(agent, "ringing")
    centre.hang_up(call)
    gave_up_at = centre.story(call)["ended_at"]
    [told] = centre.over(call)
    assert (told["status"], told["abandoned_in"]) == ("abandoned", "ringing")
    [leg] = centre.legs_to(agent.destination)
    assert (leg["status"], leg["ended_by"]) == ("canceled", "api")
    assert leg["ended_at"] - gave_up_at < 1
    assert [offer["status"] for offer in told["offers"]] == ["caller_gone"]
    state = centre.state(agent)
    assert (state["engagement"], state["hold_off_reason"]) == ("idle", "")
    again = centre.call_in(queue)  # no hold-off: the next caller rings at once
    centre.until_rings(agent.destination, seconds=3)
    centre.hang_up(again)
    centre.over(again)


def test_an_agent_who_lets_the_room_ring_is_passed_over_for_the_next(centre: Centre):
    queue = centre.queue(direct_dial=False)
    silent = centre.agent(queue, answers=NEVER)
    other = centre.agent(queue)
    call = centre.call_in(queue, talk=0.5)
    [told] = centre.over(call)
    assert told["agent"] == other.username
    assert [offer["status"] for offer in told["offers"]] == ["no_answer", "ended"]
    state = centre.state(silent)
    assert (state["hold_off_reason"], state["engagement"]) == ("no_answer", "idle")
    [leg] = centre.legs_to(silent.destination)
    assert leg["ended_by"] == "api"
    assert 1.5 < leg["ended_at"] - leg["started_at"] < 4


@pytest.mark.parametrize("how", ["agent", "caller"])
def test_a_held_call_ends_with_either_side(centre: Centre, how: str):
    queue = centre.queue(direct_dial=False)
    agent = centre.agent(queue, answers=phone(ring=0.3, talk=0.8 if how == "agent" else None))
    call = centre.call_in(queue, talk=0.8 if how == "caller" else None)
    centre.until_engaged(agent, "wrap_up")
    [told] = centre.over(call)
    assert told["status"] == "completed"
    assert told["connected_is_estimated"] is False
    [leg] = centre.legs_to(agent.destination)
    assert leg["ended_at"] - at(told["ended_at"]) < 1


def test_a_caller_who_has_waited_for_as_long_as_the_queue_allows_is_let_go(centre: Centre):
    queue = centre.queue(max_wait_seconds=2)
    centre.agent(queue, presence="break")
    [told] = centre.over(centre.call_in(queue))
    assert told["status"] == "expired"
    assert 1.5 < told["wait_seconds"] < 4


def test_a_queue_that_is_empty_may_end_the_call(centre: Centre):
    queue = centre.queue(when_empty="end")
    centre.agent(queue, presence="offline")
    call = centre.call_in(queue)
    [told] = centre.over(call)
    assert told["status"] == "rejected"
    assert "nobody is available" in centre.heard(call)[0]
    report = centre.api("GET", "/api/reports/queues/")["results"]
    assert [row["offered"] for row in report if row["queue"] == queue.slug] == [0]


def test_a_number_that_nobody_has_set_up_says_so(centre: Centre):
    call = centre.call_in(centre.number())
    [told] = centre.over(call)
    assert told["status"] == "rejected"
    assert centre.heard(call) == ["This number is not in service. Goodbye."]
    alerts = centre.api("GET", "/api/live/")["alerts"]
    assert any(told["to"] in alert["text"] for alert in alerts)


@pytest.mark.parametrize("caller", ["anonymous", "sip:someone@elsewhere.example.com"])
def test_a_caller_without_a_number_is_served_like_others(centre: Centre, caller: str):
    queue = centre.queue()
    centre.agent(queue)
    call = centre.call_in(queue, caller=caller, talk=0.5)
    [told] = centre.over(call)
    assert (told["status"], told["from"]) == ("completed", caller)


def test_an_agent_presses_1_to_take_the_call(centre: Centre):
    queue = centre.queue()
    pressing = phone(ring=0.3, digits=[{"after": 0.4, "keys": "1"}])
    agent = centre.agent(queue, confirm_key=True, answers=pressing)
    call = centre.call_in(queue, talk=0.6)
    [told] = centre.over(call)
    assert (told["status"], told["agent"]) == ("completed", agent.username)
    assert [offer["kind"] for offer in told["offers"]] == ["room"]
    assert centre.heard(centre.legs_to(agent.destination)[0]["session_id"]) == [
        f"A call for Queue {queue.number[-5:]}. Press 1 to take it."
    ]


@pytest.mark.parametrize("no_input_post", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_voicemail_that_answers_takes_no_caller(centre: Centre, no_input_post: bool):
    centre.switch(no_input_post=no_input_post)
    queue = centre.queue(ring_timeout=3)
    voicemail = centre.agent(queue, confirm_key=True, answers=phone(ring=0.2))
    person = centre.agent(queue, presence="offline")
    call = centre.call_in(queue, talk=0.5)
    centre.until_rings(voicemail.destination)
    centre.present(person)
    [told] = centre.over(call, seconds=20)
    assert told["agent"] == person.username
    assert [offer["status"] for offer in told["offers"]] == ["no_keypress", "ended"]
    assert centre.state(voicemail)["hold_off_reason"] == "no_keypress"


def test_an_agent_who_presses_another_key_declines(centre: Centre):
    queue = centre.queue()
    agent = centre.agent(queue, confirm_key=True, answers=phone(ring=0.2, digits=["2"]))
    other = centre.agent(queue, presence="offline")
    call = centre.call_in(queue, talk=0.5)
    centre.until(lambda: centre.state(agent)["hold_off_reason"] == "declined", "declined")
    centre.present(other)
    [told] = centre.over(call)
    assert told["agent"] == other.username
    assert [offer["status"] for offer in told["offers"]] == ["declined", "ended"]
