"""Placing and hanging up legs: what is sent, what is sent again, and what a refusal does."""

from datetime import timedelta

import pytest
import requests
import time_machine

from agents.models import Agent
from callcenter.sautikit.callbacks import Outcome
from callcenter.sautikit.commands import PlacedCall
from queues import calls, dialling, links, reconcile, sweeping
from queues.models import Alert, Leg, Offer, ProviderFact, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import LINE, T0, make_agent, make_queue, make_waiting

from .telephone import agent_leg, the_call, the_offer, verbs

pytestmark = pytest.mark.django_db
AMINA, LEG = "+254711000001", "HD_00000000000a"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue(ring_timeout=15)


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


class TestTheRequest:
    def test_the_agents_leg_is_placed_from_the_number_that_the_caller_dialled(
        self, planned, provider
    ):
        provider.takes_calls(call_id="c-1", session_id=LEG)
        dialling.place(planned.pk, at=after(0.1))
        offer = the_offer()
        offer.call = the_call()
        assert provider.placed == [
            {
                "from": LINE,
                "to": [AMINA],
                "voice_callback_url": links.agent_join(offer),
                "client_request_id": planned.pk.hex,
            }
        ]
        assert f"/calls/agent-join?queue={the_call().public_id}&token=" in links.agent_join(offer)
        assert the_offer().state == "ringing"
        leg = agent_leg()
        assert (leg.state, leg.provider_id, leg.session_id) == ("ringing", "c-1", LEG)
        assert leg.placed_at == after(0.1)

    def test_the_pages_shape_names_the_status_url(self, planned, provider, settings):
        settings.SAUTIKIT_CALL_SCHEMA = "use_case"
        provider.takes_calls(call_id="c-1")
        dialling.place(planned.pk, at=T0)
        offer = the_offer()
        offer.call = the_call()
        assert provider.placed == [
            {
                "to": AMINA,
                "from": LINE,
                "action_url": links.agent_join(offer),
                "status_url": links.agent_status(offer),
            }
        ]

    def test_a_second_task_for_the_same_leg_places_nothing(self, planned, provider):
        provider.takes_calls(call_id="c-1", session_id=LEG)
        dialling.place(planned.pk, at=T0)
        dialling.place(planned.pk, at=T0)
        assert len(provider.placed) == 1

    def test_an_agent_who_answers_before_our_201_is_stored_keeps_both_handles(
        self, planned, provider, phone
    ):
        offer = the_offer()
        offer.call = the_call()
        joined = phone.post(links.agent_join(offer), {"sessionId": LEG})
        assert verbs(joined) == ["conference"]
        dialling._placed(planned, PlacedCall(call_id="c-1", session_id=None), T0)
        leg = agent_leg()
        assert (leg.state, leg.provider_id, leg.session_id) == ("answered", "c-1", LEG)
        assert the_offer().state == "answered"


