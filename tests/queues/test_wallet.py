"""No money: who is not dialled, who is told, and how dialling goes on."""

from datetime import timedelta

import pytest

from agents.models import Agent
from agents.refusals import Refused
from queues import alerts, dialling, outbound, provider, wallet
from queues.models import Alert, Leg, ProviderFact, QueuedCall, WebhookEvent
from queues.routing import match, why_waiting
from tests.factories import T0, make_agent, make_queue, make_waiting

from .telephone import TOKEN, Telephone, agent_leg, the_call

pytestmark = pytest.mark.django_db
URL = "https://api.sautikit.test/v1/wallet"
CONTACT = "+254733000001"


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue()


@pytest.fixture
def agent(queue):
    return make_agent(queue)


@pytest.fixture
def holds(sautikit_api):
    """`GET /v1/wallet` answers this balance from now on."""

    def answer(balance=None, *, status=200, **more):
        body = {"balance_minor": balance, "currency": "KES", **more}
        sautikit_api.upsert("GET", URL, json=body, status=status)

    return answer


@pytest.fixture
def refused(queue, agent, provider):
    """A call could not be paid for."""
    make_waiting(queue)
    match(T0)
    provider.answers_placing(402, "wallet.insufficient_funds")
    dialling.place(agent_leg().pk, at=T0)
    Leg.objects.filter(role="agent").delete()


def is_stopped(at):
    return "wallet is empty" in provider.why_not_dialling(at)


def open_alerts():
    return set(Alert.objects.filter(dismissed_at=None).values_list("kind", "subject"))


class TestStopped:
    def test_nobody_is_offered_the_caller_waits_and_is_told_why(self, refused):
        assert match(after(29)) == 0
        assert "wallet is empty" in why_waiting(the_call(), after(29))
        assert open_alerts() == {("wallet", "")}

    def test_a_refusal_has_the_wallet_looked_at(self, bells, commits):
        with commits():
            wallet.stop_dialling("402", at=T0)
        assert ("look_at_wallet",) in bells.rung

    def test_a_contact_is_not_dialled_either(self, refused, agent):
        with pytest.raises(Refused, match="wallet is empty"):
            outbound.click_to_call(agent.pk, CONTACT, queue=None, at=after(1))

    def test_legs_that_were_planned_before_are_let_go_without_asking(self, queue, provider):
        agent = make_agent(queue)
        other = make_agent(queue)
        make_waiting(queue)
        match(T0)
        outbound.click_to_call(other.pk, CONTACT, queue=None, at=T0)
        wallet.stop_dialling("402", at=T0)
        for leg in Leg.objects.filter(is_placed_by_us=True):
            dialling.place(leg.pk, at=after(0.1))
        assert provider.asked == []
        assert QueuedCall.objects.get(direction="inbound").state == "waiting"
        failed = QueuedCall.objects.get(direction="outbound")
        assert (failed.state, failed.end_reason) == ("failed", "wallet empty")
        agent.refresh_from_db()
        assert (agent.engagement, agent.strikes, agent.hold_off_until) == ("idle", 0, None)

    def test_a_leg_whose_answer_was_lost_is_still_asked_for(self, queue, agent, provider):
        make_waiting(queue)
        match(T0)
        provider.answers_placing(503)
        dialling.place(agent_leg().pk, at=T0)
        wallet.stop_dialling("402", at=T0)
        dialling.place(agent_leg().pk, at=after(1))
        assert len(provider.asked) == 2

    def test_where_the_balance_is_not_known_it_is_tried_again_after_30_s(self, refused):
        assert match(after(31)) == 1

    def test_where_it_is_known_to_be_empty_it_is_not(self, refused, holds):
        holds(0)
        wallet.look(at=after(1))
        assert match(after(300)) == 0
        assert is_stopped(after(300))


