"""What is kept for how long: what goes, what stays, and that no figure changes by it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import AgentInterval, PresencePeriod
from callcenter import settings as own_settings
from callcenter.celery import app
from queues.models import CallEvent, Contact, Leg, Offer, QueuedCall, WebhookEvent, WrapUp
from reporting import kept, retention
from reporting.audit import Audit
from reporting.figures import repeat_calls, report, upkeep
from reporting.figures.asked import Asked
from reporting.history import making, wish
from reporting.models import AgentQuarter, CallRecord, QueueQuarter, StaleQuarter
from tests.factories import make_queue, make_recording, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
DAYS = 3


@pytest.fixture
def history():
    asked = wish.Wish(150, 5, 2, 4, 3, timezone.get_default_timezone(), AT, 5)
    making.make(asked, at=AT, told=lambda text: None)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL callcenter.bulk = 'off'")  # as in a transaction of its own


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 20)


def asked(since=AT - timedelta(days=8), until=AT):
    return Asked(since, until, timezone.get_default_timezone(), ())


def figures():
    return (
        report.queues(asked(), at=AT),
        report.agents(asked(), at=AT),
        report.costs(asked(), at=AT),
    )


def run():
    done = retention.run(at=AT)
    connection.check_constraints()
    return done


def test_nothing_goes_where_nothing_is_set(history):
    assert run() == {}
    assert QueuedCall.objects.count() == 150


class TestCalls:
    @pytest.fixture(autouse=True)
    def days(self, settings, history, small_steps):
        settings.KEEP_CALLS_DAYS = DAYS

    def test_what_is_older_goes_with_all_that_belongs_to_it(self):
        before = AT - timedelta(days=DAYS)
        old = QueuedCall.objects.filter(ended_at__lt=before, arrived_at__lt=before).count()
        assert old > 20
        assert run() == {"calls": old}
        assert QueuedCall.objects.count() == 150 - old
        assert not QueuedCall.objects.filter(ended_at__lt=before).exists()
        for model in (Leg, Offer, CallEvent, WebhookEvent, CallRecord):
            assert not model.objects.filter(call__isnull=True).exists()
        assert Leg.objects.count() == CallRecord.objects.count()
        assert not PresencePeriod.objects.filter(ended_at__lt=before).exists()
        assert run() == {"calls": 0}

    def test_all_figures_stay(self):
        before = figures()
        run()
        assert not StaleQuarter.objects.exists()  # before a report freshens them
        assert figures() == before

    def test_what_is_gone_is_never_counted_again(self):
        counted = list(QueueQuarter.objects.order_by("pk").values_list("start", "arrived"))
        worked = AgentQuarter.objects.count()
        run()
        mark = upkeep.raw_kept_from()
        assert mark == AT - timedelta(days=DAYS)
        StaleQuarter.objects.create(
            kind="calls", since=AT - timedelta(days=5), until=AT - timedelta(days=1)
        )
        StaleQuarter.objects.create(
            kind="agents", since=AT - timedelta(days=5), until=AT - timedelta(days=1)
        )
        upkeep.freshen(at=AT)
        rows = QueueQuarter.objects.order_by("start", "pk").values_list("start", "arrived")
        assert sorted(rows) == sorted(counted)
        assert AgentQuarter.objects.count() == worked
        assert list(upkeep.compare(AT - timedelta(days=8), AT)) == []

    def test_the_chains_are_cut_at_their_heads_and_the_audit_finds_nothing(self):
        count = AgentInterval.objects.count()
        run()
        assert AgentInterval.objects.count() < count
        assert not AgentInterval.objects.filter(ended_at__lte=AT - timedelta(days=DAYS)).exists()
        assert list(Audit(at=AT).lines()) == []

    def test_a_call_that_goes_on_stays(self):
        call = make_waiting(make_queue(), arrived_at=AT - timedelta(days=DAYS + 1))
        run()
        assert QueuedCall.objects.filter(pk=call.pk).exists()

    def test_the_files_of_its_recordings_go_with_it(self, settings, tmp_path):
        settings.STATE_DIR = tmp_path
        old = QueuedCall.objects.filter(direction="inbound").earliest("arrived_at")
        make_recording(old, storage=tmp_path / "recordings")
        run()
        assert not list((tmp_path / "recordings" / "2026").iterdir())

    def test_a_run_does_so_much_and_the_next_one_goes_on(self, monkeypatch):
        monkeypatch.setattr(retention, "AT_MOST", 1)
        assert run() == {"calls": 20}
        assert run() == {"calls": 20}
        assert list(Audit(at=AT).lines()) == []


class TestNumbers:
    @pytest.fixture(autouse=True)
    def days(self, settings, history, small_steps):
        settings.KEEP_NUMBERS_DAYS = DAYS
        self.before = AT - timedelta(days=DAYS)

    def named(self):
        calls = QueuedCall.objects.filter(arrived_at__lt=self.before)
        return calls.exclude(customer="anonymous")

    def test_older_numbers_are_found_nowhere_any_more(self):
        numbers = set(self.named().values_list("customer", flat=True))
        young = QueuedCall.objects.filter(arrived_at__gte=self.before)
        numbers -= set(young.values_list("customer", flat=True))
        assert run() == {"numbers": self.named().count()}
        assert not self.named().exclude(customer__startswith="caller-").exists()
        for model, column in [
            (Leg, "party"), (Leg, "request"), (CallRecord, "remote"), (CallEvent, "detail"),
            (QueuedCall, "customer"), (WebhookEvent, "body"),
        ]:  # fmt: skip
            told = " ".join(map(str, model.objects.values_list(column, flat=True)))
            assert not [number for number in numbers if number in told]

    def test_figures_and_who_called_again_stay_as_they_were(self):
        old = asked(until=self.before - timedelta(days=1))
        before = figures(), repeat_calls.repeats(old, at=AT)
        assert before[1]["repeat_calls"] > 0
        run()
        assert not StaleQuarter.objects.exists()
        assert (figures(), repeat_calls.repeats(old, at=AT)) == before
        assert list(upkeep.compare(AT - timedelta(days=8), AT)) == []
        assert list(Audit(at=AT).lines()) == []

    def test_the_next_run_has_nothing_to_do_and_a_later_one_goes_on(self):
        run()
        assert run() == {"numbers": 0}
        later = QueuedCall.objects.filter(
            arrived_at__gte=self.before, arrived_at__lt=self.before + timedelta(days=1)
        ).exclude(customer="anonymous")
        count = later.count()
        assert retention.run(at=AT + timedelta(days=1)) == {"numbers": count}

    def test_a_call_that_goes_on_keeps_it_until_it_is_over(self):
        call = make_waiting(make_queue(), arrived_at=self.before - timedelta(hours=30))
        run()
        call.refresh_from_db()
        assert call.customer == "+254700000111"
        QueuedCall.objects.filter(pk=call.pk).update(
            state="abandoned", abandoned_in="queue", ended_at=AT
        )
        assert run() == {"numbers": 1}
        call.refresh_from_db()
        assert call.customer.startswith("caller-")

    def test_old_rows_of_the_history_of_contacts_go_and_the_newest_of_each_stays(self):
        contact = Contact.objects.create(number="+254700000111", name="Wanjiru")
        contact.name = "Wanjiru Traders"
        contact.save()
        gone = Contact.objects.create(number="+254700000222", name="Otieno")
        gone.delete()
        Contact.history.update(history_date=self.before - timedelta(days=1))
        run()
        assert [row.name for row in Contact.history.all()] == ["Wanjiru Traders"]

    def test_records_of_calls_that_we_do_not_know_lose_it_too(self):
        CallRecord.objects.create(
            provider_id="x", direction="inbound", remote="+254700000333", status="completed",
            started_at=self.before - timedelta(days=1), first_seen_at=AT, changed_at=AT,
        )  # fmt: skip
        run()
        assert CallRecord.objects.get(provider_id="x").remote.startswith("caller-")


class TestNotes:
    def test_what_was_written_goes_and_the_disposition_stays(self, settings, history, small_steps):
        settings.KEEP_NOTES_DAYS = DAYS
        before = AT - timedelta(days=DAYS)
        WrapUp.objects.update(notes="Something.")
        old = WrapUp.objects.filter(updated_at__lt=before).count()
        assert old > 10
        chosen = WrapUp.objects.filter(disposition=None).count()
        assert run() == {"notes": old}
        assert not WrapUp.objects.filter(updated_at__lt=before).exclude(notes="").exists()
        assert not WrapUp.objects.filter(updated_at__gte=before, notes="").exists()
        assert WrapUp.objects.filter(disposition=None).count() == chosen


class TestTheSettings:
    @pytest.mark.parametrize("name", ["KEEP_CALLS_DAYS", "KEEP_NUMBERS_DAYS", "KEEP_NOTES_DAYS"])
    @pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5", "36501", "٣"])
    def test_what_is_no_number_of_days_stops_the_start(self, monkeypatch, name, wrong):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(ImproperlyConfigured, match=f"{name} is a number of days from 1"):
            own_settings._days(name)

    @pytest.mark.parametrize(("given", "meant"), [("", None), (" ", None), ("1", 1), ("730", 730)])
    def test_empty_is_for_ever(self, monkeypatch, given, meant):
        monkeypatch.setenv("KEEP_CALLS_DAYS", given)
        assert own_settings._days("KEEP_CALLS_DAYS") == meant

    def test_it_is_done_every_hour(self):
        assert app.conf.beat_schedule["keep-no-longer"]["task"] == "reporting.tasks.keep_no_longer"


class TestThePage:
    def test_it_shows_each_class_with_its_days_and_amount(self, settings, history):
        settings.KEEP_CALLS_DAYS, settings.KEEP_NOTES_DAYS = 730, None
        by_key = {kind.key: kind for kind in kept.kinds()}
        assert (by_key["calls"].days, by_key["calls"].rows) == (730, 150)
        assert by_key["notes"].days is None
        client = Client()
        client.force_login(make_supervisor())
        page = client.get(reverse("report-kept")).content.decode()
        assert "730 days" in page
        assert "KEEP_NUMBERS_DAYS" in page
        assert "for ever" in page
