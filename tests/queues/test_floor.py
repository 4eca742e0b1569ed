"""What a supervisor does from the room: with callers in line, with agents, and with queues."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents import presence
from agents.models import PresencePeriod
from agents.refusals import Refused
from callcenter.sautikit.callbacks import Outcome
from queues import calls, floor, offers, outbound, routing, sweeping
from queues.models import CallEvent, Leg, Offer, ProviderFact, Queue, QueuedCall
from queues.routing import match
from queues.scene import scene
from reporting import metrics
from reporting.audit import Audit
from tests.factories import T0, make_agent, make_menu, make_queue, make_supervisor, make_waiting

from .telephone import actions, argument, the_call, verbs

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def sarah():
    return make_supervisor("sarah")


@pytest.fixture
def queue():
    return make_queue()


def line_of(queue):
    """The callers in line, in the order in which they are served."""
    waiting = QueuedCall.objects.filter(queue=queue, state="waiting")
    return list(waiting.order_by("-priority", "arrived_at", "id"))


def two_in_line(queue):
    return make_waiting(queue), make_waiting(queue, arrived_at=after(1))


def noted(call, kind):
    return CallEvent.objects.get(call=call, kind=kind).detail


def leave(call, *, at):
    with scene(call.pk, at=at, source="test") as opened:
        Leg.objects.filter(call=call).update(
            state="ended", ended_at=at, ask_at=None, hang_up_at=None
        )
        calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=at)


def hold(queue, *, at=T0):
    """A caller in the hold room, by the domain's own functions, so that the books balance."""
    call = make_waiting(queue, arrived_at=at, state="greeting", queued_at=None)
    with scene(call.pk, at=at, source="test") as opened:
        opened.note("arrived")
        calls.hold(opened)
        calls.customer_joined(opened)
    call.refresh_from_db()
    return call


class TestMovingUp:
    def test_a_caller_goes_before_the_present_head_and_the_timeline_says_by_whom(
        self, queue, sarah
    ):
        first, second = two_in_line(queue)
        floor.move_up(second.public_id, at=after(5), actor=sarah)
        assert line_of(queue) == [second, first]
        assert noted(second, "moved_up") == {"by": "sarah", "priority": 1}

    def test_whoever_is_moved_up_last_is_first(self, queue, sarah):
        first, second = two_in_line(queue)
        third = make_waiting(queue, arrived_at=after(2))
        floor.move_up(second.public_id, at=after(5), actor=sarah)
        floor.move_up(third.public_id, at=after(6), actor=sarah)
        assert line_of(queue) == [third, second, first]

    def test_who_is_first_already_is_told_so(self, queue, sarah):
        first, _ = two_in_line(queue)
        with pytest.raises(Refused, match="first in line already"):
            floor.move_up(first.public_id, at=after(5), actor=sarah)
        first.refresh_from_db()
        assert first.priority == 0


class TestWhatIsTooLate:
    ACTIONS = (
        lambda call, agent, sarah: floor.move_up(call.public_id, at=after(9), actor=sarah),
        lambda call, agent, sarah: floor.move_to_queue(
            call.public_id, "billing", at=after(9), actor=sarah
        ),
        lambda call, agent, sarah: floor.keep_for(
            call.public_id, agent.pk, at=after(9), actor=sarah
        ),
        lambda call, agent, sarah: floor.pull(call.public_id, agent.pk, at=after(9), actor=sarah),
    )

    @pytest.mark.parametrize("act", ACTIONS)
    def test_a_caller_who_has_hung_up_stays_as_they_are(self, queue, sarah, act):
        make_queue("billing", number=None)
        call, agent = make_waiting(queue), make_agent()
        leave(call, at=after(5))
        with pytest.raises(Refused, match="The caller has hung up meanwhile"):
            act(call, agent, sarah)
        call.refresh_from_db()
        assert (call.state, call.queue, call.wanted_agent) == ("abandoned", queue, None)

    @pytest.mark.parametrize("act", ACTIONS)
    def test_a_caller_for_whom_a_phone_rings_stays_with_that_agent(self, queue, sarah, act):
        make_queue("billing", number=None)
        ringing, other = make_agent(queue), make_agent()
        call = make_waiting(queue)
        match(T0)
        with pytest.raises(Refused, match="phone rings for this caller already"):
            act(call, other, sarah)
        call.refresh_from_db()
        assert (call.agent, call.queue, call.wanted_agent) == (ringing, queue, None)

    def test_an_unknown_call_agent_or_queue_is_refused_in_words(self, queue, sarah):
        call = make_waiting(queue)
        with pytest.raises(Refused, match="no such call"):
            floor.move_up("nothing", at=T0, actor=sarah)
        with pytest.raises(Refused, match="no such agent"):
            floor.keep_for(call.public_id, 0, at=T0, actor=sarah)
        with pytest.raises(Refused, match="no such queue"):
            floor.move_to_queue(call.public_id, "nowhere", at=T0, actor=sarah)


