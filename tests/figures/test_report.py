"""Every figure of the reports, with numbers worked out by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agents.models import Agent
from queues.models import Disposition, Offer, Queue, QueuedCall, WrapUp
from reporting.figures import report, upkeep
from tests.factories import T0, make_agent, make_queue, make_waiting
from tests.figures.made import (
    LATER,
    after,
    answered,
    ask,
    left,
    record,
    refused,
    rest,
    spend,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue():
    return make_queue(service_level_seconds=20, short_abandon_seconds=5)


@pytest.fixture
def agent(queue):
    return make_agent(queue, username="asha")


@pytest.fixture(autouse=True)
def _stored_is_counted():
    """Whatever a test did: what is stored is what is counted now."""
    yield
    rest()
    upkeep.freshen(at=LATER)
    assert list(upkeep.compare(T0 - timedelta(days=2), T0 + timedelta(days=9))) == []


def row(**query):
    [found] = report.queues(ask(**query), at=LATER)
    return found


class TestCounts:
    def test_every_end_has_its_count(self, queue, agent):
        answered(queue, agent, wait=5, talk=60)
        left(queue, wait=9)
        left(queue, wait=9, abandoned_in="ringing")
        left(queue, wait=9, abandoned_in="menu")
        for state in ("overflowed", "callback", "voicemail", "expired", "closed_hours", "failed"):
            left(queue, wait=600, state=state)
        left(queue, wait=1, state="rejected")
        make_waiting(queue, arrived_at=after(1))
        found = row()
        assert {name: found[name] for name in upkeep.COUNT_COLUMNS} == {
            "arrived": 12, "offered": 10, "answered": 1, "completed": 1, "abandoned_menu": 1,
            "abandoned_queue": 1, "abandoned_ringing": 1, "overflowed": 1, "callback": 1,
            "voicemail": 1, "expired": 1, "closed_hours": 1, "rejected": 1, "failed": 1,
            "no_answer": 0, "busy": 0, "still_open": 1, "not_offered_ends": 2,
        }  # fmt: skip
        assert found["abandoned"] == 2  # of those who entered the queue

    def test_a_service_level_by_the_queues_own_thresholds(self, queue, agent):
        for wait in (5, 20, 20.000001):  # the threshold itself counts
            answered(queue, agent, wait=wait, talk=1)
        for wait in (4.999999, 5, 20, 21):
            left(queue, wait=wait)
        found = row()
        assert (found["in_time"], found["late"]) == (2, 1)
        assert (found["abandoned"], found["short_abandons"], found["abandoned_in_time"]) == (
            4, 1, 3,
        )  # fmt: skip
        assert found["service_level"] == 0.3333  # 2 / (7 - 1)
        assert found["abandon_rate"] == 0.5  # (4 - 1) / (7 - 1)

    def test_a_changed_threshold_holds_for_the_past_at_once(self, queue, agent):
        answered(queue, agent, wait=25, talk=1)
        assert row()["service_level"] == 0.0
        Queue.objects.update(service_level_seconds=25)
        assert row()["service_level"] == 1.0

    def test_totals_are_by_each_queues_own_thresholds(self, queue, agent):
        strict = make_queue("strict", number=None, service_level_seconds=10)
        for each in (queue, strict):
            answered(each, agent, wait=15, talk=1)
        found = report.totals(ask(), at=LATER)
        assert (found["offered"], found["in_time"], found["service_level"]) == (2, 1, 0.5)
        only = report.totals(ask(queue="strict"), at=LATER)
        assert (only["offered"], only["service_level"]) == (1, 0.0)

    def test_every_definition_from_the_same_calls(self, queue, agent):
        answered(queue, agent, wait=5, talk=1)
        answered(queue, agent, wait=50, talk=1)
        left(queue, wait=3)
        left(queue, wait=10)
        left(queue, wait=600, state="overflowed")
        found = {
            one["definition"].key: one["value"] for one in report.service_levels(ask(), at=LATER)
        }
        assert found == {
            "service_level": 0.25, "sl_amazon": 0.6, "sl_genesys": 0.25,
            "sl_genesys_short": 0.3333, "sl_genesys_flow_outs": 0.2, "sl_asterisk": 0.5,
            "sl_asterisk_2": 0.75, "sl_plain": 0.25,
        }  # fmt: skip

    def test_outbound_calls_are_apart(self, queue):
        left(queue, wait=9, direction="outbound", state="busy", queued_at=None)
        assert row()["arrived"] == 0
        [found] = report.queues(ask(), at=LATER, direction="outbound")
        assert (found["arrived"], found["busy"], found["offered"]) == (1, 1, 0)

    def test_a_call_without_a_queue_has_a_row_of_its_own_and_no_threshold(self, queue, agent):
        call = answered(queue, agent, wait=5, talk=1)
        QueuedCall.objects.filter(pk=call.pk).update(queue=None)
        rows = report.queues(ask(), at=LATER)
        assert [(one["queue"], one["answered"], one["in_time"]) for one in rows] == [
            (queue, 0, 0), (None, 1, 0),
        ]  # fmt: skip

    def test_removed_queues_keep_their_figures_and_unused_ones_disappear(self, queue):
        left(queue, wait=5)
        make_queue("unused", number=None, retired_at=T0)
        Queue.objects.filter(pk=queue.pk).update(retired_at=T0)
        assert [one["queue"] for one in report.queues(ask(), at=LATER)] == [queue]


class TestAttribution:
    def test_a_call_counts_where_it_entered_the_queue_not_where_it_arrived(self, queue, agent):
        answered(queue, agent, arrived=-60, queued=0, wait=5, talk=1)
        [found] = report.queues(ask(interval="15m"), at=LATER)
        assert (found["start"], found["arrived"]) == (T0, 1)

    def test_one_that_never_entered_counts_where_it_arrived(self, queue):
        left(queue, queued=-1, wait=99, abandoned_in="menu")
        [found] = report.queues(ask(interval="15m"), at=LATER)
        assert (found["start"], found["abandoned_menu"]) == (T0 - timedelta(minutes=15), 1)

    def test_an_outbound_call_counts_where_it_was_asked_for(self, queue, agent):
        answered(queue, agent, arrived=-60, queued=0, wait=5, talk=1, direction="outbound")
        [found] = report.queues(ask(interval="15m"), at=LATER, direction="outbound")
        assert found["start"] == T0 - timedelta(minutes=15)

    def test_the_day_is_that_of_the_zone(self, queue):
        left(queue, queued=-11 * 3600 - 1, wait=5)  # a second before Nairobi's midnight
        left(queue, queued=-11 * 3600, wait=5)
        left(queue, queued=13 * 3600 - 1, wait=5)
        left(queue, queued=13 * 3600, wait=5)
        assert row()["offered"] == 2
        assert row(tz="UTC")["offered"] == 2  # 00:00 to 24:00 there: the second and the third
        rows = report.queues(ask(**{"from": "2026-11-19", "to": "2026-11-21"}, interval="day"),
                             at=LATER)  # fmt: skip
        assert [(one["start"].day, one["offered"]) for one in rows] == [(19, 1), (20, 2), (21, 1)]


class TestTimes:
    def test_waits_have_mean_median_ninetieth_and_longest(self, queue, agent):
        for wait in (1, 2, 3, 4, 5, 6, 7, 8, 9, 100):
            answered(queue, agent, wait=wait, talk=1)
        left(queue, wait=300)
        found = row()
        assert (found["asa"], found["asa_median"]) == (14.5, 5.0)  # 145 / 10; the fifth of ten
        assert (found["asa_p90"], found["asa_max"], found["longest_wait"]) == (9.0, 100.0, 300.0)

    def test_who_is_still_in_line_has_no_wait_yet(self, queue):
        make_waiting(queue, arrived_at=T0)
        found = row()
        assert (found["offered"], found["asa"], found["longest_wait"]) == (1, None, None)

    def test_handling_is_talk_and_wrap_up(self, queue, agent):
        answered(queue, agent, wait=1, talk=100, wrap_up=30)
        answered(queue, agent, wait=1, talk=50, wrap_up=None)  # goes on
        found = row()
        assert (found["talk"], found["wrap_up"], found["hold"]) == (150.0, 30.0, 0.0)
        assert (found["aht"], found["aht_median"], found["aht_max"]) == (90.0, 50.0, 130.0)

    def test_a_failed_attempt_before_the_talk_adds_nothing(self, queue, agent):
        call = answered(queue, agent, wait=40, talk=100, wrap_up=20)
        Offer.objects.create(
            call=call, agent=agent, queue=queue, kind="room", state="no_answer", created_at=T0,
            ring_until=T0, ended_at=after(20),
        )  # fmt: skip
        assert (row()["answered"], row()["aht"]) == (1, 120.0)

    def test_the_distribution_has_everybody_once(self, queue, agent):
        for wait in (0, 4.999, 5, 20, 599, 600, 5000):
            answered(queue, agent, wait=wait, talk=1)
        left(queue, wait=20)
        found = {one["from_s"]: one for one in report.waits(ask(), at=LATER)}
        told = {first: one["answered"] for first, one in found.items() if one["answered"]}
        assert told == {0: 2, 5: 1, 20: 1, 300: 1, 600: 2}
        assert (found[20]["abandoned"], found[20]["to_s"], found[600]["to_s"]) == (1, 30, None)

    def test_the_hours_of_the_week_are_by_the_clock_of_the_zone(self, queue, agent):
        answered(queue, agent, wait=5, talk=1)  # Friday, 11:00 in Nairobi
        left(queue, queued=3600, wait=9)
        found = report.heat(ask(), at=LATER)
        assert [(one["weekday"], one["hour"], one["offered"], one["service_level"])
                for one in found] == [(4, 11, 1, 1.0), (4, 12, 1, 0.0)]  # fmt: skip
        assert [one["hour"] for one in report.heat(ask(tz="UTC"), at=LATER)] == [8, 9]


class TestAgents:
    def one(self, *, at=LATER, **query):
        [found] = report.agents(ask(**query), at=at)
        return found

    def test_time_by_state(self, agent):
        spend(
            agent,
            ("available", "idle", 100), ("available", "ringing", 10), ("available", "on_call", 300),
            ("available", "wrap_up", 30), ("break:Lunch!", "idle", 600), ("break:Tea", "idle", 60),
            ("break", "idle", 7), ("offline", "idle", 1000), ("offline", "idle", 0),
        )  # fmt: skip
        asked = ask(**{"from": "2026-11-20T11:00", "to": "2026-11-20T12:00"})
        [found] = report.agents(asked, at=after(2107))
        assert {name: found[name] for name in (
            "available_idle", "ringing", "on_call", "wrap_up", "break_paid", "break_unpaid",
            "offline", "signed_in", "paid",
        )} == {
            "available_idle": 100.0, "ringing": 10.0, "on_call": 300.0, "wrap_up": 30.0,
            "break_paid": 67.0, "break_unpaid": 600.0, "offline": 1000.0, "signed_in": 1107.0,
            "paid": 507.0,
        }  # fmt: skip
        assert found["occupancy"] == 0.7674  # 330 / 430
        assert found["utilisation"] == 0.6509  # 330 / 507

    def test_a_talk_during_a_break_is_work(self, agent):
        spend(agent, ("available", "on_call", 60), ("break:Lunch!", "on_call", 40),
              ("break:Lunch!", "idle", 100))  # fmt: skip
        asked = ask(**{"from": "2026-11-20T11:00", "to": "2026-11-20T11:15"})
        [found] = report.agents(asked, at=after(200))
        assert (found["on_call"], found["break_unpaid"], found["paid"]) == (100.0, 100.0, 100.0)

    def test_an_interval_is_split_exactly_where_quarters_begin(self, agent):
        spend(agent, ("available", "on_call", 1000.000001), ("available", "idle", 5))
        rows = report.agents(ask(interval="15m"), at=after(1005))
        assert [(f"{one['start']:%H:%M}", one["on_call"]) for one in rows] == [
            ("10:00", 0.0), ("10:15", 0.0), ("10:30", 0.0), ("10:45", 0.0),  # idle before
            ("11:00", 900.0), ("11:15", 100.0),
        ]  # fmt: skip

    def test_what_goes_on_counts_until_now_and_no_longer_than_asked(self, agent):
        spend(agent, ("available", "on_call", 0))
        assert self.one(at=after(90))["on_call"] == 90.0
        assert self.one(at=LATER)["on_call"] == 13 * 3600  # to Nairobi's midnight
        by_hour = report.agents(ask(interval="hour"), at=after(5400))
        assert [one["on_call"] for one in by_hour] == [0.0, 3600.0, 1800.0]

    def test_strips_are_clipped_and_joined(self, agent):
        spend(agent, ("available", "idle", 60), ("available", "on_call", 60),
              ("break:Tea", "idle", 60), ("break", "idle", 60))  # fmt: skip
        asked = ask(**{"from": "2026-11-20T11:00", "to": "2026-11-20T11:15"})
        [found] = report.strips(asked, at=after(240))
        assert found["agent"] == agent
        assert [(part["state"], part["start"], part["end"]) for part in found["parts"]] == [
            ("available_idle", T0, after(60)), ("on_call", after(60), after(120)),
            ("break_paid", after(120), after(240)),
        ]  # fmt: skip

    def test_offers_and_talks(self, queue, agent):
        answered(queue, agent, wait=30, talk=60, wrap_up=12, ring=8)
        answered(queue, agent, queued=200, wait=30, talk=100, wrap_up=0, ring=4)
        for n, state in enumerate(report.RONA):
            refused(queue, agent, state, at=1000 + n, ring=10 + n)
        refused(queue, agent, "caller_gone", at=2000, ring=7)
        found = self.one()
        assert (found["offers"], found["accepted"], found["answered"]) == (9, 2, 2)
        assert found["rona"] == dict.fromkeys(report.RONA, 1)
        assert (found["rona_total"], found["caller_gone"]) == (6, 1)
        assert found["acceptance"] == 0.2222
        assert found["ring_lost"] == 75.0  # 10 + 11 + 12 + 13 + 14 + 15
        assert found["ring_to_accept_median"] == 4.0  # of 4 and 8, the nearest rank
        assert (found["talk"], found["wrap_up_time"], found["aht"]) == (160.0, 12.0, 86.0)
        [by_queue] = report.offers(ask(), at=LATER)
        assert by_queue["queue"] == queue
        assert (by_queue["offers"], by_queue["caller_seconds_lost"]) == (9, 75.0)
        assert (by_queue["rona_rate"], by_queue["acceptance"]) == (0.6667, 0.2222)

    def test_an_offer_that_rings_is_made_and_not_taken_yet(self, queue, agent):
        call = make_waiting(queue, arrived_at=T0)
        Offer.objects.create(
            call=call, agent=agent, queue=queue, kind="room", state="answered", created_at=T0,
            ring_until=T0, check_at=T0, answered_at=after(5),
        )  # fmt: skip
        found = self.one()
        assert (found["offers"], found["ringing_now"], found["accepted"]) == (1, 1, 0)
        assert found["ring_to_accept_median"] is None
        Offer.objects.update(state="joined", joined_at=after(6))
        found = self.one()
        assert (found["ringing_now"], found["accepted"]) == (0, 1)
        assert found["ring_to_accept_median"] == 5.0

    def test_only_those_asked_for(self, queue, agent):
        other = make_agent(queue, username="bob")
        assert [one["agent"] for one in report.agents(ask(), at=LATER)] == [agent, other]
        assert [one["agent"] for one in report.agents(ask(agent="bob"), at=LATER)] == [other]
        Agent.objects.filter(pk=other.pk).update(retired_at=T0)
        assert len(report.agents(ask(), at=LATER)) == 2  # they worked on that day
        later = ask(**{"from": "2026-11-22"})
        assert [one["agent"] for one in report.agents(later, at=LATER)] == [agent, other]


class TestMoney:
    def test_what_was_charged_per_party_kind_and_currency(self, queue, agent):
        call = answered(queue, agent, wait=1, talk=1)
        leg = call.legs.get()
        record(leg, minor=450)
        sip = call.legs.create(role="agent", state="ended", party="sip:asha@pbx", line="",
                               session_id="HD_a", planned_at=T0, ended_at=T0)  # fmt: skip
        record(sip, minor=50)
        late = left(queue, wait=5).legs.get()
        record(late, minor=0, status="answered")  # is charged when it has ended
        record(None, minor=99, remote="+254700000999")
        found = [
            (one["queue"], one["role"], one["kind"], one["currency"], one["minor"], one["legs"],
             one["not_in_yet"], one["is_estimate"])
            for one in report.costs(ask(), at=LATER)
        ]  # fmt: skip
        assert found == [
            (queue, "agent", "sip", "KES", 50, 1, 0, False),
            (queue, "customer", "pstn", "KES", 450, 2, 1, True),
            (None, "", "pstn", "KES", 99, 1, 0, False),
        ]
        assert (row()["cost"], row()["cost_currency"], row()["cost_not_in_yet"]) == (500, "KES", 1)

    def test_a_leg_without_a_record_is_not_in_yet(self, queue):
        call = left(queue, wait=5)
        [found] = report.costs(ask(), at=LATER)
        assert (found["minor"], found["not_in_yet"]) == (0, 1)
        assert row()["cost"] is None
        record(call.legs.get(), minor=120)
        [found] = report.costs(ask(), at=LATER)
        assert (found["minor"], found["not_in_yet"]) == (120, 0)


class TestWhatCallsCameTo:
    def test_dispositions_and_those_without(self, queue, agent):
        placed = Disposition.objects.create(label="Placed")
        for n in range(3):
            call = answered(queue, agent, queued=n, wait=1, talk=1)
            if n:
                WrapUp.objects.create(offer=call.offers.get(), disposition=placed, updated_at=T0)
        left(queue, wait=4)
        found = report.dispositions(ask(), at=LATER)
        told = [(one["queue"], one["disposition"], one["talks"], one["share"]) for one in found]
        assert told == [(queue, placed, 2, 0.6667), (queue, None, 1, 0.3333)]

    def test_first_call_resolution_and_repeat_callers(self, queue, agent):
        day = 86400
        answered(queue, agent, wait=1, talk=1, customer="+254700000001")  # never again
        answered(queue, agent, wait=1, talk=1, customer="+254700000002")  # again, on the day
        left(queue, queued=3600, wait=9, customer="+254700000002")
        answered(queue, agent, wait=1, talk=1, customer="+254700000003")
        left(queue, queued=7 * day + 2, wait=9, customer="+254700000003")  # the very last moment
        answered(queue, agent, wait=1, talk=1, customer="+254700000004")
        left(queue, queued=7 * day + 3, wait=9, customer="+254700000004")  # a second too late
        answered(queue, agent, wait=1, talk=1, customer="anonymous")
        found = report.repeats(ask(), at=LATER)
        assert (found["answered"], found["settled"], found["resolved"]) == (4, 4, 2)
        assert found["fcr"] == 0.5
        assert (found["numbers"], found["repeat_numbers"]) == (4, 1)
        assert found["repeat_callers"] == 0.25

    def test_a_call_is_settled_when_its_seven_days_are_over(self, queue, agent):
        answered(queue, agent, wait=0, talk=0)
        found = report.repeats(ask(), at=T0 + timedelta(days=7, seconds=-1))
        assert (found["answered"], found["settled"], found["fcr"]) == (1, 0, None)
        assert report.repeats(ask(), at=T0 + timedelta(days=7))["fcr"] == 1.0

    def test_a_long_stretch_is_not_counted(self, queue):
        asked = ask(**{"from": "2026-01-01", "to": "2026-11-20"})
        assert report.repeats(asked, at=LATER)["is_too_long"]
        quarter = ask(**{"from": "2026-08-01", "to": "2026-10-31"})
        assert not report.repeats(quarter, at=LATER)["is_too_long"]
