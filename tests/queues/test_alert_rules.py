"""Alert rules: what a sweep finds in the rows, and who is told of an alert."""

from datetime import timedelta

import pytest

from agents.models import Presence
from callcenter.outbox import signature
from callcenter.outbox.models import Endpoint, Message
from queues import alert_rules, alerts
from queues.models import Alert, AlertMail, AlertRule
from reporting import metrics
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def mail(settings):
    AlertRule.objects.all().delete()  # the two that every centre begins with
    settings.EMAIL_URL = "smtp://mail.example.test"


def rule(kind="wallet", **values):
    return AlertRule.objects.create(kind=kind, **values)


def later(seconds):
    return T0 + timedelta(seconds=seconds)


def open_alerts():
    return list(
        Alert.objects.filter(dismissed_at=None).order_by("pk").values_list("kind", "subject")
    )


def mailed():
    return sorted(AlertMail.objects.values_list("address", flat=True))


class TestWhoIsTold:
    def test_every_address_of_the_rules_of_its_kind_once(self, bells, commits):
        rule(emails="a@example.test\nb@example.test")
        rule(emails="b@example.test, c@example.test")
        rule("provider", emails="d@example.test")
        rule(emails="e@example.test", is_active=False)
        with commits():
            alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
        assert mailed() == ["a@example.test", "b@example.test", "c@example.test"]
        assert set(AlertMail.objects.values_list("send_at", "sent_at")) == {(T0, None)}
        assert bells.of("mail") == [None]

    def test_counted_up_nobody_is_told_again_and_raised_anew_all_are(self):
        Endpoint.objects.create(
            url="https://crm.example.test/", description="CRM", topics=["alert.raised"],
            secrets=[signature.new_secret()],
        )  # fmt: skip
        rule(emails="a@example.test", by_webhook=True)
        for _ in range(3):
            alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
        assert (len(mailed()), Message.objects.count()) == (1, 1)
        alerts.withdraw("wallet", "", at=T0)
        alerts.raise_alert("wallet", "", "The wallet is empty.", at=later(60))
        assert len(mailed()) == 2

    def test_of_a_queue_those_of_that_queue_and_of_all(self):
        support, sales = make_queue(), make_queue("sales", number=None)
        rule("nobody_available", queue=support, emails="support@example.test")
        rule("nobody_available", queue=sales, emails="sales@example.test")
        rule("nobody_available", emails="all@example.test")
        alerts.raise_alert("nobody_available", "support", "…", at=T0, queue_pk=support.pk)
        assert mailed() == ["all@example.test", "support@example.test"]

    def test_what_has_no_kind_of_its_own_is_for_the_rules_of_all_others(self):
        rule("other", emails="a@example.test")
        alerts.raise_alert("unknown_number", "+254", "…", at=T0)
        assert mailed() == ["a@example.test"]

    def test_that_mails_do_not_arrive_is_told_by_no_mail(self):
        rule("other", emails="a@example.test")
        alerts.raise_alert("mail", "a@example.test", "…", at=T0)
        assert mailed() == []

    def test_without_a_mail_server_the_mail_says_so_and_is_not_tried(self, settings):
        settings.EMAIL_URL = ""
        rule(emails="a@example.test")
        alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
        row = AlertMail.objects.get()
        assert (row.send_at, row.error) == (None, "E-mail is not set up: EMAIL_URL is empty.")

    def test_by_webhook_in_the_same_transaction(self):
        support = make_queue()
        Endpoint.objects.create(
            url="https://crm.example.test/", description="CRM", topics=["alert.raised"],
            secrets=[signature.new_secret()],
        )  # fmt: skip
        rule("nobody_available", by_webhook=True)
        rule("wallet")
        alerts.raise_alert("nobody_available", "support", "Nobody.", at=T0, queue_pk=support.pk)
        alerts.raise_alert("wallet", "", "Empty.", at=T0)
        message = Message.objects.get()
        assert message.topic == "alert.raised"
        assert message.payload == {
            "id": Alert.objects.get(kind="nobody_available").pk, "kind": "nobody_available",
            "subject": "support", "text": "Nobody.", "queue": "support",
            "raised_at": "2026-11-20T11:00:00+03:00",
        }  # fmt: skip