class TestMovingToAnotherQueue:
    def test_the_place_there_is_by_arrival_and_the_wait_goes_on(self, queue, sarah):
        billing = make_queue("billing", number=None)
        call = make_waiting(queue, arrived_at=after(1))
        earlier, later = make_waiting(billing), make_waiting(billing, arrived_at=after(2))
        floor.move_to_queue(call.public_id, "billing", at=after(5), actor=sarah)
        assert line_of(billing) == [earlier, call, later]
        call.refresh_from_db()
        assert call.queued_at == after(1)
        told = noted(call, "moved_to_queue")
        assert (told["by"], told["queue"], told["left"]) == ("sarah", "Billing", "Support")

    def test_the_agents_of_the_new_queue_are_offered_the_call(self, queue, sarah):
        billing = make_queue("billing", number=None)
        call, agent = make_waiting(queue), make_agent(billing)
        floor.move_to_queue(call.public_id, "billing", at=after(5), actor=sarah)
        match(after(5))
        assert Offer.objects.get(call=call).agent == agent

    def test_the_call_counts_in_the_queue_that_it_was_in_last_and_the_books_balance(
        self, queue, sarah
    ):
        make_queue("billing", number=None)
        stays, goes = hold(queue), hold(queue, at=after(1))
        floor.move_to_queue(goes.public_id, "billing", at=after(5), actor=sarah)
        moved_and_open = list(Audit(at=after(10)).lines())
        for call in (stays, goes):
            leave(call, at=after(30))
        rows = {row["queue"]: row for row in metrics.queue_rows(T0, after(60))}
        counted = {slug: (row["offered"], row["abandoned"]) for slug, row in rows.items()}
        assert counted == {"support": (1, 1), "billing": (1, 1)}
        assert moved_and_open == list(Audit(at=after(60)).lines()) == []

    def test_not_into_a_closed_queue_nor_one_that_would_hang_up_at_once(self, queue, sarah):
        make_queue("billing", number=None, max_wait_seconds=60)
        make_queue("sales", number=None, closed_at=T0)
        call = make_waiting(queue)
        with pytest.raises(Refused, match="Sales is closed"):
            floor.move_to_queue(call.public_id, "sales", at=after(5), actor=sarah)
        with pytest.raises(Refused, match="waited for longer than Billing"):
            floor.move_to_queue(call.public_id, "billing", at=after(61), actor=sarah)
        with pytest.raises(Refused, match="in that queue already"):
            floor.move_to_queue(call.public_id, "support", at=after(5), actor=sarah)


