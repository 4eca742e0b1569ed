"""Listening in: asked for in the row, placed by a task, told by the provider, over with a call."""

import json
from datetime import timedelta

import pytest
import requests

from agents.models import Preferences
from agents.refusals import Refused
from queues import calls, supervision, sweeping
from queues.models import Alert, Breaker, CallEvent, Leg, Offer, Supervision
from queues.routing import match
from queues.scene import scene
from reporting.audit import Audit
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting

from .telephone import TOKEN

pytestmark = pytest.mark.django_db
BOSS = "+254733000001"
API = "https://api.sautikit.test/v1/calls"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def sarah():
    user = make_supervisor("sarah")
    Preferences.objects.create(user=user, phone=BOSS)
    return user


@pytest.fixture
def talk():
    """A caller and an agent who talk in the room, both legs known."""
    queue = make_queue()
    agent, call = make_agent(queue), make_waiting(queue)
    match(T0)
    offer = Offer.objects.get()
    Leg.objects.filter(offer=offer).update(
        state="answered", session_id="HD_a1", provider_id="agent-leg", placed_at=T0,
        answered_at=after(2), ask_at=after(30),
    )  # fmt: skip
    with scene(call.pk, at=after(3), source="test") as opened:
        calls.connect(opened, at=after(3))
    call.refresh_from_db()
    assert agent == call.agent
    return call


class Listener:
    """The provider's side of it, by `responses`."""

    def __init__(self, mock, leg="agent-leg"):
        self.mock, self.url = mock, f"{API}/{leg}/supervision"

    def takes(self, **told):
        body = {"supervision_id": "s-1", "state": "ringing", "mode": "listen", **told}
        self.mock.upsert("POST", self.url, json=body, status=201)

    def refuses(self, status, code):
        body = {"error": {"code": code, "message": "no"}}
        self.mock.upsert("POST", self.url, json=body, status=status)

    def tells(self, state, **told):
        body = {"supervision_id": "s-1", "state": state, **told} if state else None
        self.mock.upsert("GET", self.url, json={"supervision": body})

    def changes(self, status=200):
        self.mock.upsert("PATCH", self.url, json={}, status=status)

    def ends(self, status=204):
        self.mock.upsert("DELETE", self.url, status=status)

    @property
    def asked(self):
        return [
            (one.request.method, one.request.url.rpartition("/calls/")[2]) for one in self.calls
        ]

    @property
    def calls(self):
        return [one for one in self.mock.calls if one.request.url.startswith(API)]

    def body(self, n=-1):
        return json.loads(self.calls[n].request.body)


@pytest.fixture
def wire(sautikit_api):
    return Listener(sautikit_api)


def the_row():
    return Supervision.objects.get()


def look(at):
    supervision.look(the_row().pk, at=at)
    return the_row()


@pytest.fixture
def listening(talk, sarah, wire):
    """Sarah listens, since 12 s."""
    wire.takes()
    supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
    look(after(10))
    wire.tells("connected", connected_at=after(12).isoformat())
    return look(after(13))


def kinds(call):
    told = CallEvent.objects.filter(call=call, kind__startswith="listening")
    return list(told.values_list("kind", flat=True))


class TestAsking:
    def test_the_agents_leg_is_listened_to_on_the_supervisors_phone(
        self, talk, sarah, wire, bells, commits
    ):
        with commits():
            made = supervision.start(talk.public_id, "whisper", user=sarah, at=after(10))
        assert bells.of("supervise") == [str(made.pk)]
        assert (made.state, made.leg.role, made.check_at) == ("planned", "agent", after(12))
        wire.takes(mode="whisper")
        row = look(after(10))
        assert (row.state, row.provider_id, row.check_at) == ("ringing", "s-1", after(13))
        assert wire.asked == [("POST", "agent-leg/supervision")]
        assert wire.calls[0].request.headers["Idempotency-Key"] == row.pk.hex
        assert wire.body() == {
            "mode": "whisper", "announce": "none", "label": row.pk.hex,
            "supervisor": {"type": "phone", "number": BOSS},
        }  # fmt: skip

    def test_a_direct_dial_is_listened_to_on_the_customers_leg(self, talk, sarah):
        Leg.objects.filter(role="agent").update(is_placed_by_us=False)
        made = supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        assert made.leg.role == "customer"

    def test_a_sip_phone_is_named_as_one(self, talk, sarah, wire):
        Preferences.objects.update(phone="sip:sarah@pbx.example.com")
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        wire.takes()
        look(after(10))
        assert wire.body()["supervisor"] == {"type": "sip", "identity": "sip:sarah@pbx.example.com"}

    def test_without_a_phone_it_is_said_where_to_set_one(self, talk):
        with pytest.raises(Refused, match="Set the phone on which you listen, in your preferences"):
            supervision.start(talk.public_id, "listen", user=make_supervisor("tom"), at=after(10))

    def test_only_a_talk_can_be_listened_to(self, sarah):
        call = make_waiting(make_queue())
        with pytest.raises(Refused, match="nobody talks on this call yet"):
            supervision.start(call.public_id, "listen", user=sarah, at=after(10))

    def test_a_second_supervisor_is_told_who_listens(self, talk, listening):
        tom = make_supervisor("tom")
        Preferences.objects.create(user=tom, phone="+254733000002")
        with pytest.raises(Refused, match="sarah listens to this call already"):
            supervision.start(talk.public_id, "listen", user=tom, at=after(20))

    def test_ones_own_call_is_not_listened_to(self, talk, sarah):
        Preferences.objects.update(phone=talk.agent.destination)
        with pytest.raises(Refused, match="on your own phone"):
            supervision.start(talk.public_id, "listen", user=sarah, at=after(10))

    def test_while_the_provider_is_away_nobody_is_asked(self, talk, sarah, wire):
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        Breaker.objects.create(name="api", state="open", opened_at=after(10))
        row = look(after(10))
        assert (row.state, row.check_at, wire.calls) == ("planned", after(11), [])
        tom = make_supervisor("tom")
        Preferences.objects.create(user=tom, phone="+254733000002")
        with pytest.raises(Refused, match="provider is away"):
            supervision.start(talk.public_id, "listen", user=tom, at=after(10))


