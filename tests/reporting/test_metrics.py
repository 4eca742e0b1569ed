"""The counts of a stretch of time, with numbers worked out by hand."""

from datetime import datetime, timedelta

import pytest

from queues.models import Offer, QueuedCall
from reporting import metrics
from tests.api import api
from tests.factories import T0, make_agent, make_offered, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db
DAY = (T0 - timedelta(hours=11), T0 + timedelta(hours=13))  # 20 November in Nairobi


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue(service_level_seconds=20, short_abandon_seconds=5, wrap_up_seconds=30)


def answered(queue, agent, *, queued=0, wait, talk, wrap_up=0):
    """A caller who waited, talked, and left the agent some after-call work."""
    start, connected = after(queued), after(queued + wait)
    over = connected + timedelta(seconds=talk)
    call = make_waiting(queue, arrived_at=start)
    Offer.objects.create(
        call=call, agent=agent, queue=queue, kind="room", state="ended", created_at=start,
        ring_until=start, joined_at=connected, ended_at=over,
        wrap_up_ended_at=over + timedelta(seconds=wrap_up),
    )  # fmt: skip
    QueuedCall.objects.filter(pk=call.pk).update(
        state="completed", agent=agent, connected_at=connected, ended_at=over
    )
    return call


def left(queue, *, queued=0, wait, state="abandoned", **values):
    is_menu = values.get("abandoned_in") == "menu" or state == "rejected"
    queued_at = {"queued_at": None} if is_menu else {}
    call = make_waiting(queue, arrived_at=after(queued), state="greeting", **queued_at)
    where = {"abandoned_in": "queue"} if state == "abandoned" else {}
    QueuedCall.objects.filter(pk=call.pk).update(
        **{"state": state, "ended_at": after(queued + wait), **where, **values}
    )
    return call


def row(queue="support", **more):
    [found] = [r for r in metrics.queue_rows(*DAY, **more) if r["queue"] == queue]
    return found


class TestServiceLevel:
    def test_answered_in_time_over_offered_less_short_abandons(self, queue):
        agent = make_agent(queue)
        for wait in (5, 20, 21):  # two in time: the threshold itself counts
            answered(queue, agent, wait=wait, talk=60)
        left(queue, wait=4)  # short
        left(queue, wait=5)  # not short: five seconds are the threshold
        left(queue, wait=40)
        found = row()
        assert (found["offered"], found["answered"]) == (6, 3)
        assert (found["abandoned"], found["short_abandons"]) == (3, 1)
        assert found["service_level"] == 0.4  # 2 / (6 - 1)

    def test_a_call_that_still_waits_is_offered_and_not_answered(self, queue):
        answered(queue, make_agent(queue), wait=1, talk=1)
        make_waiting(queue, arrived_at=after(10))
        found = row()
        assert (found["offered"], found["still_open"], found["service_level"]) == (2, 1, 0.5)

    def test_it_is_null_where_nobody_called_or_all_left_at_once(self, queue):
        empty = row()
        assert (empty["offered"], empty["service_level"], empty["asa"], empty["aht"]) == (
            0, None, None, None,
        )  # fmt: skip
        left(queue, wait=1)
        assert row()["service_level"] is None

    def test_each_queue_has_its_own_thresholds(self, queue):
        strict = make_queue("strict", number=None, service_level_seconds=10,
                            short_abandon_seconds=0)  # fmt: skip
        for each in (queue, strict):
            answered(each, make_agent(each), wait=15, talk=1)
            left(each, wait=1)
        assert (row()["service_level"], row()["short_abandons"]) == (1.0, 1)
        found = row("strict")
        assert (found["service_level"], found["short_abandons"]) == (0.0, 0)


class TestTimes:
    def test_asa_is_the_mean_wait_of_the_answered(self, queue):
        agent = make_agent(queue)
        for wait in (10, 20, 60):
            answered(queue, agent, wait=wait, talk=1)
        left(queue, wait=500)
        assert row()["asa"] == 30.0

    def test_aht_is_talk_and_wrap_up_over_answered(self, queue):
        agent = make_agent(queue)
        answered(queue, agent, wait=1, talk=100, wrap_up=30)
        answered(queue, agent, wait=1, talk=50, wrap_up=0)
        assert row()["aht"] == 90.0  # (130 + 50) / 2

    def test_a_second_attempt_counts_its_wrap_up_once(self, queue):
        agent = make_agent(queue)
        call = answered(queue, agent, wait=1, talk=100, wrap_up=20)
        Offer.objects.create(call=call, agent=agent, queue=queue, kind="room", state="no_answer",
                             created_at=T0, ring_until=T0, ended_at=T0)  # fmt: skip
        assert (row()["offered"], row()["aht"]) == (1, 120.0)


