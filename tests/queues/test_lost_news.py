"""News that overtakes other news, or never comes: the call ends as what it was all the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from agents import presence
from agents.models import Agent
from queues import links
from queues.models import Leg, Offer, QueuedCall
from queues.routing import match
from tests.factories import T0, make_agent, make_queue

from .telephone import argument, the_call, the_offer, verbs

pytestmark = pytest.mark.django_db
CUSTOMER, AGENT = "HD_000000000001", "HD_00000000000a"
HANGS_UP = {"sessionId": AGENT, "callSessionState": "Completed", "isActive": "0"}


@pytest.fixture
def clock():
    with time_machine.travel(T0, tick=False) as travelling:
        yield travelling


class TestNobodyToldOfTheJoin:
    """A held caller, and an agent who was given the room at T0; no event of the room comes."""

    @pytest.fixture
    def join(self, phone, clock):
        queue = make_queue(wrap_up_seconds=20)
        agent = make_agent(queue, presence="break")
        phone.inbound()
        presence.change(agent.pk, "available", at=T0, cause="test")
        QueuedCall.objects.update(offerable_from=T0)
        match(T0)
        Leg.objects.filter(role="agent").update(state="ringing", session_id=AGENT, ask_at=T0)
        offer = the_offer()
        offer.call = the_call()
        url = links.agent_join(offer)
        assert "conference" in verbs(phone.post(url, {"sessionId": AGENT}))
        return url

    def assert_talked(self, seconds):
        call = the_call()
        assert (call.state, call.connected_is_estimated) == ("completed", True)
        assert (call.connected_at, call.ended_at) == (T0, T0 + timedelta(seconds=seconds))
        assert (the_offer().state, Agent.objects.get().engagement) == ("ended", "wrap_up")

    def test_a_caller_who_hangs_up_after_a_second_has_talked(self, phone, join, clock):
        clock.shift(1)
        phone.hang_up()
        self.assert_talked(1)

    def test_a_caller_who_hangs_up_within_the_second_has_not(self, phone, join, clock):
        clock.shift(0.9)
        phone.hang_up()
        call = the_call()
        assert (call.state, call.abandoned_in, call.connected_at) == ("abandoned", "ringing", None)
        assert (the_offer().state, Agent.objects.get().engagement) == ("caller_gone", "idle")

    def test_an_agent_who_hangs_up_after_a_second_has_talked(self, phone, join, clock):
        clock.shift(1)
        phone.post(join, HANGS_UP)
        self.assert_talked(1)
        assert Agent.objects.get().hold_off_reason == ""

    def test_an_agent_who_hangs_up_within_the_second_has_declined(self, phone, join, clock):
        clock.shift(0.9)
        phone.post(join, HANGS_UP)
        assert (the_call().state, the_offer().state) == ("waiting", "declined")

    def test_a_caller_whose_room_is_over_is_told_goodbye_and_not_held_again(
        self, phone, join, clock
    ):
        clock.shift(2)
        over = links.dial_result(the_call(), the_call().step)
        session = Leg.objects.get(role="customer").session_id
        document = phone.post(over, {"sessionId": session, "callSessionState": "Answered"})
        assert verbs(document) == ["say", "hangup"]
        self.assert_talked(2)
        phone.post(join, HANGS_UP)  # later, and no news
        self.assert_talked(2)


def test_a_refusal_that_is_told_three_times_gets_the_same_words(phone):
    make_agent(make_queue(), confirm_key=True)
    phone.inbound()
    QueuedCall.objects.update(offerable_from=T0)
    match(T0)
    offer = the_offer()
    offer.call = the_call()
    join = links.agent_join(offer)
    phone.post(join, {"sessionId": AGENT})
    said = [phone.post(join, {"sessionId": AGENT, "Digits": "2"}).content for _ in range(3)]
    assert said[0] == said[1] == said[2]
    assert b"somebody else" in said[0]


class TestNewsOfAnEarlierStay:
    """A caller was in the room with an agent who left at once, is held anew, and now talks."""

    FIRST, SECOND = "HD_00000000000a", "HD_00000000000b"

    @pytest.fixture
    def urls(self, phone, clock):
        """The room's URLs: the caller's of both stays, the first agent's."""
        queue = make_queue()
        agents = [make_agent(queue, presence="break") for _ in range(2)]
        first_stay = argument(phone.inbound(), "conference")["statusEventsCallbackUrl"]
        phone.event(first_stay, "join", CUSTOMER)
        first_agent = self.picks_up(phone, agents[0], self.FIRST)
        clock.shift(0.5)
        phone.post(first_agent, {**HANGS_UP, "sessionId": self.FIRST})
        over = links.dial_result(the_call(), the_call().step)
        document = phone.post(over, {"sessionId": CUSTOMER, "callSessionState": "Answered"})
        second_stay = argument(document, "conference")["statusEventsCallbackUrl"]
        phone.event(second_stay, "join", CUSTOMER)
        self.picks_up(phone, agents[1], self.SECOND)
        assert the_call().state == "offered"
        return first_stay, second_stay

    def picks_up(self, phone, agent, session):
        for one in Agent.objects.all():
            wanted = "available" if one.pk == agent.pk else "break"
            presence.change(one.pk, wanted, at=timezone.now(), cause="test")
        match(timezone.now())
        offer = Offer.objects.select_related("agent", "call").get(ended_at=None, agent=agent)
        Leg.objects.filter(offer=offer).update(state="ringing", session_id=session, ask_at=T0)
        document = phone.post(links.agent_join(offer), {"sessionId": session})
        self.room = argument(document, "conference")["statusEventsCallbackUrl"]
        return links.agent_join(offer)

    @pytest.mark.parametrize("event", ["leave", "end"])
    def test_a_late_leave_of_the_first_stay_does_not_end_the_talk(self, phone, urls, event):
        first_stay, second_stay = urls
        phone.event(self.room, "join", self.SECOND)
        assert the_call().state == "connected"
        phone.event(first_stay, event, CUSTOMER)
        assert the_call().state == "connected"
        phone.event(second_stay, event, CUSTOMER)
        assert the_call().state == "completed"

    def test_a_late_join_of_the_first_agent_connects_nobody_with_the_second(self, phone, urls):
        _, second_stay = urls
        phone.event(second_stay, "join", self.FIRST)
        assert the_call().state == "offered"
        phone.event(second_stay, "join", self.SECOND)
        assert the_call().state == "connected"