class TestGoingOn:
    def test_a_filled_wallet_starts_the_dialling_and_takes_the_alert_away(
        self, refused, holds, commits
    ):
        holds(-20)
        wallet.look(at=after(1))
        holds(50_000)
        with commits():
            wallet.look(at=after(20))  # the router is rung
        assert the_call().state == "offered"
        assert open_alerts() == set()

    def test_money_that_was_there_all_the_time_is_no_reason_to_try_at_once(self, refused, holds):
        """Too little for this call, perhaps: no loop of refusals."""
        holds(50)
        wallet.look(at=after(1))
        assert is_stopped(after(2))
        assert not is_stopped(after(31))
        assert open_alerts() == {("wallet", "")}
        wallet.look(at=after(60))  # nothing was refused since
        assert open_alerts() == set()
        assert not ProviderFact.objects.filter(pk="dialling_stopped").exists()

    def test_a_supervisor_who_dismisses_the_alert_says_that_there_is_money(
        self, refused, holds, commits
    ):
        holds(0)
        wallet.look(at=after(1))
        with commits():
            alerts.dismiss(Alert.objects.get().pk, at=after(2))
        assert the_call().state == "offered"

    def test_no_answer_about_the_wallet_changes_nothing(self, refused, holds):
        holds(0)
        wallet.look(at=after(1))
        holds(0, status=503)
        wallet.look(at=after(61))
        assert is_stopped(after(62))


class TestWatching:
    def test_below_the_providers_own_threshold_it_is_told_once_with_the_amounts(self, holds):
        holds(99_99, low_balance_threshold_minor=100_00)
        wallet.look(at=T0)
        wallet.look(at=after(60))
        [alert] = Alert.objects.all()
        assert (alert.subject, alert.count) == ("low", 1)
        assert "KES 99.99, less than KES 100.00" in alert.text

    def test_dismissed_it_is_not_told_again_until_it_was_filled(self, holds):
        holds(1, low_balance_threshold_minor=2)
        wallet.look(at=T0)
        alerts.dismiss(Alert.objects.get().pk, at=after(1))
        wallet.look(at=after(60))
        assert open_alerts() == set()
        holds(2, low_balance_threshold_minor=2)
        wallet.look(at=after(120))
        holds(1, low_balance_threshold_minor=2)
        wallet.look(at=after(180))
        assert open_alerts() == {("wallet", "low")}

    def test_filled_the_alert_is_withdrawn(self, holds):
        holds(1, low_balance_threshold_minor=2)
        wallet.look(at=T0)
        holds(200, low_balance_threshold_minor=2)
        wallet.look(at=after(60))
        assert open_alerts() == set()

    def test_our_own_threshold_beats_the_providers(self, holds, settings):
        settings.SAUTIKIT_LOW_BALANCE_MINOR = 500_00
        holds(400_00, low_balance_threshold_minor=100_00)
        wallet.look(at=T0)
        assert open_alerts() == {("wallet", "low")}

    def test_without_any_threshold_nothing_is_low(self, holds):
        holds(1)
        wallet.look(at=T0)
        assert open_alerts() == set()

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_key_without_the_scope_is_told_once_and_withdrawn_when_it_has_it(self, holds, status):
        holds(status=status)
        wallet.look(at=T0)
        wallet.look(at=after(60))
        [alert] = Alert.objects.all()
        assert (alert.subject, alert.count) == ("unreadable", 1)
        holds(5)
        wallet.look(at=after(120))
        assert open_alerts() == set()

    def test_the_board_and_the_metrics_have_the_balance(self, holds, client, time_machine):
        time_machine.move_to(after(1), tick=False)
        holds(12_345, low_balance_threshold_minor=100_00)
        wallet.look(at=T0)
        assert provider.standing(after(1))["wallet"] == {
            "balance_minor": 12_345, "currency": "KES", "threshold_minor": 10_000,
            "is_low": False, "at": T0.isoformat(),
        }  # fmt: skip
        assert "callcenter_wallet_balance_minor 12345" in client.get("/metrics").content.decode()


@pytest.mark.parametrize("kind", ["wallet.low_balance", "wallet.top_up"])
def test_an_event_about_the_wallet_makes_us_look_once(bells, commits, kind):
    """Unsigned, or with a balance of its own invention: only a hint."""
    body = {"kind": kind, "event_id": "e-1", "data": {"balance_minor": 1}}
    for _ in range(2):
        with commits():
            Telephone().post(f"/calls/events?token={TOKEN}", body, as_json=True)
    assert bells.rung == [("look_at_wallet",)]
    assert WebhookEvent.objects.get().kind == kind
    assert not ProviderFact.objects.filter(pk="wallet").exists()


def test_nobody_is_blamed_for_the_wallet(refused):
    agent = Agent.objects.get()
    assert (agent.engagement, agent.strikes, agent.hold_off_until) == ("idle", 0, None)
