"""Two who change the same thing at the same instant, round after round, on real connections."""

import json
import re
from datetime import timedelta
from itertools import count

import pytest
from django.utils import timezone

from agents import presence
from agents.models import Agent
from agents.refusals import Refused
from callcenter import bell
from callcenter.sautikit.callbacks import Outcome, Record
from queues import adoption, calls, dialling, links, offers, outbound, reconcile, sweeping
from queues.models import CallEvent, Leg, Offer, Queue, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import T0, make_agent, make_menu, make_queue, make_supervisor, make_waiting

from .invariants import broken
from .telephone import Telephone, argument
from .threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 8
_lines = count(300)


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def no_routing(monkeypatch):
    """Routing happens only where the test asks for it."""
    monkeypatch.setitem(bell._answers, "route", lambda: None)


@pytest.fixture(autouse=True)
def consistent():
    yield
    assert broken() == []


def a_queue(**values) -> Queue:
    n = next(_lines)
    return make_queue(f"queue{n}", number=f"+254200000{n}", **values)


def number_of(queue: Queue) -> str:
    return queue.numbers.get().e164


def offered(queue: Queue, **agent):
    """A caller of `queue` who is being offered to its one agent, whose phone rings."""
    made = make_agent(queue, **agent)
    call = make_waiting(queue)
    match(T0)
    offer = Offer.objects.select_related("agent", "call").get(call=call)
    Leg.objects.filter(offer=offer).update(
        state="ringing", session_id=f"HD_{offer.pk.hex[-12:]}", placed_at=T0, ask_at=after(3)
    )
    Offer.objects.filter(pk=offer.pk).update(state="ringing")
    return call, offer, made


def states(call, offer, agent):
    for row in (call, offer, agent):
        row.refresh_from_db()
    return call.state, offer.state, agent.engagement


class TestFiftyByFifty:
    def test_every_caller_gets_one_agent_and_every_agent_one_caller(self, no_routing):
        queues = [a_queue(), a_queue(strategy="round_robin")]
        for n in range(50):
            make_waiting(queues[n % 2], arrived_at=T0 - timedelta(seconds=n))
            make_agent(*queues)
        at_once(*[lambda: match(T0)] * 6)
        while match(T0):  # what a locked agent left over is the sweep's
            pass
        pairs = list(Offer.objects.values_list("call", "agent"))
        assert len(pairs) == len({call for call, _ in pairs}) == 50
        assert len({agent for _, agent in pairs}) == 50

    def test_the_first_in_line_are_served_when_agents_are_few(self, no_routing):
        queue = a_queue()
        for n in range(50):
            make_waiting(queue, arrived_at=T0 - timedelta(seconds=n))
        for _ in range(10):
            make_agent(queue)
        at_once(*[lambda: match(T0)] * 6)
        while match(T0):
            pass
        served = Offer.objects.values_list("call__arrived_at", flat=True)
        assert sorted(served) == [after(n) for n in range(-49, -39)]


