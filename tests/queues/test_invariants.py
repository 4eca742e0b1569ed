"""What the database refuses, whoever writes it: each promise is broken by raw SQL, and holds."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from agents.models import Agent
from queues import calls, corrections, offers
from queues.models import CallEvent, Offer
from queues.routing import match
from queues.scene import Scene, scene
from tests.factories import T0, make_agent, make_queue, make_waiting

from .telephone import the_call, the_offer

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def sql(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def refused(constraint, *statements):
    """The transaction that does this does not come to its end."""
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        sql(*statements, "SET CONSTRAINTS ALL IMMEDIATE")
    sql("SET CONSTRAINTS ALL DEFERRED")


def allowed(*statements):
    with transaction.atomic():
        sql(*statements, "SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED")


@pytest.fixture
def ringing():
    """A waiting caller is offered to the one agent, whose phone rings."""
    queue = make_queue()
    make_agent(queue, username="amina")
    call = make_waiting(queue)
    match(after(5))
    call.refresh_from_db()
    return call


@pytest.fixture
def talking(ringing):
    with scene(ringing.pk, at=after(10), source="test") as opened:
        calls.connect(opened, at=after(10))
    ringing.refresh_from_db()
    return ringing


@pytest.fixture
def ended(talking):
    with scene(talking.pk, at=after(60), source="test") as opened:
        calls.finish(opened)
    talking.refresh_from_db()
    return talking


def offer_copy(state="ringing", **other):
    """The statement that makes one more offer out of the one there is."""
    values = {"call_id": "call_id", "agent_id": "agent_id", **other}
    return (
        "INSERT INTO queues_offer (id, call_id, agent_id, queue_id, kind, state, created_at,"
        f" ring_until, check_at, checks) SELECT gen_random_uuid(), {values['call_id']},"
        f" {values['agent_id']}, queue_id, kind, '{state}', created_at, ring_until, check_at, 0"
        " FROM queues_offer"
    )


class TestOneOffer:
    def test_a_call_has_one_open_offer(self, ringing):
        other = make_agent()
        refused("one_open_offer_per_call", offer_copy(agent_id=str(other.pk)))

    def test_an_agent_has_one_open_offer(self, ringing):
        other = make_waiting(ringing.queue)
        refused("one_open_offer_per_agent", offer_copy(call_id=f"'{other.pk}'"))

    def test_an_open_offer_is_the_one_that_its_call_names(self, ringing):
        refused("its open offer is", "UPDATE queues_queuedcall SET offer_id = NULL")

    def test_a_call_names_no_offer_of_another(self, ringing):
        other = make_waiting(ringing.queue)
        refused("its open offer is", f"UPDATE queues_queuedcall SET offer_id = '{the_offer().pk}'"
                f" WHERE id = '{other.pk}'")  # fmt: skip

    def test_a_leg_is_of_the_call_of_its_offer(self, ringing):
        other = make_waiting(ringing.queue)
        refused("leg .* is of one call",
                f"UPDATE queues_leg SET call_id = '{other.pk}' WHERE role = 'agent'")  # fmt: skip

    @pytest.mark.parametrize("state", ["greeting", "waiting", "connected"])
    def test_the_state_of_the_call_agrees_with_the_offer(self, ringing, state):
        connected = ", connected_at = now()" if state == "connected" else ""
        refused("its open offer is", f"UPDATE queues_queuedcall SET state = '{state}'{connected}")

    def test_a_call_is_not_offered_without_an_offer(self):
        make_waiting(make_queue())
        refused("its open offer is", "UPDATE queues_queuedcall SET state = 'offered'")

    def test_the_agent_of_the_call_is_the_one_who_is_offered(self, ringing):
        other = make_agent()
        refused("its open offer is", f"UPDATE queues_queuedcall SET agent_id = {other.pk}")

    def test_a_call_that_has_ended_has_no_open_offer(self, ringing):
        end = ("UPDATE queues_queuedcall SET state = 'abandoned', abandoned_in = 'ringing',"
               " ended_at = now()")  # fmt: skip
        refused("its open offer is", end)
        allowed(f"{end}, is_provisional = true")  # until the provider's record is in

    def test_a_ringing_offer_has_a_deadline(self, ringing):
        refused("ringing_offer_has_a_deadline", "UPDATE queues_offer SET check_at = NULL")


class TestEngagement:
    @pytest.mark.parametrize("engagement", ["idle", "on_call"])
    def test_whose_phone_rings_is_ringing(self, ringing, engagement):
        refused("and the open offer is", f"UPDATE agents_agent SET engagement = '{engagement}'")

    def test_who_has_no_offer_neither_rings_nor_talks(self):
        make_agent()
        for engagement in ("ringing", "on_call"):
            refused("open offer is none", f"UPDATE agents_agent SET engagement = '{engagement}'")
        allowed("UPDATE agents_agent SET engagement = 'wrap_up', wrap_up_until = now()")

    def test_an_offer_cannot_end_and_leave_its_agent_ringing(self, ringing):
        end = "UPDATE queues_offer SET state = 'expired', ended_at = now()"
        back = ("UPDATE queues_queuedcall SET state = 'waiting', offer_id = NULL,"
                " agent_id = NULL")  # fmt: skip
        refused("is ringing, and the open offer is none", end, back)
        allowed(end, back, "UPDATE agents_agent SET engagement = 'idle'")

    def test_an_offer_cannot_be_made_behind_its_agents_back(self, ringing):
        other, call = make_agent(), make_waiting(ringing.queue)
        new = offer_copy(agent_id=str(other.pk), call_id=f"'{call.pk}'")
        refused("is idle, and the open offer is ringing", new)

    def test_who_talks_is_on_a_call(self, talking):
        refused("and the open offer is joined", "UPDATE agents_agent SET engagement = 'ringing'")


class TestOneEnd:
    @pytest.mark.parametrize(
        "state", ["abandoned', abandoned_in = 'queue", "failed", "no_answer", "expired"]
    )
    def test_it_is_final(self, ended, state):
        refused("has ended completed|only_a_talk",
                f"UPDATE queues_queuedcall SET connected_at = NULL, state = '{state}'")  # fmt: skip

    def test_it_is_not_reopened(self, ended):
        refused("has ended completed", "UPDATE queues_queuedcall SET state = 'waiting',"
                " connected_at = NULL, ended_at = NULL")  # fmt: skip

    def test_it_is_told_once(self, ended):
        refused("one_end_per_call", "INSERT INTO queues_callevent (call_id, at, kind, source,"
                f" detail) VALUES ('{ended.pk}', now(), 'failed', '', '{{}}')")  # fmt: skip

    def test_its_one_correction_has_an_event(self, ended):
        correct = ("UPDATE queues_queuedcall SET state = 'abandoned', abandoned_in = 'ringing',"
                   " connected_at = NULL")  # fmt: skip
        refused("has ended completed", correct)  # it was no estimate
        sql("UPDATE queues_queuedcall SET connected_is_estimated = true")
        refused("without an event", correct)
        event = ("INSERT INTO queues_callevent (call_id, at, kind, source, detail)"
                 f" VALUES ('{ended.pk}', now(), 'corrected', '', '{{}}')")  # fmt: skip
        allowed(event, correct)

    @pytest.mark.parametrize("state", ["no_answer", "caller_gone", "failed"])
    def test_an_offers_end_is_final(self, ended, state):
        refused("end_of_offer_is_final", f"UPDATE queues_offer SET state = '{state}'")

    def test_an_offer_is_not_reopened(self, ended):
        refused("end_of_offer_is_final",
                "UPDATE queues_offer SET state = 'joined', ended_at = NULL")  # fmt: skip

    def test_only_an_end_without_a_talk_is_provisional(self, ended):
        refused("only_an_end_without_a_talk_is_provisional",
                "UPDATE queues_queuedcall SET is_provisional = true")  # fmt: skip

    def test_only_a_talk_is_connected(self, ringing):
        refused("only_a_talk_is_connected", "UPDATE queues_queuedcall SET connected_at = now()")


class TestThePlaceInLine:
    @pytest.mark.parametrize(
        "change",
        ["arrived_at = arrived_at - interval '1 s'", "queued_at = queued_at + interval '1 s'",
         "queued_at = NULL, state = 'greeting'"],
    )  # fmt: skip
    def test_it_is_kept(self, change):
        make_waiting(make_queue())
        refused("place_in_line_is_kept", f"UPDATE queues_queuedcall SET {change}")


class TestTimes:
    @pytest.mark.parametrize(
        "change",
        ["connected_at = queued_at - interval '1 s'", "ended_at = connected_at - interval '1 s'"],
    )
    def test_those_of_a_call_are_in_order(self, ended, change):
        refused("times_of_a_call_are_in_order", f"UPDATE queues_queuedcall SET {change}")

    @pytest.mark.parametrize(
        "change",
        ["answered_at = created_at - interval '1 s'", "joined_at = answered_at - interval '1 s'",
         "ended_at = joined_at - interval '1 s'", "wrap_up_ended_at = ended_at - interval '1 s'"],
    )  # fmt: skip
    def test_those_of_an_offer_are_in_order(self, ended, change):
        refused("times_of_an_offer_are_in_order", f"UPDATE queues_offer SET {change}")

    def test_what_is_told_late_or_by_a_clock_that_was_set_back_is_put_in_order(self, ringing):
        with scene(ringing.pk, at=after(-100), source="test") as opened:
            assert opened.at == after(5)
            calls.connect(opened, at=after(-100))
            calls.finish(opened, ended_at=after(-50))
        call, offer = the_call(), the_offer()
        assert (call.connected_at, call.ended_at) == (after(5), after(5))
        assert (offer.joined_at, offer.ended_at) == (after(5), after(5))
        with scene(call.pk, at=after(6), source="test") as opened:
            offers.end_wrap_up(offer.agent_id, at=after(-30), early=True)
        assert the_offer().wrap_up_ended_at == after(5)

    def test_the_providers_clock_may_be_behind_ours(self, ringing):
        with scene(ringing.pk, at=after(9), source="test") as opened:
            calls.agent_answered(opened, answered_at=after(2))
        assert (the_offer().state, the_offer().answered_at) == ("answered", after(5))


class TestACorrectionThatComesWhileTheAgentHasAnotherCall:
    @pytest.fixture
    def missed(self):
        """A direct dial that came to nothing; the agent is offered another caller meanwhile."""
        queue = make_queue()
        agent = make_agent(queue)
        call = make_waiting(queue, offerable_from=None)
        with scene(call.pk, at=T0, source="test") as opened:
            offers.make(opened, agent, Offer.Kind.DIRECT)
        offer = the_offer()
        with scene(call.pk, at=after(20), source="test") as opened:
            calls.not_answered(opened, Offer.State.NO_ANSWER)
        Agent.objects.update(hold_off_until=None, hold_off_reason="")
        make_waiting(queue, arrived_at=after(21))
        assert match(after(22)) == 1
        return Offer.objects.select_related("agent", "queue").get(pk=offer.pk)

    def test_the_other_call_goes_on_ringing(self, missed):
        with scene(missed.call_id, at=after(25), source="record") as opened:
            corrections.to_completed(opened, missed, answered_at=after(3), ended_at=after(19))
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        assert Agent.objects.get().engagement == "ringing"
        assert CallEvent.objects.get(kind="corrected").detail["became"] == "completed"
        missed.refresh_from_db()
        assert (missed.state, missed.joined_at) == ("ended", after(3))


def test_a_scene_made_by_hand_keeps_the_order_too():
    call = make_waiting(make_queue())
    assert Scene(call, None, None, after(-9), "test").at == T0