class TestKeepingForAnAgent:
    def test_the_caller_is_offered_to_that_agent_only(self, queue, sarah):
        call, free, wanted = make_waiting(queue), make_agent(queue), make_agent(presence="break")
        floor.keep_for(call.public_id, wanted.pk, at=after(1), actor=sarah)
        assert match(after(2)) == 0
        presence.change(wanted.pk, "available", at=after(3), cause="page")
        assert match(after(3)) == 1
        assert Offer.objects.get(call=call).agent == wanted
        assert not Offer.objects.filter(agent=free).exists()
        assert noted(call, "kept_for") == {
            "by": "sarah", "agent": wanted.name, "agent_id": wanted.pk
        }  # fmt: skip

    def test_those_behind_do_not_wait_for_it(self, queue, sarah):
        kept, behind = two_in_line(queue)
        free, wanted = make_agent(queue), make_agent(queue, presence="break")
        floor.keep_for(kept.public_id, wanted.pk, at=after(2), actor=sarah)
        match(after(2))
        assert Offer.objects.get(agent=free).call == behind

    def test_a_kept_caller_lends_the_place_to_nobody(self, queue, sarah):
        """Whoever is behind them in line is served by their own arrival, over all queues."""
        other = make_queue("other", number=None)
        kept = make_waiting(queue)
        make_waiting(queue, arrived_at=after(2))
        between = make_waiting(other, arrived_at=after(1))
        wanted = make_agent(queue, presence="break")
        floor.keep_for(kept.public_id, wanted.pk, at=after(3), actor=sarah)
        agent = make_agent(queue, other)
        match(after(3))
        assert Offer.objects.get(agent=agent).call == between

    def test_the_agent_gets_that_caller_before_those_ahead(self, queue, sarah):
        _ahead, kept = two_in_line(queue)
        agent = make_agent(queue, presence="break")
        floor.keep_for(kept.public_id, agent.pk, at=after(2), actor=sarah)
        presence.change(agent.pk, "available", at=after(3), cause="page")
        match(after(3))
        assert Offer.objects.get(agent=agent).call == kept

    def test_two_who_are_kept_in_one_queue_are_matched_in_one_go(self, queue, sarah):
        pairs = [(make_waiting(queue), make_agent(queue, presence="break")) for _ in range(2)]
        for call, agent in pairs:
            floor.keep_for(call.public_id, agent.pk, at=after(1), actor=sarah)
            presence.change(agent.pk, "available", at=after(2), cause="page")
        assert match(after(2)) == 2
        assert {(offer.call, offer.agent) for offer in Offer.objects.all()} == set(pairs)

    def test_a_new_caller_is_dialled_through_past_a_kept_one_but_not_to_the_wanted_agent(
        self, queue, sarah
    ):
        kept, wanted, free = make_waiting(queue), make_agent(queue), make_agent(queue)
        QueuedCall.objects.filter(pk=kept.pk).update(offerable_from=after(60), wanted_agent=wanted)
        assert routing.claim_for_arrival(queue, after(1)) == free

    def test_the_call_says_whom_it_waits_for(self, queue, sarah):
        call = make_waiting(queue)
        wanted = make_agent(queue, presence="break", username="amina")
        floor.keep_for(call.public_id, wanted.pk, at=after(1), actor=sarah)
        call.refresh_from_db()
        assert routing.why_waiting(call, after(2)) == "Kept for Amina, who is on break."

    def test_when_the_agent_goes_offline_the_caller_is_anybodys(self, queue, sarah):
        call, free = make_waiting(queue), make_agent(queue, presence="break")
        wanted = make_agent(queue, presence="break", username="amina")
        floor.keep_for(call.public_id, wanted.pk, at=after(1), actor=sarah)
        presence.change(free.pk, "available", at=after(2), cause="page")
        sweeping.sweep(at=after(3))
        assert not Offer.objects.exists()
        presence.change(wanted.pk, "offline", at=after(4), cause="page")
        sweeping.sweep(at=after(5))
        assert Offer.objects.get(call=call).agent == free
        assert noted(call, "kept_no_more") == {"agent": "Amina", "reason": "offline"}

    def test_a_supervisor_lets_them_go_again(self, queue, sarah):
        call, agent = make_waiting(queue), make_agent(queue, presence="break")
        floor.keep_for(call.public_id, agent.pk, at=after(1), actor=sarah)
        floor.keep_for(call.public_id, None, at=after(2), actor=sarah)
        call.refresh_from_db()
        assert call.wanted_agent is None
        with pytest.raises(Refused, match="kept for nobody"):
            floor.keep_for(call.public_id, None, at=after(3), actor=sarah)

    def test_not_for_who_is_offline_nor_for_a_sip_agent_who_cannot_be_called(self, queue, sarah):
        call = make_waiting(queue)
        offline = make_agent(queue, presence="offline", username="amina")
        with pytest.raises(Refused, match="Amina is offline"):
            floor.keep_for(call.public_id, offline.pk, at=after(1), actor=sarah)
        ProviderFact.objects.create(pk="sip_to_refused", value=True, at=T0)
        sip = make_agent(queue, destination="sip:brian@pbx.example.com")
        with pytest.raises(Refused, match="SIP"):
            floor.keep_for(call.public_id, sip.pk, at=after(1), actor=sarah)

    def test_it_costs_the_router_no_statement_more(self, queue):
        make_waiting(queue)
        with CaptureQueriesContext(
            connection,
        ) as asked:
            match(T0)
        assert len(asked) == 1


