"""Records that change, that make no sense, and that are older than the centre."""

from datetime import timedelta

import pytest

from queues.models import Alert, Leg, QueuedCall
from reporting import erasure
from reporting.mirror import polling
from reporting.models import CallRecord, Difference, Erasure
from tests.factories import T0, make_queue, make_waiting
from tests.mirror.conftest import URL, after, row

pytestmark = pytest.mark.django_db
LATE = 3600


@pytest.fixture
def poll(lists):
    def polled(at, *rows):
        lists(list(rows))
        return polling.poll(at=after(at))

    return polled


def difference(kind):
    return Difference.objects.get(kind=kind)


class TestChangesAfterTheEnd:
    def test_a_cost_that_changes_is_taken_over_and_told_old_and_new(self, poll):
        poll(10, row(1, cost_minor=300))
        poll(LATE, row(1, cost_minor=450))
        found = difference("changed")
        assert CallRecord.objects.get().cost_minor == 450
        assert (found.theirs, found.ours) == ("cost 4.50", "was cost 3.00")
        assert found.done == "Cost taken over."
        assert (found.settled_at, found.happened_at) == (after(LATE), after(1))

    def test_a_status_and_a_duration_too(self, poll):
        poll(10, row(1))
        poll(LATE, row(1, status="failed", duration_seconds=60, failure_code="carrier"))
        found = difference("changed")
        assert found.theirs == "status failed, seconds 60"
        assert found.ours == "was status completed, seconds 5"
        assert found.done == "Taken over."

    def test_a_number_that_changes_is_told_without_its_digits(self, poll):
        poll(10, row(1))
        poll(LATE, row(1, remote_e164="+254799123456"))
        assert "123456" not in difference("changed").theirs

    @pytest.mark.parametrize(
        ("before", "later"),
        [({"cost_minor": None}, {"cost_minor": 450}), ({"id": None}, {"id": "c-1"}),
         ({"cost_minor": 0}, {"cost_minor": 450}), ({"duration_seconds": None}, {})],
    )  # fmt: skip
    def test_what_was_missing_and_comes_soon_is_no_change(self, poll, before, later):
        poll(10, row(1, **before))
        assert poll(60, row(1, **later)) == 1
        assert not Difference.objects.exists()

    def test_a_free_call_that_is_charged_after_ten_minutes_is_one(self, poll):
        poll(10, row(1, cost_minor=0))
        poll(LATE, row(1, cost_minor=450))
        assert difference("changed").theirs == "cost 4.50"

    def test_a_live_call_that_goes_on_changes_nothing(self, poll):
        poll(2, row(1, status="answered", ended_at=None, duration_seconds=None))
        poll(20, row(1))
        assert not Difference.objects.filter(kind="changed").exists()


class TestNonsense:
    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"duration_seconds": -4}, "duration_seconds: -4"),
            ({"started_at": "yesterday"}, 'started_at: "yesterday"'),
            ({"cost_minor": "lots"}, 'cost_minor: "lots"'),
            ({"ended_at": "1970-01-01T00:00:00Z"}, 'ended_at: "1970-01-01T00:00:00Z"'),
            ({"ended_at": "2150-01-01T00:00:00Z"}, "2150-01-01T00:00:00+00:00 is to come"),
            ({"ended_at": "2026-11-20T07:00:00Z"}, "is before the start"),
            ({"answered_at": "2026-11-20T08:00:40Z"}, "is after the end"),
            ({"duration_seconds": 10**9}, "1000000000 is longer than any call"),
            ({"answered_at": {"at": 1}}, 'answered_at: {"at": 1}'),
        ],
        ids=str,
    )
    def test_is_left_out_and_told_once_and_the_rest_is_taken(self, poll, values, told):
        poll(10, row(1, **values))
        poll(25, row(1, **values))
        found = difference("malformed")
        assert told in found.theirs
        assert found.record == CallRecord.objects.get()
        assert (found.found_at, found.last_seen_at) == (after(10), after(25))
        assert getattr(CallRecord.objects.get(), next(iter(values))) is None
        assert CallRecord.objects.get().status == "completed"
        assert [alert.count for alert in Alert.objects.filter(subject="malformed")] == [1]

    def test_rows_that_are_no_records_are_told_and_the_others_taken(self, poll):
        poll(10, row(2), None, {"id": None, "remote_e164": "+254700000111"}, row(1))
        assert CallRecord.objects.count() == 2
        told = sorted(Difference.objects.values_list("theirs", flat=True))
        assert told[0] == "null"
        assert told[1].startswith('{"id": null')
        assert "700000" not in told[1]

    def test_an_answer_that_is_no_list_is_a_difference_as_well_as_an_alert(self, sautikit_api):
        sautikit_api.get(URL, body="<html>maintenance</html>")
        polling.poll(at=T0)
        assert difference("malformed").subject == "list"
        assert Alert.objects.count() == 1

    def test_it_is_the_same_row_when_a_record_comes_twice(self, lists):
        lists([row(2), row(2), row(1)], [row(1), row(0)])
        assert polling.poll(at=after(10)) == 3
        assert CallRecord.objects.count() == 3


