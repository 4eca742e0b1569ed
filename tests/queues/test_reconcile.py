"""Asking the provider: what its record says, what its silence does, and what falls due."""

from datetime import timedelta

import pytest
import requests

from agents.models import Agent
from callcenter.sautikit.callbacks import Outcome, Record
from queues import adoption, calls, dialling, offers, outbound, reconcile
from queues.models import CallEvent, Leg, Offer, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import LINE, T0, make_agent, make_queue, make_waiting

from .telephone import agent_leg, the_call, the_offer

pytestmark = pytest.mark.django_db
AMINA, LEG = "+254711000001", "HD_00000000000a"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def iso(seconds):
    return after(seconds).isoformat()


def customer() -> Leg:
    return Leg.objects.get(role="customer")


def callee(**values):
    """The provider's record of Amina's leg."""
    return {
        "id": "c-9", "session_id": LEG, "direction": "outbound", "local_e164": LINE,
        "remote_e164": AMINA, "started_at": iso(1), **values,
    }  # fmt: skip


@pytest.fixture
def queue():
    # 40 characters of greeting are 4 s of speech
    return make_queue(ring_timeout=15, wrap_up_seconds=30, greeting="x" * 40)


@pytest.fixture
def agent(queue):
    return make_agent(queue, destination=AMINA)


def opened(at=T0):
    return scene(the_call().pk, at=at, source="test")


@pytest.fixture
def direct(queue, agent):
    """A caller hears the greeting at T0, and Amina's phone is dialled by that document."""
    call = make_waiting(queue, state="greeting", offerable_from=None, queued_at=None)
    with scene(call.pk, at=T0, source="test", pick=lambda: _locked(agent)) as it:
        calls.enter_queue(it, it.call.queue)
    assert (the_call().state, the_offer().kind) == ("offered", "direct")
    return the_offer()


def _locked(agent):
    return Agent.objects.select_for_update().get(pk=agent.pk)


@pytest.fixture
def ringing(queue, agent, provider):
    """A held caller whose agent's phone rings since T0."""
    make_waiting(queue)
    match(T0)
    provider.takes_calls(call_id="c-1", session_id=LEG)
    dialling.place(agent_leg().pk, at=T0)
    return the_offer()


@pytest.fixture
def talking(ringing):
    with opened(after(5)) as it:
        calls.connect(it, at=after(5))
    Leg.objects.update(state="answered", answered_at=after(5))
    return the_offer()


