"""The mirror of `GET /v1/calls`: pages, overlap, changes, links to our calls, garbage."""

from datetime import UTC, datetime

import pytest

from queues import provider as facts
from queues.models import Alert, Leg, QueuedCall
from queues.routing import match
from reporting.mirror import polling
from reporting.models import CallRecord
from tests.factories import CALLER, LINE, T0, make_agent, make_queue, make_waiting
from tests.mirror.conftest import URL, after, row

pytestmark = pytest.mark.django_db


class TestPolling:
    def test_all_pages_are_read_by_their_cursor(self, lists, asked):
        lists([row(3), row(2)], [row(1)])
        assert polling.poll(at=after(10)) == 3
        assert [query.get("cursor") for query in asked()] == [None, ["page-1"]]
        assert CallRecord.objects.count() == 3

    def test_the_first_poll_looks_back_for_a_day(self, lists, asked):
        lists([])
        polling.poll(at=T0)
        [query] = asked()
        # 24 h and the overlap of three minutes
        assert query["from"] == ["2026-11-19T07:57:00Z"]

    def test_the_next_one_begins_three_minutes_before_the_last(self, lists, asked):
        lists([])
        polling.poll(at=T0)
        polling.poll(at=after(15))
        assert asked()[1]["from"] == ["2026-11-20T07:57:00Z"]

    def test_it_reaches_back_to_the_oldest_record_that_is_still_open(self, lists, asked):
        lists([row(0, status="answered", ended_at=None, started_at="2026-11-20T07:00:00Z")])
        polling.poll(at=T0)
        polling.poll(at=after(15))
        assert asked()[1]["from"] == ["2026-11-20T06:57:00Z"]

    def test_a_provider_who_does_not_answer_moves_no_mark_and_is_told(self, lists, asked,
                                                                       sautikit_api):  # fmt: skip
        lists([])
        polling.poll(at=T0)
        sautikit_api.remove("GET", URL)
        sautikit_api.get(URL, json={}, status=503)
        assert polling.poll(at=after(3600)) == 0
        lists([])
        polling.poll(at=after(3615))
        assert asked()[-1]["from"] == ["2026-11-20T07:57:00Z"]
        assert Alert.objects.get().subject == "records"

    def test_what_was_read_before_a_page_failed_is_kept(self, sautikit_api):
        sautikit_api.get(URL, json={"calls": [row(1)], "next_cursor": "p"})
        sautikit_api.get(URL, json={}, status=500)
        assert polling.poll(at=after(10)) == 1
        assert CallRecord.objects.count() == 1
        assert facts.recall(polling.POLLED_UNTIL) is None


class TestTakingOver:
    def test_every_field_is_taken_over(self, lists):
        lists([row(1, answered_at=after(2).isoformat(), failure_code="x", cost_minor=600)])
        polling.poll(at=after(10))
        found = CallRecord.objects.get()
        assert (found.provider_id, found.session_id) == ("c-1", "HD_000000000001")
        assert (found.direction, found.local, found.remote) == ("inbound", LINE, CALLER)
        assert (found.status, found.failure_code) == ("completed", "x")
        assert (found.started_at, found.answered_at, found.ended_at) == (
            after(1), after(2), after(6),
        )  # fmt: skip
        assert (found.duration_seconds, found.cost_minor, found.cost_currency) == (5, 600, "KES")
        assert (found.rate_per_minute_minor, found.first_seen_at) == (300, after(10))

    def test_read_again_unchanged_it_is_no_news(self, lists):
        lists([row(1)])
        assert [polling.poll(at=after(n)) for n in (10, 25)] == [1, 0]
        assert CallRecord.objects.get().changed_at == after(10)

    def test_a_cost_that_comes_late_is_taken_over(self, lists):
        lists([row(1, cost_minor=None)])
        polling.poll(at=after(10))
        assert CallRecord.objects.get().cost_minor is None
        lists([row(1, cost_minor=450)])
        assert polling.poll(at=after(25)) == 1
        found = CallRecord.objects.get()
        assert (found.cost_minor, found.changed_at, found.first_seen_at) == (
            450, after(25), after(10),
        )  # fmt: skip

    def test_a_handle_that_comes_late_makes_no_second_row(self, lists):
        lists([row(1, id=None)])
        polling.poll(at=after(10))
        lists([row(1)])
        polling.poll(at=after(25))
        found = CallRecord.objects.get()
        assert (found.provider_id, found.session_id) == ("c-1", "HD_000000000001")

    def test_two_rows_that_turn_out_to_be_one_call_do_not_stop_the_poll(self, lists):
        lists([row(1, id=None), row(2, session_id=None, id="c-1")])
        polling.poll(at=after(10))
        assert CallRecord.objects.count() == 2
        lists([row(1), row(3)])  # now one record with both handles
        polling.poll(at=after(25))
        assert CallRecord.objects.filter(session_id="HD_000000000003").exists()

    @pytest.mark.parametrize(
        "garbage",
        [None, 7, "text", [], {}, {"id": None}, {"id": ["x"]}, {"id": {"a": 1}}],
        ids=str,
    )
    def test_garbage_among_the_rows_is_left_out_and_the_rest_survives(self, lists, garbage):
        lists([row(2), garbage, row(1)])
        polling.poll(at=after(10))
        assert CallRecord.objects.filter(provider_id__in=["c-1", "c-2"]).count() == 2

    @pytest.mark.parametrize(
        "values",
        [
            {"duration_seconds": -4}, {"duration_seconds": 10**30}, {"cost_minor": "lots"},
            {"cost_minor": 10**30}, {"started_at": "yesterday"}, {"started_at": None},
            {"status": "evaporated"}, {"direction": "sideways"}, {"remote_e164": "x" * 4000},
            {"failure_code": "y" * 4000}, {"cost_currency": {"a": 1}}, {"local_e164": None},
            {"failure_code": "nul\x00"},
        ],
        ids=str,
    )  # fmt: skip
    def test_nonsense_in_a_field_does_not_lose_the_row(self, lists, values):
        lists([row(2, **values), row(1)])
        polling.poll(at=after(10))
        assert CallRecord.objects.count() == 2

    def test_an_answer_that_is_no_list_at_all_is_told_and_survived(self, sautikit_api):
        sautikit_api.get(URL, body="<html>maintenance</html>")
        assert polling.poll(at=T0) == 0
        assert Alert.objects.get().subject == "records"


