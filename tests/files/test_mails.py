"""Scheduled reports: which period when, once, also over the days on which clocks are set; and the
mails themselves, through a real mail server."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from queues.models import Alert
from reporting.files import mails, schedules
from reporting.models import ReportMail, ScheduledReport

from .conftest import AT

pytestmark = pytest.mark.django_db
MORNING = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)  # half past seven in Nairobi


def make(**values):
    return ScheduledReport.objects.create(
        **{"name": "Calls of the day", "report": "queues", "every": "day", "hour": 7,
           "recipients": "boss@example.test", "next_at": AT, **values}
    )  # fmt: skip


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestPeriods:
    @pytest.mark.parametrize(
        ("zone", "every", "hour", "at", "since", "until", "sent"),
        [
            # Nairobi is three hours ahead all year.
            ("Africa/Nairobi", "day", 7, "2026-11-21T04:00", "2026-11-19T21:00", "2026-11-20T21:00",
             "2026-11-21T04:00"),
            ("Africa/Nairobi", "day", 7, "2026-11-21T03:59", "2026-11-18T21:00", "2026-11-19T21:00",
             "2026-11-20T04:00"),
            ("Africa/Nairobi", "week", 7, "2026-11-21T04:00", "2026-11-08T21:00",
             "2026-11-15T21:00", "2026-11-16T04:00"),
            ("Africa/Nairobi", "month", 0, "2026-03-01T00:00", "2026-01-31T21:00",
             "2026-02-28T21:00", "2026-02-28T21:00"),
            # Berlin, 25 October 2026: the day has 25 hours; the mail goes at seven by the wall.
            ("Europe/Berlin", "day", 7, "2026-10-26T06:00", "2026-10-24T22:00", "2026-10-25T23:00",
             "2026-10-26T06:00"),
            # 29 March 2026: 23 hours.
            ("Europe/Berlin", "day", 7, "2026-03-30T05:00", "2026-03-28T23:00", "2026-03-29T22:00",
             "2026-03-30T05:00"),
            # Three in the night of that day: two o'clock does not exist, and is three.
            ("Europe/Berlin", "day", 2, "2026-03-29T01:00", "2026-03-27T23:00", "2026-03-28T23:00",
             "2026-03-29T01:00"),
            ("Europe/Berlin", "week", 7, "2026-03-30T05:00", "2026-03-22T23:00",
             "2026-03-29T22:00", "2026-03-30T05:00"),
            ("Europe/Berlin", "month", 7, "2026-11-01T06:00", "2026-09-30T22:00",
             "2026-10-31T23:00", "2026-11-01T06:00"),
        ],
    )  # fmt: skip
    def test_the_latest_that_is_due(self, settings, zone, every, hour, at, since, until, sent):
        settings.TIME_ZONE = zone
        timezone.get_default_timezone.cache_clear()
        found = schedules.latest(make(every=every, hour=hour), at=utc(at))
        assert (found.since, found.until, found.send_at) == (utc(since), utc(until), utc(sent))

    @pytest.mark.parametrize("zone", ["Africa/Nairobi", "Europe/Berlin", "America/Sao_Paulo"])
    @pytest.mark.parametrize("every", ["day", "week", "month"])
    def test_a_year_has_no_gap_and_no_overlap(self, settings, zone, every):
        settings.TIME_ZONE = zone
        timezone.get_default_timezone.cache_clear()
        schedule, at, found = make(every=every, hour=2), utc("2026-01-01T12:00"), []
        while at < utc("2027-01-10T00:00"):
            coming = schedules.following(schedule, at=at)
            assert coming.send_at > at
            assert schedules.latest(schedule, at=coming.send_at) == coming
            found.append(coming)
            at = coming.send_at
        for one in found:
            first, after = (timezone.localtime(end).date() for end in (one.since, one.until))
            days = (after - first).days
            assert days in {"day": {1}, "week": {7}, "month": {28, 30, 31}}[every]
            assert every != "week" or first.isoweekday() == 1
            assert every != "month" or (first.day, after.day) == (1, 1)
        for one, following in pairwise(found):
            assert one.until == following.since


class TestPlanning:
    def test_a_new_schedule_begins_with_the_next_period(self):
        schedule = make(next_at=None)
        schedules.plan(at=AT)
        schedule.refresh_from_db()
        assert schedule.next_at == utc("2026-11-21T04:00")
        assert not ReportMail.objects.exists()

    def test_each_period_once(self):
        make()
        for minutes in (0, 1, 60, 600):
            schedules.plan(at=MORNING + timedelta(minutes=minutes))
        [mail] = ReportMail.objects.all()
        assert (mail.since, mail.until) == (utc("2026-11-19T21:00"), utc("2026-11-20T21:00"))

    def test_after_days_of_absence_the_latest_only(self):
        schedule = make()
        schedules.plan(at=MORNING + timedelta(days=4))
        [mail] = ReportMail.objects.all()
        assert mail.since == utc("2026-11-23T21:00")
        schedule.refresh_from_db()
        assert schedule.next_at == utc("2026-11-26T04:00")

    def test_not_what_is_not_in_use(self):
        make(is_active=False)
        schedules.plan(at=MORNING)
        assert not ReportMail.objects.exists()

    def test_what_becomes_weekly_on_the_same_day_is_sent(self):
        schedule = make()
        monday = utc("2026-11-24T04:30")
        schedules.write(schedule, schedules.latest(schedule, at=monday), at=monday)
        ReportMail.objects.update(sent_at=monday, try_at=None)
        schedule.every = "week"
        later = utc("2026-11-30T04:30")
        schedules.write(schedule, schedules.latest(schedule, at=later), at=later)
        [mail] = ReportMail.objects.all()
        assert (mail.until, mail.try_at, mail.sent_at) == (utc("2026-11-29T21:00"), later, None)


class TestSending:
    def test_table_totals_and_file(self, server, morning):
        make(query={"queue": ["support"]})
        mails.send_due(at=MORNING)
        [got] = server.got
        assert (got["To"], got["Subject"]) == ("boss@example.test", "Calls of the day: 2026-11-20")
        assert got["Auto-Submitted"] == "auto-generated"
        text = got.get_body(("plain",)).get_content()
        html = got.get_body(("html",)).get_content()
        assert "Time zone: Africa/Nairobi" in text
        for told in (text, html):
            assert "Support" in told
            assert "Sales" not in told
            assert "50.0 %" in told  # two of (5 - 1)
            assert "https://calls.example.test/reports/" in told
        [attached] = list(got.iter_attachments())
        assert attached.get_filename() == "queues_support_2026-11-20.csv"
        lines = attached.get_content().encode() if isinstance(
            attached.get_content(), str) else attached.get_content()  # fmt: skip
        assert lines.startswith(b"\xef\xbb\xbfstart,queue,")
        assert lines.count(b"\r\n") == 2

    def test_once_however_often_it_is_asked_for(self, server, morning):
        make()
        for minutes in (0, 1, 2, 300):
            mails.send_due(at=MORNING + timedelta(minutes=minutes))
        assert len(server.got) == 1
        mail = ReportMail.objects.get()
        assert (mail.sent_at, mail.try_at, mail.tries) == (MORNING, None, 1)

    def test_in_the_language_of_the_schedule(self, server, morning):
        make(language="sw")
        mails.send_due(at=MORNING)
        html = server.got[0].get_body(("html",)).get_content()
        assert '<html lang="sw">' in html

    def test_each_address_gets_its_own_and_no_one_a_second_time(self, server, morning, monkeypatch):
        make(recipients="one@example.test\ntwo@example.test, three@example.test")
        real = mails.EmailMultiAlternatives.send
        down = {"two@example.test"}

        def send(mail):
            if set(mail.to) & down:
                raise ConnectionResetError("gone")
            return real(mail)

        monkeypatch.setattr(mails.EmailMultiAlternatives, "send", send)
        mails.send_due(at=MORNING)
        mail = ReportMail.objects.get()
        assert mail.recipients_left == "two@example.test"
        assert (mail.sent_at, mail.error) == (None, "ConnectionResetError: gone")
        down.clear()
        mails.send_due(at=MORNING + timedelta(seconds=29))
        assert len(server.got) == 2
        mails.send_due(at=MORNING + timedelta(seconds=31))
        assert [got["To"] for got in server.got] == [
            "one@example.test", "three@example.test", "two@example.test"
        ]  # fmt: skip

    def test_given_up_it_is_told(self, server, morning):
        schedule = make()
        server.refuses = True
        at = MORNING
        for _ in range(8):
            mails.send_due(at=at)
            at += timedelta(hours=2, seconds=1)
        mail = ReportMail.objects.get()
        assert (mail.tries, mail.try_at, mail.sent_at) == (6, None, None)
        assert "550" in mail.error
        alert = Alert.objects.get(kind="mail")
        assert "Calls of the day" in alert.text
        assert alert.subject == f"report:{schedule.pk}"
        assert "+254711000001" not in alert.text  # the server's own words are masked

    def test_without_a_mail_server_it_is_told_at_once(self, morning):
        make()
        mails.send_due(at=MORNING)
        assert "EMAIL_URL is empty" in Alert.objects.get(kind="mail").text
        assert ReportMail.objects.get().try_at is None

    def test_what_is_too_large_is_not_attached(self, server, morning, monkeypatch):
        monkeypatch.setattr(mails, "MOST_ATTACHED", 500)
        monkeypatch.setattr(mails, "MOST_SHOWN", 2)
        make(report="calls")
        mails.send_due(at=MORNING)
        [got] = server.got
        text = got.get_body(("plain",)).get_content()
        assert list(got.iter_attachments()) == []
        assert "too large for a mail" in text
        assert "and 4 more rows" in text

    def test_a_report_that_cannot_be_made_is_tried_again(self, server, morning, monkeypatch):
        make(report="gone")
        mails.send_due(at=MORNING)
        mail = ReportMail.objects.get()
        assert (mail.error, mail.tries) == ("The report could not be made: KeyError.", 1)
        assert mail.try_at > MORNING


class TestThePage:
    def test_it_says_what_goes_out_when(self, boss, morning):
        make(next_at=utc("2026-11-21T04:00"))
        page = boss.get("/reports/schedules/").content.decode()
        assert "Sat 21 Nov 07:00" in page
        assert "boss@example.test" in page
        assert "E-mail is not set up" in page

    def test_what_could_not_be_sent_stands_there(self, boss, morning, server):
        make()
        server.refuses = True
        mails.send_due(at=MORNING)
        page = boss.get("/reports/schedules/").content.decode()
        assert "Not sent yet; tried again at" in page
        assert "no such mailbox +254***001" in page

    def test_one_now_to_oneself(self, boss, morning, server):
        schedule = make()
        reply = boss.post(f"/reports/schedules/{schedule.pk}/send/", follow=True)
        assert "Sent to sarah@example.test." in reply.content.decode()
        [got] = server.got
        assert got["To"] == "sarah@example.test"
        assert got["Subject"] == "Calls of the day: 2026-11-19"  # the latest that is due
        assert not ReportMail.objects.exists()

    @pytest.mark.parametrize("trouble", ["no address", "no server", "refused"])
    def test_what_goes_wrong_with_it_is_a_sentence(self, boss, morning, server, settings, trouble):
        schedule = make()
        if trouble == "no address":
            from django.contrib.auth.models import User

            User.objects.update(email="")
        elif trouble == "no server":
            settings.EMAIL_URL = ""
        else:
            server.refuses = True
        reply = boss.post(f"/reports/schedules/{schedule.pk}/send/", follow=True)
        told = {"no address": "has no mail address", "no server": "EMAIL_URL is empty",
                "refused": "was not taken"}[trouble]  # fmt: skip
        assert told in reply.content.decode()


class TestTheAdmin:
    def save(self, boss, **values):
        from queues.roles import set_up_roles

        set_up_roles()
        body = {"name": "Calls", "report": "queues", "query": "", "every": "day", "hour": "7",
                "recipients": "boss@example.test", "language": "en", "is_active": "on",
                **values}  # fmt: skip
        return boss.post("/admin/reporting/scheduledreport/add/", body)

    def test_filters_are_as_in_an_address(self, boss, morning):
        reply = self.save(boss, query="?queue=support&interval=day&from=2026-01-01")
        assert reply.status_code == 302, reply.context["adminform"].form.errors
        schedule = ScheduledReport.objects.get()
        assert schedule.query == {"queue": ["support"], "interval": ["day"]}
        assert schedule.next_at == utc("2026-11-21T04:00")
        page = boss.get(f"/admin/reporting/scheduledreport/{schedule.pk}/change/")
        assert "queue=support&amp;interval=day" in page.content.decode()

    @pytest.mark.parametrize(
        ("field", "typed", "told"),
        [
            ("recipients", "boss@example.test\nnobody", "nobody is no e-mail address."),
            ("query", "queue=nothing-like-it", "is not one of the choices"),
            ("query", "colour=red", "“colour” is no filter."),
            ("query", "support", "Write it like"),
            ("hour", "24", "less than or equal to 23"),
        ],
    )
    def test_what_is_wrong_stands_at_the_field(self, boss, morning, field, typed, told):
        reply = self.save(boss, **{field: typed})
        assert told in json.dumps(reply.context["adminform"].form.errors, ensure_ascii=False)
        assert list(reply.context["adminform"].form.errors) == [field]