class TestAskingAboutALeg:
    def test_a_ringing_leg_is_asked_about_every_three_seconds(self, ringing, provider):
        assert agent_leg().ask_at == after(3)
        provider.knows("c-1", status="ringing")
        reconcile.ask(agent_leg().pk, at=after(3))
        assert agent_leg().ask_at == after(6)
        assert provider.asked[-1] == "GET /v1/calls/c-1"

    def test_an_answered_leg_is_asked_about_every_half_minute(self, talking, provider):
        provider.knows("c-1", status="answered", answered_at=iso(5))
        reconcile.ask(agent_leg().pk, at=after(40))
        assert agent_leg().ask_at == after(70)
        assert the_call().state == "connected"

    def test_an_end_that_is_only_learnt_by_asking_completes_the_call_at_its_own_time(
        self, talking, provider
    ):
        handle = customer().handle
        provider.knows(
            handle, session_id=handle, direction="inbound", status="completed", ended_at=iso(65)
        )
        reconcile.ask(customer().pk, at=after(70))
        call = the_call()
        assert (call.state, call.connected_at, call.ended_at) == ("completed", after(5), after(65))
        agent = Agent.objects.get()
        assert agent.engagement == "wrap_up"
        assert agent.wrap_up_until == after(95)  # 30 s from the end, not from the question

    def test_an_agents_end_completes_the_call_too(self, talking, provider):
        provider.knows("c-1", status="completed", answered_at=iso(5), ended_at=iso(30))
        reconcile.ask(agent_leg().pk, at=after(31))
        assert (the_call().state, the_call().ended_at) == ("completed", after(30))
        assert customer().ask_at  # whoever is left alone is looked after

    @pytest.mark.parametrize(
        ("status", "state", "reason"),
        [("no_answer", "no_answer", "no_answer"), ("busy", "busy", "busy"),
         ("failed", "failed", "unreachable"), ("completed", "no_answer", "no_answer")],
    )  # fmt: skip
    def test_an_unanswered_leg_gives_the_caller_back_to_the_line(
        self, ringing, provider, status, state, reason
    ):
        provider.knows("c-1", status=status, ended_at=iso(8))
        reconcile.ask(agent_leg().pk, at=after(9))
        assert (the_offer().state, the_call().state) == (state, "waiting")
        assert Agent.objects.get().hold_off_reason == reason

    def test_an_unknown_word_with_an_end_time_is_an_end(self, ringing, provider):
        provider.knows("c-1", status="evaporated", ended_at=iso(8))
        reconcile.ask(agent_leg().pk, at=after(9))
        assert agent_leg().state == "ended"

    @pytest.mark.parametrize("status", [500, 503, 429, 401])
    def test_an_error_keeps_what_we_believe_and_asks_again_later_each_time(
        self, talking, provider, status
    ):
        provider.mock.get(f"{provider.BASE}/c-1", json={}, status=status)
        reconcile.ask(agent_leg().pk, at=after(40))
        reconcile.ask(agent_leg().pk, at=after(43))
        assert (the_call().state, agent_leg().state) == ("connected", "answered")
        assert agent_leg().ask_at == after(43 + 6)

    def test_no_connection_keeps_what_we_believe(self, talking, provider):
        provider.mock.get(f"{provider.BASE}/c-1", body=requests.ConnectTimeout())
        reconcile.ask(agent_leg().pk, at=after(40))
        assert the_call().state == "connected"

    def test_a_record_told_twice_changes_nothing_more(self, talking, provider):
        provider.knows("c-1", status="completed", answered_at=iso(5), ended_at=iso(30))
        reconcile.ask(agent_leg().pk, at=after(31))
        Leg.objects.filter(role="agent").update(ended_at=None, state="answered", ask_at=T0)
        reconcile.ask(agent_leg().pk, at=after(50))
        assert the_call().ended_at == after(30)
        assert Agent.objects.get().wrap_up_until == after(60)

    def test_an_ended_leg_is_not_asked_about(self, ringing, provider):
        Leg.objects.filter(role="agent").update(state="ended", ended_at=after(5))
        asked = len(provider.asked)
        reconcile.ask(agent_leg().pk, at=after(9))
        assert len(provider.asked) == asked


class TestNotFound:
    """404 on a call that is also absent from the list for 60 s is a known end."""

    @pytest.fixture(autouse=True)
    def _long_talk(self, talking, provider):
        provider.knows_nothing_of("c-1")
        provider.lists()

    def ask(self, *seconds):
        for second in seconds:
            reconcile.ask(agent_leg().pk, at=after(second))

    def test_once_is_not_enough_however_old_the_call(self):
        self.ask(600)
        assert (the_call().state, agent_leg().state) == ("connected", "answered")
        assert agent_leg().ask_at == after(615)

    def test_asking_often_does_not_shorten_the_minute(self):
        self.ask(*range(600, 660))
        assert the_call().state == "connected"

    def test_for_a_minute_is_an_end(self):
        self.ask(600, 615, 630, 645, 660)
        assert the_call().state == "completed"

    def test_found_again_in_between_the_minute_begins_anew(self, provider):
        self.ask(600, 630)
        provider.knows("c-1", status="answered", answered_at=iso(5))
        self.ask(645)
        provider.knows_nothing_of("c-1")
        self.ask(660, 675, 719)
        assert the_call().state == "connected"
        self.ask(720)
        assert the_call().state == "completed"

    def test_one_that_the_list_still_shows_lives(self, provider):
        provider.lists(callee(id="c-1", status="answered"))
        self.ask(600, 630, 661)
        assert the_call().state == "connected"

    def test_a_list_that_cannot_be_read_decides_nothing(self, provider):
        provider.mock.upsert("GET", provider.BASE, json={}, status=503)
        self.ask(600, 630, 661)
        assert the_call().state == "connected"