class TestPlacing:
    def test_no_answer_is_asked_for_again_with_the_same_bytes_and_key(
        self, talk, sarah, wire, sautikit_api
    ):
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        sautikit_api.upsert("POST", wire.url, body=requests.ReadTimeout())
        assert look(after(10)).check_at == after(11)
        wire.takes()
        assert look(after(11)).state == "ringing"
        first, second = (one.request for one in wire.calls)
        assert first.body == second.body
        assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]

    def test_a_repeat_that_meets_itself_is_taken_over(self, talk, sarah, wire, sautikit_api):
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        sautikit_api.upsert("POST", wire.url, body=requests.ReadTimeout())
        look(after(10))
        wire.refuses(409, "calls.supervision_in_progress")
        wire.tells("connected", connected_at=after(12).isoformat())
        assert look(after(12)).state == "connected"

    def test_a_refusal_says_why(self, talk, sarah, wire):
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        wire.refuses(409, "calls.supervision_in_progress")
        row = look(after(10))
        assert (row.state, row.error) == ("failed", "Somebody listens to this call already.")
        assert row.ended_at == after(10)

    def test_a_key_without_the_scope_is_told_to_the_supervisors(self, talk, sarah, wire):
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        wire.refuses(403, "api_key.scope_denied")
        assert look(after(10)).error == "The API key may not listen in on calls."
        assert "calls.supervise" in Alert.objects.get().text

    def test_what_could_not_be_placed_in_half_a_minute_is_given_up(
        self, talk, sarah, wire, sautikit_api
    ):
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        sautikit_api.upsert("POST", wire.url, body=requests.ReadTimeout())
        look(after(10))
        wire.ends()
        row = look(after(41))
        assert row.state == "failed"
        assert wire.asked[-1] == ("DELETE", "agent-leg/supervision")


class TestListening:
    def test_the_timeline_says_who_listened_and_how(self, talk, listening):
        assert (listening.state, listening.connected_at) == ("connected", after(12))
        assert listening.check_at == after(43)
        assert kinds(talk) == ["listening_asked", "listening_started"]
        started = CallEvent.objects.get(kind="listening_started")
        assert (started.at, started.detail) == (after(12), {"by": "sarah", "mode": "listen"})

    def test_a_change_of_mode_is_asked_of_the_provider_first(self, talk, sarah, listening, wire):
        changed = supervision.change(listening.pk, "barge", user=sarah, at=after(20))
        assert (changed.mode, changed.wanted_mode) == ("listen", "barge")
        wire.changes()
        row = look(after(20))
        assert (row.mode, row.wanted_mode) == ("barge", "")
        assert wire.body() == {"mode": "barge"}
        assert kinds(talk)[-1] == "listening_changed"

    def test_while_the_phone_rings_the_mode_waits(self, talk, sarah, wire):
        wire.takes()
        made = supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        look(after(10))
        supervision.change(made.pk, "whisper", user=sarah, at=after(11))
        wire.tells("ringing")
        assert look(after(11)).wanted_mode == "whisper"
        wire.tells("connected")
        wire.changes(409)
        row = look(after(14))
        assert (row.mode, row.wanted_mode, row.check_at) == ("listen", "whisper", after(15))
        wire.changes()
        assert look(after(15)).mode == "whisper"

    def test_only_who_listens_changes_how(self, listening):
        with pytest.raises(Refused, match="Only who listens"):
            supervision.change(listening.pk, "barge", user=make_supervisor("tom"), at=after(20))

    def test_a_network_error_keeps_it(self, listening, sautikit_api, wire):
        sautikit_api.upsert("GET", wire.url, body=requests.ReadTimeout())
        row = look(after(43))
        assert (row.state, row.check_at) == ("connected", after(73))

    @pytest.mark.parametrize("state", [None, "ended"])
    def test_a_supervisor_who_has_hung_up_is_off(self, talk, listening, wire, state):
        wire.tells(state)
        row = look(after(43))
        assert (row.state, row.ended_at, row.error) == ("ended", after(43), "")
        assert kinds(talk)[-1] == "listening_ended"

    def test_nobody_answers_the_supervisors_phone(self, talk, sarah, wire):
        wire.takes()
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        look(after(10))
        wire.tells("failed")
        row = look(after(20))
        assert (row.state, row.error) == ("failed", "The phone was not answered.")

    def test_a_phone_that_rings_for_ever_is_let_go(self, talk, sarah, wire):
        wire.takes()
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        look(after(10))
        wire.tells("ringing")
        wire.ends()
        assert look(after(71)).state == "failed"
        assert wire.asked[-1][0] == "DELETE"