class TestWhatIsCounted:
    def test_offered_is_the_sum_of_the_ends_and_what_is_still_open(self, queue):
        answered(queue, make_agent(queue), wait=1, talk=1)
        left(queue, wait=9)
        left(queue, wait=600, state="expired")
        left(queue, wait=9, state="failed")
        left(queue, wait=9, state="voicemail")
        make_waiting(queue, arrived_at=after(1))
        make_offered(queue, arrived_at=after(2))
        found = row()
        ends = sum(found[state] for state in QueuedCall.FINAL if state != "abandoned")
        assert found["offered"] == 7 == ends + found["abandoned"] + found["still_open"]

    def test_who_never_entered_the_queue_is_not_offered(self, queue):
        left(queue, wait=9, state="rejected")
        left(queue, wait=9, abandoned_in="menu")
        assert row()["offered"] == 0

    def test_outbound_calls_are_not_counted(self, queue):
        left(queue, wait=9, direction="outbound")
        assert row()["offered"] == 0

    def test_an_abandon_while_an_agent_rings_is_an_abandon(self, queue):
        left(queue, wait=9, abandoned_in="ringing")
        assert row()["abandoned"] == 1

    def test_a_call_belongs_to_the_moment_in_which_it_entered_the_queue(self, queue):
        left(queue, queued=-11 * 3600 - 1, wait=5)  # a second before Nairobi's midnight
        left(queue, queued=-11 * 3600, wait=5)
        left(queue, queued=13 * 3600 - 1, wait=9999)
        left(queue, queued=13 * 3600, wait=5)
        assert row()["offered"] == 2

    def test_a_removed_queue_keeps_its_figures_and_an_unused_one_disappears(self, queue):
        left(queue, wait=5)
        make_queue("unused", number=None, retired_at=T0)
        queue.retired_at = T0
        queue.save()
        assert [r["queue"] for r in metrics.queue_rows(*DAY)] == ["support"]


class TestIntervals:
    @pytest.fixture(autouse=True)
    def _calls(self, queue):
        # 08:00, 08:14:59, 08:15 and 09:00 UTC are 11:00, 11:14:59, 11:15 and 12:00 in Nairobi
        for seconds in (0, 899, 900, 3600):
            left(queue, queued=seconds, wait=9)

    def rows(self, interval, since=DAY[0], until=DAY[1]):
        return [(r["start"], r["offered"]) for r in metrics.queue_rows(since, until, interval)]

    def test_quarters_of_an_hour(self):
        assert self.rows("15m") == [
            ("2026-11-20T11:00:00+03:00", 2),
            ("2026-11-20T11:15:00+03:00", 1),
            ("2026-11-20T12:00:00+03:00", 1),
        ]

    def test_hours(self):
        assert self.rows("hour") == [
            ("2026-11-20T11:00:00+03:00", 3),
            ("2026-11-20T12:00:00+03:00", 1),
        ]

    def test_days_begin_at_the_midnight_of_the_time_zone(self, queue):
        left(queue, queued=13 * 3600, wait=5)
        assert self.rows("day", until=T0 + timedelta(days=2)) == [
            ("2026-11-20T00:00:00+03:00", 4),
            ("2026-11-21T00:00:00+03:00", 1),
        ]

    def test_weeks_begin_on_monday(self):
        assert self.rows("week") == [("2026-11-16T00:00:00+03:00", 4)]  # the 20th is a Friday

    def test_without_an_interval_there_is_one_row_that_starts_with_the_stretch(self):
        [found] = metrics.queue_rows(*DAY)
        assert (found["start"], found["offered"]) == ("2026-11-20T00:00:00+03:00", 4)


class TestTheReport:
    URL = "/api/reports/queues/"

    @pytest.fixture
    def supervisor(self):
        return api(make_supervisor())

    def test_the_default_is_today_in_the_time_zone(self, supervisor, queue, time_machine):
        time_machine.move_to(datetime.fromisoformat("2026-11-20T23:30:00+03:00"), tick=False)
        left(queue, queued=-11 * 3600, wait=5)  # 00:00 in Nairobi
        left(queue, queued=-11 * 3600 - 1, wait=5)  # yesterday
        [found] = supervisor.get(self.URL).json()["results"]
        assert (found["offered"], found["start"]) == (1, "2026-11-20T00:00:00+03:00")

    def test_a_row_has_the_agreed_fields(self, supervisor, queue):
        answered(queue, make_agent(queue), wait=12, talk=60, wrap_up=6)
        reply = supervisor.get(self.URL, {"since": "2026-11-20", "until": "2026-11-21"})
        [found] = reply.json()["results"]
        assert found["queue"] == "support"
        assert {
            "queue": "support", "start": "2026-11-20T00:00:00+03:00", "offered": 1, "answered": 1,
            "abandoned": 0, "short_abandons": 0, "asa": 12.0, "aht": 66.0, "service_level": 1.0,
        }.items() <= found.items()  # fmt: skip

    def test_every_queue_has_a_row_also_one_that_nobody_called(self, supervisor, queue):
        make_queue("sales", number=None)
        rows = supervisor.get(self.URL).json()["results"]
        assert [(r["queue"], r["offered"]) for r in rows] == [("sales", 0), ("support", 0)]

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"interval": "decade"}, "interval"), ({"since": "soon"}, "since"),
            ({"until": "2026-02-30"}, "until"),
            ({"since": "2026-11-21", "until": "2026-11-20"}, "until"),
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_told_at_its_name(self, supervisor, asked, field):
        reply = supervisor.get(self.URL, asked)
        assert (reply.status_code, list(reply.json())) == (400, [field])

    def test_it_costs_the_same_for_many_calls(
        self, supervisor, queue, django_assert_max_num_queries
    ):
        for n in range(20):
            left(queue, queued=n, wait=9)
        with django_assert_max_num_queries(20):  # counts what has changed first
            supervisor.get(self.URL, {"since": "2026-11-20", "interval": "15m"})
        with django_assert_max_num_queries(8):
            supervisor.get(self.URL, {"since": "2026-11-20", "interval": "15m"})
