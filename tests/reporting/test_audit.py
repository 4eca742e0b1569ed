"""The audit: "none" after every way that a call can go, and a line for whatever was changed."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from agents import presence
from callcenter.celery import app
from callcenter.sautikit.callbacks import Outcome
from queues import calls, offers
from queues.models import Alert, CallEvent, Leg, Offer, QueuedCall, WebhookEvent
from queues.routing import match
from queues.scene import scene
from reporting import nightly_audit
from reporting.audit import Audit
from reporting.models import AuditRun
from tests.factories import T0, make_agent, make_queue, make_waiting
from tests.queues.telephone import Telephone, the_call, the_offer

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def found(at=None):
    return list(Audit(at=at or after(3600)).lines())


def sql(statement, *values):
    """Change a row behind everybody's back: no trigger sees it, only checks and indexes do."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;"
                       "SET LOCAL session_replication_role = replica")  # fmt: skip
        cursor.execute(statement, values)
        cursor.execute("SET LOCAL session_replication_role = origin")


def hold(queue, *, at=T0):
    """A caller in the hold room, by the domain's own functions."""
    call = make_waiting(queue, arrived_at=at, state="greeting", queued_at=None)
    with scene(call.pk, at=at, source="test") as opened:
        opened.note("arrived")
        calls.hold(opened)
        calls.customer_joined(opened)
    call.refresh_from_db()
    return call


def connect(call, *, at):
    with scene(call.pk, at=at, source="test") as opened:
        calls.connect(opened, at=at)


def hang_up(call, *, at):
    Leg.objects.filter(call=call).update(
        state="ended", ended_at=at, outcome="completed", ask_at=None, hang_up_at=None
    )
    with scene(call.pk, at=at, source="test") as opened:
        calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=at)
    Leg.objects.filter(call=call, ended_at=None).update(
        state="ended", ended_at=at, ask_at=None, hang_up_at=None
    )


@pytest.fixture
def agent():
    queue = make_queue()
    agent = make_agent(queue, presence="offline", username="amina")
    presence.change(agent.pk, "available", at=after(-60), cause="page")
    return agent


@pytest.fixture
def talk(agent):
    """A call that was not answered first, then talked from 30 to 90 s; wrap-up until 100 s."""
    call = hold(agent.memberships.get().queue)
    match(after(5))
    with scene(call.pk, at=after(15), source="test") as opened:
        calls.not_answered(opened, Offer.State.NO_ANSWER)
    match(after(26))
    connect(call, at=after(30))
    hang_up(call, at=after(90))
    offers.end_wrap_up(agent.pk, at=after(100))
    call.refresh_from_db()
    assert (call.state, call.offers.count()) == ("completed", 2)
    return call


class TestBalancedBooks:
    def test_an_empty_centre(self):
        assert found() == []

    def test_a_talk_after_a_missed_offer(self, talk):
        assert found() == []

    def test_a_call_in_each_open_state(self, agent):
        queue = agent.memberships.get().queue
        hold(queue)
        assert found(after(1)) == []
        match(after(2))
        assert found(after(3)) == []
        connect(the_call(), at=after(4))
        assert found(after(5)) == []
        hang_up(the_call(), at=after(9))
        assert found(after(10)) == []  # in wrap-up

    def test_who_left_in_the_line_and_while_a_phone_rang(self, agent):
        queue = agent.memberships.get().queue
        ringing = hold(queue)
        match(after(1))
        waiting = hold(queue, at=after(2))
        hang_up(waiting, at=after(4))
        hang_up(ringing, at=after(8))
        assert found() == []

    def test_strikes_and_the_break_by_policy(self, agent):
        call = hold(agent.memberships.get().queue)
        for missed in (10, 60, 180):
            match(after(missed))
            with scene(call.pk, at=after(missed + 10), source="test") as opened:
                calls.not_answered(opened, Offer.State.NO_ANSWER)
        agent.refresh_from_db()
        assert (agent.presence, agent.strikes) == ("break", 3)
        assert found(after(200)) == []

    def test_a_call_as_the_provider_tells_it(self):
        make_agent(make_queue())
        phone = Telephone()
        phone.inbound()
        phone.inbound(callSessionState="DialCompleted", dialDurationInSeconds="0")
        phone.hang_up()
        assert the_call().state == "abandoned"
        at = the_call().arrived_at
        assert found(at + timedelta(seconds=20)) == []

    def test_times_that_an_event_has_from_the_provider(self, talk):
        end = talk.events.get(kind="completed")
        assert talk.ended_at == after(90) == end.at
        sql("UPDATE queues_callevent SET at = at + interval '7 s' WHERE id = %s", end.pk)
        assert found() == []  # the end is what the event tells, not when it was told


