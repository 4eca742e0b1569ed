"""Declining without picking up: the phone is hung up, and the caller loses nothing."""

import json
from datetime import timedelta
from itertools import count

import pytest

from agents.models import Agent
from agents.refusals import Refused
from callcenter import bell
from queues import declining, dialling, links, outbound
from queues.models import CallEvent, Leg, Offer
from queues.routing import match
from queues.scene import scene
from tests.factories import T0, make_agent, make_queue, make_waiting

from .invariants import broken
from .telephone import Telephone, the_call, the_offer
from .threads import at_once

_numbers = count(400)


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def no_routing(monkeypatch):
    monkeypatch.setitem(bell._answers, "route", lambda: None)


def ringing(**agent):
    """An agent of a queue of its own whose phone rings for a caller in the room."""
    n = next(_numbers)
    queue = make_queue(f"queue{n}", number=f"+254200000{n}")
    made = make_agent(queue, **agent)
    call = make_waiting(queue)
    match(T0)
    offer = Offer.objects.select_related("agent", "call").get(call=call)
    Leg.objects.filter(offer=offer).update(
        state="ringing", session_id=f"HD_{offer.pk.hex[-12:]}", placed_at=T0, sent_at=T0,
        ask_at=after(3),
    )  # fmt: skip
    Offer.objects.filter(pk=offer.pk).update(state="ringing")
    offer.refresh_from_db()
    return made, call, offer


@pytest.mark.django_db
class TestDeclining:
    def test_the_caller_keeps_the_place_and_the_agent_is_passed_over_for_10_s(
        self, no_routing, commits, bells
    ):
        agent, call, offer = ringing()
        assert declining.may_decline(offer)
        with commits():
            declining.decline(agent.pk, at=after(4))
        call.refresh_from_db()
        agent.refresh_from_db()
        assert (the_offer().state, call.state) == ("declined", "waiting")
        assert (call.queued_at, call.arrived_at, call.agent) == (T0, T0, None)
        assert (agent.engagement, agent.hold_off_until) == ("idle", after(14))
        assert (agent.hold_off_reason, agent.strikes) == ("declined", 0)
        leg = Leg.objects.get(offer=offer)
        assert leg.hang_up_at == after(4)
        assert bells.of("hang_up") == [str(leg.pk)]
        assert CallEvent.objects.get(kind="offer_declined").source == "desk"

    def test_another_agent_gets_the_caller_next(self, no_routing):
        agent, call, _ = ringing()
        other = make_agent(call.queue)
        declining.decline(agent.pk, at=after(4))
        match(after(4))
        assert Offer.objects.get(state="dialling").agent == other

    def test_a_leg_that_is_not_placed_yet_never_is(self, no_routing, provider):
        agent = make_agent(queue := make_queue())
        make_waiting(queue)
        match(T0)
        declining.decline(agent.pk, at=after(1))
        leg = Leg.objects.get(role="agent")
        dialling.place(leg.pk, at=after(1))
        assert provider.placed == []

    def test_twice_it_is_refused(self, no_routing):
        agent, _, _ = ringing()
        declining.decline(agent.pk, at=after(4))
        with pytest.raises(Refused, match="not ringing any more"):
            declining.decline(agent.pk, at=after(5))
        assert Offer.objects.count() == 1

    def test_a_direct_dial_cannot_be_declined_here(self, phone):
        agent = make_agent(make_queue())
        phone.inbound()
        assert the_offer().kind == "direct"
        assert not declining.may_decline(the_offer())
        with pytest.raises(Refused, match="straight to your phone"):
            declining.decline(agent.pk, at=the_offer().created_at)
        assert the_call().state == "offered"

    def test_an_own_call_cannot_be_declined(self):
        agent = make_agent(make_queue())
        outbound.click_to_call(agent.pk, "+254722000001", queue=None, at=T0)
        with pytest.raises(Refused, match="You asked for this call"):
            declining.decline(agent.pk, at=after(1))
        assert the_call().state == "dialling"

    def test_who_is_on_the_way_into_the_room_has_taken_it(self, no_routing):
        agent, call, offer = ringing()
        Telephone().post(links.agent_join(offer), {"sessionId": f"HD_{offer.pk.hex[-12:]}"})
        with pytest.raises(Refused, match="taken this call already"):
            declining.decline(agent.pk, at=after(4))
        call.refresh_from_db()
        assert call.state == "offered"

    def test_who_has_picked_up_and_is_asked_for_1_may(self, no_routing):
        agent, call, offer = ringing(confirm_key=True)
        Telephone().post(links.agent_join(offer), {"sessionId": f"HD_{offer.pk.hex[-12:]}"})
        assert the_offer().state == "answered"
        declining.decline(agent.pk, at=the_offer().answered_at)
        call.refresh_from_db()
        assert (the_offer().state, call.state) == ("declined", "waiting")

    def test_a_call_that_has_ended_meanwhile_is_a_sentence(self):
        agent = make_agent(make_queue())
        with pytest.raises(Refused, match="not ringing any more"):
            declining.decline(agent.pk, at=T0)