class TestNoAnswerFromTheProvider:
    def test_a_time_out_is_followed_by_the_same_key_and_the_same_bytes(self, planned, provider):
        provider.fails_placing(requests.ReadTimeout())
        provider.takes_calls(call_id="c-1", session_id=LEG)
        dialling.place(planned.pk, at=T0)
        assert agent_leg().state == "planned"
        assert T0 + timedelta(seconds=0.5) <= agent_leg().ask_at <= after(1)
        assert the_call().state == "offered"  # unknown keeps
        dialling.place(planned.pk, at=after(1))
        first, second = (call.request for call in provider.mock.calls)
        assert first.body == second.body
        assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
        assert agent_leg().state == "ringing"

    def test_a_replay_is_the_answer(self, planned, provider):
        provider.fails_placing(requests.ReadTimeout())
        provider.mock.post(
            provider.BASE,
            json={"call_id": "c-1", "status": "ringing"},
            headers={"Idempotent-Replay": "true"},
        )
        dialling.place(planned.pk, at=T0)
        dialling.place(planned.pk, at=after(1))
        assert (agent_leg().state, agent_leg().provider_id) == ("ringing", "c-1")
        assert Leg.objects.filter(role="agent").count() == 1

    @pytest.mark.parametrize("status", [500, 503])
    def test_5xx_backs_off_longer_each_time(self, planned, provider, status):
        provider.answers_placing(status)
        waits = []
        for _ in range(4):
            dialling.place(planned.pk, at=T0)
            waits.append((agent_leg().ask_at - T0).total_seconds())
        for wait, most in zip(waits, [1, 2, 4, 8], strict=True):
            assert most / 2 <= wait <= most
        assert not Alert.objects.exists()  # a hiccup; told once the breaker opens

    def test_429_waits_for_as_long_as_it_is_told(self, planned, provider):
        provider.answers_placing(429, headers={"Retry-After": "7"})
        dialling.place(planned.pk, at=T0)
        assert agent_leg().ask_at == after(7)
        assert the_call().state == "offered"

    def test_the_sweep_places_it_again_when_it_is_due_and_no_earlier(
        self, planned, provider, bells, commits
    ):
        provider.answers_placing(429, headers={"Retry-After": "7"})
        dialling.place(planned.pk, at=T0)
        for seconds, rung in ((6.9, []), (7, [str(planned.pk)])):
            with commits():
                sweeping.sweep(at=after(seconds))
            assert bells.of("place") == rung

    def test_when_the_ringing_time_is_over_the_caller_is_back_in_line(self, planned, provider):
        provider.fails_placing(requests.ReadTimeout())
        dialling.place(planned.pk, at=T0)
        reconcile.check_offer(the_offer().pk, at=after(15))
        assert (the_offer().state, the_call().state) == ("expired", "waiting")
        agent = Agent.objects.get()
        assert (agent.engagement, agent.strikes) == ("idle", 0)

    def test_a_call_that_was_placed_all_the_same_is_found_in_the_list_and_hung_up(
        self, planned, provider
    ):
        provider.fails_placing(requests.ReadTimeout())
        dialling.place(planned.pk, at=T0)
        reconcile.check_offer(the_offer().pk, at=after(15))
        provider.lists(record())
        provider.hangs_up("c-9")
        dialling.place(planned.pk, at=after(16))
        leg = agent_leg()
        assert (leg.state, leg.provider_id, leg.session_id) == ("ringing", "c-9", LEG)
        dialling.hang_up(leg.pk, at=after(16))
        assert provider.asked[-1] == "POST /v1/calls/c-9/hangup"

    @pytest.mark.parametrize(
        "listed",
        [
            [],
            [record(remote_e164="+254711999999")],
            [record(started_at="2026-11-20T07:59:00Z")],
            [record(local_e164="+254200000199")],
        ],
        ids=["none", "another party", "an earlier call", "another line"],
    )
    def test_a_call_that_no_list_shows_for_a_minute_was_never_placed(
        self, planned, provider, listed
    ):
        provider.fails_placing(requests.ReadTimeout())
        dialling.place(planned.pk, at=T0)
        reconcile.check_offer(the_offer().pk, at=after(15))
        provider.lists(*listed)
        dialling.place(planned.pk, at=after(16))
        assert (agent_leg().state, agent_leg().hang_up_at) == ("planned", after(18))
        dialling.hang_up(planned.pk, at=after(60))
        assert (agent_leg().state, agent_leg().outcome) == ("ended", "canceled")
        assert provider.keys == [f"{planned.pk.hex}-sdk"]  # nothing was placed for nobody