class TestPulling:
    def test_a_caller_far_back_is_offered_to_the_agent_who_was_chosen(self, queue, sarah):
        _, call = two_in_line(queue)
        agent = make_agent(presence="break")
        floor.pull(call.public_id, agent.pk, at=after(5), actor=sarah)
        assert Offer.objects.get(call=call).agent == agent
        assert noted(call, "pulled") == {"by": "sarah", "agent": agent.name}

    def test_even_one_who_was_kept_for_somebody_else(self, queue, sarah):
        call, wanted, agent = make_waiting(queue), make_agent(presence="break"), make_agent()
        floor.keep_for(call.public_id, wanted.pk, at=after(1), actor=sarah)
        floor.pull(call.public_id, agent.pk, at=after(5), actor=sarah)
        call.refresh_from_db()
        assert (call.agent, call.wanted_agent) == (agent, None)

    def test_not_to_an_agent_who_is_busy_or_offline(self, queue, sarah):
        call, offline = make_waiting(queue), make_agent(presence="offline", username="amina")
        busy = make_agent(engagement="wrap_up", wrap_up_until=after(60), username="brian")
        for agent in (offline, busy):
            with pytest.raises(Refused, match=f"{agent.name} is not free"):
                floor.pull(call.public_id, agent.pk, at=after(5), actor=sarah)
        assert not Offer.objects.exists()


class TestHangingUp:
    def test_a_waiting_caller_s_leg_is_hung_up_and_the_call_has_failed(
        self, queue, sarah, bells, commits
    ):
        call = hold(queue)
        with commits():
            floor.hang_up(call.public_id, at=after(5), actor=sarah)
        call.refresh_from_db()
        assert (call.state, call.end_reason) == ("failed", "hung up by a supervisor")
        assert bells.of("hang_up") == [str(call.legs.get().pk)]
        assert noted(call, "hung_up_by_supervisor") == {"by": "sarah"}
        assert list(Audit(at=after(10)).lines()) == []

    def test_a_ringing_agent_is_free_again_without_a_strike(self, queue, sarah, bells, commits):
        agent, call = make_agent(queue), make_waiting(queue)
        match(T0)
        with commits():
            floor.hang_up(call.public_id, at=after(5), actor=sarah)
        agent.refresh_from_db()
        assert (agent.engagement, agent.strikes) == ("idle", 0)
        assert Offer.objects.get().state == "caller_gone"
        assert len(bells.of("hang_up")) == 2

    def test_a_talk_is_completed_and_the_agent_wraps_up(self, queue, sarah, bells, commits):
        agent, call = make_agent(queue), make_waiting(queue)
        match(T0)
        with scene(call.pk, at=after(3), source="test") as opened:
            calls.connect(opened, at=after(3))
        with commits():
            floor.hang_up(call.public_id, at=after(30), actor=sarah)
        call.refresh_from_db()
        agent.refresh_from_db()
        assert (call.state, call.ended_at, agent.engagement) == ("completed", after(30), "wrap_up")
        assert len(bells.of("hang_up")) >= 1

    def test_a_direct_dial_is_asked_about_before_its_end_is_believed(
        self, queue, sarah, phone, bells, commits
    ):
        agent = make_agent(queue)
        phone.inbound()
        with commits():
            floor.hang_up(the_call().public_id, at=after(5), actor=sarah)
        call = the_call()
        assert (call.state, call.is_provisional) == ("failed", True)
        assert bells.of("check_offer") == [str(Offer.objects.get(agent=agent).pk)]

    def test_twice_is_told(self, queue, sarah):
        call = make_waiting(queue)
        floor.hang_up(call.public_id, at=after(5), actor=sarah)
        with pytest.raises(Refused, match="over meanwhile"):
            floor.hang_up(call.public_id, at=after(6), actor=sarah)