class TestTheEnd:
    def test_a_supervisor_is_taken_off_and_the_talk_goes_on(self, talk, sarah, listening, wire):
        supervision.stop(listening.pk, user=sarah, at=after(20))
        wire.ends()
        row = look(after(20))
        assert (row.state, row.ended_at) == ("ended", after(20))
        assert kinds(talk)[-2:] == ["listening_stopped", "listening_ended"]
        talk.refresh_from_db()
        assert talk.state == "connected"
        with pytest.raises(Refused, match="over already"):
            supervision.stop(listening.pk, user=sarah, at=after(21))

    def test_an_end_that_the_provider_does_not_answer_is_asked_for_again(
        self, sarah, listening, wire, sautikit_api
    ):
        supervision.stop(listening.pk, user=sarah, at=after(20))
        sautikit_api.upsert("DELETE", wire.url, body=requests.ReadTimeout())
        row = look(after(20))
        assert (row.state, row.check_at) == ("connected", after(22))
        wire.ends()
        assert look(after(22)).state == "ended"

    def test_it_ends_with_the_call_whatever_the_provider_says(
        self, talk, listening, wire, bells, commits, sautikit_api
    ):
        with scene(talk.pk, at=after(60), source="test") as opened:
            calls.finish(opened, ended_at=after(60))
        bells.rung.clear()
        with commits():
            sweeping.sweep(at=after(61))
        assert bells.of("supervise") == [str(listening.pk)]
        sautikit_api.upsert("DELETE", wire.url, body=requests.ReadTimeout())
        assert look(after(61)).state == "connected"
        row = look(after(121))
        assert (row.state, row.ended_at) == ("ended", after(60))

    def test_a_request_that_was_out_when_it_ended_is_undone(self, talk, sarah, wire, sautikit_api):
        supervision.start(talk.public_id, "listen", user=sarah, at=after(10))
        wire.ends()

        def taken_too_late(request):
            supervision.stop(the_row().pk, user=sarah, at=after(11))
            supervision.look(the_row().pk, at=after(11))
            return 201, {}, json.dumps({"supervision_id": "s-1", "state": "ringing"})

        sautikit_api.add_callback("POST", wire.url, taken_too_late)
        assert look(after(10)).state == "failed"
        assert [method for method, _ in wire.asked] == ["DELETE", "POST", "DELETE"]

    def test_no_figure_changes_by_it(self, talk, listening):
        lines = [line for line in Audit(at=after(60)).lines() if "state is" not in line]
        assert [line for line in lines if "listen" in line] == []


class TestWhatIsDue:
    def test_the_sweep_rings_for_what_is_due_and_leases_it(self, listening, bells, commits):
        with commits():
            sweeping.sweep(at=after(42))
        assert bells.of("supervise") == []
        with commits():
            sweeping.sweep(at=after(43))
            sweeping.sweep(at=after(44))
        assert bells.of("supervise") == [str(listening.pk)]

    @pytest.mark.parametrize(
        "told",
        [
            {"kind": "call.supervision.ended", "event_id": "e-1", "data": {"call_id": "agent-leg"}},
            {"event_kind": "call.supervision.mode_changed", "payload": {"session_id": "HD_a1"}},
            {"type": "call_supervision_left", "data": {"supervision": {"supervision_id": "s-1"}}},
        ],
    )
    def test_an_event_of_any_shape_makes_us_look(self, listening, bells, phone, commits, told):
        with commits():
            for _ in range(2):  # told twice it is one piece of news
                reply = phone.post(f"/calls/events?token={TOKEN}", told, as_json=True)
                assert reply.status_code == 200
        assert bells.of("supervise") == [str(listening.pk)]

    def test_an_event_of_another_call_is_kept_and_nothing_else(
        self, listening, bells, phone, commits
    ):
        told = {"kind": "call.supervision.ended", "data": {"call_id": "elsewhere"}}
        with commits():
            reply = phone.post(f"/calls/events?token={TOKEN}", told, as_json=True)
        assert reply.status_code == 200
        assert bells.of("supervise") == []

    def test_who_listens_is_found_by_call(self, talk, listening):
        assert supervision.open_by_call() == {talk.pk: listening}
