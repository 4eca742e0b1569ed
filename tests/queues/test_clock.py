"""The clock is set back or forward in the middle of everything: nothing breaks, nothing sticks."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.utils import timezone

from agents import presence
from agents.models import Agent, PresencePeriod
from callcenter import clocks
from callcenter.sautikit import signature
from queues import calls, clock, dialling, offers, routing, sweeping
from queues.models import Alert, CallEvent, Leg, Offer, QueuedCall, WebhookEvent
from queues.provider import client
from queues.scene import scene
from reporting import live, metrics
from reporting.mirror import polling
from tests.factories import LINE, T0, make_agent, make_queue, make_waiting

from .telephone import Provider, agent_leg, argument, the_call, the_offer, verbs

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
JUMPS = [pytest.param(-HOUR, id="back"), pytest.param(HOUR, id="forward")]


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def at(monkeypatch, commits):
    """Two clocks: `at(5)` is five seconds after T0 by the steady one; `at.jump` sets the other."""

    class Clocks:
        ahead = timedelta()

        def __call__(self, seconds):
            self.steady = float(seconds)
            self.traveller.move_to(after(seconds) + self.ahead)
            return timezone.now()

        def jump(self, by):
            self.follow()  # as in every second
            self.ahead += by
            return self(self.steady)

        def follow(self):
            return clock.follow(clocks.read(), at=timezone.now())

        def sweep(self):
            with commits():
                now = timezone.now()
                self.follow()
                sweeping.sweep(at=now)

    two = Clocks()
    with time_machine.travel(T0, tick=False) as two.traveller:
        monkeypatch.setattr(clocks, "steady", lambda: 1000.0 + two.steady)
        two(0)
        two.sweep()
        yield two


@pytest.fixture
def queue():
    return make_queue(max_wait_seconds=600, wrap_up_seconds=30, direct_dial=False)


def nothing_is_negative(now):
    for call in QueuedCall.objects.all():
        for earlier, later in (
            (call.arrived_at, call.queued_at), (call.queued_at, call.connected_at),
            (call.connected_at, call.ended_at), (call.arrived_at, call.ended_at),
        ):  # fmt: skip
            assert earlier is None or later is None or earlier <= later, call.__dict__
    for offer in Offer.objects.all():
        for earlier, later in (
            (offer.created_at, offer.joined_at), (offer.joined_at, offer.ended_at),
            (offer.ended_at, offer.wrap_up_ended_at),
        ):  # fmt: skip
            assert earlier is None or later is None or earlier <= later, offer.__dict__
    for row in metrics.queue_rows(*metrics.today(now)):
        assert (row["asa"] or 0) >= 0
        assert (row["aht"] or 0) >= 0
    for call in live.snapshot(now)["calls"]:
        assert call["seconds"] >= 0


class TestWhatIsUnderWayMovesAlong:
    @pytest.mark.parametrize("by", JUMPS)
    def test_a_waiting_caller_is_neither_expired_nor_held_longer(self, queue, at, by):
        make_waiting(queue)
        at(60)
        at.jump(by)
        at.sweep()
        assert the_call().state == "waiting"
        assert timezone.now() - the_call().queued_at == timedelta(seconds=60)
        at(599)
        at.sweep()
        assert the_call().state == "waiting"
        at(600)
        at.sweep()
        assert the_call().state == "expired"
        nothing_is_negative(timezone.now())

    @pytest.mark.parametrize("by", JUMPS)
    def test_wrap_up_ends_when_its_seconds_are_over(self, queue, at, by):
        make_agent(
            queue, engagement="wrap_up", wrap_up_until=after(30), engagement_since=T0, idle_since=T0
        )
        at(10)
        at.jump(by)
        at.sweep()
        assert Agent.objects.get().wrap_up_until == timezone.now() + timedelta(seconds=20)
        at(29)
        at.sweep()
        assert Agent.objects.get().engagement == "wrap_up"
        at(30)
        at.sweep()
        assert Agent.objects.get().engagement == "idle"

    @pytest.mark.parametrize("by", JUMPS)
    def test_a_hold_off_ends_when_its_seconds_are_over(self, queue, at, by):
        make_agent(queue, hold_off_until=after(30), hold_off_reason="busy")
        make_waiting(queue)
        at(10)
        at.jump(by)
        at.sweep()
        assert the_call().state == "waiting"
        at(30)
        at.sweep()
        assert the_call().state == "offered"

    @pytest.mark.parametrize("by", JUMPS)
    def test_a_phone_rings_for_as_long_as_it_should(self, queue, at, by, bells):
        make_agent(queue)
        make_waiting(queue)
        at.sweep()
        assert the_offer().ring_until == after(15)
        at(5)
        at.jump(by)
        at.sweep()
        assert the_offer().ring_until == timezone.now() + timedelta(seconds=10)
        bells.rung.clear()
        at(14)
        at.sweep()
        assert bells.of("check_offer") == []
        at(15)
        at.sweep()
        assert bells.of("check_offer") == [str(the_offer().pk)]

    @pytest.mark.parametrize("by", JUMPS)
    def test_a_talk_has_its_true_length(self, queue, at, by, phone, bells):
        make_agent(queue)
        phone.inbound()
        call = the_call()
        at(8)
        at.sweep()
        at(9)
        with scene(call.pk, at=timezone.now(), source="test") as opened:
            calls.agent_answered(opened, answered_at=timezone.now())
            calls.connect(opened, at=timezone.now())
        at(69)
        at.jump(by)
        at.sweep()
        at(129)
        phone.hang_up()
        call = the_call()
        assert (call.state, call.talk_seconds) == ("completed", 120)
        nothing_is_negative(timezone.now())

    @pytest.mark.parametrize("by", JUMPS)
    def test_the_line_keeps_its_order_and_newcomers_go_last(self, queue, at, by):
        make_waiting(queue, customer="+254700000001", arrived_at=after(-40))
        make_waiting(queue, customer="+254700000002", arrived_at=after(-20))
        at(1)
        at.jump(by)
        make_waiting(queue, customer="+254700000003", arrived_at=timezone.now())
        at.sweep()
        order = QueuedCall.objects.order_by("arrived_at").values_list("customer", flat=True)
        assert [customer[-1] for customer in order] == ["1", "2", "3"]

    def test_a_call_from_after_the_jump_is_left_alone(self, queue, at):
        at(1)
        at.jump(-HOUR)
        arrived_at = at(1.5)
        make_waiting(queue, arrived_at=arrived_at)
        at(2)
        at.sweep()
        assert the_call().arrived_at == arrived_at

    def test_a_clock_that_is_right_costs_nothing_and_small_steps_are_no_jumps(
        self, queue, at, django_assert_num_queries
    ):
        at(1)
        at.jump(timedelta(seconds=1.5))
        with django_assert_num_queries(0):
            assert at.follow() is None

    def test_two_workers_move_it_once(self, queue, at):
        make_waiting(queue)
        other = dict(clock._known)
        at(60)
        at.jump(HOUR)
        assert at.follow() == HOUR
        clock._known.clear()
        clock._known.update(other)
        assert at.follow() is None
        assert timezone.now() - the_call().queued_at == timedelta(seconds=60)

    def test_supervisors_are_told(self, at):
        at(1)
        at.jump(-HOUR)
        at.sweep()
        assert "was set back by 60 min; open calls were moved along" in Alert.objects.get().text

    def test_an_event_that_is_to_be_handled_again_is_not_late(self, at, bells):
        WebhookEvent.objects.create(
            key="k", endpoint="events", verdict="trusted", received_at=T0, retry_at=after(30)
        )
        at(5)
        at.jump(-HOUR)
        at.sweep()
        at(30)
        at.sweep()
        assert len(bells.of("handle_event")) == 1


class TestAfterARestart:
    """The steady clock of another boot means nothing: what lies too far ahead is brought back."""

    @pytest.fixture
    def rebooted(self, at, monkeypatch):
        def reboot(by):
            at.jump(by)
            clock.forget()
            monkeypatch.setattr(clocks, "boot", lambda: "another")
            at.sweep()

        return reboot

    def test_an_agent_wraps_up_once_more_and_not_for_an_hour(self, queue, at, rebooted):
        make_agent(
            queue, engagement="wrap_up", wrap_up_until=after(30), engagement_since=T0, idle_since=T0
        )
        at(10)
        rebooted(-HOUR)
        assert Agent.objects.get().wrap_up_until == timezone.now() + timedelta(seconds=30)
        at(40)
        at.sweep()
        assert Agent.objects.get().engagement == "idle"

    def test_nothing_waits_for_an_hour(self, queue, at, rebooted, bells):
        make_agent(queue, hold_off_until=after(60), hold_off_reason="no_answer")
        make_waiting(queue, offerable_from=after(8))
        Leg.objects.update(ask_at=after(30))
        at(5)
        rebooted(-HOUR)
        call, leg = the_call(), Leg.objects.get()
        soon = timezone.now() + timedelta(minutes=10)
        assert call.arrived_at <= timezone.now()
        assert call.queued_at <= timezone.now()
        assert call.offerable_from <= timezone.now()
        assert leg.ask_at <= soon
        assert Agent.objects.get().hold_off_until <= timezone.now() + timedelta(seconds=60)
        at(66)
        at.sweep()
        assert the_call().state == "offered"

    def test_what_is_empty_stays_empty(self, queue, at, rebooted):
        call = make_waiting(queue, state="greeting", queued_at=None, offerable_from=None)
        rebooted(-HOUR)
        call.refresh_from_db()
        assert (call.queued_at, call.offerable_from) == (None, None)
        assert call.arrived_at == timezone.now()


class TestBeforeTheWorkerHasSeenIt:
    """Webhooks and pages in the moment after the jump, and while no worker runs at all."""

    def test_presence_can_be_changed(self, queue, at):
        agent = make_agent(queue, presence="offline")
        presence.change(agent.pk, "available", at=timezone.now(), cause="page")
        at(1)
        at.jump(-HOUR)
        presence.change(agent.pk, "break", at=timezone.now(), cause="page")
        assert Agent.objects.get().presence == "break"
        for period in PresencePeriod.objects.exclude(ended_at=None):
            assert period.ended_at >= period.started_at

    def test_wrap_up_that_is_ended_early_is_never_negative(self, queue, at):
        agent = make_agent(queue)
        call = make_waiting(queue)
        at.sweep()
        with scene(call.pk, at=timezone.now(), source="test") as opened:
            calls.connect(opened, at=timezone.now())
        at(20)
        with scene(call.pk, at=timezone.now(), source="test") as opened:
            calls.finish(opened)
        at.jump(-HOUR)
        offers.end_wrap_up(agent.pk, at=timezone.now(), early=True)
        assert Agent.objects.get().engagement == "idle"
        nothing_is_negative(timezone.now())

    @pytest.mark.parametrize("by", JUMPS)
    @pytest.mark.parametrize("when", ["greeting", "joined", "offered", "answered", "talking"])
    def test_a_call_ends_in_good_order_whenever_the_clock_jumps(
        self, queue, at, by, when, phone, provider, bells
    ):
        """Every webhook of a held call, with the jump before one of them: none fails."""
        provider.takes_calls(id="c-2", sessionId="HD_000000000002")
        make_agent(queue)
        steps = []

        def step(name):
            steps.append(name)
            at(len(steps))
            if name == when:
                at.jump(by)

        step("greeting")
        room = argument(phone.inbound(), "conference")
        step("joined")
        assert phone.event(room["statusEventsCallbackUrl"], "join").status_code == 204
        step("offered")
        routing.match(timezone.now())
        if the_call().state == "waiting":
            assert when in {"offered", "joined"}  # its `offerable_from` lies ahead until a sweep
            at.sweep()
            at.sweep()
        assert the_call().state == "offered"
        dialling.place(agent_leg().pk, at=timezone.now())
        step("answered")
        answer = phone.post(
            provider.placed[0]["voice_callback_url"],
            {"sessionId": "HD_000000000002", "callSessionState": "Answered"},
        )
        assert "conference" in verbs(answer)
        step("talking")
        agent_room = argument(answer, "conference")["statusEventsCallbackUrl"]
        assert phone.event(agent_room, "join").status_code == 204
        assert the_call().state == "connected"
        nothing_is_negative(timezone.now())
        step("end")
        phone.hang_up()
        assert the_call().state == "completed"
        nothing_is_negative(timezone.now())
        assert not CallEvent.objects.filter(kind="failed").exists()
        at.sweep()
        at(len(steps) + 35)
        at.sweep()
        assert Agent.objects.get().engagement == "idle"
        assert the_call().line == LINE


class TestTheProvidersClock:
    def alert(self):
        return Alert.objects.filter(kind="clock", subject="provider", dismissed_at=None).first()

    @pytest.mark.parametrize(
        ("ahead", "sentence"),
        [
            (423, "is about 7 min ahead of Sautikit's"),
            (-3600, "is about 60 min behind Sautikit's"),
            (-200_000, "is about 2 days behind Sautikit's"),
        ],
    )
    def test_a_difference_is_told_in_words_once_in_a_while(self, ahead, sentence):
        for minutes in (0, 1, 9, 11):
            clock.compare_with_provider(ahead, at=after(60 * minutes))
        assert sentence in self.alert().text
        assert self.alert().count == 2

    def test_it_goes_once_the_clocks_agree(self):
        clock.compare_with_provider(423, at=T0)
        clock.forget()  # by another process
        clock.compare_with_provider(0.4, at=after(15))
        assert self.alert() is None

    def test_clocks_that_agree_cost_nothing(self, django_assert_num_queries):
        clock.compare_with_provider(0.4, at=T0)
        with django_assert_num_queries(0):
            clock.compare_with_provider(59, at=after(15))

    def test_it_is_read_from_the_answers_and_the_list_is_asked_for_by_the_providers_clock(
        self, sautikit_api, monkeypatch
    ):
        monkeypatch.setattr(client(), "clock_ahead", 0.0)  # and again afterwards
        sautikit_api.get(
            Provider.BASE, json={"calls": []}, headers={"Date": "Fri, 20 Nov 2026 07:30:00 GMT"}
        )
        with time_machine.travel(T0, tick=False):
            polling.poll(at=T0)
            assert "is about 30 min ahead of Sautikit's" in self.alert().text
            polling.poll(at=T0)
        asked = parse_qs(urlsplit(sautikit_api.calls[-1].request.url).query)["from"]
        assert asked[0].startswith("2026-11-20T07:27:00")  # three minutes of overlap, as always

    def test_a_note_says_by_how_much_a_signature_is_off(self, phone, settings, at):
        settings.SAUTIKIT_SIGNING_SECRETS = ["secret"]
        raw = b'{"sessionId": "HD_000000000001"}'
        stamp = int(T0.timestamp()) - 423
        phone.post(
            "/calls/events?token=test-webhook-token", {"sessionId": "HD_000000000001"},
            as_json=True, **{"X-Sautikit-Signature": signature.sign("secret", raw, stamp)},
        )  # fmt: skip
        event = WebhookEvent.objects.get()
        assert event.verdict == "quarantined"
        assert event.note == "signature stale: made 7 min before our clock's time"