class TestAgents:
    def test_a_wrap_up_ends_and_the_call_says_who_ended_it(self, queue, sarah):
        agent, call = make_agent(queue), make_waiting(queue)
        match(T0)
        with scene(call.pk, at=after(3), source="test") as opened:
            calls.connect(opened, at=after(3))
            calls.finish(opened, ended_at=after(20))
        floor.end_wrap_up(agent.pk, at=after(22), actor=sarah)
        agent.refresh_from_db()
        assert agent.engagement == "idle"
        assert Offer.objects.get().wrap_up_ended_at == after(22)
        assert noted(call, "wrap_up_ended") == {"by": "sarah", "agent": agent.name}
        with pytest.raises(Refused, match="not in wrap-up any more"):
            floor.end_wrap_up(agent.pk, at=after(23), actor=sarah)

    def test_presence_keeps_who_set_it(self, sarah):
        agent = make_agent()
        floor.set_presence(agent.pk, "break", "Meeting", at=after(5), actor=sarah)
        period = PresencePeriod.objects.get(agent=agent, ended_at=None)
        assert (period.presence, period.reason) == ("break", "Meeting")
        assert (period.cause, period.actor) == ("supervisor", sarah)
        with pytest.raises(Refused, match="no such state"):
            floor.set_presence(agent.pk, "asleep", at=after(6), actor=sarah)


class TestAClosedQueue:
    def test_new_callers_hear_the_message_and_are_not_let_in(self, queue, sarah, phone):
        make_agent(queue)
        floor.close_queue("support", at=T0, actor=sarah)
        reply = phone.inbound()
        assert verbs(reply) == ["say", "hangup"]
        assert argument(reply, "say")["text"].startswith("We are closed at the moment")
        call = the_call()
        assert (call.state, call.end_reason, call.queued_at) == ("rejected", "queue closed", None)
        assert not Offer.objects.exists()

    def test_so_it_is_behind_a_menu(self, queue, sarah, phone):
        make_menu(("1", queue))
        floor.close_queue("support", at=T0, actor=sarah)
        line = {"destinationNumber": "+254200000100"}
        phone.inbound(**line)
        assert verbs(phone.inbound(Digits="1", **line)) == ["say", "hangup"]
        assert the_call().state == "rejected"

    def test_without_a_message_there_are_other_words(self, queue, phone):
        Queue.objects.filter(pk=queue.pk).update(closed_at=T0, closed_message="")
        assert "nobody is available" in actions(phone.inbound())[0]["say"]["text"]

    def test_who_is_in_line_is_still_served(self, queue, sarah):
        call, agent = make_waiting(queue), make_agent(queue)
        floor.close_queue("support", at=after(1), actor=sarah)
        match(after(1))
        with scene(call.pk, at=after(20), source="test") as opened:
            calls.not_answered(opened, Offer.State.NO_ANSWER)
        call.refresh_from_db()
        assert call.state == "waiting"
        offers.set_engagement(agent, "idle", after(60), hold_off_until=None, hold_off_reason="")
        assert match(after(60)) == 1

    def test_open_again_it_lets_callers_in_and_the_history_says_who_did_it(
        self, queue, sarah, phone
    ):
        floor.close_queue("support", at=T0, actor=sarah)
        with pytest.raises(Refused, match="Support is closed already"):
            floor.close_queue("support", at=T0, actor=sarah)
        floor.open_queue("support", at=after(1), actor=sarah)
        with pytest.raises(Refused, match="Support is open already"):
            floor.open_queue("support", at=T0, actor=sarah)
        assert verbs(phone.inbound())[-2:] == ["conference", "redirect"]
        newest = queue.history.order_by("-history_id").first()
        assert (newest.history_user, newest.closed_at) == (sarah, None)


def test_connect_agent_still_says_what_it_said(queue):
    call, agent = make_waiting(queue), make_agent(queue, presence="offline")
    with pytest.raises(Refused, match="is not free"):
        outbound.connect_agent(call.public_id, agent.destination, at=T0)
    with pytest.raises(outbound.NotKnown, match="No agent"):
        outbound.connect_agent(call.public_id, "+254799999999", at=T0)