class TestLongestWait:
    def test_from_the_seconds_of_the_rule_on(self):
        queue = make_queue(name="Support")
        make_agent(queue)
        make_waiting(queue)
        rule("longest_wait", threshold=120)
        alert_rules.look_at_the_line(at=later(119))
        assert open_alerts() == []
        alert_rules.look_at_the_line(at=later(120))
        alert = Alert.objects.get()
        assert alert.text == "Support: a caller has been waiting for more than 120 seconds."
        assert (alert.subject, alert.count) == ("support:120", 1)

    def test_of_its_queue_only(self):
        support, sales = make_queue(), make_queue("sales", number=None)
        make_waiting(support), make_waiting(sales)
        rule("longest_wait", threshold=120, queue=sales)
        alert_rules.look_at_the_line(at=later(500))
        assert open_alerts() == [("longest_wait", "sales:120")]

    def test_each_rule_tells_its_own_people_at_its_own_time(self):
        make_waiting(make_queue())
        rule("longest_wait", threshold=60)
        rule("longest_wait", threshold=300, emails="manager@example.test")
        alert_rules.look_at_the_line(at=later(100))
        assert (open_alerts(), mailed()) == ([("longest_wait", "support:60")], [])
        alert_rules.look_at_the_line(at=later(300))
        assert mailed() == ["manager@example.test"]

    def test_while_it_lasts_it_is_one_alert_counted_once(self, django_assert_num_queries):
        make_waiting(make_queue())
        rule("longest_wait", threshold=120, emails="a@example.test")
        alert_rules.look_at_the_line(at=later(120))
        for n in range(5):
            with django_assert_num_queries(2):
                alert_rules.look_at_the_line(at=later(125 + 5 * n))
        assert Alert.objects.get().count == 1
        assert len(mailed()) == 1

    def test_dismissed_by_a_supervisor_it_stays_away_until_it_was_over(self):
        call = make_waiting(make_queue())
        rule("longest_wait", threshold=120, emails="a@example.test")
        alert_rules.look_at_the_line(at=later(120))
        alerts.dismiss(Alert.objects.get().pk, at=later(121), actor=make_supervisor())
        alert_rules.look_at_the_line(at=later(125))
        assert (open_alerts(), Alert.objects.count()) == ([], 1)
        type(call).objects.filter(pk=call.pk).update(
            state="abandoned", abandoned_in="queue", ended_at=later(130), offerable_from=None
        )
        alert_rules.look_at_the_line(at=later(130))
        make_waiting(call.queue, arrived_at=later(600))
        alert_rules.look_at_the_line(at=later(800))
        assert open_alerts() == [("longest_wait", "support:120")]
        assert len(mailed()) == 2

    def test_withdrawn_when_it_is_over_and_back_as_the_same_if_that_was_soon(self):
        queue = make_queue()
        call = make_waiting(queue)
        rule("longest_wait", threshold=120, emails="a@example.test")
        alert_rules.look_at_the_line(at=later(120))
        type(call).objects.filter(pk=call.pk).update(
            state="abandoned", abandoned_in="queue", ended_at=later(130), offerable_from=None
        )
        alert_rules.look_at_the_line(at=later(130))
        alert = Alert.objects.get()
        assert (alert.over_at, alert.dismissed_at, alert.dismissed_by) == (
            later(130), later(130), None,
        )  # fmt: skip
        make_waiting(queue, arrived_at=later(60))
        alert_rules.look_at_the_line(at=later(200))
        alert = Alert.objects.get()
        assert (alert.over_at, alert.dismissed_at, alert.count) == (None, None, 2)
        assert len(mailed()) == 1

    def test_a_rule_that_is_switched_off_takes_its_alert_along(self):
        make_waiting(make_queue())
        made = rule("longest_wait", threshold=120)
        alert_rules.look_at_the_line(at=later(120))
        AlertRule.objects.filter(pk=made.pk).update(is_active=False)
        alert_rules.look_at_the_line(at=later(125))
        assert open_alerts() == []


class TestNobodyAvailable:
    def test_callers_wait_and_all_are_on_break_or_offline(self):
        queue = make_queue(name="Support")
        make_agent(queue, presence=Presence.OFFLINE)
        make_agent(queue, presence=Presence.BREAK, presence_reason="Lunch")
        make_agent()  # of no queue
        rule("nobody_available")
        rule("nobody_available", threshold=5)  # which means nothing here
        alert_rules.look_at_the_line(at=T0)
        assert open_alerts() == []
        make_waiting(queue)
        alert_rules.look_at_the_line(at=later(1))
        alert = Alert.objects.get()
        assert alert.text == "Support: callers wait, and none of its agents is available."
        make_agent(queue)
        alert_rules.look_at_the_line(at=later(2))
        assert open_alerts() == []


class TestServiceLevel:
    def day(self, queue, *, in_time, late, short=0):
        for n in range(in_time + late):
            at = T0 + n * MINUTE
            waited = timedelta(seconds=20 if n < in_time else 21)
            self.ended(queue, at, state="completed", connected_at=at + waited)
        for n in range(short):
            self.ended(queue, T0 + n * MINUTE, state="abandoned", abandoned_in="queue", after=4)

    def ended(self, queue, at, *, after=60, **values):
        agent = {"agent": make_agent()} if values["state"] == "completed" else {}
        return make_waiting(
            queue, arrived_at=at, ended_at=at + timedelta(seconds=after), offerable_from=None,
            **agent, **values,
        )  # fmt: skip

    def look(self):
        alert_rules.look_at_the_service_level(at=T0 + timedelta(hours=1))
        return open_alerts()

    def test_under_the_threshold_with_ten_calls_offered(self):
        queue = make_queue(name="Support", service_level_seconds=20)
        rule("service_level", threshold=80)
        self.day(queue, in_time=7, late=2)
        assert self.look() == []  # 7 of 9 are 78 percent, of too few
        self.day(queue, in_time=0, late=1)
        assert self.look() == [("service_level", "support:80")]
        assert Alert.objects.get().text == (
            "Support: 70 percent of today's callers were answered in time; the rule says 80."
        )

    def test_it_is_the_figure_of_the_board_without_the_short_abandons(self):
        queue = make_queue(service_level_seconds=20)
        rule("service_level", threshold=80)
        self.day(queue, in_time=8, late=2, short=3)  # 8 of 10
        day = (T0.replace(hour=0), T0.replace(hour=23))
        assert metrics.queue_rows(*day)[0]["service_level"] == 0.8
        assert self.look() == []

    def test_it_is_over_two_percent_above(self):
        queue = make_queue(service_level_seconds=20)
        rule("service_level", threshold=80)
        self.day(queue, in_time=7, late=3)
        assert len(self.look()) == 1
        self.day(queue, in_time=6, late=0)  # 13 of 16: 81.25
        assert len(self.look()) == 1
        self.day(queue, in_time=1, late=0)  # 14 of 17: 82.4
        assert self.look() == []