class TestADirectDial:
    def test_the_providers_list_shows_the_callees_answer(self, direct, provider):
        provider.lists(callee(status="answered", answered_at=iso(9)))
        reconcile.check_offer(direct.pk, at=after(10))
        call = the_call()
        assert (call.state, call.connected_at, call.connected_is_estimated) == (
            "connected", after(9), False,
        )  # fmt: skip
        assert agent_leg().session_id == LEG

    def test_while_nothing_is_known_it_is_asked_again_every_three_seconds(self, direct, provider):
        assert direct.check_at == after(4 + 3)  # greeting, then three seconds
        provider.lists()
        reconcile.check_offer(direct.pk, at=after(7))
        assert (the_call().state, the_offer().check_at) == ("offered", after(10))

    def test_a_callee_who_was_busy_is_believed_only_by_the_callers_own_next_word(
        self, direct, provider
    ):
        """The dial's own end comes by `/calls/dial-result`; the record alone frees the agent."""
        provider.lists(callee(status="busy", ended_at=iso(6)))
        reconcile.check_offer(direct.pk, at=after(7))
        assert Agent.objects.get().hold_off_reason == "busy"
        assert the_call().state == "waiting"

    def test_an_agent_taken_for_absent_was_busy_whatever_they_do_by_now(
        self, direct, agent, provider
    ):
        """The dial's end comes without a word, the agent clicks to call, then the record comes."""
        call = the_call()
        with opened(after(5)) as it:
            calls.after_dial(it, answered=False)
        assert the_offer().state == "no_answer"
        outbound.click_to_call(agent.pk, "+254733000001", queue=None, at=after(6))
        provider.lists(callee(status="busy", ended_at=iso(5)))
        reconcile.check_offer(direct.pk, at=after(7))
        assert Offer.objects.get(call=call).state == "busy"
        assert Agent.objects.get().engagement == "ringing"

    def test_no_word_by_greeting_ring_and_ten_seconds_while_the_caller_lives_is_a_talk(
        self, direct, provider
    ):
        """4 s of greeting + 15 s of ringing + 10 s: at 29 s, with `connected_at` = dialled_at."""
        provider.lists()
        handle = customer().handle
        provider.knows(handle, session_id=handle, direction="inbound", status="answered")
        reconcile.check_offer(direct.pk, at=after(28.9))
        assert the_call().state == "offered"
        reconcile.check_offer(direct.pk, at=after(29))
        call = the_call()
        assert (call.state, call.connected_at, call.connected_is_estimated) == (
            "connected", T0, True,
        )  # fmt: skip
        assert Agent.objects.get().engagement == "on_call"

    def test_by_then_a_caller_who_is_gone_has_abandoned(self, direct, provider):
        provider.lists()
        handle = customer().handle
        provider.knows(
            handle, session_id=handle, direction="inbound", status="completed", ended_at=iso(20)
        )
        reconcile.check_offer(direct.pk, at=after(29))
        call = the_call()
        assert (call.state, call.abandoned_in, call.ended_at) == (
            "abandoned", "ringing", after(20),
        )  # fmt: skip

    def test_a_provider_who_does_not_answer_leaves_it_open(self, direct, provider):
        provider.mock.get(provider.BASE, json={}, status=503)
        provider.mock.get(f"{provider.BASE}/{customer().handle}", json={}, status=503)
        reconcile.check_offer(direct.pk, at=after(29))
        assert (the_call().state, the_offer().check_at) == ("offered", after(32))

    def test_an_audio_greeting_of_unknown_length_is_taken_for_30_s(self, queue, agent):
        queue.greeting = "https://cdn.example.test/hello.mp3"
        queue.save()
        call = make_waiting(queue, state="greeting", offerable_from=None, queued_at=None)
        with scene(call.pk, at=T0, source="test", pick=lambda: _locked(agent)) as it:
            calls.enter_queue(it, it.call.queue)
        assert the_offer().ring_until == after(30 + 15)