class TestRefused:
    @pytest.mark.parametrize("status", [401, 403, 404, 409, 400])
    def test_4xx_holds_the_agent_off_for_15_s_and_the_caller_is_back_in_line(
        self, planned, provider, status
    ):
        provider.answers_placing(status)
        dialling.place(planned.pk, at=after(1))
        agent = Agent.objects.get()
        assert (agent.engagement, agent.hold_off_reason) == ("idle", "unreachable")
        assert (agent.hold_off_until, agent.strikes) == (after(16), 0)
        call = the_call()
        assert (call.state, call.queued_at, call.offer, call.agent) == ("waiting", T0, None, None)
        assert (the_offer().state, agent_leg().state) == ("failed", "ended")
        assert match(after(15.9)) == 0
        assert match(after(16)) == 1

    def test_the_supervisor_is_told_and_the_number_is_masked(self, planned, provider):
        provider.answers_placing(403, "api_key.scope_denied")
        dialling.place(planned.pk, at=T0)
        text = Alert.objects.get().text
        assert "api_key.scope_denied" in text
        assert AMINA not in text

    def test_402_stops_the_dialling_and_tells_the_supervisor(self, planned, provider, queue):
        make_agent(queue)
        provider.answers_placing(402, "wallet.insufficient_funds")
        dialling.place(planned.pk, at=T0)
        assert the_call().state == "waiting"
        agent = Agent.objects.get(destination=AMINA)
        assert (agent.engagement, agent.hold_off_until, agent.strikes) == ("idle", None, 0)
        assert Alert.objects.get().kind == "wallet"
        assert match(after(29)) == 0  # nobody is dialled, though two agents are free
        assert match(after(31)) == 1  # tried again, in case of a top-up

    def test_a_refused_sip_address_is_remembered_and_the_agent_is_passed_over(
        self, queue, provider
    ):
        agent = make_agent(queue, destination="sip:amina@pbx.example.com")
        make_waiting(queue)
        assert match(T0) == 1
        provider.answers_placing(422)
        dialling.place(agent_leg().pk, at=T0)
        assert [body["to"] for body in provider.placed] == [
            ["sip:amina@pbx.example.com"], "sip:amina@pbx.example.com",
        ]  # fmt: skip
        assert ProviderFact.objects.get(name="sip_to_refused").value is True
        assert not ProviderFact.objects.filter(name="call_schema").exists()
        agent.refresh_from_db()
        assert agent.hold_off_reason == "unreachable"
        assert Alert.objects.get().subject == "sip_to_refused"
        assert match(after(60)) == 0
        other = make_agent(queue)
        assert match(after(61)) == 1
        assert the_call().agent == other

    def test_a_sip_address_refused_for_another_reason_is_not_remembered(self, queue, provider):
        make_agent(queue, destination="sip:amina@pbx.example.com")
        make_waiting(queue)
        match(T0)
        provider.answers_placing(403)
        dialling.place(agent_leg().pk, at=T0)
        assert not ProviderFact.objects.filter(name="sip_to_refused").exists()


class TestTheCallerHasGone:
    def test_before_placing_nothing_is_placed(self, planned, provider):
        with scene(the_call().pk, at=after(0.2), source="test") as opened:
            calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=opened.at)
        dialling.place(planned.pk, at=after(0.3))
        assert provider.asked == []
        assert (agent_leg().state, agent_leg().outcome) == ("ended", "canceled")
        assert Agent.objects.get().engagement == "idle"

    def test_while_the_post_is_out_the_leg_is_hung_up_once_its_handle_is_known(
        self, planned, provider, bells, commits
    ):
        """The caller leaves between our request and its answer."""

        def leave_then_answer(request):
            with scene(the_call().pk, at=after(0.5), source="test") as opened:
                calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=opened.at)
            return 201, {}, '{"call_id": "c-1", "status": "ringing"}'

        provider.mock.add_callback("POST", provider.BASE, leave_then_answer)
        with commits():
            dialling.place(planned.pk, at=T0)
        assert set(bells.of("hang_up")) == {str(planned.pk)}
        provider.hangs_up("c-1")
        dialling.hang_up(planned.pk, at=after(1))
        assert provider.asked[-1] == "POST /v1/calls/c-1/hangup"


