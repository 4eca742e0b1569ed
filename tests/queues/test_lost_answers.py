"""What was sent and not answered: sent again the same, found in the list, hung up if unwanted."""

import json
from datetime import timedelta

import pytest
import requests

from agents.models import Agent
from callcenter.sautikit.callbacks import Outcome
from queues import calls, dialling, outbound, provider, reconcile
from queues.models import Alert, Leg, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import LINE, T0, make_agent, make_queue, make_waiting

from .telephone import agent_leg, the_call, the_offer

pytestmark = pytest.mark.django_db
AMINA, LEG, CONTACT = "+254711000001", "HD_00000000000a", "+254733000001"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue(ring_timeout=25)


@pytest.fixture
def agent(queue):
    return make_agent(queue, destination=AMINA)


@pytest.fixture
def planned(queue, agent):
    """A waiting caller has been offered to Amina; her phone is to be rung."""
    make_waiting(queue)
    assert match(T0) == 1
    return agent_leg()


def record(**values):
    return {
        "id": "c-9", "session_id": LEG, "direction": "outbound", "local_e164": LINE,
        "remote_e164": AMINA, "status": "ringing", "started_at": "2026-11-20T08:00:01Z", **values,
    }  # fmt: skip


def leave(at):
    """The caller hangs up."""
    with scene(QueuedCall.objects.get().pk, at=at, source="test") as opened:
        calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=at)


class Killed(BaseException):
    """The worker dies here."""


def die(*args, **kwargs):
    raise Killed


@pytest.fixture
def dies_before_storing(monkeypatch):
    """The process is killed when the answer is in and nothing of it is stored."""

    monkeypatch.setattr(dialling, "_placed", die)


