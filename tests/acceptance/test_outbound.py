"""Calls that we start: click to call, and pulling a waiting caller to a named agent."""

import pytest

from tests.acceptance.centre import BUSY, NEVER, Agent, Centre, Queue, phone

CONTACT = "+254733000001"


def click(centre: Centre, agent: Agent, queue: Queue | None = None, to: str = CONTACT) -> str:
    """Have an agent call a contact; returns the call's id."""
    body = {"agent": agent.username, "to": to, **({"queue": queue.slug} if queue else {})}
    return str(centre.api("POST", "/api/calls/", body, status=201)["id"])


@pytest.mark.parametrize("ends", ["contact", "agent"])
def test_a_contact_answers_and_is_connected_to_the_agent(centre: Centre, ends: str):
    queue = centre.queue()
    talk = phone(ring=0.3, talk=0.8)
    agent = centre.agent(queue, answers=talk if ends == "agent" else phone(ring=0.3))
    centre.set_phone(CONTACT, talk if ends == "contact" else phone(ring=0.5))
    call = click(centre, agent, queue)
    centre.until_engaged(agent, "on_call")
    centre.until_engaged(agent, "wrap_up")
    [told] = centre.over(call)
    assert (told["status"], told["agent"]) == ("completed", agent.username)
    assert (told["from"], told["to"]) == (queue.number, CONTACT)
    [leg] = centre.legs_to(CONTACT)
    assert leg["from"] == queue.number


@pytest.mark.parametrize(("answers", "status"), [(NEVER, "no_answer"), (BUSY, "busy")])
def test_a_contact_who_is_not_reached_frees_the_agent(centre: Centre, answers, status: str):
    centre.switch(max_ring=1.5)
    queue = centre.queue()
    agent = centre.agent(queue)
    centre.set_phone(CONTACT, answers)
    [told] = centre.over(click(centre, agent, queue))
    assert told["status"] == status
    centre.until_engaged(agent, "idle", seconds=2)
    assert centre.state(agent)["hold_off_reason"] == ""
    assert centre.legs_to(agent.destination) == []


def test_a_contact_who_does_not_exist_fails(centre: Centre):
    agent = centre.agent(centre.queue(), presence="break")
    centre.set_phone(CONTACT, phone(action="fail"))
    [told] = centre.over(click(centre, agent))
    assert told["status"] == "failed"


def test_an_agent_who_presses_1_meets_the_contact_in_a_room(centre: Centre):
    queue = centre.queue()
    pressing = phone(ring=0.3, digits=["1"])
    agent = centre.agent(queue, confirm_key=True, answers=pressing)
    centre.set_phone(CONTACT, phone(ring=0.3, talk=0.8))
    [told] = centre.over(click(centre, agent, queue))
    assert (told["status"], told["agent"]) == ("completed", agent.username)
    assert [leg["kind"] for leg in centre.legs_to(agent.destination)] == ["outbound"]


def test_an_agent_who_is_not_there_costs_the_contact_an_apology(centre: Centre):
    queue = centre.queue()
    agent = centre.agent(queue, answers=NEVER)
    centre.set_phone(CONTACT, phone(ring=0.2))
    call = click(centre, agent, queue)
    [told] = centre.over(call)
    assert told["status"] == "failed"
    [leg] = centre.legs_to(CONTACT)
    assert "We are sorry" in centre.heard(leg["session_id"])[-1]
    assert centre.state(agent)["engagement"] == "idle"


def test_an_agent_who_is_not_free_cannot_call(centre: Centre):
    queue = centre.queue()
    agent = centre.agent(queue)
    call = centre.call_in(queue, talk=1)
    centre.until_engaged(agent, "on_call")
    body = {"agent": agent.username, "to": CONTACT}
    answer = centre.api("POST", "/api/calls/", body, status=409)
    assert "not free" in answer["detail"]
    centre.over(call)


def test_a_waiting_caller_is_pulled_to_a_named_agent(centre: Centre):
    queue, elsewhere = centre.queue(), centre.queue()
    agent = centre.agent(elsewhere)
    call = centre.call_in(queue, talk=0.6)
    centre.until_status(call, "waiting")
    centre.until(lambda: centre.story(call)["rooms"], "the caller is in the room")
    pull = {"customerCallId": call, "agentNumber": agent.destination}
    wrong = {**pull, "agentNumber": "+254799999999"}
    centre.api("POST", "/calls/connect-agent", wrong, status=404)
    centre.api("POST", "/calls/connect-agent", {**pull, "customerCallId": "no"}, status=404)
    centre.api("POST", "/calls/connect-agent", pull)
    centre.api("POST", "/calls/connect-agent", pull, status=409)
    [told] = centre.over(call)
    assert (told["status"], told["agent"]) == ("completed", agent.username)
