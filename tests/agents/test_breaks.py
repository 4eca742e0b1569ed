"""Break reasons: what a break of a known reason keeps, and what is told when it lasts too long."""

from datetime import timedelta

import pytest
from django.db import connection

from agents import breaks, presence
from agents.models import BreakReason, PresencePeriod
from callcenter import bell
from queues import alerts, sweeping
from queues.models import Alert
from tests.factories import T0, make_agent, make_supervisor

pytestmark = pytest.mark.django_db


def after(minutes):
    return T0 + timedelta(minutes=minutes)


@pytest.fixture
def lunch():
    return BreakReason.objects.create(name="Lunch", is_paid=False, limit_minutes=45)


def on_break(reason="Lunch", **agent):
    made = make_agent(presence="offline", **agent)
    presence.change(made.pk, "break", at=T0, cause="page", reason=reason)
    return made, PresencePeriod.objects.get(agent=made, ended_at=None)


class TestAKnownReason:
    @pytest.mark.parametrize("written", ["Lunch", "lunch"])
    def test_the_period_keeps_whether_it_is_paid_and_its_limit(self, lunch, written):
        _, period = on_break(written)
        assert (period.is_paid, period.limit_at) == (False, after(45))

    def test_a_reason_without_a_limit_has_none(self):
        BreakReason.objects.create(name="Training")
        _, period = on_break("Training")
        assert (period.is_paid, period.limit_at) == (True, None)

    @pytest.mark.parametrize("active", [True, False])
    def test_of_a_reason_that_nobody_has_set_up_nothing_is_known(self, lunch, active):
        BreakReason.objects.update(is_active=active)
        _, period = on_break("Dentist" if active else "Lunch")
        assert (period.is_paid, period.limit_at) == (None, None)

    def test_what_is_set_up_later_changes_no_break_that_is_on(self, lunch):
        _, period = on_break()
        BreakReason.objects.update(is_paid=True, limit_minutes=5)
        period.refresh_from_db()
        assert (period.is_paid, period.limit_at) == (False, after(45))

    def test_available_has_neither(self, lunch):
        agent, _ = on_break()
        presence.change(agent.pk, "available", at=after(1), cause="page", reason="Lunch")
        period = PresencePeriod.objects.get(agent=agent, ended_at=None)
        assert (period.is_paid, period.limit_at) == (None, None)
        assert breaks.current(agent.pk) is None

    def test_the_reasons_in_use_are_in_their_order(self, lunch):
        BreakReason.objects.create(name="Training", position=2)
        BreakReason.objects.create(name="Away", position=1)
        BreakReason.objects.create(name="Old", is_active=False)
        assert [reason.name for reason in breaks.reasons()] == ["Lunch", "Away", "Training"]


class TestABreakOverItsLimit:
    def test_it_is_told_once_with_name_and_limit(self, lunch):
        on_break(username="amina")
        sweeping.sweep(at=after(44.9))
        assert not Alert.objects.exists()
        sweeping.sweep(at=after(45))
        sweeping.sweep(at=after(46))
        alert = Alert.objects.get()
        assert (alert.kind, alert.count) == ("break_over", 1)
        assert alert.text == "Amina has been on break for longer than 45 min (Lunch)."

    def test_the_agents_page_is_told_too(
        self, lunch, monkeypatch, django_capture_on_commit_callbacks
    ):
        rung = []
        monkeypatch.setitem(bell._answers, "desk", rung.append)
        agent, _ = on_break()
        connection.run_on_commit = []  # of the beginning of the break
        with django_capture_on_commit_callbacks(execute=True):
            sweeping.sweep(at=after(45))
        assert rung == [agent.pk]

    def test_dismissed_it_does_not_come_back_for_the_same_break(self, lunch):
        on_break()
        sweeping.sweep(at=after(45))
        alerts.dismiss(Alert.objects.get().pk, at=after(46), actor=make_supervisor())
        sweeping.sweep(at=after(47))
        assert not Alert.objects.filter(dismissed_at=None).exists()

    def test_it_goes_when_the_break_ends_and_the_next_break_has_its_own(self, lunch):
        agent, _ = on_break()
        sweeping.sweep(at=after(45))
        presence.change(agent.pk, "available", at=after(50), cause="page")
        sweeping.sweep(at=after(50))
        assert Alert.objects.get().dismissed_at == after(50)
        presence.change(agent.pk, "break", at=after(60), cause="page", reason="Lunch")
        sweeping.sweep(at=after(105))
        assert Alert.objects.filter(dismissed_at=None).count() == 1

    def test_two_on_break_are_two_alerts(self, lunch):
        on_break()
        on_break()
        sweeping.sweep(at=after(45))
        assert Alert.objects.count() == 2

    def test_once_told_the_sweep_takes_one_statement_again(self, lunch, django_assert_num_queries):
        on_break()
        sweeping.sweep(at=after(45))
        with django_assert_num_queries(1):
            sweeping.sweep(at=after(46))

    def test_alerts_of_other_kinds_stay_whatever_their_subject(self, lunch):
        alerts.raise_alert("provider", "no number", "Sautikit is away.", at=T0)
        on_break()
        sweeping.sweep(at=after(45))
        assert Alert.objects.filter(kind="provider", dismissed_at=None).exists()
