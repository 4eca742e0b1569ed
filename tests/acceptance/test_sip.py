"""Agents at SIP softphones, with a provider that calls SIP addresses and one that does not."""

import time
from collections.abc import Iterator

import pytest

from tests.acceptance.centre import Centre, in_order, phone
from tests.acceptance.stack import WholeStack


def test_a_sip_agent_is_dialled_directly(centre: Centre):
    queue = centre.queue()
    agent = centre.agent(queue, sip=True)
    [told] = centre.over(centre.call_in(queue, talk=0.6))
    assert (told["status"], told["agent"]) == ("completed", agent.username)
    [leg] = centre.legs_to(agent.destination)
    assert leg["kind"] == "dial"


def test_a_sip_agent_is_called_into_the_room(centre: Centre):
    queue = centre.queue()
    agent = centre.agent(queue, sip=True, presence="break")
    call = centre.call_in(queue, talk=0.6)
    centre.until_offerable(call)
    centre.present(agent)
    [told] = centre.over(call)
    assert (told["status"], told["agent"]) == ("completed", agent.username)
    [leg] = centre.legs_to(agent.destination)
    assert leg["kind"] == "outbound"


@pytest.fixture(scope="module")
def knows(stack: WholeStack) -> Iterator[set[str]]:
    """What the product has found out in this module; forgotten again at its end."""
    yield set()
    Centre(stack).forget_facts()


@pytest.fixture
def sip_refused(centre: Centre, knows: set[str]) -> Centre:
    """A provider that calls no SIP address, and a product that has found out."""
    centre.switch(accept_sip_to=False)
    if "refused" not in knows:
        _find_out(centre)
        knows.add("refused")
        time.sleep(5)  # for as long every process believes what it has read before
    return centre


def _find_out(centre: Centre) -> None:
    queue = centre.queue()
    agent = centre.agent(queue, sip=True, presence="break")
    call = centre.call_in(queue)
    centre.until_offerable(call)
    centre.present(agent)
    centre.until(lambda: centre.state(agent)["hold_off_reason"] == "unreachable", "unreachable")
    assert centre.status(call) == "waiting"
    centre.hang_up(call)
    centre.over(call)
    alerts = centre.api("GET", "/api/live/")["alerts"]
    assert any("SIP" in alert["text"] for alert in alerts)


def test_where_sip_cannot_be_called_callers_hold_by_laps_that_end_at_the_agent(
    sip_refused: Centre,
):
    centre = sip_refused
    queue = centre.queue(wrap_up_seconds=0)
    agent = centre.agent(queue, sip=True, presence="break")
    call = centre.call_in(queue, talk=0.5)
    centre.until(
        lambda: len([text for text in centre.heard(call) if "/hold-music" in text]) >= 3,
        "three laps of music",
    )
    assert centre.status(call) == "waiting"
    assert centre.story(call)["rooms"] == []
    assert "You are next in line." in centre.heard(call)
    centre.present(agent)
    [told] = centre.over(call)
    assert (told["status"], told["agent"]) == ("completed", agent.username)
    assert [leg["kind"] for leg in centre.legs_to(agent.destination)] == ["dial"]


def test_callers_who_hold_by_laps_are_served_in_order(sip_refused: Centre):
    centre = sip_refused
    centre.switch(play_seconds=20.0)  # two seconds of the clock
    queue = centre.queue(wrap_up_seconds=0, hold_message="", say_position=False)
    agent = centre.agent(queue, sip=True, presence="break", answers=phone(ring=0.2))
    first = centre.call_in(queue, talk=0.5)
    centre.until(lambda: centre.heard(first), "music for the first", seconds=5)
    second = centre.call_in(queue, talk=0.5)
    centre.until(lambda: centre.heard(second), "music for the second", seconds=5)
    laps = len(centre.heard(first))
    centre.until(lambda: len(centre.heard(first)) > laps, "a new lap of the first", seconds=5)
    centre.present(agent)  # now the second one's lap ends first
    centre.over(first, second, seconds=20)
    assert list(in_order(centre, [first, second])) == [first, second]


def test_where_sip_cannot_be_called_a_number_takes_the_held_caller(sip_refused: Centre):
    centre = sip_refused
    queue = centre.queue()
    sip = centre.agent(queue, sip=True, presence="break")
    other = centre.agent(queue, presence="break")
    call = centre.call_in(queue, talk=0.5)
    centre.until_offerable(call)
    centre.present(sip)
    centre.present(other)
    [told] = centre.over(call)
    assert told["agent"] == other.username
    assert centre.legs_to(sip.destination) == []
