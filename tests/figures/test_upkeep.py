"""Marks of stale quarters, and that what is stored is always what is counted now."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from threading import Barrier, Thread
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from queues import provider
from queues.models import CallEvent, Disposition, Leg, Offer, QueuedCall, WrapUp
from reporting import audit, tasks
from reporting.figures import report, upkeep
from reporting.models import AgentQuarter, CallRecord, OfferQuarter, QueueQuarter, StaleQuarter
from tests.factories import T0, make_agent, make_queue, make_waiting
from tests.figures.made import (
    DAY,
    LATER,
    after,
    answered,
    ask,
    left,
    marks,
    record,
    rest,
    spend,
)

pytestmark = pytest.mark.django_db
NOW = "20 08:00"  # the quarter of T0
BEFORE = "20 07:45"


@pytest.fixture
def queue():
    return make_queue(service_level_seconds=20, short_abandon_seconds=5)


@pytest.fixture
def agent(queue):
    made = make_agent(queue)
    StaleQuarter.objects.all().delete()
    return made


def made_by(change: Any) -> set[tuple[str, str, str]]:
    """The marks that a change writes."""
    StaleQuarter.objects.all().delete()
    change()
    return set(marks())


def calls(quarter: str) -> tuple[str, str, str]:
    return ("calls", quarter, quarter)


class TestMarks:
    def test_a_call_marks_its_quarter_at_each_step_that_is_counted(self, queue, agent):
        assert made_by(lambda: make_waiting(queue, arrived_at=after(-1), queued_at=after(1))) == {
            calls(NOW)
        }
        mine = QueuedCall.objects.all()
        for change in (
            {"connected_at": after(3), "state": "connected", "agent": agent,
             "connected_is_estimated": True},
            {"state": "completed", "ended_at": after(4)},
            {"queue": make_queue("sales", number=None)},
            {"state": "abandoned", "abandoned_in": "ringing", "connected_at": None},
        ):  # fmt: skip
            if "abandoned_in" in change:
                CallEvent.objects.create(call=mine.get(), at=T0, kind="corrected")
            assert made_by(lambda change=change: mine.update(**change)) == {calls(NOW)}

    def test_entering_the_queue_in_another_quarter_marks_both(self, queue):
        make_waiting(queue, arrived_at=after(-1), state="greeting", queued_at=None)
        marked = made_by(lambda: QueuedCall.objects.update(queued_at=after(0)))
        assert marked == {calls(NOW), calls(BEFORE)}

    @pytest.mark.parametrize(
        "change",
        [{"state": "waiting"}, {"document": "x", "step": 3},
         {"offerable_from": T0}, {"is_acknowledged": True}, {"priority": 4}],
    )  # fmt: skip
    def test_what_changes_no_figure_marks_nothing(self, queue, change):
        make_waiting(queue)
        assert made_by(lambda: QueuedCall.objects.update(**change)) == set()

    def test_going_back_and_forth_between_waiting_and_being_offered_marks_nothing(self, queue):
        call = make_waiting(queue)
        mine = QueuedCall.objects.filter(pk=call.pk)
        assert made_by(lambda: mine.update(state="offered")) == set()
        assert made_by(lambda: mine.update(state="waiting")) == set()

    def test_an_offer_marks_when_it_is_made_when_they_talk_and_when_it_ends(self, queue, agent):
        call = make_waiting(queue)
        offers = ("offers", BEFORE, BEFORE)
        made = made_by(
            lambda: Offer.objects.create(
                call=call, agent=agent, queue=queue, kind="room", state="dialling",
                created_at=after(-1), ring_until=T0, check_at=T0,
            )
        )  # fmt: skip
        assert made == {offers}
        mine = Offer.objects.all()
        assert made_by(lambda: mine.update(state="ringing", check_at=after(1))) == set()
        assert made_by(lambda: mine.update(state="answered", answered_at=T0)) == set()
        assert made_by(lambda: mine.update(state="joined", joined_at=T0)) == {offers}
        assert made_by(lambda: mine.update(state="ended", ended_at=after(5))) == {
            offers, calls(NOW),
        }  # fmt: skip
        assert made_by(lambda: mine.update(wrap_up_ended_at=after(9))) == {offers, calls(NOW)}

    def test_money_marks_the_quarter_of_its_call(self, queue):
        call = left(queue, wait=9)
        leg = call.legs.get()
        later = {"started_at": T0 + timedelta(hours=1)}
        made = []
        assert made_by(lambda: made.append(record(leg, minor=None, **later))) == {calls(NOW)}
        mine = CallRecord.objects.all()
        assert made_by(lambda: mine.update(cost_minor=12, cost_currency="KES")) == {calls(NOW)}
        assert made_by(lambda: mine.update(changed_at=LATER, duration_seconds=3)) == set()
        assert made_by(lambda: mine.update(leg=None, call=None)) == {
            calls(NOW), calls("20 09:00"),
        }  # fmt: skip
        assert made_by(lambda: mine.delete()) == {calls("20 09:00")}
        agents_leg = Leg.objects.create(
            call=call, role="agent", state="planned", party="+254", line="", planned_at=T0
        )
        mine = Leg.objects.filter(pk=agents_leg.pk)
        assert made_by(lambda: mine.update(provider_id="c1", ask_at=T0)) == {calls(NOW)}
        assert made_by(lambda: mine.update(session_id="HD_9", state="ended", ended_at=T0)) == set()

    def test_what_a_talk_came_to_marks_its_call(self, queue, agent):
        offer = answered(queue, agent, wait=1, talk=1).offers.get()
        placed = Disposition.objects.create(label="Placed")
        assert made_by(
            lambda: WrapUp.objects.create(offer=offer, notes="hm", updated_at=T0)
        ) == set()  # fmt: skip
        mine = WrapUp.objects.all()
        assert made_by(lambda: mine.update(disposition=placed)) == {calls(NOW)}
        assert made_by(lambda: mine.update(notes="so")) == set()
        assert made_by(lambda: mine.delete()) == {calls(NOW)}

    def test_an_interval_marks_all_its_quarters_when_it_is_over(self, agent):
        spend(agent, ("available", "on_call", 0))
        assert made_by(lambda: spend(agent, ("available", "idle", 0))) == set()  # of no length
        StaleQuarter.objects.all().delete()
        agent.refresh_from_db()
        agent.engagement, agent.engagement_since = "ringing", after(1800)
        agent.save()
        assert marks() == [("agents", NOW, "20 08:15")]
        rest()

    def test_a_bulk_load_marks_nothing(self, queue):
        def load() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL callcenter.bulk = 'on'")
                make_waiting(queue)
                cursor.execute("SET LOCAL callcenter.bulk = ''")

        assert made_by(load) == set()
        assert made_by(lambda: make_waiting(queue)) != set()

    def test_one_call_from_ring_to_wrap_up_writes_few_marks(self, queue, agent):
        StaleQuarter.objects.all().delete()
        call = make_waiting(queue, state="greeting", queued_at=None)
        for change in (
            {"state": "waiting", "queued_at": T0}, {"state": "offered"},
            {"state": "connected", "connected_at": after(9), "agent": agent},
            {"state": "completed", "ended_at": after(60)},
        ):  # fmt: skip
            QueuedCall.objects.filter(pk=call.pk).update(**change)
        assert StaleQuarter.objects.count() == 5  # four of the call, one of its leg


class TestFreshening:
    def stored(self) -> int:
        return sum(row.arrived for row in QueueQuarter.objects.all())

    def test_it_counts_what_is_marked_and_takes_the_marks_away(self, queue):
        left(queue, wait=9)
        assert self.stored() == 0
        assert upkeep.freshen(at=LATER) > 0
        assert (self.stored(), StaleQuarter.objects.count()) == (1, 0)
        assert upkeep.freshen(at=LATER) == 0

    def test_only_the_stretch_that_is_asked_for(self, queue):
        left(queue, wait=9)
        left(queue, queued=3600, wait=9)
        upkeep.freshen(at=LATER, since=T0, until=after(900))
        assert (self.stored(), upkeep.is_stale(T0, after(900))) == (1, False)
        assert upkeep.is_stale(T0, after(3601))
        upkeep.freshen(at=LATER)
        assert self.stored() == 2

    def test_a_long_mark_is_counted_day_by_day_and_the_rest_stays_marked(self, queue):
        left(queue, wait=9)
        left(queue, queued=-5 * 86400, wait=9)
        StaleQuarter.objects.all().delete()
        StaleQuarter.objects.create(kind="calls", since=T0 - timedelta(days=9), until=T0)
        assert upkeep.is_behind(*DAY)
        upkeep.freshen(at=LATER, since=T0 - timedelta(days=1), until=after(900))
        assert self.stored() == 1
        assert not upkeep.is_stale(T0 - timedelta(days=1), after(900))
        assert upkeep.is_stale(T0 - timedelta(days=2), T0 - timedelta(days=1))
        assert upkeep.freshen(at=LATER, patience=timedelta(0)) == 96
        assert (self.stored(), upkeep.is_stale(T0 - timedelta(days=9), T0)) == (1, True)
        assert upkeep.freshen(at=LATER) == 7 * 96
        assert (self.stored(), StaleQuarter.objects.count()) == (2, 0)

    def test_a_call_that_moved_to_another_quarter_leaves_the_first(self, queue):
        make_waiting(queue, arrived_at=after(-10), state="greeting", queued_at=None)
        upkeep.freshen(at=LATER)
        QueuedCall.objects.update(queued_at=after(1))
        upkeep.freshen(at=LATER)
        [row] = QueueQuarter.objects.all()
        assert (row.start, row.arrived) == (T0, 1)

    def test_quarters_whose_rows_were_removed_keep_their_figures(self, queue):
        left(queue, wait=9)
        left(queue, queued=3600, wait=9)
        upkeep.freshen(at=LATER)
        provider.learn(upkeep.RAW_KEPT_FROM, after(1).isoformat(), at=LATER)
        assert upkeep.raw_kept_from() == after(900)
        for call in QueuedCall.objects.filter(arrived_at=T0):
            call.offers.all().delete()
            call.delete()
        StaleQuarter.objects.create(kind="calls", since=T0, until=after(3600))
        upkeep.freshen(at=LATER)
        assert (self.stored(), StaleQuarter.objects.count()) == (2, 0)
        assert upkeep.rebuild(*DAY, at=LATER) == 4 * 13 - 1
        assert self.stored() == 2
        assert list(upkeep.compare(*DAY)) == []

    def test_the_task_freshens(self, queue, time_machine):
        time_machine.move_to(LATER)
        left(queue, wait=9)
        tasks.freshen_figures()
        assert self.stored() == 1


class TestStoredAgainstCounted:
    def test_a_row_that_was_tampered_with_is_told_with_its_key(self, queue, agent):
        answered(queue, agent, wait=5, talk=60)
        upkeep.freshen(at=LATER)
        assert list(upkeep.compare(*DAY)) == []
        QueueQuarter.objects.update(talk=timedelta(seconds=59))
        OfferQuarter.objects.all().delete()
        AgentQuarter.objects.create(start=T0, agent=agent, presence="break", is_paid=True,
                                    engagement="idle", time=timedelta(1))  # fmt: skip
        found = list(upkeep.compare(*DAY))
        assert [line.split(":")[0] for line in found] == [
            "reporting_queuequarter of 2026-11-20 08",
            "reporting_offerquarter of 2026-11-20 08",
            "reporting_agentquarter of 2026-11-20 08",
        ]
        assert f"(queue {queue.pk}, direction inbound)" in found[0]

    def test_a_change_that_is_marked_is_no_difference(self, queue):
        left(queue, wait=5)
        assert list(upkeep.compare(*DAY)) == []
        StaleQuarter.objects.all().delete()  # a trigger that did not write
        assert len(list(upkeep.compare(*DAY))) == 2  # the call, and its leg

    def test_the_audit_tells_it(self, queue):
        left(queue, wait=5)
        upkeep.freshen(at=LATER)
        QueueQuarter.objects.update(offered=2)
        lines = audit.Audit(at=LATER).lines()
        assert any(line.startswith("reporting_queuequarter of 2026-11-20") for line in lines)

    def test_the_command_counts_anew_and_checks(self, queue, agent, time_machine):
        time_machine.move_to(LATER)
        answered(queue, agent, wait=5, talk=60)
        upkeep.freshen(at=LATER)
        QueueQuarter.objects.update(offered=2)
        with pytest.raises(SystemExit):
            call_command("rebuild_figures", "--check", stdout=(out := StringIO()),
                         stderr=StringIO())  # fmt: skip
        assert out.getvalue().startswith("reporting_queuequarter of 2026-11-20")
        call_command("rebuild_figures", stderr=(err := StringIO()), stdout=StringIO())
        assert "quarters of an hour counted" in err.getvalue()
        assert "counted from 2026-12-01 on" in err.getvalue()
        call_command("rebuild_figures", "--check", "--since", "2026-11-20", "--until",
                     "2026-11-21", stdout=(out := StringIO()), stderr=StringIO())  # fmt: skip
        assert out.getvalue() == "none\n"

    def test_rebuilding_takes_the_marks_of_its_stretch_only(self, queue):
        left(queue, wait=5)
        left(queue, queued=-86400, wait=5)
        upkeep.rebuild(*DAY, at=LATER)
        assert not upkeep.is_stale(*DAY)
        assert upkeep.is_stale(T0 - timedelta(days=1), T0)


@pytest.mark.django_db(transaction=True)
class TestTogether:
    def test_two_who_freshen_at_once_count_once(self, queue):
        for n in range(20):
            left(queue, queued=n * 600, wait=9)
        barrier, problems = Barrier(2), []

        def freshen() -> None:
            try:
                barrier.wait()
                for _ in range(5):
                    upkeep.freshen(at=LATER)
            except Exception as problem:  # noqa: BLE001 - told by the test
                problems.append(problem)
            finally:
                connection.close()

        threads = [Thread(target=freshen) for _ in range(2)]
        for thread in threads:
            thread.start()
        for n in range(20, 30):
            left(queue, queued=n * 60, wait=9)
        for thread in threads:
            thread.join()
        upkeep.freshen(at=LATER)
        assert problems == []
        assert sum(row.offered for row in QueueQuarter.objects.all()) == 30
        assert list(upkeep.compare(*DAY)) == []

    def test_who_counts_while_all_is_rebuilt_waits_for_its_turn(self, queue):
        left(queue, wait=9)
        upkeep.freshen(at=LATER)
        problems: list[Exception] = []

        def count() -> None:
            try:
                left(queue, wait=8)
                upkeep.freshen(at=LATER)
            except Exception as problem:  # noqa: BLE001 - told by the test
                problems.append(problem)
            finally:
                connection.close()

        with transaction.atomic():
            upkeep.rebuild(*DAY, at=LATER)
            other = Thread(target=count)
            other.start()
            other.join(1)
            assert other.is_alive()
        other.join(20)
        assert problems == []
        assert sum(row.offered for row in QueueQuarter.objects.all()) == 2

    def test_a_change_that_commits_while_others_count_is_counted_afterwards(self, queue):
        left(queue, wait=9)
        upkeep.freshen(at=LATER)
        with transaction.atomic():
            left(queue, wait=9)
            other = Thread(target=lambda: (upkeep.freshen(at=LATER), connection.close()))
            other.start()
            other.join(20)
            assert not other.is_alive(), "whoever counts waits for a call"
        assert upkeep.is_stale(*DAY)
        upkeep.freshen(at=LATER)
        assert sum(row.offered for row in QueueQuarter.objects.all()) == 2

    def test_no_call_waits_for_the_counting(self, queue):
        left(queue, wait=9)
        with transaction.atomic():
            upkeep.freshen(at=LATER)  # not committed yet
            done: list[datetime] = []

            def call() -> None:
                with connection.cursor() as cursor:
                    cursor.execute("SET lock_timeout = '2s'")
                done.append(left(queue, wait=8).arrived_at)
                connection.close()

            other = Thread(target=call)
            other.start()
            other.join(20)
            assert done
        upkeep.freshen(at=LATER)
        assert list(upkeep.compare(*DAY)) == []

    def test_what_was_there_before_the_migration_is_marked_by_it(self, queue):
        answered(queue, make_agent(queue), wait=5, talk=60)
        executor = MigrationExecutor(connection)
        executor.migrate([("reporting", "0004_interval_tables_and_files")])
        StaleQuarter.objects.all().delete()
        try:
            left(queue, wait=9)  # without triggers
            assert not StaleQuarter.objects.exists()
        finally:
            executor = MigrationExecutor(connection)
            executor.migrate(executor.loader.graph.leaf_nodes())
        assert {mark.kind for mark in StaleQuarter.objects.all()} == {"calls", "offers", "agents"}
        found = report.totals(ask(), at=LATER)
        assert (found["offered"], found["answered"]) == (2, 1)
