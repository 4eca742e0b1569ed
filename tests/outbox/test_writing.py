"""Telling: in the transaction of what is told, only if somebody hears, in the API's own words."""

import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token

from agents import presence
from callcenter.outbox import writing
from callcenter.outbox.models import Delivery, Endpoint, Message
from callcenter.outbox.topics import TOPICS
from queues import calls, corrections, offers
from queues.models import CallEvent, Offer, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import CALLER, LINE, T0, make_agent, make_queue, make_supervisor, make_waiting
from tests.queues.telephone import Telephone

pytestmark = pytest.mark.django_db
END = {"callSessionState": "Completed", "durationInSeconds": "10", "isActive": "0"}


def told():
    return list(Message.objects.order_by("pk").values_list("topic", flat=True))


def the_message(topic):
    return Message.objects.get(topic=topic)


def act(call, *steps, at=T0):
    with scene(call.pk, at=at, source="test") as opened:
        for step in steps:
            step(opened)


@pytest.fixture
def queue():
    return make_queue()


class TestACallsMessages:
    def test_a_direct_call_is_told_from_its_arrival_to_its_end(self, endpoint, queue):
        make_agent(queue, username="amina")
        phone = Telephone()
        phone.inbound()
        call = QueuedCall.objects.get()
        act(call, lambda s: calls.connect(s, at=s.at), at=T0 + timedelta(days=9))
        act(call, lambda s: calls.finish(s, reason="test"), at=T0 + timedelta(days=9, seconds=30))
        assert told() == ["call.arrived", "call.offered", "call.answered", "call.ended"]
        assert {m.subject for m in Message.objects.all()} == {"HD_000000000001"}
        assert [m.payload["status"] for m in Message.objects.order_by("pk")] == [
            "greeting", "offered", "connected", "completed",
        ]  # fmt: skip
        assert [m.payload["agent"] for m in Message.objects.order_by("pk")] == [
            None, "amina", "amina", "amina",
        ]  # fmt: skip
        assert the_message("call.ended").payload["talk_seconds"] == 30

    def test_a_held_call_is_told_to_be_in_line_and_again_after_a_failed_offer(
        self, endpoint, queue
    ):
        phone = Telephone()
        phone.inbound()
        call = QueuedCall.objects.get()
        agent = make_agent(queue, username="amina")
        at = call.queued_at + timedelta(seconds=9)
        assert match(at) == 1
        act(call, lambda s: calls.not_answered(s, Offer.State.NO_ANSWER), at=at)
        assert told() == [
            "call.arrived", "call.queued", "call.offered", "call.offer_failed", "call.queued",
        ]  # fmt: skip
        failed = the_message("call.offer_failed").payload
        assert (failed["agent"], failed["offer_status"]) == (agent.user.username, "no_answer")
        last = Message.objects.latest("pk").payload
        assert (last["status"], last["agent"]) == ("waiting", None)

    def test_a_direct_dial_that_was_not_answered_is_told_to_be_in_line_once(self, endpoint, queue):
        make_agent(queue)
        Telephone().inbound()
        call = QueuedCall.objects.get()
        act(call, lambda s: calls.after_dial(s, answered=False), at=T0 + timedelta(days=9))
        act(call, lambda s: calls.hold(s), at=T0 + timedelta(days=9, seconds=9))
        assert told() == ["call.arrived", "call.offered", "call.offer_failed", "call.queued"]

    def test_the_messages_of_one_transaction_are_numbered_as_things_happened(self, endpoint, queue):
        call = make_waiting(queue)
        make_agent(queue)
        match(T0)
        act(call, lambda s: calls.connect(s, at=T0), lambda s: calls.finish(s))
        assert told() == ["call.offered", "call.answered", "call.ended"]

    def test_the_payload_has_the_words_and_values_of_the_api(self, endpoint, queue):
        call = make_waiting(queue)
        make_agent(queue, username="amina")
        match(T0 + timedelta(seconds=3))
        act(call, lambda s: calls.connect(s, at=s.at), at=T0 + timedelta(seconds=5))
        act(call, lambda s: calls.finish(s, reason="test"), at=T0 + timedelta(seconds=65))
        key = Token.objects.create(user=make_supervisor()).key
        shown = Client().get(
            f"/api/calls/{call.public_id}/", headers={"Authorization": f"Token {key}"}
        )
        row = shown.json()
        payload = the_message("call.ended").payload
        assert payload.pop("is_provisional") is False
        assert payload == {name: row[name] for name in payload}
        assert set(row) - set(payload) == {
            "cost_minor", "disposition", "legs", "notes", "offers", "recordings", "timeline",
            "why_waiting",
        }  # fmt: skip
        assert (payload["from"], payload["to"]) == (CALLER, LINE)
        assert payload["ended_at"] == "2026-11-20T11:01:05+03:00"

    def test_a_reservation_of_click_to_call_is_no_offer_yet(self, endpoint, queue):
        from queues import outbound

        agent = make_agent(queue)
        call = outbound.click_to_call(agent.pk, "+254711999999", queue=queue, at=T0)
        assert told() == ["call.dialling"]
        act(call, lambda s: calls.contact_answered(s))
        assert told() == ["call.dialling", "call.offered"]
        payload = the_message("call.offered").payload
        assert (payload["from"], payload["to"]) == (LINE, "+254711999999")
        assert payload["agent"] == agent.user.username

    def test_an_end_that_the_record_corrects_is_told_once_more(self, endpoint, queue):
        make_agent(queue)
        phone = Telephone()
        phone.inbound()
        phone.inbound(**END)
        call = QueuedCall.objects.get()
        assert the_message("call.ended").payload["is_provisional"] is True
        offer = Offer.objects.get()
        act(call, lambda s: corrections.to_completed(
            s, s.offer or offer, answered_at=call.ended_at, ended_at=call.ended_at))  # fmt: skip
        payload = the_message("call.corrected").payload
        assert (payload["was"], payload["status"]) == ("abandoned", "completed")
        assert payload["is_provisional"] is False

    def test_what_concerns_the_call_centre_only_is_not_told(self, endpoint, queue):
        call = make_waiting(queue, offerable_from=T0 + timedelta(seconds=8))
        act(call, lambda s: calls.customer_joined(s), lambda s: calls.customer_left_room(s))
        assert CallEvent.objects.count() == 2
        assert told() == []