class TestLinking:
    def test_a_record_is_linked_to_the_leg_with_its_handle(self, lists):
        call = make_waiting(make_queue())
        leg = Leg.objects.get()
        lists([row(1, session_id=leg.session_id, status="answered", ended_at=None)])
        polling.poll(at=after(10))
        found = CallRecord.objects.get()
        assert (found.call, found.leg) == (call, leg)

    def test_a_leg_that_becomes_known_later_is_linked_at_the_next_poll(self, lists):
        lists([row(1)])
        polling.poll(at=after(10))
        make_waiting(make_queue())
        Leg.objects.update(session_id="HD_000000000001")
        polling.poll(at=after(25))
        assert CallRecord.objects.get().leg == Leg.objects.get()

    def test_an_end_that_only_the_record_tells_ends_the_call(self, lists):
        make_waiting(make_queue())
        lists([row(1, session_id=Leg.objects.get().session_id, ended_at=after(6).isoformat())])
        polling.poll(at=after(20))
        call = QueuedCall.objects.get()
        assert (call.state, call.abandoned_in, call.ended_at) == ("abandoned", "queue", after(6))

    def test_a_record_that_still_lives_keeps_the_call(self, lists):
        make_waiting(make_queue())
        lists([row(1, session_id=Leg.objects.get().session_id, status="answered", ended_at=None)])
        polling.poll(at=after(20))
        assert QueuedCall.objects.get().state == "waiting"

    def test_calls_that_we_do_not_know_are_listed_and_not_touched(self, lists):
        lists([row(1, direction="outbound", remote_e164="+254799999999", local_e164="+2541")])
        polling.poll(at=after(10))
        found = CallRecord.objects.get()
        assert (found.call, found.leg) == (None, None)
        assert not QueuedCall.objects.exists()

    @pytest.mark.parametrize("status", ["answered", "completed"])
    def test_the_dialled_agents_record_is_adopted_and_proves_the_answer(
        self, lists, phone, status, time_machine
    ):
        time_machine.move_to(T0, tick=False)
        agent = make_agent(make_queue(), destination="+254711000001")
        phone.inbound()
        over = after(40).isoformat() if status == "completed" else None
        lists([row(3, direction="outbound", remote_e164=agent.destination, status=status,
                   answered_at=after(8).isoformat(), ended_at=over)])  # fmt: skip
        polling.poll(at=after(45))
        call = QueuedCall.objects.get()
        assert call.state == ("connected" if status == "answered" else "completed")
        assert call.connected_at == after(8)
        assert CallRecord.objects.get().call == call

    def test_an_inbound_call_on_our_number_that_no_webhook_told_of_is_taken_in(self, lists):
        """An inbound call on our number that only the list knows of becomes a call of ours."""
        make_queue()
        lists([])
        polling.poll(at=T0)
        lists([row(1, status="completed")])
        polling.poll(at=after(10))
        assert not QueuedCall.objects.exists()  # its first webhook may still come
        polling.poll(at=after(25))
        call = QueuedCall.objects.get()
        assert (call.state, call.customer, call.line) == ("abandoned", CALLER, LINE)
        assert (call.arrived_at, call.ended_at) == (after(1), after(6))
        assert CallRecord.objects.get().call == call

    def test_what_was_over_before_the_centre_was_there_is_not_its_own(self, lists):
        make_queue()
        lists([row(1)])
        polling.poll(at=after(60))
        polling.poll(at=after(120))
        assert not QueuedCall.objects.exists()

    def test_a_record_of_a_final_call_reopens_nothing(self, lists):
        call = make_waiting(make_queue())
        make_agent(call.queue)
        QueuedCall.objects.update(state="abandoned", abandoned_in="queue", ended_at=after(5))
        lists([row(1, session_id=Leg.objects.get().session_id, status="answered", ended_at=None,
                   answered_at=after(2).isoformat())])  # fmt: skip
        polling.poll(at=after(10))
        call.refresh_from_db()
        assert (call.state, match(after(11))) == ("abandoned", 0)


def test_times_without_a_zone_are_utc(lists):
    lists([row(1, started_at="2026-11-20T08:00:01")])
    polling.poll(at=after(10))
    assert CallRecord.objects.get().started_at == datetime(2026, 11, 20, 8, 0, 1, tzinfo=UTC)
