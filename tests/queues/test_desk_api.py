"""The desk through the API: what pages do, other programs of the agent may do too."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from agents import notices
from agents.models import BreakReason
from queues import calls
from queues.models import Alert, Disposition, Offer, Queue, WrapUp
from queues.routing import match
from queues.scene import scene
from tests.factories import make_agent, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def queue():
    return make_queue(wrap_up_seconds=600)


@pytest.fixture
def amina(queue):
    return make_agent(queue, username="amina")


@pytest.fixture
def call(queue, amina, now):
    """A call that rings at amina's phone."""
    made = make_waiting(queue, arrived_at=now - timedelta(seconds=60))
    match(now - timedelta(seconds=50))
    return made


@pytest.fixture
def talk(call, now):
    with scene(call.pk, at=now - timedelta(seconds=40), source="test") as opened:
        calls.connect(opened, at=opened.at)
    return call


@pytest.fixture
def over(talk, now):
    with scene(talk.pk, at=now - timedelta(seconds=5), source="test") as opened:
        calls.finish(opened)
    return talk


def client(user):
    made = APIClient()
    made.force_authenticate(user)
    return made


@pytest.fixture
def as_amina(amina):
    return client(amina.user)


@pytest.fixture
def as_sarah():
    return client(make_supervisor())


class TestWrapUp:
    def test_notes_and_disposition_are_written_and_shown(self, as_amina, over):
        order = Disposition.objects.create(label="Order")
        placed = Disposition.objects.create(label="Placed", parent=order)
        path = f"/api/calls/{over.public_id}/"
        body = {"disposition": placed.pk, "notes": "two sacks"}
        reply = as_amina.patch(f"{path}wrap-up/", body, format="json")
        assert (reply.status_code, reply.data["label"]) == (200, "Order: Placed")
        reply = as_amina.patch(f"{path}wrap-up/", {"notes": "three sacks"}, format="json")
        assert reply.data["disposition"] == placed.pk
        shown = as_amina.get(path).data
        assert (shown["disposition"], shown["notes"]) == ("Order: Placed", "three sacks")
        as_amina.patch(f"{path}wrap-up/", {"disposition": None}, format="json")
        assert as_amina.get(path).data["disposition"] is None

    def test_before_anything_is_written_both_are_empty(self, as_amina, over):
        shown = as_amina.get(f"/api/calls/{over.public_id}/").data
        assert (shown["disposition"], shown["notes"]) == (None, "")

    def test_a_supervisor_writes_about_any_call(self, as_sarah, over):
        reply = as_sarah.patch(
            f"/api/calls/{over.public_id}/wrap-up/", {"notes": "checked"}, format="json"
        )
        assert reply.status_code == 200
        assert WrapUp.objects.get().updated_by.username == "sarah"

    def test_another_agents_call_is_not_there(self, over):
        other = client(make_agent().user)
        path = f"/api/calls/{over.public_id}/wrap-up/"
        assert other.patch(path, {"notes": "x"}, format="json").status_code == 404

    @pytest.mark.parametrize(
        ("body", "field"),
        [({"disposition": 999}, "disposition"), ({"disposition": "x"}, "disposition"),
         ({"notes": "x" * 4001}, "notes"), ({"notes": None}, "notes")],
    )  # fmt: skip
    def test_bad_input_is_told_at_the_field(self, as_amina, over, body, field):
        reply = as_amina.patch(f"/api/calls/{over.public_id}/wrap-up/", body, format="json")
        assert (reply.status_code, list(reply.data)) == (400, [field])

    def test_without_a_talk_it_is_a_conflict_in_words(self, as_amina, call):
        reply = as_amina.patch(
            f"/api/calls/{call.public_id}/wrap-up/", {"notes": "x"}, format="json"
        )
        assert (reply.status_code, "no conversation" in reply.data["detail"]) == (409, True)


