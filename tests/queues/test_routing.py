"""Who gets the next call, and why: order of callers, order of agents, hold-offs, explanations."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents import presence
from agents.models import Agent, HoldOff, PresencePeriod
from queues import calls, offers, provider, routing
from queues.models import CallEvent, Member, Offer, Queue, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import LINE, T0, make_agent, make_offered, make_queue, make_waiting

from .telephone import the_call

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def before(**span):
    return T0 - timedelta(**span)


def offered() -> list[QueuedCall]:
    """The calls that have been offered, in the order of the offers."""
    return [offer.call for offer in Offer.objects.order_by("created_at", "id")]


def offered_to() -> list[Agent]:
    return [offer.agent for offer in Offer.objects.order_by("created_at", "id")]


def past_offer(agent, *, started, talked=0, state="ended"):
    """An offer of an earlier call: begun at `started`, with `talked` seconds of talk."""
    call = make_waiting(Queue.objects.first(), arrived_at=started)
    QueuedCall.objects.filter(pk=call.pk).update(
        state="completed", ended_at=started, agent=agent, connected_at=started
    )
    return Offer.objects.create(
        call=call, agent=agent, queue=call.queue, kind="room", state=state, created_at=started,
        ring_until=started, joined_at=started if state == "ended" else None,
        ended_at=started + timedelta(seconds=talked),
    )  # fmt: skip


def close_offer(state, *, at):
    with scene(the_call().pk, at=at, source="test") as opened:
        calls.not_answered(opened, state)


class TestTheOrderOfCallers:
    def test_first_come_first_served(self):
        queue = make_queue()
        late, early, middle = (
            make_waiting(queue, arrived_at=before(seconds=s)) for s in (5, 50, 20)
        )
        for _ in range(3):
            make_agent(queue)
        assert match(T0) == 3
        assert offered() == [early, middle, late]

    def test_priority_goes_before_arrival(self):
        queue = make_queue()
        early = make_waiting(queue, arrived_at=before(minutes=9))
        urgent = make_waiting(queue, arrived_at=before(seconds=1), priority=5)
        make_agent(queue)
        match(T0)
        assert offered() == [urgent]
        early.refresh_from_db()
        assert early.state == "waiting"

    def test_an_agent_of_several_queues_gets_the_first_caller_of_all(self):
        sales, support = make_queue("sales", number=None), make_queue("support", number=None)
        make_waiting(sales, arrived_at=before(seconds=10))
        first = make_waiting(support, arrived_at=before(seconds=30))
        make_agent(sales, support)
        assert match(T0) == 1
        assert offered() == [first]

    def test_priority_counts_across_queues(self):
        sales, support = make_queue("sales", number=None), make_queue("support", number=None)
        make_waiting(support, arrived_at=before(minutes=5))
        vip = make_waiting(sales, arrived_at=before(seconds=2), priority=1)
        make_agent(sales, support)
        match(T0)
        assert offered() == [vip]

    def test_priority_within_a_queue_counts_across_queues_too(self):
        sales, support = make_queue("sales", number=None), make_queue("support", number=None)
        make_waiting(sales, arrived_at=before(minutes=9))
        vip = make_waiting(sales, arrived_at=before(seconds=2), priority=5)
        make_waiting(support, arrived_at=before(minutes=5), priority=1)
        make_agent(sales, support)
        match(T0)
        assert offered() == [vip]

    def test_a_head_whose_queue_has_no_agent_does_not_block_the_next_queue(self):
        sales, support = make_queue("sales", number=None), make_queue("support", number=None)
        make_waiting(sales, arrived_at=before(minutes=5))
        servable = make_waiting(support, arrived_at=before(seconds=2))
        make_agent(support)
        assert match(T0) == 1
        assert offered() == [servable]

    def test_who_is_not_in_the_room_yet_is_passed_over(self):
        queue = make_queue()
        make_waiting(queue, arrived_at=before(seconds=30), offerable_from=after(3))
        ready = make_waiting(queue, arrived_at=before(seconds=10))
        make_agent(queue)
        match(T0)
        assert offered() == [ready]

    def test_a_caller_who_rang_out_keeps_the_place_before_later_ones(self):
        queue = make_queue()
        first = make_waiting(queue, arrived_at=before(seconds=30))
        agent = make_agent(queue)
        match(T0)
        with scene(first.pk, at=after(15), source="test") as opened:
            calls.not_answered(opened, Offer.State.NO_ANSWER)
        make_waiting(queue, arrived_at=before(seconds=20))
        make_agent(queue, idle_since=before(hours=3))
        match(after(16))
        first.refresh_from_db()
        assert first.state == "offered"
        assert first.agent != agent
        assert first.queued_at == before(seconds=30)

    def test_callers_and_agents_are_paired_until_one_side_has_run_out(self):
        queue = make_queue()
        for n in range(3):
            make_waiting(queue, arrived_at=before(seconds=n))
        make_agent(queue), make_agent(queue)
        assert match(T0) == 2
        assert match(T0) == 0
        assert QueuedCall.objects.filter(state="waiting").count() == 1

    def test_the_place_in_line_counts_who_is_being_offered_and_no_outbound_call(self):
        queue = make_queue()
        make_offered(queue, arrived_at=before(seconds=40))
        make_offered(queue, arrived_at=before(seconds=30), direction="outbound")
        make_waiting(queue, arrived_at=before(seconds=20))
        me = make_waiting(queue, arrived_at=before(seconds=10))
        make_waiting(queue, arrived_at=before(seconds=5))
        assert routing.position(me) == 3
        make_waiting(queue, arrived_at=T0, priority=1)
        assert routing.position(me) == 4


class TestTheOrderOfAgents:
    def serve(self, strategy, agents_by_name, expected):
        queue = Queue.objects.get()
        queue.strategy = strategy
        queue.save()
        for n in range(len(expected)):
            make_waiting(queue, arrived_at=before(seconds=60 - n))
        for n in range(len(expected)):
            match(after(n))
        names = {agent.pk: name for name, agent in agents_by_name.items()}
        assert [names[agent.pk] for agent in offered_to() if agent.pk in names][
            -len(expected) :
        ] == expected

    @pytest.fixture
    def three(self):
        """Idle for 10, 30 and 20 minutes; members in the order c, a, b."""
        queue = make_queue()
        found = {
            name: make_agent(username=name, idle_since=before(minutes=minutes))
            for name, minutes in (("a", 10), ("b", 30), ("c", 20))
        }
        for position, name in enumerate("cab"):
            Member.objects.create(queue=queue, agent=found[name], position=position)
        return found

    def test_longest_idle(self, three):
        self.serve("longest_idle", three, ["b", "c", "a"])

    def test_linear_takes_the_first_member_who_is_free(self, three):
        self.serve("linear", three, ["c", "a", "b"])

    def test_round_robin_takes_who_was_offered_a_call_longest_ago(self, three):
        # a was offered one 5 min ago, b 2 min ago (not answered), c never
        past_offer(three["a"], started=before(minutes=5))
        past_offer(three["b"], started=before(minutes=2), state="no_answer")
        self.serve("round_robin", three, ["c", "a", "b"])

    def test_fewest_calls_counts_todays_talks(self, three):
        # a: two; b: one, and one that was not answered; c: none today, five yesterday
        past_offer(three["a"], started=before(minutes=50))
        past_offer(three["a"], started=before(minutes=40))
        past_offer(three["b"], started=before(minutes=30))
        past_offer(three["b"], started=before(minutes=20), state="no_answer")
        for _ in range(5):
            past_offer(three["c"], started=before(days=1))
        self.serve("fewest_calls", three, ["c", "b", "a"])

    def test_fewest_calls_begins_anew_at_midnight_of_the_time_zone(self, three):
        """08:00 UTC is 11:00 in Nairobi, whose midnight was 21:00 UTC: 11 h ago."""
        past_offer(three["b"], started=before(hours=10, minutes=59))
        past_offer(three["a"], started=before(hours=11, minutes=1))
        past_offer(three["c"], started=before(hours=1))
        self.serve("fewest_calls", three, ["a", "b", "c"])

    def test_least_talk_counts_todays_seconds(self, three):
        # a: 100 s in one call; b: 40 + 50 = 90 s in two; c: 95 s
        past_offer(three["a"], started=before(minutes=50), talked=100)
        past_offer(three["b"], started=before(minutes=40), talked=40)
        past_offer(three["b"], started=before(minutes=30), talked=50)
        past_offer(three["c"], started=before(minutes=20), talked=95)
        self.serve("least_talk", three, ["b", "c", "a"])

    @pytest.mark.parametrize("strategy", ["round_robin", "fewest_calls", "least_talk"])
    def test_ties_go_to_the_longest_idle(self, three, strategy):
        self.serve(strategy, three, ["b", "c", "a"])

    def test_random_takes_everybody_in_the_end(self):
        queue = make_queue(strategy="random")
        agents = {make_agent(queue).pk for _ in range(4)}
        for n in range(4):
            make_waiting(queue, arrived_at=before(seconds=n))
        assert match(T0) == 4
        assert {agent.pk for agent in offered_to()} == agents


class TestWhoIsRoutable:
    @pytest.mark.parametrize("wish", ["break", "offline"])
    def test_nobody_who_is_not_available(self, wish):
        queue = make_queue()
        make_agent(queue, presence=wish)
        make_waiting(queue)
        assert match(T0) == 0

    @pytest.mark.parametrize("engagement", ["ringing", "on_call", "wrap_up"])
    def test_nobody_who_is_not_idle(self, engagement):
        queue = make_queue()
        until = after(60) if engagement == "wrap_up" else None
        make_agent(queue, engagement=engagement, wrap_up_until=until)
        make_waiting(queue)
        assert match(T0) == 0

    def test_nobody_who_is_held_off_until_that_is_over(self):
        queue = make_queue()
        make_agent(queue, hold_off_until=after(10), hold_off_reason="busy")
        make_waiting(queue)
        assert match(after(9.9)) == 0
        assert match(after(10)) == 1

    def test_nobody_of_another_queue_and_nobody_removed(self):
        queue = make_queue()
        make_agent(make_queue("other", number=None))
        make_agent(queue, retired_at=before(days=1))
        make_waiting(queue)
        assert match(T0) == 0

    def test_becoming_available_ends_a_hold_off_and_starts_idle_time_anew(self):
        agent = make_agent(
            make_queue(), presence="break", hold_off_until=after(50), hold_off_reason="busy",
            strikes=2,
        )  # fmt: skip
        presence.change(agent.pk, "available", at=T0, cause="test")
        agent.refresh_from_db()
        assert (agent.hold_off_until, agent.hold_off_reason, agent.strikes) == (None, "", 0)
        assert agent.idle_since == T0

    def test_a_direct_dial_is_not_made_past_somebody_who_waits(self):
        queue = make_queue()
        make_agent(queue)
        make_waiting(queue, offerable_from=after(5))
        assert routing.claim_for_arrival(queue, T0) is None

    def test_a_direct_dial_leaves_out_who_presses_1_and_queues_that_do_not_want_it(self):
        queue = make_queue()
        make_agent(queue, confirm_key=True)
        assert routing.claim_for_arrival(queue, T0) is None
        other = make_agent(queue)
        assert routing.claim_for_arrival(queue, T0) == other
        queue.direct_dial = False
        assert routing.claim_for_arrival(queue, T0) is None


class TestHoldOffs:
    """Hold-offs: no_answer 10 s x strikes (60 at most), busy 30, declined 10, …"""

    def ring_out(self, state, *, strikes=0):
        queue = make_queue()
        agent = make_agent(queue, strikes=strikes)
        make_waiting(queue)
        match(T0)
        close_offer(state, at=after(15))
        agent.refresh_from_db()
        return agent

    @pytest.mark.parametrize(
        ("state", "reason", "seconds", "strikes"),
        [
            ("no_answer", "no_answer", 10, 1),
            ("busy", "busy", 30, 0),
            ("declined", "declined", 10, 0),
            ("no_keypress", "no_keypress", 30, 1),
            ("failed", "unreachable", 15, 0),
        ],
    )
    def test_each_reason_has_its_seconds_and_only_two_are_strikes(
        self, state, reason, seconds, strikes
    ):
        agent = self.ring_out(state)
        assert (agent.hold_off_reason, agent.strikes) == (reason, strikes)
        assert agent.hold_off_until == after(15 + seconds)
        assert (agent.engagement, the_call().state) == ("idle", "waiting")

    @pytest.mark.parametrize(
        ("before_it", "seconds"), [(0, 10), (1, 20), (2, 30), (5, 60), (9, 60)]
    )
    def test_not_answering_again_holds_off_for_longer_up_to_a_minute(self, before_it, seconds):
        agent = self.ring_out("no_answer", strikes=before_it)
        assert agent.hold_off_until == after(15 + seconds)

    @pytest.mark.parametrize("state", ["caller_gone", "expired"])
    def test_nobody_is_to_blame_for_a_caller_who_left_or_for_our_own_fault(self, state):
        agent = self.ring_out(state, strikes=1)
        assert (agent.hold_off_until, agent.strikes) == (None, 1)

    def test_the_idle_time_goes_on_through_an_offer_that_failed(self):
        agent = self.ring_out("busy")
        assert agent.idle_since < T0

    def test_every_reason_of_the_model_has_a_time(self):
        timed = {HoldOff.NO_ANSWER, HoldOff.HANGING_UP}
        assert set(offers.HOLD_OFF_SECONDS) | timed == set(HoldOff)


class TestThreeStrikes:
    def miss(self, agent, *, at, state="no_answer"):
        match(at)
        close_offer(state, at=at + timedelta(seconds=15))
        agent.refresh_from_db()

    @pytest.fixture
    def agent(self):
        queue = make_queue()
        make_waiting(queue)
        return make_agent(queue)

    def test_three_in_half_an_hour_are_a_break_by_policy(self, agent):
        for minutes in (0, 5, 10):
            assert agent.presence == "available"
            self.miss(agent, at=T0 + timedelta(minutes=minutes))
        assert (agent.presence, agent.strikes) == ("break", 3)
        assert "3 calls" in agent.presence_reason
        period = PresencePeriod.objects.get(agent=agent, ended_at=None)
        assert (period.cause, period.actor) == ("policy: missed calls", None)
        assert period.started_at == T0 + timedelta(minutes=10, seconds=15)
        event = CallEvent.objects.get(kind="agent_put_on_break")
        assert event.detail == {"agent": agent.name, "missed": 3}

    def test_unpressed_keys_count_too_and_refusals_do_not(self, agent):
        for minutes, state in enumerate(["no_answer", "busy", "declined", "no_keypress"]):
            self.miss(agent, at=T0 + timedelta(minutes=2 * minutes), state=state)
        assert (agent.presence, agent.strikes) == ("available", 2)
        self.miss(agent, at=T0 + timedelta(minutes=9), state="no_keypress")
        assert agent.presence == "break"

    def test_three_in_more_than_half_an_hour_are_not(self, agent):
        for minutes in (0, 16, 31):
            self.miss(agent, at=T0 + timedelta(minutes=minutes))
        assert (agent.presence, agent.strikes) == ("available", 3)

    def test_a_talk_in_between_wipes_the_slate(self, agent):
        self.miss(agent, at=T0)
        self.miss(agent, at=T0 + timedelta(minutes=1))
        match(T0 + timedelta(minutes=2))
        with scene(the_call().pk, at=T0 + timedelta(minutes=2), source="test") as opened:
            calls.connect(opened, at=opened.at)
        agent.refresh_from_db()
        assert (agent.strikes, agent.hold_off_until, agent.hold_off_reason) == (0, None, "")

    def test_after_a_break_by_policy_and_coming_back_the_next_miss_is_the_first(self, agent):
        for minutes in (0, 5, 10):
            self.miss(agent, at=T0 + timedelta(minutes=minutes))
        presence.change(agent.pk, "available", at=T0 + timedelta(minutes=11), cause="page")
        self.miss(agent, at=T0 + timedelta(minutes=12))
        assert (agent.presence, agent.strikes) == ("available", 1)


class TestWhy:
    def test_a_decision_names_who_was_considered_and_who_was_passed_over_and_why(self):
        queue = make_queue()
        chosen = make_agent(queue, username="amina", idle_since=before(hours=2))
        make_agent(queue, username="brian")
        make_agent(queue, username="chebet", presence="break")
        make_agent(queue, username="david", engagement="on_call")
        make_agent(queue, username="esther", hold_off_until=after(5), hold_off_reason="busy")
        make_waiting(queue)
        match(T0)
        detail = CallEvent.objects.get(kind="offered").detail
        assert detail["chosen"] == chosen.name
        assert detail["also_routable"] == ["Brian"]
        assert detail["passed_over"] == {
            "Chebet": "break", "David": "on_call", "Esther": "hold_off:busy",
        }  # fmt: skip
        assert detail["strategy"] == "longest_idle"

    def test_why_a_caller_still_waits_is_told_in_words(self):
        queue = make_queue()
        call = make_waiting(queue)
        assert routing.why_waiting(call, T0) == "The queue has no agents."
        make_agent(queue, presence="break")
        make_agent(queue, engagement="on_call")
        make_agent(queue, engagement="on_call")
        assert (
            routing.why_waiting(call, T0) == "No agent is free: 1 on break, 2 on a call."
            or routing.why_waiting(call, T0) == "No agent is free: 2 on a call, 1 on break."
        )

    def test_why_names_a_hold_off_and_one_who_is_about_to_be_rung(self):
        queue = make_queue()
        call = make_waiting(queue)
        agent = make_agent(queue, hold_off_until=after(5), hold_off_reason="busy")
        assert "1 held off" in routing.why_waiting(call, T0)
        assert routing.why_waiting(call, after(5)) == "Being offered now."
        agent.delete()

    def test_why_says_that_the_caller_is_not_in_the_room_yet(self):
        queue = make_queue()
        call = make_waiting(queue, offerable_from=after(8))
        assert routing.why_waiting(call, T0) == "Entering the hold room."
        call.offerable_from = None
        assert routing.why_waiting(call, T0) == "Not yet in the hold room."

    def test_why_does_not_blame_a_missed_call_on_an_agent_who_was_busy(self):
        queue = make_queue()
        call = make_waiting(queue)
        make_agent(queue, hold_off_until=after(5), hold_off_reason="unreachable")
        assert "missed" not in routing.why_waiting(call, T0)


class TestCost:
    def statements(self, slug, waiting):
        """How many statements one offer takes with so many callers in line."""
        queue = make_queue(slug, number=None)
        make_agent(queue)
        QueuedCall.objects.bulk_create(
            QueuedCall(
                public_id=f"{slug}-{n}", direction="inbound", state="waiting", queue=queue,
                customer="anonymous", line=LINE, arrived_at=before(seconds=n),
                queued_at=before(seconds=n), offerable_from=before(seconds=n),
            )
            for n in range(waiting)
        )  # fmt: skip
        provider.forget_recalled()
        with CaptureQueriesContext(connection) as captured:
            assert match(T0) == 1
        assert QueuedCall.objects.get(public_id=f"{slug}-{waiting - 1}").state == "offered"
        return len(captured)

    def test_matching_takes_as_many_statements_with_1000_waiting_as_with_10(self):
        assert self.statements("small", 10) == self.statements("large", 1000) <= 16