class TestPresence:
    def test_a_change_is_told_in_the_words_of_the_api(self, endpoint):
        agent = make_agent(username="amina", presence="offline")
        presence.change(agent.pk, "break", at=T0, cause="page", reason="Lunch")
        [message] = Message.objects.all()
        assert (message.topic, message.subject) == ("agent.presence", "amina")
        assert message.payload == {
            "username": "amina", "name": "Amina", "presence": "break", "presence_reason": "Lunch",
            "presence_since": "2026-11-20T11:00:00+03:00", "engagement": "idle", "cause": "page",
        }  # fmt: skip

    def test_what_is_no_change_is_not_told(self, endpoint):
        agent = make_agent(presence="offline")
        presence.change(agent.pk, "offline", at=T0, cause="page")
        assert told() == []


class TestTheTransaction:
    def test_what_is_undone_was_never_told(self, endpoint, queue):
        call = make_waiting(queue)
        make_agent(queue)
        with transaction.atomic():
            match(T0)
            assert told() == ["call.offered"]
            transaction.set_rollback(True)
        assert (told(), Delivery.objects.count()) == ([], 0)
        call.refresh_from_db()
        assert call.state == "waiting"

    def test_the_bell_rings_after_the_commit_only_when_something_was_told(
        self, endpoint, queue, bells, commits
    ):
        call = make_waiting(queue)
        with commits():
            act(call, lambda s: s.note("joined_room"))
        assert ("tell",) not in bells.rung
        with commits():
            act(call, lambda s: calls.expire(s), at=T0 + timedelta(hours=1))
            assert ("tell",) not in bells.rung
        assert bells.rung.count(("tell",)) == 1