class TestTheDesk:
    def test_a_ringing_call_is_declined_once(self, as_amina, call):
        assert as_amina.post("/api/agents/amina/decline/").status_code == 204
        assert Offer.objects.get(call=call).state == "declined"
        reply = as_amina.post("/api/agents/amina/decline/")
        assert (reply.status_code, "not ringing" in reply.data["detail"]) == (409, True)

    def test_help_is_asked_for_and_taken_back(self, as_amina, talk):
        assert as_amina.post("/api/agents/amina/help/").status_code == 204
        assert Alert.objects.filter(kind="help", dismissed_at=None).count() == 1
        assert as_amina.delete("/api/agents/amina/help/").status_code == 204
        assert not Alert.objects.filter(kind="help", dismissed_at=None).exists()

    def test_the_wrap_up_is_lengthened_and_ended(self, as_amina, over, amina):
        amina.refresh_from_db()
        until = amina.wrap_up_until
        assert as_amina.post("/api/agents/amina/wrap-up/extend/").status_code == 204
        amina.refresh_from_db()
        assert amina.wrap_up_until == until + timedelta(seconds=60)
        Queue.objects.update(disposition_required=True)
        assert as_amina.post("/api/agents/amina/wrap-up/done/").status_code == 409
        Queue.objects.update(disposition_required=False)
        assert as_amina.post("/api/agents/amina/wrap-up/done/").status_code == 204
        amina.refresh_from_db()
        assert amina.engagement == "idle"

    def test_nobody_does_it_for_them(self, as_sarah, call):
        other = client(make_agent().user)
        for path in ("decline/", "help/", "wrap-up/extend/", "wrap-up/done/"):
            assert as_sarah.post(f"/api/agents/amina/{path}").status_code == 403
            assert other.post(f"/api/agents/amina/{path}").status_code == 404


class TestLists:
    def test_break_reasons_in_use_in_their_order(self, as_amina):
        BreakReason.objects.create(name="Short break", limit_minutes=15, position=2)
        BreakReason.objects.create(name="Lunch", is_paid=False, position=1)
        BreakReason.objects.create(name="Old", is_active=False)
        rows = as_amina.get("/api/break-reasons/").data["results"]
        told = [(row["name"], row["is_paid"], row["limit_minutes"]) for row in rows]
        assert told == [("Lunch", False, None), ("Short break", True, 15)]

    def test_dispositions_that_can_be_chosen(self, as_amina, queue):
        order = Disposition.objects.create(label="Order", position=1)
        Disposition.objects.create(label="Placed", parent=order)
        Disposition.objects.create(label="Wrong number")
        other = make_queue("billing", number=None)
        Disposition.objects.create(label="Paid", queue=other)
        rows = as_amina.get("/api/dispositions/?queue=support").data["results"]
        assert [(row["group"], row["label"], row["queue"]) for row in rows] == [
            (None, "Wrong number", None), ("Order", "Placed", None),
        ]  # fmt: skip
        assert len(as_amina.get("/api/dispositions/").data["results"]) == 3
        assert as_amina.get("/api/dispositions/?queue=nope").status_code == 400


class TestNotices:
    def test_a_supervisor_sends_one(self, as_sarah, amina):
        body = {"text": "The meeting is at three.", "agents": ["amina"]}
        reply = as_sarah.post("/api/notices/", body, format="json")
        assert (reply.status_code, reply.data["text"]) == (201, "The meeting is at three.")
        [waiting] = notices.unread(amina)
        assert waiting.notice.sender.username == "sarah"

    @pytest.mark.parametrize(
        ("body", "field"),
        [({"text": "", "agents": ["amina"]}, "text"),
         ({"text": "x" * 281, "agents": ["amina"]}, "text"),
         ({"text": "Hello", "agents": []}, "agents"),
         ({"text": "Hello", "agents": ["nobody"]}, "agents"),
         ({"text": "Hello"}, "agents")],
    )  # fmt: skip
    def test_bad_input_is_told_at_the_field(self, as_sarah, amina, body, field):
        reply = as_sarah.post("/api/notices/", body, format="json")
        assert (reply.status_code, list(reply.data)) == (400, [field])

    def test_it_is_not_for_agents(self, as_amina):
        body = {"text": "Hello", "agents": ["amina"]}
        assert as_amina.post("/api/notices/", body, format="json").status_code == 403
