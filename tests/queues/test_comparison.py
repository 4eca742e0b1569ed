"""The provider's live calls against ours: what is asked, what is taken in, what is hung up."""

from datetime import timedelta

import pytest
import requests
from django.test import Client
from django.utils import timezone

from callcenter.sautikit.callbacks import Outcome, Record
from queues import adoption, calls, comparison, reconcile
from queues import provider as facts
from queues.models import Alert, CallEvent, Leg, Offer, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import CALLER, LINE, T0, make_agent, make_menu, make_queue, make_waiting

from .telephone import agent_leg, the_call, the_offer, verbs

pytestmark = pytest.mark.django_db
AMINA, LEG, CUSTOMER = "+254711000001", "HD_00000000000a", "HD_000000000001"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def live(handle=CUSTOMER, **values):
    return {
        "id": f"c-{handle}", "session_id": handle, "direction": "inbound", "local_e164": LINE,
        "remote_e164": CALLER, "status": "ringing", "started_at": T0.isoformat(), **values,
    }  # fmt: skip


@pytest.fixture
def queue():
    return make_queue()


@pytest.fixture
def clock(time_machine):
    time_machine.move_to(T0, tick=False)
    return time_machine


class TestOursAndNotTheirs:
    def test_a_leg_that_their_list_lacks_is_asked_about_and_nothing_else(
        self, queue, provider, bells, commits
    ):
        make_waiting(queue)
        provider.lists()
        with commits():
            comparison.compare(at=after(60))
        assert bells.of("ask") == [str(Leg.objects.get().pk)]
        assert the_call().state == "waiting"

    def test_a_leg_that_is_listed_is_left_alone(self, queue, provider, bells, commits):
        make_waiting(queue)
        provider.lists(live(Leg.objects.get().session_id))
        with commits():
            comparison.compare(at=after(60))
        assert bells.of("ask") == []

    def test_a_leg_of_a_moment_ago_is_not_missed_yet(self, queue, provider, bells, commits):
        make_waiting(queue)
        provider.lists()
        with commits():
            comparison.compare(at=after(20))
        assert bells.of("ask") == []

    def test_a_provider_who_does_not_answer_changes_nothing(self, queue, sautikit_api, bells):
        make_waiting(queue)
        sautikit_api.get("https://api.sautikit.test/v1/calls", body=requests.ConnectionError("x"))
        comparison.compare(at=after(60))
        assert (bells.of("ask"), the_call().state) == ([], "waiting")


class TestTheirsAndNotOurs:
    def test_a_live_call_that_no_webhook_told_of_becomes_ours(self, queue, provider):
        provider.lists(live())
        comparison.compare(at=after(16))
        call = the_call()
        assert (call.public_id, call.state, call.customer) == (CUSTOMER, "greeting", CALLER)
        assert (call.queue, call.queued_at) == (queue, T0)
        event = CallEvent.objects.get()
        assert event.detail["recovered"] is True
        CallEvent.objects.update(at=timezone.now())
        counted = b'callcenter_recovered_day{kind="arrived"} 1'
        assert counted in Client().get("/metrics").content
        comparison.compare(at=after(76))
        assert QueuedCall.objects.count() == 1

    def test_its_first_webhook_may_still_be_on_its_way(self, queue, provider):
        provider.lists(live())
        comparison.compare(at=after(14))
        assert not QueuedCall.objects.exists()

    def test_its_late_first_webhook_is_answered_as_any_other(self, queue, provider, phone):
        provider.lists(live())
        comparison.compare(at=after(16))
        assert "conference" in verbs(phone.inbound(CUSTOMER))
        assert (the_call().state, the_call().queued_at) == ("waiting", T0)

    def test_coming_back_from_the_static_plan_it_gets_an_agent(self, queue, provider, phone):
        make_agent(queue)
        provider.lists(live())
        comparison.compare(at=after(16))
        reply = phone.post(
            "/calls/inbound?token=test-webhook-token&resume=1",
            {"sessionId": CUSTOMER, "callerNumber": CALLER, "destinationNumber": LINE},
        )
        assert "dial" in verbs(reply)
        assert the_call().state == "offered"

    def test_on_a_menus_number_it_is_asked_the_menus_question(self, provider, phone):
        provider.lists(live(local_e164=make_menu().numbers.get().e164))
        comparison.compare(at=after(16))
        assert verbs(phone.inbound(CUSTOMER))[0] == "getDigits"

    def test_never_served_it_is_an_abandon_of_the_queue(self, queue, provider):
        provider.lists(live())
        comparison.compare(at=after(16))
        provider.knows(f"c-{CUSTOMER}", status="completed", ended_at=after(30).isoformat())
        reconcile.ask(Leg.objects.get().pk, at=after(46))
        call = the_call()
        assert (call.state, call.abandoned_in, call.ended_at) == ("abandoned", "queue", after(30))

    @pytest.mark.parametrize(
        "other", [{"local_e164": "+254200000999"}, {"direction": ""}, {"started_at": None}]
    )
    def test_what_is_not_on_a_number_of_ours_is_not_touched(self, queue, provider, other):
        provider.lists(live(**other))
        comparison.compare(at=after(60))
        assert not QueuedCall.objects.exists()

    @pytest.mark.parametrize(("started", "taken"), [(-10, False), (10, True)])
    def test_a_call_that_was_over_is_ours_since_the_centre_is_there(
        self, queue, provider, started, taken
    ):
        facts.learn(adoption.ADOPTS_SINCE, T0.isoformat(), at=T0)
        record = Record(
            session_id=CUSTOMER, direction="inbound", local=LINE, remote=CALLER,
            status=Outcome.COMPLETED, started_at=after(started), ended_at=after(20),
        )  # fmt: skip
        leg = adoption.adopt_record(record, at=after(60))
        assert (leg is not None) == taken