class TestHangingUp:
    @pytest.fixture
    def ringing(self, planned, provider):
        provider.takes_calls(call_id="c-1", session_id=LEG)
        dialling.place(planned.pk, at=T0)
        Leg.objects.filter(pk=planned.pk).update(hang_up_at=after(10))
        return agent_leg()

    def test_it_is_asked_for_and_the_end_is_asked_for_afterwards(self, ringing, provider):
        provider.hangs_up("c-1")
        dialling.hang_up(ringing.pk, at=after(10))
        leg = agent_leg()
        assert (leg.state, leg.hang_up_at, leg.ask_at) == ("ringing", after(20), after(12))

    @pytest.mark.parametrize("status", [500, 503, 429])
    def test_it_is_tried_again_until_the_provider_hears(self, ringing, provider, status):
        provider.hangs_up("c-1", status=status)
        dialling.hang_up(ringing.pk, at=after(10))
        assert after(10) < agent_leg().hang_up_at <= after(10.25)
        provider.hangs_up("c-1")
        dialling.hang_up(ringing.pk, at=after(12))
        assert agent_leg().hang_up_at == after(22)

    def test_a_leg_that_is_over_already_is_no_error(self, ringing, provider):
        provider.hangs_up("c-1", status=404)
        dialling.hang_up(ringing.pk, at=after(10))
        assert (agent_leg().hang_up_at, agent_leg().ask_at) == (after(20), after(12))

    def test_a_leg_that_was_never_placed_is_closed_without_asking(self, planned, provider):
        Leg.objects.filter(pk=planned.pk).update(hang_up_at=after(1))
        dialling.hang_up(planned.pk, at=after(1))
        assert provider.asked == []
        assert agent_leg().state == "ended"

    def test_a_leg_that_nobody_wants_hung_up_is_left_alone(self, ringing, provider):
        Leg.objects.filter(pk=ringing.pk).update(hang_up_at=None)
        dialling.hang_up(ringing.pk, at=after(10))
        assert "POST /v1/calls/c-1/hangup" not in provider.asked

    def test_a_leg_whose_handle_was_never_told_is_looked_for_in_the_list(self, planned, provider):
        provider.takes_calls()  # 201 with neither handle: the contract allows it
        provider.lists(record())
        provider.hangs_up("c-9")
        dialling.place(planned.pk, at=T0)
        Leg.objects.filter(pk=planned.pk).update(hang_up_at=after(15))
        dialling.hang_up(planned.pk, at=after(15))
        assert provider.asked[-1] == "POST /v1/calls/c-9/hangup"

    def test_one_that_no_list_shows_for_a_minute_is_not_there(self, planned, provider):
        provider.takes_calls()
        provider.lists()
        dialling.place(planned.pk, at=T0)
        Leg.objects.filter(pk=planned.pk).update(hang_up_at=after(15))
        dialling.hang_up(planned.pk, at=after(59))
        assert (agent_leg().state, agent_leg().hang_up_at) == ("ringing", after(61))
        dialling.hang_up(planned.pk, at=after(61))
        assert agent_leg().state == "ended"


class TestThroughTheRing:
    def test_the_ring_timer_hangs_up_the_leg_and_costs_a_strike(self, planned, provider):
        provider.takes_calls(call_id="c-1", session_id=LEG)
        dialling.place(planned.pk, at=T0)
        reconcile.check_offer(the_offer().pk, at=after(14.9))
        assert the_offer().state == "ringing"
        reconcile.check_offer(the_offer().pk, at=after(15))
        assert the_offer().state == "no_answer"
        assert agent_leg().hang_up_at == after(15)
        agent = Agent.objects.get()
        assert (agent.strikes, agent.hold_off_until) == (1, after(25))

    def test_the_queues_own_number_of_a_menu_call_is_the_dialled_one(self, queue, agent, provider):
        make_waiting(queue, line="+254200000100")
        match(T0)
        provider.takes_calls(call_id="c-1")
        dialling.place(agent_leg().pk, at=T0)
        assert provider.placed[0]["from"] == "+254200000100"

    def test_a_line_that_is_no_number_is_replaced_by_the_centres_own(
        self, queue, agent, provider, settings
    ):
        settings.SAUTIKIT_NUMBER = "+254200000900"
        make_waiting(queue, line="sip:line@pbx.example.com")
        match(T0)
        provider.takes_calls(call_id="c-1")
        dialling.place(agent_leg().pk, at=T0)
        assert provider.placed[0]["from"] == "+254200000900"


def test_the_row_is_not_locked_while_the_provider_is_asked(planned, provider):
    """What the caller does meanwhile does not wait for the provider."""
    with time_machine.travel(T0, tick=False):
        seen = []

        def look(request):
            seen.append(QueuedCall.objects.select_for_update(nowait=True).get().state)
            return 201, {}, '{"call_id": "c-1"}'

        provider.mock.add_callback("POST", provider.BASE, look)
        dialling.place(planned.pk, at=T0)
    assert seen == ["offered"]
    assert Offer.objects.get().state == "ringing"
