"""The page of the provider: differences, sums, back-fills; and who may do what there."""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.test import Client

from queues import provider
from queues.models import Alert
from reporting.mirror import back_fill, noting, polling, stats
from reporting.models import BackFill, Difference
from tests.factories import T0, make_queue, make_supervisor, make_waiting
from tests.mirror.conftest import after

pytestmark = pytest.mark.django_db
PAGE, FILL = "/reports/provider/", "/reports/provider/back-fill/"


@pytest.fixture(autouse=True)
def at_noon():
    with time_machine.travel(T0, tick=False):
        yield


@pytest.fixture
def sarah():
    client = Client()
    client.force_login(make_supervisor())
    return client


def text(reply):
    return reply.content.decode()


def make(kind="unknown", subject="c-1", **values):
    noting.note(
        noting.Kind(kind), subject, **{"at": T0, "happened_at": after(-60), "theirs": "inbound",
                                       "ours": "No call.", "done": "Nothing.", **values},
    )  # fmt: skip
    return Difference.objects.get(kind=kind, subject=subject)


class TestDifferences:
    def test_one_row_each_with_both_sides_and_a_link_to_the_call(self, sarah):
        call = make_waiting(make_queue())
        make("duration", theirs="1:05", ours="1:00", done="Ours is kept.", call=call)
        page = text(sarah.get(PAGE))
        for part in ("1:05", "1:00", "Ours is kept.", f"/calls-log/{call.public_id}/"):
            assert part in page
        assert page.count('data-testid="difference"') == 1

    def test_filters(self, sarah):
        make("unknown", "a")
        make("changed", "b", settled=True)
        make("malformed", "c", happened_at=T0 - timedelta(days=3))
        kinds = {
            "": ["unknown", "malformed"], "show=all": ["unknown", "changed", "malformed"],
            "show=all&kind=changed": ["changed"], "day=2026-11-17": ["malformed"],
            "kind=changed": [], "show=all&day=2026-11-20": ["unknown", "changed"],
        }  # fmt: skip
        for query, expected in kinds.items():
            page = text(sarah.get(f"{PAGE}?{query}"))
            found = [part.split('"')[0] for part in page.split('data-kind="')[1:]]
            assert sorted(found) == sorted(expected), query

    @pytest.mark.parametrize(
        "query", ["kind=nonsense&day=soon&page=x", "day=2026-02-31", "page=99999999", "page=-1",
                  "kind=%00&day=%00", "show=%F0%9F%92%A9"],
    )  # fmt: skip
    def test_what_cannot_be_asked_is_told_and_the_page_is_there(self, sarah, query):
        make()
        assert sarah.get(f"{PAGE}?{query}").status_code == 200

    def test_pages_of_fifty(self, sarah):
        for number in range(51):
            make(subject=f"c-{number}")
        page = text(sarah.get(PAGE))
        assert page.count('data-testid="difference"') == 50
        assert 'rel="next" href="?page=2"' in page
        assert text(sarah.get(f"{PAGE}?page=2")).count('data-testid="difference"') == 1

    def test_what_the_provider_sent_is_no_html(self, sarah):
        make(theirs="<script>alert(1)</script>")
        assert "<script>alert" not in text(sarah.get(PAGE))

    def test_settled_by_hand_with_a_note(self, sarah):
        row = make()
        page = sarah.post(
            f"{PAGE}differences/{row.pk}/settle/", {"note": "a known fault"}, follow=True
        )
        assert "Settled." in text(page)
        row.refresh_from_db()
        assert (row.settled_by.username, row.done) == ("sarah", "Settled by hand: a known fault")
        assert "Settled by sarah" in text(sarah.get(f"{PAGE}?show=all"))

    @pytest.mark.parametrize("note", ["", "   ", "\x00"])
    def test_not_without_one(self, sarah, note):
        row = make()
        page = sarah.post(f"{PAGE}differences/{row.pk}/settle/", {"note": note}, follow=True)
        assert "Say in a few words" in text(page)
        row.refresh_from_db()
        assert row.settled_at is None

    def test_the_queries_do_not_grow_with_the_rows(self, sarah, django_assert_max_num_queries):
        call = make_waiting(make_queue())
        for number in range(30):
            make(subject=f"c-{number}", call=call)
        sarah.get(PAGE)
        with django_assert_max_num_queries(16):
            sarah.get(PAGE)


