"""An agent's time is one chain of intervals, written by the database whoever changes the row."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from agents import presence
from agents.models import Agent, AgentInterval, PresencePeriod
from tests.factories import T0, make_agent

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def agent():
    return make_agent(presence="offline", presence_since=T0, engagement_since=T0)


def engage(agent, engagement, seconds, **values):
    Agent.objects.filter(pk=agent.pk).update(
        engagement=engagement, engagement_since=after(seconds), **values
    )


def wrap_up(agent, seconds):
    engage(agent, "wrap_up", seconds, wrap_up_until=after(999))


def chain(agent):
    """Each interval: what, and from which second to which."""
    return [
        (one.presence, one.engagement, seconds(one.started_at), seconds(one.ended_at))
        for one in AgentInterval.objects.filter(agent=agent)
    ]


def seconds(at):
    return at and (at - T0).total_seconds()


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def checked():
    """What is checked at the end of a transaction, now."""
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("SET CONSTRAINTS ALL DEFERRED")


@transaction.atomic
def at_the_commit(change):
    """Change something, and check what is checked at the end of a transaction."""
    change()
    checked()


class TestTheChain:
    def test_it_begins_with_the_agent_and_follows_each_change(self, agent):
        presence.change(agent.pk, "available", at=after(10), cause="page")
        wrap_up(agent, 20)
        presence.change(agent.pk, "break", at=after(25), cause="page", reason="Lunch")
        engage(agent, "idle", 30, wrap_up_until=None)
        checked()
        assert chain(agent) == [
            ("offline", "idle", 0, 10),
            ("available", "idle", 10, 20),
            ("available", "wrap_up", 20, 25),
            ("break", "wrap_up", 25, 30),
            ("break", "idle", 30, None),
        ]
        assert AgentInterval.objects.last().reason == "Lunch"

    def test_what_is_no_change_makes_no_interval(self, agent):
        agent.name, agent.strikes = "Another", 1
        agent.save()
        engage(agent, "idle", 50)
        assert chain(agent) == [("offline", "idle", 0, None)]

    def test_raw_sql_is_told_too(self, agent):
        sql("UPDATE agents_agent SET engagement = 'wrap_up', wrap_up_until = %s,"
            " engagement_since = %s", after(9), after(5))  # fmt: skip
        assert chain(agent)[-1] == ("offline", "wrap_up", 5, None)

    def test_several_changes_at_one_instant(self, agent):
        wrap_up(agent, 5)
        engage(agent, "idle", 5, wrap_up_until=None)
        wrap_up(agent, 5)
        checked()
        assert chain(agent) == [
            ("offline", "idle", 0, 5), ("offline", "wrap_up", 5, 5), ("offline", "idle", 5, 5),
            ("offline", "wrap_up", 5, None),
        ]  # fmt: skip

    def test_a_clock_that_was_set_back_never_makes_time_run_backwards(self, agent):
        wrap_up(agent, 60)
        engage(agent, "idle", 20, wrap_up_until=None)
        presence.change(agent.pk, "available", at=after(30), cause="page")
        wrap_up(agent, 80)
        checked()
        assert chain(agent) == [
            ("offline", "idle", 0, 60), ("offline", "wrap_up", 60, 60),
            ("offline", "idle", 60, 60), ("available", "idle", 60, 80),
            ("available", "wrap_up", 80, None),
        ]  # fmt: skip

    def test_a_period_of_presence_survives_such_a_clock(self, agent):
        presence.change(agent.pk, "available", at=after(30), cause="page")
        presence.change(agent.pk, "break", at=after(10), cause="page")
        periods = PresencePeriod.objects.order_by("id")
        assert [(seconds(p.started_at), seconds(p.ended_at)) for p in periods] == [
            (30, 30), (30, None),
        ]  # fmt: skip

    def test_who_is_removed_is_offline_from_then_on(self, agent):
        presence.change(agent.pk, "available", at=after(10), cause="page")
        Agent.objects.filter(pk=agent.pk).update(retired_at=after(40))
        assert chain(agent)[-1] == ("offline", "idle", 40, None)

    def test_it_goes_with_an_agent_who_is_deleted(self, agent):
        wrap_up(agent, 5)
        agent.user.delete()
        checked()
        assert not AgentInterval.objects.exists()


class TestWhatTheDatabaseRefuses:
    @pytest.fixture(autouse=True)
    def three(self, agent):
        wrap_up(agent, 10)
        engage(agent, "idle", 20, wrap_up_until=None)
        self.first, self.second, self.open = AgentInterval.objects.order_by("id")

    def refused(self, constraint, statement, *values):
        with pytest.raises(IntegrityError, match=constraint):
            at_the_commit(lambda: sql(statement, *values))

    def insert(self, started_at, ended_at, previous):
        return (
            "INSERT INTO agents_agentinterval (agent_id, presence, reason, engagement, started_at,"
            " ended_at, previous_id) SELECT agent_id, 'offline', '', 'idle', %s, %s, %s"
            " FROM agents_agentinterval LIMIT 1",
            started_at, ended_at, previous,
        )  # fmt: skip

    def test_a_gap(self):
        moved = "UPDATE agents_agentinterval SET started_at = %s WHERE id = %s"
        self.refused("interval_starts_where_the_last_ended", moved, after(12), self.second.pk)

    def test_an_end_that_moves_away_from_its_successor(self):
        moved = "UPDATE agents_agentinterval SET ended_at = %s WHERE id = %s"
        self.refused("interval_starts_where_the_last_ended", moved, after(8), self.first.pk)

    def test_an_overlap(self):
        self.refused("intervals_do_not_overlap", *self.insert(after(5), after(7), self.open.pk))

    def test_a_second_beginning(self):
        self.refused("one_first_interval_per_agent", *self.insert(after(-5), after(-2), None))

    def test_a_second_open_one(self):
        self.refused("one_open|do_not_overlap", *self.insert(after(50), None, self.open.pk))

    def test_two_that_follow_the_same_one(self):
        self.refused("one_next_interval", *self.insert(after(10), after(10), self.first.pk))

    def test_a_predecessor_of_another_agent(self):
        other = make_agent(presence="offline", presence_since=T0, engagement_since=T0)
        wrap_up(other, 20)
        last = AgentInterval.objects.filter(agent=other).earliest("id")
        AgentInterval.objects.filter(agent=other, previous=last).delete()
        moved = "UPDATE agents_agentinterval SET previous_id = %s WHERE id = %s"
        self.refused("interval_starts_where_the_last_ended", moved, last.pk, self.second.pk)

    def test_an_end_before_its_start(self):
        moved = "UPDATE agents_agentinterval SET ended_at = %s WHERE id = %s"
        self.refused("interval_ends_after_it_starts", moved, after(10), self.open.pk)


class TestIntent:
    def refused(self, change):
        with pytest.raises(IntegrityError, match="without a period"):
            at_the_commit(change)

    def test_a_change_that_nobody_answers_for_is_refused(self, agent):
        self.refused(lambda: Agent.objects.update(presence="available"))

    def test_so_is_a_reason_that_nobody_gave(self, agent):
        presence.change(agent.pk, "break", at=after(5), cause="page", reason="Lunch")
        self.refused(lambda: Agent.objects.update(presence_reason="Training"))

    def test_so_is_an_agent_who_begins_as_available(self, agent):
        self.refused(lambda: Agent.objects.create(
            user=agent.user.__class__.objects.create_user("brian"), destination="+254711000099",
            name="Brian", presence="available",
        ))  # fmt: skip

    def test_a_period_has_a_cause(self, agent):
        with pytest.raises(IntegrityError, match="presence_has_a_cause"), transaction.atomic():
            presence.change(agent.pk, "available", at=after(5), cause="")