class TestAnAgentsLegWithoutAName:
    @pytest.fixture
    def placing(self, queue):
        """An agent's leg whose POST went unanswered: it may ring, and we do not know its handle."""
        make_agent(queue, destination=AMINA)
        make_waiting(queue)
        assert match(after(1)) == 1
        Leg.objects.filter(role="agent").update(asks=1)

    def listed(self, **values):
        values = {"direction": "outbound", "remote_e164": AMINA, **values}
        return live(LEG, started_at=after(2).isoformat(), **values)

    def test_it_gets_its_handle_from_the_list(self, placing, provider):
        provider.lists(self.listed())
        comparison.compare(at=after(40))
        assert (agent_leg().session_id, agent_leg().state) == (LEG, "ringing")
        assert agent_leg().offer == the_offer()

    def test_once_its_offer_has_come_to_nothing_it_is_hung_up(
        self, placing, provider, bells, commits
    ):
        with scene(the_call().pk, at=after(30), source="sweep") as opened:
            calls.not_answered(opened, Offer.State.EXPIRED)
        Leg.objects.filter(role="agent").update(
            state="ended", ended_at=after(31), outcome="canceled", hang_up_at=None
        )
        provider.lists(self.listed())
        with commits():
            comparison.compare(at=after(40))
        assert agent_leg().hang_up_at == after(40)
        assert str(agent_leg().pk) in bells.of("hang_up")


class TestALegThatOutlivedItsEnd:
    @pytest.fixture
    def ended(self, queue):
        make_waiting(queue)
        leg = Leg.objects.get()
        Leg.objects.update(state="ended", ended_at=after(10), ask_at=None, provider_id="c-1")
        QueuedCall.objects.update(state="abandoned", abandoned_in="queue", ended_at=after(10))
        return leg

    def test_it_is_hung_up_and_its_call_stays_as_it_is(self, ended, provider, bells, commits):
        provider.lists(live(ended.session_id))
        provider.knows("c-1", status="answered", answered_at=after(5).isoformat())
        with commits():
            comparison.compare(at=after(60))
        leg = Leg.objects.get()
        assert (leg.state, leg.ended_at, leg.hang_up_at) == ("answered", None, after(60))
        assert bells.of("hang_up") == [str(leg.pk)]
        assert CallEvent.objects.get().kind == "leg_outlived"
        assert the_call().state == "abandoned"

    def test_a_list_that_is_behind_is_not_believed(self, ended, provider):
        provider.lists(live(ended.session_id))
        provider.knows("c-1", status="completed", ended_at=after(10).isoformat())
        comparison.compare(at=after(60))
        assert Leg.objects.get().ended_at == after(10)

    def test_an_end_of_a_moment_ago_may_not_be_listed_yet(self, ended, provider):
        provider.lists(live(ended.session_id))
        comparison.compare(at=after(35))
        assert Leg.objects.get().ended_at == after(10)


def test_a_call_of_four_hours_is_told_once_and_not_cut_off(queue, provider):
    make_waiting(queue)
    provider.lists(live(Leg.objects.get().session_id))
    comparison.compare(at=after(4 * 3600 - 1))
    assert not Alert.objects.exists()
    for n in range(3):
        comparison.compare(at=after(4 * 3600 + 60 * n + 60))
    alert = Alert.objects.get()
    assert (alert.kind, alert.count, the_call().state) == ("long_call", 1, "waiting")