class TestAProvisionalEnd:
    """The caller left before any evidence: asked at once, and after 2, 5 and 15 s."""

    @pytest.fixture
    def gone(self, direct):
        with opened(after(20)) as it:
            calls.customer_ended(it, outcome=Outcome.COMPLETED, ended_at=after(20))
        Leg.objects.filter(role="customer").update(state="ended", ended_at=after(20))
        assert the_call().is_provisional
        return the_offer()

    def test_it_is_asked_at_0_2_5_and_15_seconds_and_then_believed(self, gone, provider):
        provider.lists()
        times = []
        while (at := the_offer().check_at) and len(times) < 9:
            times.append((at - after(20)).total_seconds())
            reconcile.check_offer(gone.pk, at=at)
        assert times == [0, 2, 5, 15]
        call = the_call()
        assert (call.state, call.abandoned_in, call.is_provisional) == (
            "abandoned", "ringing", False,
        )  # fmt: skip

    def test_the_agent_is_let_go_after_the_second_question_without_a_strike(self, gone, provider):
        provider.lists()
        reconcile.check_offer(gone.pk, at=after(20))
        assert Agent.objects.get().engagement == "ringing"
        reconcile.check_offer(gone.pk, at=after(22))
        agent = Agent.objects.get()
        assert (agent.engagement, agent.strikes, agent.hold_off_until) == ("idle", 0, None)
        assert the_offer().state == "caller_gone"

    @pytest.mark.parametrize("found_at", [20, 22, 25, 35])
    def test_a_record_of_an_answer_makes_it_completed(self, gone, provider, found_at):
        provider.lists()
        for seconds in (20, 22, 25, 35):
            if seconds == found_at:
                provider.lists(callee(status="completed", answered_at=iso(8), ended_at=iso(20)))
            reconcile.check_offer(gone.pk, at=after(seconds))
        call = the_call()
        assert (call.state, call.abandoned_in, call.is_provisional) == ("completed", "", False)
        assert (call.connected_at, call.ended_at, call.agent) == (
            after(8), after(20), Agent.objects.get(),
        )  # fmt: skip
        assert CallEvent.objects.filter(kind="corrected").count() == 1
        agent = Agent.objects.get()
        assert (agent.engagement, agent.wrap_up_until) == ("wrap_up", after(50))

    def test_after_that_it_is_final(self, gone, provider):
        provider.lists()
        for seconds in (20, 22, 25, 35):
            reconcile.check_offer(gone.pk, at=after(seconds))
        leg = adoption.adopt_outbound((LEG,), LINE, AMINA, at=after(36))
        reconcile.observe(
            leg, Outcome.COMPLETED, at=after(36), source="records", answered_at=after(8),
            ended_at=after(20),
        )  # fmt: skip
        assert the_call().state == "abandoned"

    def test_a_talk_of_which_a_record_says_that_nobody_answered_was_abandoned(
        self, direct, provider
    ):
        """The other way round: `connected` was estimated, the callee's record denies it."""
        provider.lists()
        handle = customer().handle
        provider.knows(handle, session_id=handle, direction="inbound", status="answered")
        reconcile.check_offer(direct.pk, at=after(29))
        assert the_call().connected_is_estimated
        with opened(after(40)) as it:
            calls.customer_ended(it, outcome=Outcome.COMPLETED, ended_at=after(40))
        provider.lists(callee(status="no_answer", ended_at=iso(19)))
        leg = adoption.adopt_outbound((LEG,), LINE, AMINA, at=after(41))
        reconcile.observe(leg, Outcome.NO_ANSWER, at=after(41), source="records")
        assert (the_call().state, the_call().abandoned_in) == ("abandoned", "ringing")


class TestTheRoom:
    def test_the_ring_timer_counts_from_the_offer(self, ringing):
        assert ringing.ring_until == after(15)
        reconcile.check_offer(ringing.pk, at=after(10))
        assert (the_offer().state, the_offer().check_at) == ("ringing", after(15))

    def test_a_bell_of_the_ringing_that_comes_late_does_not_end_the_answer(self, ringing):
        with opened(after(14)) as it:
            calls.agent_answered(it, answered_at=after(14))
        reconcile.check_offer(ringing.pk, at=after(15))
        assert (the_offer().state, the_offer().check_at) == ("answered", after(34))

    def test_an_agent_who_answers_and_never_asks_what_to_do_is_given_up_after_20_s(self, ringing):
        with opened(after(5)) as it:
            calls.agent_answered(it, answered_at=after(5))
        reconcile.check_offer(ringing.pk, at=after(25))
        assert (the_offer().state, the_call().state) == ("failed", "waiting")

    def test_without_a_join_the_talk_is_taken_for_granted_after_three_seconds(self, ringing):
        with opened(after(5)) as it:
            calls.agent_answered(it, answered_at=after(5))
        Offer.objects.update(conference_at=after(6))
        reconcile.check_offer(ringing.pk, at=after(8.9))
        assert the_call().state == "offered"
        reconcile.check_offer(ringing.pk, at=after(9))
        assert (the_call().connected_at, the_call().connected_is_estimated) == (after(6), True)

    def test_not_when_the_agents_leg_has_ended(self, ringing):
        with opened(after(5)) as it:
            calls.agent_answered(it, answered_at=after(5))
        Offer.objects.update(conference_at=after(6))
        Leg.objects.filter(role="agent").update(state="ended", ended_at=after(7))
        reconcile.check_offer(ringing.pk, at=after(9))
        assert (the_offer().state, the_call().state) == ("declined", "waiting")

    def test_a_customer_left_alone_after_the_talk_is_hung_up_after_15_s(
        self, talking, provider, commits, bells
    ):
        with opened(after(60)) as it:
            calls.agent_ended(it, it.offer, outcome=Outcome.COMPLETED, ended_at=after(60))
        assert customer().ask_at == after(75)
        handle = customer().handle
        provider.knows(handle, session_id=handle, direction="inbound", status="answered")
        with commits():
            reconcile.ask(customer().pk, at=after(75))
        assert customer().hang_up_at == after(75)
        assert str(customer().pk) in bells.of("hang_up")


