"""A supervisor's hand in the API: calls are moved, kept, pulled, listened to; queues closed."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from agents.models import Preferences
from queues import calls
from queues.models import Offer, QueuedCall, Supervision
from queues.routing import match
from queues.scene import scene
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def sarah():
    return make_supervisor("sarah")


@pytest.fixture
def api(sarah):
    client = APIClient()
    client.force_authenticate(sarah)
    return client


@pytest.fixture
def queue():
    return make_queue()


def act(api, call, name, **body):
    return api.post(f"/api/calls/{call.public_id}/actions/{name}/", body, format="json")


class TestActions:
    def test_each_answers_with_the_calls_row(self, api, queue):
        make_queue("billing", number=None)
        make_waiting(queue)
        call = make_waiting(queue, arrived_at=timezone.now() - timedelta(seconds=5))
        agent = make_agent(username="amina")
        up = act(api, call, "move-up")
        assert (up.status_code, up.json()["id"]) == (200, call.public_id)
        assert act(api, call, "move", queue="billing").json()["queue"] == "billing"
        assert act(api, call, "keep-for", agent="amina").status_code == 200
        assert QueuedCall.objects.get(pk=call.pk).wanted_agent == agent
        assert act(api, call, "keep-for", agent=None).status_code == 200
        assert act(api, call, "pull", agent="amina").json()["status"] == "offered"
        assert act(api, call, "hang-up").json()["status"] == "failed"

    def test_what_is_too_late_is_a_409_in_words(self, api, queue):
        call = make_waiting(queue, state="abandoned", abandoned_in="queue", ended_at=T0)
        for name, body in (("move-up", {}), ("hang-up", {})):
            reply = act(api, call, name, **body)
            assert reply.status_code == 409
            assert reply.json()["detail"] == "The caller has hung up meanwhile."

    def test_a_wrong_name_is_told_at_its_field(self, api, queue):
        call = make_waiting(queue)
        assert act(api, call, "move", queue="nowhere").json() == {"queue": ["No such queue."]}
        assert act(api, call, "pull", agent="nobody").json() == {"agent": ["No such agent."]}
        assert act(api, call, "pull").json() == {"agent": ["This field is required."]}
        assert act(api, call, "keep-for", agent="nobody").status_code == 400

    def test_a_call_is_known_by_the_providers_handle_too(self, api, queue):
        make_waiting(queue)
        call = make_waiting(queue)
        handle = call.legs.get().session_id
        assert api.post(f"/api/calls/{handle}/actions/move-up/").status_code == 200
        assert api.post("/api/calls/nothing/actions/move-up/").status_code == 404


class TestListening:
    @pytest.fixture
    def talk(self, queue):
        make_agent(queue)
        call = make_waiting(queue)
        match(T0)
        Offer.objects.get().legs.update(state="answered", session_id="HD_a1", ask_at=T0)
        with scene(call.pk, at=T0, source="test") as opened:
            calls.connect(opened, at=T0)
        return call

    def test_it_is_begun_changed_and_ended(self, api, sarah, talk):
        Preferences.objects.create(user=sarah, phone="+254733000001")
        path = f"/api/calls/{talk.public_id}/supervision/"
        made = api.post(path, {"mode": "listen"}, format="json")
        assert made.status_code == 201
        row = made.json()
        assert (row["supervisor"], row["mode"], row["status"]) == ("sarah", "listen", "planned")
        changed = api.patch(path, {"mode": "whisper"}, format="json")
        assert changed.json()["wanted_mode"] == "whisper"
        again = api.post(path, {"mode": "listen"}, format="json")
        assert (again.status_code, again.json()["detail"]) == (
            409, "sarah listens to this call already.",
        )  # fmt: skip
        assert api.delete(path).status_code == 204
        assert Supervision.objects.get().stop_at

    def test_without_a_phone_or_a_mode_it_is_said_what_is_missing(self, api, talk):
        path = f"/api/calls/{talk.public_id}/supervision/"
        reply = api.post(path, {"mode": "listen"}, format="json")
        assert reply.status_code == 409
        assert "in your preferences" in reply.json()["detail"]
        assert "mode" in api.post(path, {"mode": "shout"}, format="json").json()
        assert api.delete(path).json()["detail"] == "Nobody listens to this call."


class TestClosing:
    def test_a_queue_is_closed_and_opened(self, api, queue):
        closed = api.post("/api/queues/support/close/")
        assert closed.status_code == 200
        assert closed.json()["closed_at"]
        assert api.post("/api/queues/support/close/").status_code == 409
        assert api.post("/api/queues/support/open/").json()["closed_at"] is None
        api.patch("/api/queues/support/", {"closed_at": "2026-01-01T00:00:00Z"}, format="json")
        assert api.get("/api/queues/support/").json()["closed_at"] is None