@pytest.mark.django_db(transaction=True)
class TestRaces:
    @pytest.fixture(autouse=True)
    def consistent(self, no_routing):
        yield
        assert broken() == []

    def test_declined_while_the_phone_is_picked_up_is_one_or_the_other(self):
        ends = set()
        for _ in range(8):
            agent, call, offer = ringing()
            url, handle = links.agent_join(offer), f"HD_{offer.pk.hex[-12:]}"

            def decline(agent=agent):
                try:
                    declining.decline(agent.pk, at=after(4))
                except Refused as why:
                    return str(why)
                return "declined"

            said, reply = at_once(
                decline, lambda url=url, h=handle: Telephone().post(url, {"sessionId": h})
            )
            for row in (call, offer):
                row.refresh_from_db()
            in_room = "conference" in json.dumps(json.loads(reply.content))
            assert (said == "declined") != in_room
            assert (call.state, offer.state) == (
                ("offered", "answered") if in_room else ("waiting", "declined")
            )
            ends.add(offer.state)
        assert ends <= {"answered", "declined"}

    def test_declined_while_the_caller_hangs_up(self):
        for _ in range(8):
            agent, call, offer = ringing()
            leg = Leg.objects.get(call=call, role="customer")

            def decline(agent=agent):
                try:
                    declining.decline(agent.pk, at=after(4))
                except Refused:
                    return

            at_once(decline, lambda leg=leg: Telephone().hang_up(leg.session_id))
            for row in (call, offer, agent):
                row.refresh_from_db()
            assert (call.state, agent.engagement) == ("abandoned", "idle")
            assert offer.state in {"declined", "caller_gone"}

    def test_declined_twice_at_once_counts_once(self):
        for _ in range(8):
            agent, _, offer = ringing()

            def decline(agent=agent):
                try:
                    declining.decline(agent.pk, at=after(4))
                except Refused:
                    return 0
                return 1

            assert sum(at_once(decline, decline, decline)) == 1
            assert CallEvent.objects.filter(offer=offer, kind="offer_declined").count() == 1
            assert Agent.objects.get(pk=agent.pk).hold_off_until == after(14)


@pytest.mark.django_db
def test_the_scene_is_left_as_it_was_when_it_is_refused(no_routing):
    agent, call, offer = ringing()
    with scene(call.pk, at=after(2), source="test") as opened:
        opened.offer.move_to(Offer.State.ANSWERED, answered_at=after(2), conference_at=after(2))
    with pytest.raises(Refused):
        declining.decline(agent.pk, at=after(3))
    offer.refresh_from_db()
    assert (offer.state, Leg.objects.get(offer=offer).hang_up_at) == ("answered", None)