class TestAdopting:
    def test_a_leg_from_our_number_to_the_dialled_agent_is_that_offers(self, direct):
        leg = adoption.adopt_outbound((LEG, "c-9"), LINE, "0711000001", at=after(3))
        assert (leg.offer, leg.role, leg.session_id, leg.provider_id) == (
            direct, "agent", LEG, "c-9",
        )  # fmt: skip
        assert not leg.is_placed_by_us

    @pytest.mark.parametrize(
        ("line", "party", "direction"),
        [
            (LINE, "+254711000002", "outbound"),
            ("+254200000999", AMINA, "outbound"),
            (LINE, AMINA, "inbound"),
            (LINE, AMINA, ""),
            (LINE, "", "outbound"),
        ],
    )
    def test_anything_else_is_not(self, direct, line, party, direction):
        record = Record(
            session_id=LEG, direction=direction, local=line, remote=party, started_at=T0
        )
        assert adoption.adopt_record(record, at=after(3)) is None

    def test_a_room_offer_has_its_own_leg_and_takes_no_other(self, ringing):
        assert adoption.adopt_outbound(("HD_zz",), LINE, AMINA, at=after(3)) is None

    def test_an_offer_that_ended_a_minute_ago_takes_nothing_more(self, direct):
        with opened(after(20)) as it:
            calls.not_answered(it, Offer.State.NO_ANSWER)
        assert adoption.adopt_outbound((LEG,), LINE, AMINA, at=after(81)) is None
        assert adoption.adopt_outbound((LEG,), LINE, AMINA, at=after(79))

    def test_an_unsigned_hint_about_a_call_that_we_do_not_know_only_asks(self, provider, queue):
        provider.knows("c-7", local_e164=LINE, remote_e164="+254799999999", status="answered")
        reconcile.ask_handle("c-7", at=T0)
        assert not Leg.objects.exists()
        assert not QueuedCall.objects.exists()

    def test_a_hint_about_the_dialled_agent_brings_the_answer(self, direct, provider):
        provider.knows("c-9", **{**callee(), "status": "answered", "answered_at": iso(8)})
        reconcile.ask_handle("c-9", at=after(9))
        assert (the_call().state, the_call().connected_at) == ("connected", after(8))


class TestWrapUp:
    def test_it_ends_on_the_servers_clock(self, talking):
        with opened(after(60)) as it:
            calls.finish(it, reason="test")
        pk = Agent.objects.get().pk
        assert offers.end_wrap_up(pk, at=after(89.9)) is False
        assert offers.end_wrap_up(pk, at=after(90)) is True
        agent = Agent.objects.get()
        assert (agent.engagement, agent.idle_since, agent.wrap_up_until) == (
            "idle", after(90), None,
        )  # fmt: skip

    def test_or_when_the_agent_says_so(self, talking):
        with opened(after(60)) as it:
            calls.finish(it, reason="test")
        pk = Agent.objects.get().pk
        assert offers.end_wrap_up(pk, at=after(70), early=True) is True
        assert Agent.objects.get().idle_since == after(70)
        assert the_offer().wrap_up_ended_at == after(70)

    def test_a_sweep_that_comes_late_ends_it_at_its_own_time(self, talking):
        with opened(after(60)) as it:
            calls.finish(it, reason="test")
        offers.end_wrap_up(Agent.objects.get().pk, at=after(99))
        assert Agent.objects.get().idle_since == after(90)
        assert the_offer().wrap_up_ended_at == after(90)

    def test_none_is_none(self, talking, queue):
        queue.wrap_up_seconds = 0
        queue.save()
        with opened(after(60)) as it:
            calls.finish(it, reason="test")
        agent = Agent.objects.get()
        assert (agent.engagement, agent.idle_since, agent.wrap_up_until) == (
            "idle", after(60), None,
        )  # fmt: skip