# What is changed, and the lines that must come of it ({} is the call's id).
CORRUPTIONS = {
    "state": (
        "UPDATE queues_callevent SET kind = 'expired' WHERE kind = 'completed'",
        ["call {}: state is completed, by its events expired",
         "queue support on 2026-11-20: completed is 1, by the events 0",
         "queue support on 2026-11-20: expired is 0, by the events 1"],
    ),
    "no end": (
        "DELETE FROM queues_callevent WHERE kind = 'completed'",
        ["call {}: is completed, and has 0 events of an end instead of 1"],
    ),
    "agent": (
        "UPDATE queues_queuedcall SET agent_id = %(other)s",
        ["call {}: agent is %(other)s, by its events %(agent)s"],
    ),
    "queue": (
        "UPDATE queues_queuedcall SET queue_id = %(queue)s",
        ["call {}: queue is %(queue)s, by its events %(own)s"],
    ),
    "connected": (
        "UPDATE queues_queuedcall SET connected_at = connected_at + interval '9 s'",
        ["call {}: connected_at is 2026-11-20T08:00:39+00:00, by its events "
         "2026-11-20T08:00:30+00:00",
         "queue support on 2026-11-20: asa is 39.0, by the events 30.0"],
    ),
    "ended": (
        "UPDATE queues_queuedcall SET ended_at = ended_at + interval '10 s'",
        ["call {}: ended_at is 2026-11-20T08:01:40+00:00, by its events "
         "2026-11-20T08:01:30+00:00",
         "queue support on 2026-11-20: aht is 80.0, by the events 70.0"],
    ),
    "queued": (
        "UPDATE queues_callevent SET at = at + interval '3 s' WHERE kind = 'holding'",
        ["call {}: queued_at is 2026-11-20T08:00:00+00:00, by its events "
         "2026-11-20T08:00:03+00:00"],
    ),
    "an end of an offer": (
        "UPDATE queues_offer SET state = 'busy' WHERE state = 'no_answer'",
        ["is busy, by its events no_answer"],
    ),
    "when an offer ended": (
        "UPDATE queues_offer SET ended_at = ended_at - interval '1 s' WHERE state = 'no_answer'",
        ["ended 2026-11-20T08:00:14+00:00, by its events 2026-11-20T08:00:15+00:00",
         "agent amina: let go since 2026-11-20T08:00:15+00:00 by the intervals, by the rest "
         "2026-11-20T08:00:14+00:00"],
    ),
    "whose an offer was": (
        "UPDATE queues_offer SET agent_id = %(other)s WHERE state = 'no_answer'",
        ["is of agent %(other)s, by its events %(agent)s"],
    ),
    "an offer gone": (
        "DELETE FROM queues_callevent WHERE offer_id IN "
        "(SELECT id FROM queues_offer WHERE state = 'no_answer');"
        "DELETE FROM queues_leg WHERE offer_id IN "
        "(SELECT id FROM queues_offer WHERE state = 'no_answer');"
        "DELETE FROM queues_offer WHERE state = 'no_answer'",
        ["agent amina: engaged since 2026-11-20T08:00:05+00:00 by the intervals, by the rest "
         "2026-11-20T08:00:26+00:00"],
    ),
    "an event of an offer gone": (
        "DELETE FROM queues_callevent WHERE kind IN ('offered', 'offer_no_answer', "
        "'back_in_line') AND at < '2026-11-20 08:00:20Z'",
        ["call {}: has 2 offers, by its events 1"],
    ),
    "a leg that lives on": (
        "UPDATE queues_leg SET state = 'answered', ended_at = NULL, ask_at = now()"
        " WHERE role = 'customer'",
        ["call {}: has ended, its customer leg"],
    ),
    "strikes": (
        "UPDATE agents_agent SET strikes = 2",
        ["agent amina: has 2 strikes, by the offers 0"],
    ),
    "hold-off": (
        "UPDATE agents_agent SET hold_off_until = '2026-11-20 10:00Z', hold_off_reason = 'busy'",
        ["agent amina: has the hold-off busy until 2026-11-20T10:00:00+00:00, by the offers none "
         "until none"],
    ),
    "a wrap-up that nobody ends": (
        "UPDATE agents_agent SET engagement = 'wrap_up', engagement_since = '2026-11-20 08:02Z',"
        " wrap_up_until = '2026-11-20 08:03Z'",
        ["agent amina: is in wrap-up, which was over at 2026-11-20T08:03:00+00:00",
         "agent amina: is in wrap-up, and every talk's wrap-up has ended"],
    ),
    "a period of presence gone": (
        "DELETE FROM agents_presenceperiod WHERE ended_at IS NULL",
        ["agent amina: became available at 2026-11-20T07:59:00+00:00 without a period"],
    ),
    "a period of presence moved": (
        "UPDATE agents_presenceperiod SET started_at = started_at - interval '5 s'",
        ["agent amina: available since 2026-11-20T07:59:00+00:00 by the intervals, by the rest "
         "2026-11-20T07:58:55+00:00"],
    ),
    "an interval that tells another story": (
        "UPDATE agents_agentinterval SET engagement = 'ringing' WHERE engagement = 'on_call'",
        ["agent amina: was let go at 2026-11-20T08:01:30+00:00 without a talk"],
    ),
    "the last interval": (
        "UPDATE agents_agentinterval SET engagement = 'wrap_up' WHERE ended_at IS NULL",
        ["agent amina: is available, idle, by the intervals available, wrap_up"],
    ),
    "a webhook that was not handled": (
        "INSERT INTO queues_webhookevent (id, key, endpoint, kind, verdict, note, body, repeats,"
        " received_at) VALUES (gen_random_uuid(), 'k', 'events', 'call.ended', 'trusted', '', '',"
        " 0, '2026-11-20 08:00Z')",
        ["events call.ended of 2026-11-20T08:00:00+00:00 is not handled"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_was_changed_is_told(name, talk, agent):
    other, queue = (
        make_agent(username="brian", presence="offline"),
        make_queue("billing", number=None),
    )
    assert found() == []
    statement, lines = CORRUPTIONS[name]
    values = {"other": other.pk, "agent": agent.pk, "queue": queue.pk, "own": talk.queue_id}
    sql(statement % values if "%(" in statement else statement)
    told = found()
    for line in lines:
        wanted = (line % values if "%(" in line else line).format(talk.public_id)
        assert any(wanted in one for one in told), (wanted, told)
    assert told


class TestWhatIsStillOpen:
    @pytest.fixture
    def ringing(self, agent):
        call = hold(agent.memberships.get().queue)
        match(after(5))
        call.refresh_from_db()
        return call

    def test_an_engagement_without_an_offer(self, ringing, agent):
        sql("UPDATE agents_agent SET engagement = 'idle', engagement_since = %s", after(9))
        told = found(after(20))
        assert f"agent amina: is idle, by the open {the_offer()} ringing" in told
        assert "agent amina: is available, idle, by the intervals available, ringing" in told

    def test_a_forgotten_engagement_since(self, ringing, agent, monkeypatch):
        """The intervals cannot know better than the agent's row; the offers do."""
        write = offers.set_engagement

        def and_forget(agent, engagement, at, **changes):
            write(agent, engagement, agent.engagement_since, **changes)

        monkeypatch.setattr(offers, "set_engagement", and_forget)
        with scene(ringing.pk, at=after(20), source="test") as opened:
            calls.not_answered(opened, Offer.State.BUSY)
        assert found(after(62)) == [
            "agent amina: let go since 2026-11-20T08:00:05+00:00 by the intervals, by the rest "
            "2026-11-20T08:00:20+00:00"
        ]

    def test_an_open_offer_of_a_call_that_is_over(self, ringing, agent):
        Leg.objects.update(state="ended", ended_at=after(9), ask_at=None)
        sql("UPDATE queues_queuedcall SET state = 'abandoned', abandoned_in = 'ringing',"
            " ended_at = %s", after(9))  # fmt: skip
        told = found(after(20))
        assert f"call {ringing.public_id}: is abandoned, its {the_offer()} is open" in told

    def test_an_end_that_stays_provisional(self, agent):
        call = hold(agent.memberships.get().queue)
        hang_up(call, at=after(9))
        QueuedCall.objects.update(is_provisional=True)
        line = f"call {call.public_id}: is abandoned, its end is still provisional"
        assert line not in found(after(20))
        assert line in found(after(200))

    def test_events_and_legs_that_point_to_another_call(self, ringing, agent):
        other = hold(agent.memberships.get().queue, at=after(7))
        offer = the_offer()
        sql("UPDATE queues_callevent SET offer_id = %s WHERE call_id = %s AND kind = 'arrived'",
            offer.pk, other.pk)  # fmt: skip
        sql("UPDATE queues_leg SET offer_id = %s WHERE call_id = %s", offer.pk, other.pk)
        told = found(after(20))
        assert f"call {other.public_id}: an event names an offer of call {ringing.pk}" in told
        assert any("has an offer of another call" in line for line in told)


class TestWhatWasWrittenBefore:
    def test_it_is_said_apart_and_is_no_disagreement(self, talk):
        sql("UPDATE queues_callevent SET detail = detail - 'ended_at' - 'connected_at'"
            " - 'queue_id' - 'agent_id' - 'queued_at'")  # fmt: skip
        audit = Audit(at=after(3600))
        assert list(audit.lines()) == []
        assert (audit.calls, audit.not_recountable) == (1, 1)


class TestTheCommand:
    def run(self, *args):
        out, err = StringIO(), StringIO()
        try:
            call_command("audit", *args, stdout=out, stderr=err)
        except SystemExit as exit:
            return exit.code, out.getvalue(), err.getvalue()
        return 0, out.getvalue(), err.getvalue()

    def test_its_only_good_answer_is_none(self, talk):
        code, out, err = self.run()
        assert (code, out) == (0, "none\n")
        assert "1 calls recounted, 0 disagreements" in err

    def test_it_exits_1_with_a_line_for_each(self, talk):
        sql("UPDATE agents_agent SET strikes = 2")
        code, out, _ = self.run()
        assert (code, out) == (1, "agent amina: has 2 strikes, by the offers 0\n")

    def test_it_can_be_narrowed(self, talk):
        sql("UPDATE queues_queuedcall SET connected_at = connected_at + interval '9 s'")
        assert self.run("--since", "2026-11-21")[0] == 0
        assert self.run("--until", "2026-11-20")[0] == 0
        assert self.run("--since", "2026-11-20", "--until", "2026-11-21")[0] == 1
        other = hold(talk.queue, at=after(200))
        assert self.run("--call", talk.public_id)[0] == 1
        assert self.run("--call", other.public_id)[0] == 0

    @pytest.mark.parametrize(
        "args",
        [["--call", "nobody"], ["--since", "yesterday"], ["--since", "2026-13-01"],
         ["--since", "2026-11-20", "--until", "2026-11-20"]],
    )  # fmt: skip
    def test_what_it_does_not_understand_is_refused(self, args):
        with pytest.raises(CommandError):
            self.run(*args)


class TestEachNight:
    def test_beat_starts_it_at_half_past_three_by_the_clock_on_the_wall(self, monkeypatch):
        schedule = app.conf.beat_schedule["audit"]["schedule"]
        half_past_three = T0.replace(hour=0, minute=30)  # in Nairobi
        for minutes, is_due in ((-1, False), (0, True), (1, True), (180, True), (-180, False)):
            now = half_past_three + timedelta(minutes=minutes)
            monkeypatch.setattr(schedule, "nowfun", lambda now=now: now)
            assert schedule.is_due(half_past_three - timedelta(hours=23)).is_due is is_due

    def test_it_keeps_what_it_said_and_tells_the_supervisors(self, talk):
        sql("UPDATE agents_agent SET strikes = 2")
        done = nightly_audit.run(at=after(3600))
        assert (done.calls, done.disagreements) == (1, 1)
        assert done.lines == ["agent amina: has 2 strikes, by the offers 0"]
        alert = Alert.objects.get(kind="audit")
        assert alert.text.startswith("The nightly audit found 1 disagreements")

    def test_balanced_books_are_no_news(self, talk):
        assert nightly_audit.run(at=after(3600)).disagreements == 0
        assert not Alert.objects.exists()

    def test_delivered_twice_it_runs_once(self, talk):
        assert nightly_audit.run(at=after(3600))
        assert nightly_audit.run(at=after(3700)) is None
        assert AuditRun.objects.count() == 1
        assert nightly_audit.run(at=after(3600 + 86400))

    def test_the_last_result_is_on_metrics(self, client, talk):
        assert "callcenter_audit" not in client.get("/metrics").content.decode()
        nightly_audit.run(at=after(3600))
        assert "\ncallcenter_audit_disagreements 0\n" in client.get("/metrics").content.decode()


def test_its_memory_and_its_statements_do_not_grow_with_the_calls(
    agent, monkeypatch, django_assert_max_num_queries
):
    queue = agent.memberships.get().queue
    for n in range(7):
        hang_up(hold(queue, at=after(n * 20)), at=after(n * 20 + 9))
    monkeypatch.setattr("reporting.audit.BATCH", 3)
    with django_assert_max_num_queries(40):
        audit = Audit(at=after(3600))
        assert list(audit.lines()) == []
    assert audit.calls == 7
    assert WebhookEvent.objects.count() == 0
    assert CallEvent.objects.count() > 14