class TestMirrorAndSums:
    def test_when_the_mirror_was_read(self, sarah):
        assert "not read yet" in text(sarah.get(PAGE))
        provider.learn(polling.POLLED_UNTIL, after(-30).isoformat(), at=T0)
        page = text(sarah.get(PAGE))
        assert "were last read 20 Nov 2026, 10:59:30" in page
        assert "some time ago" not in page
        provider.learn(polling.POLLED_UNTIL, after(-300).isoformat(), at=T0)
        assert "some time ago" in text(sarah.get(PAGE))

    def test_the_table_of_sums(self, sarah):
        sums = {"total": 9, "failed": 1, "spend_minor": 1250}
        provider.learn(stats.COMPARED, {"at": T0.isoformat(), "currency": "KES", "days": [
            {"start": "2026-11-17T00:00:00+00:00", "theirs": sums, "ours": sums | {"total": 8}},
            {"start": "2026-11-18T00:00:00+00:00", "theirs": sums, "ours": sums},
            {"start": "2026-11-16T00:00:00+00:00", "theirs": sums | {"failed": None}, "ours": None},
        ]}, at=T0)  # fmt: skip
        page = text(sarah.get(PAGE))
        assert "12.50" in page
        assert page.count("the same\n") + page.count("the same<") == 1
        assert page.count(" differs<") == 1
        assert page.count("not read here") == 1


class TestBackFill:
    def post(self, client, since, until):
        return client.post(FILL, {"fill-since": since, "fill-until": until})

    def test_days_are_those_of_who_asks_both_included(self, sarah):
        assert self.post(sarah, "2026-11-10", "2026-11-11").status_code == 302
        fill = BackFill.objects.get()
        # Nairobi is three hours ahead
        assert fill.since == datetime.fromisoformat("2026-11-09T21:00:00+00:00")
        assert fill.until == datetime.fromisoformat("2026-11-11T21:00:00+00:00")
        assert fill.requested_by.username == "sarah"

    def test_today_ends_now(self, sarah):
        self.post(sarah, "2026-11-20", "2026-11-20")
        assert BackFill.objects.get().until == T0

    @pytest.mark.parametrize(
        ("since", "until", "told"),
        [
            ("2026-11-21", "2026-11-22", "still to come"),
            ("2026-11-12", "2026-11-11", "before the first day"),
            ("2020-01-01", "2026-11-11", "two years"),
            ("0001-01-01", "0001-01-02", "so long ago"),
            ("soon", "2026-11-11", "Enter a valid date"),
            ("", "", "required"),
        ],
    )
    def test_what_is_no_range_is_told_at_its_field(self, sarah, since, until, told):
        reply = self.post(sarah, since, until)
        assert reply.status_code == 400
        assert told in text(reply)
        assert "_error" in text(reply)
        assert not BackFill.objects.exists()

    def test_one_at_a_time(self, sarah):
        self.post(sarah, "2026-11-10", "2026-11-11")
        assert "Another back-fill is running" in text(self.post(sarah, "2026-11-01", "2026-11-02"))
        assert BackFill.objects.count() == 1

    def test_while_it_runs_it_fetches_itself_and_then_no_more(self, sarah):
        self.post(sarah, "2026-11-10", "2026-11-13")
        fill = BackFill.objects.get()
        BackFill.objects.update(reached=fill.since + timedelta(days=1), seen=70, news=3)
        part = text(sarah.get(FILL))
        assert 'hx-trigger="every 2s"' in part
        assert 'value="75"' in part
        assert "70 records read, 3 of them new or changed." in part
        BackFill.objects.update(state="done", ended_at=T0, reached=fill.since)
        part = text(sarah.get(FILL))
        assert "hx-trigger" not in part
        assert 'value="100"' in part

    def test_a_failure_is_told(self, sarah):
        self.post(sarah, "2026-11-10", "2026-11-11")
        BackFill.objects.update(error="HTTP 503", tries=2)
        assert "The last try failed: HTTP 503" in text(sarah.get(FILL))

    def test_stopped(self, sarah):
        fill = back_fill.begin(T0 - timedelta(days=2), T0, at=T0)
        page = text(sarah.post(f"{FILL}{fill.pk}/stop/", follow=True))
        assert "is stopped" in page
        assert 'data-testid="back-fill-begin"' in page  # another may begin
        assert "had ended already" in text(sarah.post(f"{FILL}{fill.pk}/stop/", follow=True))

    def test_a_range_typed_by_hand_raises_no_alert(self, sarah):
        self.post(sarah, "2026-13-45", "x")
        assert not Alert.objects.exists()