class TestOneFirstPost:
    @pytest.mark.parametrize("agents", [0, 3])
    def test_in_eight_threads_is_one_call_and_one_document_byte_for_byte(self, agents):
        for n in range(ROUNDS // 2):
            queue = a_queue()
            for _ in range(agents):
                make_agent(queue)
            to = {"destinationNumber": number_of(queue)}
            replies = at_once(*[lambda n=n, to=to: Telephone().inbound(f"HD_{n}", **to)] * 8)
            assert len({reply.content for reply in replies}) == 1
            assert QueuedCall.objects.filter(queue=queue).count() == 1
            # While its twins hold every agent for an instant, the call that is kept may be held.
            assert Offer.objects.filter(queue=queue).count() <= min(agents, 1)

    def test_a_menu_key_told_twice_counts_once(self):
        queue = a_queue(direct_dial=False)
        make_menu(("1", queue), number="+254200000299")
        for n in range(ROUNDS):
            session = f"HD_{n}"
            line = {"destinationNumber": "+254200000299"}
            Telephone().inbound(session, **line)
            replies = at_once(
                *[lambda s=session, line=line: Telephone().inbound(s, Digits="1", **line)] * 3
            )
            assert len({reply.content for reply in replies}) == 1
            call = QueuedCall.objects.get(public_id=session)
            assert (call.state, call.step) == ("waiting", 2)
            assert CallEvent.objects.filter(call=call, kind="key_pressed").count() == 1


class TestAgentJoins:
    def test_twice_at_once_gets_the_room_once_and_the_same_bytes(self, no_routing):
        for _ in range(ROUNDS):
            call, offer, agent = offered(a_queue())
            url = links.agent_join(offer)
            replies = at_once(
                *[
                    lambda url=url, o=offer: Telephone().post(
                        url, {"sessionId": f"HD_{o.pk.hex[-12:]}"}
                    )
                ]
                * 3
            )
            assert len({reply.content for reply in replies}) == 1
            assert "conference" in replies[0].content.decode()
            assert CallEvent.objects.filter(call=call, kind="agent_answered").count() == 1
            assert states(call, offer, agent) == ("offered", "answered", "ringing")

    def test_while_the_caller_hangs_up(self, no_routing):
        for _ in range(ROUNDS):
            call, offer, agent = offered(a_queue())
            url, leg = links.agent_join(offer), Leg.objects.get(call=call, role="customer")
            joined, left = at_once(
                lambda url=url: Telephone().post(url, {"sessionId": "HD_x"}),
                lambda leg=leg: Telephone().hang_up(leg.session_id),
            )
            assert (joined.status_code, left.status_code) == (200, 200)
            assert states(call, offer, agent) == ("abandoned", "caller_gone", "idle")
            assert (call.abandoned_in, agent.strikes) == ("ringing", 0)
            assert Leg.objects.get(offer=offer).hang_up_at is not None
            Leg.objects.filter(offer=offer).update(session_id=None)

    def test_the_join_of_the_room_while_the_caller_hangs_up(self, no_routing):
        for _ in range(ROUNDS):
            call, offer, agent = offered(a_queue(wrap_up_seconds=60))
            Telephone().post(links.agent_join(offer), {"sessionId": f"HD_{offer.pk.hex[-12:]}"})
            url = links.agent_queue_events(offer)
            leg = Leg.objects.get(call=call, role="customer")
            at_once(
                lambda url=url: Telephone().event(url, "join"),
                lambda leg=leg: Telephone().hang_up(leg.session_id),
                lambda o=offer: reconcile.check_offer(o.pk, at=timezone.now()),
            )
            assert states(call, offer, agent) in {
                ("completed", "ended", "wrap_up"), ("abandoned", "caller_gone", "idle"),
            }  # fmt: skip


class TestTwoWorkers:
    def test_on_the_check_of_one_ringing_offer(self, no_routing):
        for _ in range(ROUNDS):
            call, offer, agent = offered(a_queue())
            at_once(*[lambda o=offer: reconcile.check_offer(o.pk, at=o.ring_until)] * 3)
            assert states(call, offer, agent) == ("waiting", "no_answer", "idle")
            assert agent.strikes == 1

    def test_on_the_hang_up_of_one_leg(self, no_routing, sautikit_api):
        asked = []

        def answer(request):
            asked.append(request.url)
            return 200, {}, "{}"

        url = re.compile(r"https://api\.sautikit\.test/v1/calls/[^/]+/hangup")
        sautikit_api.add_callback("POST", url, answer)
        for _ in range(ROUNDS):
            _, offer, _ = offered(a_queue())
            leg = Leg.objects.get(offer=offer)
            offers.hang_up(leg, after(5))
            told = Leg.objects.get(pk=leg.pk)
            at_once(
                lambda leg=leg: dialling.hang_up(leg.pk, at=after(5)),
                lambda leg=leg: dialling.hang_up(leg.pk, at=after(5)),
                lambda t=told: reconcile.observe(t, Outcome.CANCELED, at=after(5), source="test"),
            )
            leg.refresh_from_db()
            assert (leg.state, leg.hang_up_at, leg.ask_at) == ("ended", None, None)
        assert len(asked) <= 2 * ROUNDS

    def test_placing_and_giving_up_leave_no_phone_ringing(self, no_routing, sautikit_api):
        numbers = count(1)

        def answer(request):
            n = next(numbers)
            return 201, {}, json.dumps({"call_id": f"c-{n}", "session_id": f"HD_c{n}"})

        sautikit_api.add_callback("POST", "https://api.sautikit.test/v1/calls", answer)
        for _ in range(ROUNDS):
            queue = a_queue()
            agent, call = make_agent(queue), make_waiting(queue)
            match(T0)
            offer = Offer.objects.get(call=call)
            leg, customer = offer.legs.get(), Leg.objects.get(call=call, role="customer")
            at_once(
                lambda leg=leg: dialling.place(leg.pk, at=after(1)),
                lambda c=customer: reconcile.observe(
                    c, Outcome.COMPLETED, at=after(1), source="test"
                ),
                lambda leg=leg: dialling.hang_up(leg.pk, at=after(1)),
            )
            assert states(call, offer, agent) == ("abandoned", "caller_gone", "idle")
            leg.refresh_from_db()
            assert (leg.state, leg.hang_up_at is None) in {("ended", True), ("ringing", False),
                                                           ("planned", False)}  # fmt: skip
            assert not (leg.state == "ended" and leg.provider_id)

    def test_sweeps_at_once_with_everything_due(self, bells):
        for _ in range(ROUNDS // 2):
            bells.rung.clear()
            queue = a_queue(max_wait_seconds=60)
            _, offer, _ = offered(queue)
            old = make_waiting(queue, arrived_at=T0 - timedelta(minutes=5))
            resting = make_agent(a_queue(), engagement="wrap_up", wrap_up_until=after(10))
            at_once(*[lambda: sweeping.sweep(at=after(20))] * 4)
            assert bells.of("check_offer").count(str(offer.pk)) == 1
            assert bells.of("ask").count(str(Leg.objects.get(offer=offer).pk)) == 1
            old.refresh_from_db()
            resting.refresh_from_db()
            assert (old.state, resting.engagement) == ("expired", "idle")


class TestOneAgent:
    def test_the_end_of_wrap_up_a_caller_and_a_change_of_presence(self):
        for _ in range(ROUNDS):
            queue = a_queue()
            agent = make_agent(queue, engagement="wrap_up", wrap_up_until=after(10))
            call = make_waiting(queue)
            at_once(
                lambda a=agent: offers.end_wrap_up(a.pk, at=after(10)),
                lambda a=agent: offers.end_wrap_up(a.pk, at=after(10), early=True),
                lambda: match(after(10)),
                lambda a=agent: presence.change(a.pk, "break", at=after(10), cause="page"),
            )
            agent.refresh_from_db()
            call.refresh_from_db()
            assert agent.presence == "break"
            assert (call.state, agent.engagement) in {("offered", "ringing"), ("waiting", "idle")}

    def test_pulled_by_name_while_the_router_has_another_caller_for_them(self, no_routing):
        for _ in range(ROUNDS):
            queue, other = a_queue(), a_queue()
            agent = make_agent(queue)
            first, named = make_waiting(queue), make_waiting(other)

            def pull(agent=agent, named=named):
                try:
                    return outbound.connect_agent(named.public_id, agent.destination, at=T0)
                except Refused as why:
                    return str(why)

            at_once(lambda: match(T0), pull)
            if not Offer.objects.filter(agent=agent).exists():
                match(T0)  # the router passed over an agent who was locked, and refused
            [offer] = Offer.objects.filter(agent=agent)
            assert offer.call in {first, named}

    def test_one_caller_pulled_and_routed_is_offered_once(self, no_routing):
        for _ in range(ROUNDS):
            queue = a_queue()
            routed, named = make_agent(queue), make_agent(a_queue())
            call = make_waiting(queue)

            def pull(call=call, named=named):
                try:
                    return outbound.connect_agent(call.public_id, named.destination, at=T0)
                except Refused as why:
                    return str(why)

            at_once(lambda: match(T0), pull, lambda: match(T0))
            [offer] = Offer.objects.filter(call=call)
            assert offer.agent in {routed, named}

    def test_pulled_once_more_while_the_caller_hangs_up(self, no_routing):
        """Each side needs the same two rows: only one order of locking lets both finish."""
        for _ in range(ROUNDS):
            call, offer, agent = offered(a_queue())
            leg = Leg.objects.get(call=call, role="customer")

            def pull(call=call, agent=agent):
                with pytest.raises(Refused):
                    outbound.connect_agent(call.public_id, agent.destination, at=T0)

            def leave(leg=leg):
                reconcile.observe(leg, Outcome.COMPLETED, at=after(1), source="test")

            at_once(pull, leave, pull)
            assert states(call, offer, agent) == ("abandoned", "caller_gone", "idle")

    def test_two_click_to_calls_reserve_the_agent_once(self):
        for n in range(ROUNDS):
            agent = make_agent(a_queue())

            def click(agent=agent, n=n):
                try:
                    return outbound.click_to_call(agent.pk, f"+25470000{n:04}", queue=None, at=T0)
                except Refused as why:
                    return str(why)

            at_once(click, click, lambda: match(T0))
            assert Offer.objects.filter(agent=agent).count() == 1


class TestCorrection:
    def test_the_record_the_last_question_and_a_late_end_make_one_completed_call(self, no_routing):
        for n in range(ROUNDS):
            queue = a_queue()
            agent = make_agent(queue)
            session, to = f"HD_{n}", number_of(queue)
            line = {"destinationNumber": to}
            assert argument(Telephone().inbound(session, **line), "dial")
            Telephone().hang_up(session, **line)
            call = QueuedCall.objects.get(public_id=session)
            assert (call.state, call.is_provisional) == ("abandoned", True)
            offer = Offer.objects.get(call=call)
            at = timezone.now()
            leg = adoption.adopt_outbound((f"HD_callee{n}",), to, agent.destination, at=at)
            record = Record(
                session_id=f"HD_callee{n}", status=Outcome.COMPLETED, direction="outbound",
                answered_at=call.arrived_at, ended_at=call.ended_at,
            )  # fmt: skip

            def take(leg=leg, record=record, at=at):
                reconcile.take_record(Leg.objects.get(pk=leg.pk), record, at=at, source="record")

            at_once(
                take, take,
                lambda s=session, to=line: Telephone().hang_up(s, dialCallStatus="completed", **to),
                lambda o=offer, at=at: reconcile._after_the_end(o, at),
            )  # fmt: skip
            assert states(call, offer, agent)[:2] == ("completed", "ended")
            assert CallEvent.objects.filter(call=call, kind="corrected").count() == 1

    def test_a_talk_that_ends_at_both_ends_while_the_agent_says_done(self, no_routing):
        for _ in range(ROUNDS):
            call, offer, agent = offered(a_queue())
            with scene(call.pk, at=after(2), source="test") as opened:
                calls.connect(opened, at=after(2))
            legs = list(Leg.objects.filter(call=call))

            def done(pk=call.pk):
                with scene(pk, at=after(30), source="agent") as opened:
                    calls.agent_is_done(opened)

            def told(leg):
                reconcile.observe(leg, Outcome.COMPLETED, at=after(30), source="test")

            at_once(*[lambda leg=leg: told(leg) for leg in legs], done)
            assert states(call, offer, agent) == ("completed", "ended", "wrap_up")
            assert agent.wrap_up_until == after(40)


class TestRemoval:
    def test_a_queue_while_somebody_dials_it(self):
        from tests.api import api

        supervisor = make_supervisor()
        for n in range(ROUNDS):
            queue = a_queue()
            make_agent(queue)
            to = {"destinationNumber": number_of(queue)}
            removed, reply = at_once(
                lambda q=queue: api(supervisor).delete(f"/api/queues/{q.slug}/"),
                lambda n=n, to=to: Telephone().inbound(f"HD_{n}", **to),
            )
            assert removed.status_code in {204, 409}
            assert reply.status_code == 200
            call = QueuedCall.objects.get(public_id=f"HD_{n}")
            if removed.status_code == 204:
                assert call.state == "rejected", "a caller waits in a queue that is no more"
            else:
                assert call.state in {"offered", "waiting"}

    def test_an_agent_while_a_caller_is_offered_to_them(self):
        from tests.api import api

        supervisor = make_supervisor()
        for _ in range(ROUNDS):
            queue = a_queue()
            agent, call = make_agent(queue), make_waiting(queue)
            removed, _ = at_once(
                lambda a=agent: api(supervisor).delete(f"/api/agents/{a.user.username}/"),
                lambda: match(T0),
            )
            call.refresh_from_db()
            assert (removed.status_code, call.state) in {(204, "waiting"), (409, "offered")}
            if removed.status_code == 204:
                assert not Agent.objects.current().filter(pk=agent.pk).exists()