class TestNobodyListens:
    def statements(self, call, at):
        with CaptureQueriesContext(connection) as seen:
            act(call, lambda s: calls.connect(s, at=at), lambda s: calls.finish(s), at=at)
        return [each["sql"] for each in seen.captured_queries]

    def call(self, queue):
        call = make_waiting(queue)
        make_agent(queue)
        match(T0)
        return call

    def test_there_is_no_row_and_with_an_endpoint_no_statement_more(self, queue, make_endpoint):
        without = self.statements(self.call(queue), T0)
        assert (told(), Delivery.objects.count()) == ([], 0)
        make_endpoint()
        with_one = self.statements(self.call(queue), T0)
        assert told() == ["call.offered", "call.answered", "call.ended"]
        assert len(without) == len(with_one)
        assert len([sql for sql in with_one if "outbox" in sql]) == 1  # the events' own statement

    def test_presence_takes_one_statement_whether_somebody_listens_or_not(self, make_endpoint):
        def statements(presence_):
            with CaptureQueriesContext(connection) as seen:
                presence.change(agent.pk, presence_, at=T0, cause="page")
            return [each["sql"] for each in seen.captured_queries]

        agent = make_agent()
        without = statements("break")
        assert told() == []
        make_endpoint()
        with_one = statements("available")
        assert told() == ["agent.presence"]
        assert len(without) == len(with_one)
        assert len([sql for sql in with_one if "outbox" in sql]) == 1

    def test_an_endpoint_that_is_off_gets_nothing(self, make_endpoint, tell):
        make_endpoint(is_active=False)
        tell("a")
        assert (told(), Delivery.objects.count()) == ([], 0)

    def test_each_gets_the_topics_that_it_wants(self, make_endpoint, tell):
        ends = make_endpoint(topics=["call.ended"])
        both = make_endpoint(topics=["call.ended", "call.answered"])
        tell("a", topic="call.ended")
        tell("a", topic="call.answered")
        tell("a", topic="call.queued")
        assert told() == ["call.ended", "call.answered"]
        assert Delivery.objects.filter(endpoint=ends).count() == 1
        assert Delivery.objects.filter(endpoint=both).count() == 2

    def test_an_endpoint_that_is_removed_meanwhile_undoes_no_call(self, make_endpoint, tell):
        """No constraint ties a delivery to its endpoint: a call's end must not fail for it."""
        endpoint = make_endpoint()
        tell("a")
        Endpoint.objects.filter(pk=endpoint.pk)._raw_delete("default")
        connection.check_constraints()


def test_every_topic_that_is_told_is_one_to_choose():
    from queues import telling

    assert {*telling._TOPICS.values(), "call.offer_failed", "call.corrected", "call.queued",
            "agent.presence", "alert.raised"} == set(TOPICS)  # fmt: skip


def test_every_failed_offer_has_its_word():
    from queues import telling

    assert set(telling._OFFER_FAILED.values()) == {
        "no_answer", "busy", "failed", "declined", "no_keypress", "expired",
    }  # fmt: skip
    assert offers.HOLD_OFF_OF.keys() <= set(telling._OFFER_FAILED.values())


def test_values_are_values_whatever_is_in_them(endpoint):
    nasty = "'); DROP TABLE x; -- %s {} \\ \" é"
    writing.tell(writing.News("call.ended", nasty, T0, {"from": nasty}))
    message = Message.objects.get()
    assert (message.subject, message.payload) == (nasty, {"from": nasty})
    assert isinstance(message.uid, uuid.UUID)
    assert json.dumps(message.payload)
