"""Back-fills: slice by slice, stopped, killed, refused, and by two workers at once."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from queues import adoption, breaker, provider
from queues.models import Alert, Breaker, QueuedCall
from reporting.mirror import back_fill, reading
from reporting.models import BackFill, CallRecord
from tests.factories import T0, make_queue
from tests.mirror.conftest import URL, after, row

pytestmark = pytest.mark.django_db
HOUR, DAY = 3600, 86400


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(back_fill, "PAUSE", 0.0)
    reading.client.cache_clear()


def begin(days=1):
    return back_fill.begin(T0 - timedelta(days=days), T0, at=T0)


def run(fill, at=T0):
    """Read slices until none is due any more; return how many."""
    count = 1
    while back_fill.read_slice(fill.pk, at=at):
        count += 1
    fill.refresh_from_db()
    return count


class TestReading:
    def test_from_the_end_to_the_beginning_in_slices_of_six_hours(self, lists, asked):
        lists([])
        fill = begin()
        assert run(fill) == 4
        windows = [(query["from"][0], query["to"][0]) for query in asked()]
        assert windows[0] == ("2026-11-20T02:00:00Z", "2026-11-20T08:00:00Z")
        assert windows[-1] == ("2026-11-19T08:00:00Z", "2026-11-19T14:00:00Z")
        assert (fill.state, fill.reached, fill.ended_at) == ("done", fill.since, T0)

    def test_records_are_counted_and_a_second_reading_has_no_news(self, lists):
        lists([row(-10), row(-20)])
        fill = begin()
        back_fill.read_slice(fill.pk, at=T0)
        fill.refresh_from_db()
        assert (fill.seen, fill.news) == (2, 2)
        back_fill.stop(fill.pk, at=T0)
        other = begin()
        back_fill.read_slice(other.pk, at=T0)
        other.refresh_from_db()
        assert (other.seen, other.news) == (2, 0)
        assert CallRecord.objects.count() == 2

    def test_a_slice_with_more_pages_than_are_read_at_once_leaves_the_rest(
        self, sautikit_api, monkeypatch
    ):
        """Five records a second apart, two to a page: nothing is lost where a slice is cut."""
        monkeypatch.setattr(back_fill, "MOST_PAGES", 1)
        rows = [row(-n) for n in range(10, 60, 10)]

        def page(request):
            query = parse_qs(urlsplit(request.url).query)
            since, until = query["from"][0], query["to"][0]
            fit = [
                one for one in rows if since <= one["started_at"].replace("+00:00", "Z") <= until
            ]
            more = "next" if len(fit) > 2 else None
            return 200, {}, json.dumps({"data": fit[:2], "next_cursor": more})

        sautikit_api.add_callback("GET", URL, page)
        fill = begin()
        run(fill)
        assert fill.state == "done"
        assert CallRecord.objects.count() == 5

    def test_what_is_older_than_the_centre_is_mirrored_and_no_call(self, lists):
        make_queue()
        provider.learn(adoption.ADOPTS_SINCE, T0.isoformat(), at=T0)
        lists([row(-100), row(-200, status="answered", ended_at=None)])
        run(begin(), at=T0)
        assert CallRecord.objects.count() == 2
        assert not QueuedCall.objects.exists()


class TestOneAtATime:
    def test_a_second_one_is_refused(self):
        begin()
        with pytest.raises(back_fill.Refused, match="is running"):
            begin(2)

    @pytest.mark.parametrize(("since", "until"), [(9, 9), (9, 5), (10, 20), (-3 * 366 * DAY, 0)])
    def test_a_range_that_makes_no_sense_is_refused(self, since, until):
        with pytest.raises(back_fill.Refused):
            back_fill.begin(after(since), after(until), at=T0)
        assert not BackFill.objects.exists()

    def test_what_is_claimed_is_left_alone_until_the_claim_runs_out(self, lists, asked):
        """A worker that was killed in a slice is followed by another within a minute."""
        lists([])
        fill = begin()
        BackFill.objects.update(next_at=T0 + back_fill.CLAIM)  # claimed, and killed
        assert not back_fill.read_slice(fill.pk, at=after(59))
        assert back_fill.due(at=after(59)) == []
        assert asked() == []
        assert back_fill.due(at=after(60)) == [fill.pk]
        assert back_fill.read_slice(fill.pk, at=after(60))
        fill.refresh_from_db()
        assert fill.reached == T0 - timedelta(hours=6)

    def test_stopped_by_a_person_in_a_slice_it_ends_at_the_next_page(self, sautikit_api):
        fill = begin()

        def page(request):
            back_fill.stop(fill.pk, at=after(1))
            return 200, {}, json.dumps({"data": [row(-10)], "next_cursor": "more"})

        sautikit_api.add_callback("GET", URL, page)
        assert not back_fill.read_slice(fill.pk, at=T0)
        assert len(sautikit_api.calls) == 1
        fill.refresh_from_db()
        assert (fill.state, fill.reached, fill.ended_at) == ("stopped", T0, after(1))
        assert not back_fill.stop(fill.pk, at=after(2))
        begin()  # another may begin


class TestRefusals:
    def fail(self, sautikit_api, **answer):
        sautikit_api.remove("GET", URL)
        sautikit_api.get(URL, **{"json": {}, "status": 503, **answer})

    def test_it_is_tried_again_later_and_later(self, sautikit_api):
        fill, at, waits = begin(), T0, []
        self.fail(sautikit_api)
        for _ in range(10):
            assert not back_fill.read_slice(fill.pk, at=at)
            fill.refresh_from_db()
            waits.append((fill.next_at - at).total_seconds())
            at = fill.next_at
        assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
        assert (fill.state, fill.reached, fill.tries) == ("running", T0, 10)
        assert "503" in fill.error
        assert Alert.objects.get(subject="back_fill").count == 6

    def test_then_it_goes_on_from_where_it_was(self, sautikit_api, lists):
        fill = begin()
        self.fail(sautikit_api)
        back_fill.read_slice(fill.pk, at=T0)
        lists([])
        assert not back_fill.read_slice(fill.pk, at=after(1))
        run(fill, at=after(2))
        assert (fill.state, fill.tries, fill.error) == ("done", 0, "")

    def test_a_pause_that_the_provider_asks_for_is_kept_by_all(self, sautikit_api):
        fill = begin()
        self.fail(sautikit_api, status=429, headers={"Retry-After": "45"})
        back_fill.read_slice(fill.pk, at=T0)
        fill.refresh_from_db()
        assert fill.next_at == after(45)
        assert Breaker.objects.get().paused_until == after(45)

    def test_its_failures_do_not_open_the_breaker(self, sautikit_api):
        fill, at = begin(), T0
        self.fail(sautikit_api)
        for _ in range(6):
            back_fill.read_slice(fill.pk, at=at)
            fill.refresh_from_db()
            at = fill.next_at
        assert not Breaker.objects.filter(state="open").exists()

    def test_while_the_provider_is_away_nothing_is_asked(self, sautikit_api, asked):
        fill = begin()
        Breaker.objects.create(name="api", state="open", failures=5, opened_at=T0, failed_at=T0)
        breaker.forget()
        assert not back_fill.read_slice(fill.pk, at=T0)
        fill.refresh_from_db()
        assert (asked(), fill.tries, fill.next_at) == ([], 0, after(10))
        assert fill.error == "The provider is away."


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_at_once_one_reads_each_slice(monkeypatch):
    asked, start = [], threading.Barrier(4)

    class Slow:
        def iter_pages(self, *, since, until, max_pages):
            asked.append((since, until))
            return iter(())

    monkeypatch.setattr(reading, "client", Slow)
    fill = begin(4)  # sixteen slices

    def work(_):
        start.wait()
        try:
            for _turn in range(40):
                back_fill.read_slice(fill.pk, at=T0)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    fill.refresh_from_db()
    assert fill.state == "done"
    assert len(asked) == len(set(asked)) == 16


class TestCommand:
    def test_it_tells_how_far_it_is(self, lists):
        lists([row(-10)])
        out = StringIO()
        call_command("back_fill", "--since", "2026-11-19", "--until", "2026-11-20", stdout=out)
        lines = out.getvalue().splitlines()
        assert lines[0].startswith(" 25% down to")
        assert lines[-1] == "done: 4 read, 1 new or changed."

    @pytest.mark.parametrize("args", [[], ["--resume"], ["--stop"], ["--since", "2090-01-01"]])
    def test_what_cannot_be_done_is_said(self, args):
        with pytest.raises(CommandError):
            call_command("back_fill", *args)

    def test_one_that_runs_can_be_stopped_and_gone_on_with(self, lists):
        lists([])
        fill, out = begin(), StringIO()
        BackFill.objects.update(reached=T0 - timedelta(hours=18))
        call_command("back_fill", "--resume", stdout=out)
        fill.refresh_from_db()
        assert fill.state == "done"
        other = begin()
        call_command("back_fill", "--stop", stdout=out)
        other.refresh_from_db()
        assert other.state == "stopped"


def test_an_unreadable_answer_is_a_failure_too(sautikit_api):
    sautikit_api.get(URL, body="<html>")
    fill = begin()
    back_fill.read_slice(fill.pk, at=T0)
    fill.refresh_from_db()
    assert fill.tries == 1