class TestTheSameBytes:
    @pytest.mark.parametrize(
        "change",
        [
            {"SECRET_KEY": "another-key-that-is-long-enough-for-anybody-at-all"},
            {"PUBLIC_BASE_URL": "https://elsewhere.example.test"},
            {"SAUTIKIT_CALL_SCHEMA": "use_case"},
            {"SAUTIKIT_NUMBER": "+254200000777"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_restart_with_other_settings_in_between_sends_them_again(
        self, planned, provider, settings, change
    ):
        Leg.objects.filter(pk=planned.pk).update(line="sip:line@pbx.example.com")
        provider.fails_placing(requests.ReadTimeout())
        provider.takes_calls(call_id="c-1")
        dialling.place(planned.pk, at=T0)
        for name, value in change.items():
            setattr(settings, name, value)
        dialling.place(planned.pk, at=after(1))
        first, second = (call.request for call in provider.mock.calls)
        assert first.body == second.body
        assert provider.keys == [f"{planned.pk.hex}-sdk"] * 2
        assert agent_leg().state == "ringing"

    def test_so_does_a_worker_that_died_with_the_answer_in_its_hands(
        self, planned, provider, settings, monkeypatch
    ):
        provider.takes_calls(call_id="c-1", session_id=LEG)
        with monkeypatch.context() as patched:
            patched.setattr(dialling, "_placed", die)
            with pytest.raises(Killed):
                dialling.place(planned.pk, at=T0)
        assert (agent_leg().state, agent_leg().sent_at) == ("planned", T0)
        settings.SECRET_KEY = "another-key-that-is-long-enough-for-anybody-at-all"
        dialling.place(planned.pk, at=after(3))
        first, second = (call.request for call in provider.mock.calls)
        assert first.body == second.body
        assert (agent_leg().state, agent_leg().session_id) == ("ringing", LEG)

    def test_a_shape_that_is_learnt_in_between_changes_nothing_for_a_leg_that_was_sent(
        self, planned, provider
    ):
        provider.fails_placing(requests.ReadTimeout())
        provider.takes_calls(call_id="c-1")
        dialling.place(planned.pk, at=T0)
        from queues.provider import CALL_SCHEMA, learn

        learn(CALL_SCHEMA, "use_case", at=after(0.5))
        dialling.place(planned.pk, at=after(1))
        assert provider.keys == [f"{planned.pk.hex}-sdk"] * 2

    def test_what_is_kept_is_what_went_out(self, planned, provider):
        provider.takes_calls(call_id="c-1")
        dialling.place(planned.pk, at=T0)
        assert agent_leg().request.encode() == provider.mock.calls[0].request.body
        assert json.loads(agent_leg().request)["to"] == [AMINA]


class TestPlacedAndNotAnswered:
    def test_after_5_s_the_list_is_read_before_anything_is_sent_again(self, planned, provider):
        """The phone may have rung and been turned down by then: a repeat might ring it again."""
        provider.fails_placing(requests.ReadTimeout())
        dialling.place(planned.pk, at=T0)
        provider.lists(record(status="busy", ended_at="2026-11-20T08:00:03Z"))
        dialling.place(planned.pk, at=after(9))
        assert len(provider.keys) == 1
        assert (agent_leg().state, agent_leg().session_id) == ("ringing", LEG)
        provider.knows("c-9", **record(status="busy", ended_at="2026-11-20T08:00:03Z"))
        reconcile.ask(agent_leg().pk, at=after(9))
        assert (the_offer().state, the_call().state) == ("busy", "waiting")

    def test_what_is_not_in_the_list_is_sent_again(self, planned, provider):
        provider.fails_placing(requests.ReadTimeout())
        provider.lists()
        provider.takes_calls(call_id="c-1")
        dialling.place(planned.pk, at=T0)
        dialling.place(planned.pk, at=after(9))
        assert (len(provider.keys), agent_leg().state) == (2, "ringing")

    def test_so_it_is_where_the_key_may_not_read_calls(self, planned, provider):
        provider.fails_placing(requests.ReadTimeout())
        provider.mock.upsert(
            "GET", provider.BASE, json={"code": "api_key.scope_denied"}, status=403
        )
        provider.takes_calls(call_id="c-1")
        dialling.place(planned.pk, at=T0)
        dialling.place(planned.pk, at=after(9))
        assert agent_leg().state == "ringing"

    def test_while_the_list_cannot_be_read_nothing_is_sent(self, planned, provider):
        provider.fails_placing(requests.ReadTimeout())
        provider.mock.upsert("GET", provider.BASE, json={}, status=503)
        dialling.place(planned.pk, at=T0)
        dialling.place(planned.pk, at=after(9))
        assert (len(provider.keys), agent_leg().state) == (1, "planned")
        assert agent_leg().ask_at > after(9)

    @pytest.mark.parametrize("body", ["<html>welcome</html>", "[1]", '"c-1"'])
    def test_a_201_that_cannot_be_read_is_followed_by_the_replay(self, planned, provider, body):
        provider.mock.post(provider.BASE, body=body, status=201)
        provider.takes_calls(call_id="c-1", session_id=LEG)
        dialling.place(planned.pk, at=T0)
        assert (agent_leg().state, the_call().state) == ("planned", "offered")
        dialling.place(planned.pk, at=after(1))
        first, second = (call.request for call in provider.mock.calls)
        assert first.body == second.body
        assert agent_leg().session_id == LEG

    @pytest.mark.parametrize("code", ["idempotency.conflict", "idempotency.in_progress"])
    def test_409_for_the_key_is_no_refusal_the_request_is_under_way(self, planned, provider, code):
        provider.answers_placing(409, code)
        dialling.place(planned.pk, at=T0)
        assert (agent_leg().state, the_call().state) == ("planned", "offered")
        provider.lists(record())
        dialling.place(planned.pk, at=after(6))
        assert (agent_leg().state, agent_leg().session_id) == ("ringing", LEG)
        assert Agent.objects.get().hold_off_until is None

    def test_any_409_to_a_repeat_is_none_either(self, planned, provider):
        provider.fails_placing(requests.ReadTimeout())
        provider.answers_placing(409, "conflict")
        dialling.place(planned.pk, at=T0)
        dialling.place(planned.pk, at=after(1))
        assert (agent_leg().state, the_call().state) == ("planned", "offered")

    def test_a_call_id_that_another_leg_has_costs_the_leg_its_handle_only(self, planned, provider):
        other = make_waiting(make_queue("other", number=None), public_id="other")
        Leg.objects.filter(call=other).update(provider_id="c-1")
        provider.takes_calls(call_id="c-1")
        dialling.place(planned.pk, at=T0)
        leg = agent_leg()
        assert (leg.state, leg.handle) == ("ringing", "")
        assert Leg.objects.get(call=other).provider_id == "c-1"
        assert Alert.objects.get().subject == "same_handle"
        provider.lists(record(id="c-9", session_id=LEG))
        provider.hangs_up("c-9")
        Leg.objects.filter(pk=leg.pk).update(hang_up_at=after(20))
        dialling.hang_up(leg.pk, at=after(20))
        assert provider.asked[-1] == "POST /v1/calls/c-9/hangup"

    def test_both_shapes_refused_is_a_refusal_with_the_first_error(self, planned, provider):
        provider.answers_placing(422, "calls.first")
        provider.answers_placing(422, "calls.second")
        dialling.place(planned.pk, at=T0)
        assert provider.keys == [f"{planned.pk.hex}-sdk", f"{planned.pk.hex}-use_case"]
        assert "calls.first" in agent_leg().last_error
        assert (the_offer().state, the_call().state) == ("failed", "waiting")

    def test_a_time_out_in_the_second_shape_is_repeated_in_the_second_shape(
        self, planned, provider
    ):
        provider.answers_placing(422, "calls.invalid_request")
        provider.fails_placing(requests.ReadTimeout())
        dialling.place(planned.pk, at=T0)
        provider.mock.reset()
        provider.takes_calls(call_id="c-1")
        dialling.place(planned.pk, at=after(1))
        assert provider.keys == [f"{planned.pk.hex}-use_case"]


class TestTheCallerLeavesMeanwhile:
    def test_after_the_worker_died_with_the_answer_the_leg_is_found_and_hung_up(
        self, planned, provider, dies_before_storing
    ):
        provider.takes_calls(call_id="c-9", session_id=LEG)
        with pytest.raises(Killed):
            dialling.place(planned.pk, at=T0)
        leave(after(1))
        assert agent_leg().hang_up_at == after(1)
        provider.lists()  # not there yet
        dialling.hang_up(planned.pk, at=after(1))
        assert (agent_leg().state, agent_leg().hang_up_at) == ("planned", after(3))
        provider.lists(record())
        provider.hangs_up("c-9")
        dialling.hang_up(planned.pk, at=after(3))
        assert provider.asked[-1] == "POST /v1/calls/c-9/hangup"
        assert len(provider.keys) == 1  # never sent again for nobody

    def test_between_reading_the_leg_and_sending_it_nothing_is_sent(
        self, planned, provider, monkeypatch
    ):
        post = dialling._post

        def leave_first(*args):
            leave(after(0.5))
            return post(*args)

        monkeypatch.setattr(dialling, "_post", leave_first)
        dialling.place(planned.pk, at=T0)
        assert provider.asked == []
        dialling.hang_up(planned.pk, at=after(1))
        assert (agent_leg().state, agent_leg().outcome) == ("ended", "canceled")

    def test_a_leg_that_was_sent_meanwhile_is_not_closed_as_never_sent(self, planned, provider):
        """The hang-up has read the leg before its request went out."""
        stale = agent_leg()
        provider.fails_placing(requests.ReadTimeout())
        dialling.place(planned.pk, at=T0)
        assert not dialling.never_placed(stale, after(1))
        assert agent_leg().state == "planned"

    @pytest.mark.parametrize("status", [404, 409, 410, 200])
    def test_a_leg_that_rings_on_is_hung_up_again_until_its_end_is_known(
        self, planned, provider, status
    ):
        provider.takes_calls(call_id="c-9", session_id=LEG)
        dialling.place(planned.pk, at=T0)
        leave(after(1))
        provider.hangs_up("c-9", status=status)
        dialling.hang_up(planned.pk, at=after(1))
        provider.knows("c-9", **record())
        reconcile.ask(planned.pk, at=after(3))
        assert agent_leg().hang_up_at == after(11)  # it still rings: once more
        provider.hangs_up("c-9")
        dialling.hang_up(planned.pk, at=after(11))
        provider.knows("c-9", **record(status="canceled", ended_at="2026-11-20T08:00:11Z"))
        reconcile.ask(planned.pk, at=after(13))
        assert (agent_leg().state, agent_leg().hang_up_at) == ("ended", None)

    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_a_refusal_to_hang_up_is_told_and_tried_again(self, planned, provider, status):
        provider.takes_calls(call_id="c-9", session_id=LEG)
        dialling.place(planned.pk, at=T0)
        leave(after(1))
        provider.hangs_up("c-9", status=status)
        dialling.hang_up(planned.pk, at=after(1))
        assert agent_leg().hang_up_at == after(11)
        alert = Alert.objects.get()
        assert alert.subject == "hang_up"
        assert AMINA not in alert.text

    def test_a_hang_up_that_times_out_is_repeated_soon(self, planned, provider):
        provider.takes_calls(call_id="c-9", session_id=LEG)
        dialling.place(planned.pk, at=T0)
        leave(after(1))
        provider.mock.post(f"{provider.BASE}/c-9/hangup", body=requests.ReadTimeout())
        dialling.hang_up(planned.pk, at=after(1))
        assert after(1) < agent_leg().hang_up_at <= after(1.25)


class TestAContact:
    @pytest.fixture
    def leg(self, queue, agent):
        outbound.click_to_call(agent.pk, CONTACT, queue=queue, at=T0)
        return Leg.objects.get(role="customer")

    def test_who_could_not_be_placed_in_30_s_frees_the_agent_and_is_looked_for_a_minute(
        self, leg, provider
    ):
        provider.fails_placing(requests.ReadTimeout())
        provider.lists()
        dialling.place(leg.pk, at=T0)
        dialling.place(leg.pk, at=after(31))
        call = the_call()
        assert (call.state, call.end_reason) == ("failed", "could not be placed")
        assert Agent.objects.get().engagement == "idle"
        leg.refresh_from_db()
        assert (leg.state, leg.hang_up_at) == ("planned", after(33))
        provider.lists(record(remote_e164=CONTACT))
        provider.hangs_up("c-9")
        dialling.hang_up(leg.pk, at=after(33))
        assert provider.asked[-1] == "POST /v1/calls/c-9/hangup"


def test_the_tokens_of_a_leg_do_not_depend_on_the_hour(planned, time_machine):
    """Nothing in the body is made of time or chance."""
    bodies = set()
    for moment in (T0, after(3600)):
        time_machine.move_to(moment)
        provider.forget_recalled()
        leg, _ = dialling._read(planned.pk, moment)
        bodies |= {dialling._command(leg).body(shape) for shape in ("sdk", "use_case")}
    assert len(bodies) == 2