class TestCursors:
    def test_what_a_broken_cursor_hides_is_asked_for_by_its_time(self, sautikit_api, asked):
        sautikit_api.get(URL, json={"data": [row(9), row(5)], "next_cursor": {"after": 5}})
        sautikit_api.get(URL, json={"data": [row(5), row(1)], "next_cursor": None})
        assert polling.poll(at=after(20)) == 3
        assert asked()[1]["to"] == ["2026-11-20T08:00:05Z"]
        found = difference("malformed")
        assert (found.subject, found.theirs) == (
            "cursor", 'The list is cut off: its cursor is none: {"after": 5}',
        )  # fmt: skip

    def test_a_refused_cursor_too(self, sautikit_api):
        sautikit_api.get(URL, json={"data": [row(9)], "next_cursor": "p"})
        sautikit_api.get(URL, json={"error": {"code": "cursor.expired"}}, status=410)
        sautikit_api.get(URL, json={"data": [row(9), row(1)], "next_cursor": None})
        assert polling.poll(at=after(20)) == 2
        assert "is refused" in difference("malformed").theirs

    def test_a_list_that_leads_back_comes_to_its_end(self, sautikit_api, asked):
        sautikit_api.get(URL, json={"data": [row(1)], "next_cursor": "p"})  # whatever is asked
        assert polling.poll(at=after(20)) == 1
        assert len(asked()) < 10
        assert "bring nothing new" in difference("malformed").theirs

    def test_empty_pages_without_end_come_to_theirs(self, sautikit_api, asked):
        for number in range(4):
            sautikit_api.get(URL, json={"data": [], "next_cursor": f"p{number}"})
        polling.poll(at=T0)
        assert len(asked()) == 2

    def test_a_number_is_taken_for_a_cursor(self, sautikit_api, asked):
        sautikit_api.get(URL, json={"data": [row(2)], "next_cursor": 7})
        sautikit_api.get(URL, json={"data": [row(1)], "next_cursor": None})
        assert polling.poll(at=after(20)) == 2
        assert asked()[1]["cursor"] == ["7"]
        assert not Difference.objects.exists()


class TestSecondLook:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch):
        monkeypatch.setattr(polling, "PAUSE", 0.0)

    def test_it_finds_what_the_poll_no_longer_looks_at(self, poll, lists):
        poll(10, row(1, cost_minor=300))
        lists([row(1, cost_minor=900)])
        assert polling.look_again("hour", at=after(2 * 86400)) == 1
        assert difference("changed").theirs == "cost 9.00"

    def test_it_goes_back_three_days_in_slices(self, lists, asked):
        lists([])
        polling.look_again("hour", at=T0)
        assert len(asked()) == 12
        assert asked()[0]["from"] == ["2026-11-20T02:00:00Z"]
        assert asked()[-1]["from"] == ["2026-11-17T08:00:00Z"]

    def test_cut_short_the_next_goes_on(self, sautikit_api, lists, asked):
        sautikit_api.get(URL, json={"data": []})
        sautikit_api.get(URL, json={}, status=503)
        polling.look_again("hour", at=T0)
        lists([])
        polling.look_again("hour", at=after(3600))
        assert asked()[2]["to"] == ["2026-11-20T02:00:00Z"]

    def test_of_what_is_older_than_the_centre_no_call_is_made(self, lists):
        make_queue()
        lists([])
        polling.poll(at=T0)
        lists([row(-7200), row(-7300, status="answered", ended_at=None)])
        polling.look_again("hour", at=after(60))
        assert CallRecord.objects.count() == 2
        assert not QueuedCall.objects.exists()

    def test_of_what_was_nobodys_a_day_ago_neither(self, poll, lists):
        """Its call was removed since, by retention or for somebody who asked for it."""
        queue = make_queue()
        poll(0)
        make_waiting(queue)
        poll(30, row(1, session_id=Leg.objects.get().session_id))
        QueuedCall.objects.all().delete()
        lists([row(1)])
        polling.look_again("hour", at=after(2 * 86400))
        assert not QueuedCall.objects.exists()

    def test_a_number_that_was_erased_or_replaced_does_not_come_back(self, poll, lists):
        poll(10, row(1))
        erasure.erase("+254700000111", at=after(100))
        lists([row(1, cost_minor=900), row(2)])  # the second one was not mirrored before
        polling.look_again("hour", at=after(86400))
        name = Erasure.objects.get().replaced_by
        assert set(CallRecord.objects.values_list("remote", flat=True)) == {name}
        assert CallRecord.objects.filter(cost_minor=900).exists()
        assert "other party" not in difference("changed").theirs
        assert not QueuedCall.objects.exists()

    def test_what_is_removed_by_its_age_does_not_come_back(self, poll, lists, settings):
        settings.KEEP_CALLS_DAYS = 1
        lists([row(1), row(86400)])
        polling.look_again("hour", at=after(2 * 86400 - 60))
        assert [str(one) for one in CallRecord.objects.all()] == ["HD_000000086400"]

    def test_a_call_of_the_centres_time_that_no_poll_found_is_adopted(self, poll, lists):
        make_queue()
        poll(0)
        lists([row(60)])
        polling.look_again("hour", at=T0 + timedelta(hours=5))
        assert QueuedCall.objects.get().state == "abandoned"
        found = difference("unknown")
        assert found.done.startswith("Adopted as call ")
        assert found.settled_at == T0 + timedelta(hours=5)
