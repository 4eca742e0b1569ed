"""The admin: every page opens quickly, evidence cannot be edited, live state only by actions."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent, BreakReason, PresencePeriod
from queues import alerts, calls
from queues.models import (
    Alert,
    AlertRule,
    CallEvent,
    Contact,
    Disposition,
    Leg,
    Menu,
    Offer,
    ProviderFact,
    Queue,
    QueuedCall,
    WebhookEvent,
)
from queues.routing import match
from queues.scene import scene
from reporting.models import AuditRun, CallRecord
from tests.factories import LINE, T0, make_agent, make_menu, make_queue, make_supervisor
from tests.factories import make_waiting as make_call
from tests.one_of_each import make_row

pytestmark = pytest.mark.django_db
OURS = [
    model for model in admin.site._registry
    if model._meta.app_label in {"agents", "queues", "reporting"}
    and not model.__name__.startswith("Historical")
]  # fmt: skip
SETUP = [Agent, BreakReason, Queue, Menu, Contact, Disposition, AlertRule]
EVIDENCE = [QueuedCall, WebhookEvent, CallRecord, Alert]
AT_MOST = 30


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def supervisor(roles):
    return signed_in(make_supervisor())


@pytest.fixture
def roles():
    from queues.roles import set_up_roles

    set_up_roles()


@pytest.fixture
def centre():
    """Some of everything: a queue with a menu, agents, served and waiting calls, evidence."""
    queue = make_queue()
    make_menu(("1", queue))
    for n in range(8):
        make_agent(queue)
        make_call(queue, arrived_at=T0 - timedelta(seconds=n))
    match(T0)
    for call in QueuedCall.objects.all()[:4]:
        with scene(call.pk, at=T0, source="test") as opened:
            calls.connect(opened, at=T0)
    for n, call in enumerate(QueuedCall.objects.all()):
        leg = call.legs.first()
        CallRecord.objects.create(leg=leg, call=call, session_id=f"r{n}", status="answered",
                                  started_at=T0, first_seen_at=T0, changed_at=T0)  # fmt: skip
        WebhookEvent.objects.create(key=str(n), endpoint="inbound", verdict="trusted", call=call)
    alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
    ProviderFact.objects.create(name="call_schema", value="sdk", at=T0)
    AuditRun.objects.create(
        started_at=T0, ended_at=T0, calls=9, not_recountable=0, disagreements=1, lines=["a line"]
    )
    return queue


class TestPages:
    @pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
    def test_the_list_opens_within_its_ceiling(
        self, supervisor, centre, model, django_assert_max_num_queries
    ):
        with django_assert_max_num_queries(AT_MOST):
            reply = supervisor.get(url(model, "changelist"))
        assert reply.status_code == 200

    @pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
    def test_a_row_opens_within_its_ceiling(
        self, supervisor, centre, model, django_assert_max_num_queries
    ):
        row = model.objects.first() or make_row(model._meta.label, centre)
        with django_assert_max_num_queries(AT_MOST):
            reply = supervisor.get(url(model, "change", row.pk))
        assert reply.status_code == 200

    @pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
    def test_searching_and_filtering_is_no_error(self, supervisor, centre, model):
        assert supervisor.get(url(model, "changelist"), {"q": "support"}).status_code == 200
        assert supervisor.get(url(model, "changelist"), {"q": "%_'\""}).status_code == 200

    @pytest.mark.parametrize("model", SETUP)
    def test_the_page_for_a_new_one_opens(self, supervisor, model):
        assert supervisor.get(url(model, "add")).status_code == 200

    def test_the_front_page_opens(self, supervisor):
        assert supervisor.get(reverse("admin:index")).status_code == 200


class TestEvidence:
    @pytest.mark.parametrize("model", EVIDENCE)
    def test_it_can_be_neither_added_nor_changed_nor_deleted(self, centre, model):
        root = signed_in(User.objects.create_superuser("root"))
        row = model.objects.first()
        assert root.get(url(model, "add")).status_code == 403
        assert root.post(url(model, "change", row.pk), {}).status_code == 403
        assert root.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        assert model.objects.filter(pk=row.pk).exists()

    def test_the_bulk_action_deletes_no_evidence(self, centre):
        root = signed_in(User.objects.create_superuser("root"))
        body = {"action": "delete_selected", "_selected_action": [QueuedCall.objects.first().pk],
                "post": "yes"}  # fmt: skip
        root.post(url(QueuedCall, "changelist"), body)
        assert QueuedCall.objects.count() == 8

    def test_a_calls_page_tells_its_timeline(self, supervisor, centre):
        call = QueuedCall.objects.filter(state="connected").first()
        page = supervisor.get(url(QueuedCall, "change", call.pk)).content.decode()
        assert "offered" in page
        assert "connected" in page


class TestSetup:
    def form(self, client, model, row):
        """The fields of a change page as a browser would send them back."""
        page = client.get(url(model, "change", row.pk))
        data = {}
        context = page.context["adminform"].form
        for name, field in context.fields.items():
            value = context.get_initial_for_field(field, name)
            if value is True:
                data[name] = "on"
            elif value is not None and value is not False:
                data[name] = getattr(value, "pk", value)
        for inline in page.context["inline_admin_formsets"]:
            formset = inline.formset
            for part in (formset.management_form, *formset.forms):
                for name, field in part.fields.items():
                    value = part.get_initial_for_field(field, name)
                    if value is None and getattr(part, "instance", None):
                        value = getattr(part.instance, name, None)
                    if value is not None:
                        data[part.add_prefix(name)] = getattr(value, "pk", value)
        return data

    def test_a_supervisor_changes_a_queue(self, supervisor):
        queue = make_queue()
        body = {**self.form(supervisor, Queue, queue), "ring_timeout": "25"}
        assert supervisor.post(url(Queue, "change", queue.pk), body).status_code == 302
        queue.refresh_from_db()
        assert queue.ring_timeout == 25

    @pytest.mark.parametrize(
        ("field", "value"),
        [("ring_timeout", "0"), ("language", "not a language"), ("slug", "two words"),
         ("greeting", "https://cdn.example.test/two words.mp3")],
    )  # fmt: skip
    def test_what_is_wrong_is_told_at_its_field(self, supervisor, field, value):
        queue = make_queue()
        body = {**self.form(supervisor, Queue, queue), field: value}
        reply = supervisor.post(url(Queue, "change", queue.pk), body)
        assert reply.status_code == 200
        assert list(reply.context["adminform"].form.errors) == [field]

    def test_a_number_is_stored_in_one_form_and_not_on_two_queues(self, supervisor):
        make_queue("sales", number="+254200000102")
        queue = make_queue()
        body = self.form(supervisor, Queue, queue)
        reply = supervisor.post(
            url(Queue, "change", queue.pk), {**body, "numbers-0-e164": "0200 000 103"}
        )
        assert reply.status_code == 302
        assert queue.numbers.get().e164 == "+254200000103"
        body = self.form(supervisor, Queue, queue)
        reply = supervisor.post(
            url(Queue, "change", queue.pk), {**body, "numbers-0-e164": "+254200000102"}
        )
        assert b"in use on another queue or menu" in reply.content

    def test_a_number_under_a_live_call_stays(self, supervisor):
        queue = make_queue()
        make_call(queue)
        body = {**self.form(supervisor, Queue, queue), "numbers-0-e164": "+254200000103"}
        reply = supervisor.post(url(Queue, "change", queue.pk), body)
        assert reply.status_code == 200
        assert queue.numbers.get().e164 == LINE

    def test_two_agents_with_one_destination_are_refused_at_the_field(self, supervisor):
        make_agent(destination="+254711000001")
        other = make_agent(destination="+254711000002")
        body = {**self.form(supervisor, Agent, other), "destination": "0711000001"}
        reply = supervisor.post(url(Agent, "change", other.pk), body)
        assert b"Another agent already has this destination" in reply.content
        other.refresh_from_db()
        assert other.destination == "+254711000002"

    def test_two_queues_with_one_slug_are_refused_at_the_field(self, supervisor):
        make_queue("sales", number=None)
        other = make_queue()
        body = {**self.form(supervisor, Queue, other), "slug": "sales"}
        reply = supervisor.post(url(Queue, "change", other.pk), body)
        assert b"Another queue already has this slug" in reply.content

    def test_what_an_agent_is_doing_cannot_be_edited(self, supervisor):
        agent = make_agent()
        body = {**self.form(supervisor, Agent, agent), "engagement": "on_call",
                "presence": "offline"}  # fmt: skip
        supervisor.post(url(Agent, "change", agent.pk), body)
        agent.refresh_from_db()
        assert (agent.engagement, agent.presence) == ("idle", "available")

    def test_the_destination_under_a_live_call_cannot_be_edited(self, supervisor):
        agent = make_agent(make_queue(), destination="+254711000001")
        make_call(Queue.objects.get())
        match(T0)
        body = {**self.form(supervisor, Agent, agent), "destination": "+254711000002"}
        supervisor.post(url(Agent, "change", agent.pk), body)
        agent.refresh_from_db()
        assert agent.destination == "+254711000001"

    @pytest.mark.parametrize("model", [Queue, Agent])
    def test_one_with_calls_cannot_be_deleted_here(self, centre, model):
        root = signed_in(User.objects.create_superuser("root"))
        row = model.objects.first()
        assert root.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        body = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        root.post(url(model, "changelist"), body)
        assert model.objects.filter(pk=row.pk).exists()


class TestActions:
    def act(self, client, model, action, *rows):
        body = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
        reply = client.post(url(model, "changelist"), body, follow=True)
        assert reply.status_code == 200
        return reply.content.decode()

    @pytest.mark.parametrize(
        ("action", "presence"),
        [("make_available", "available"), ("send_on_break", "break"), ("sign_out", "offline")],
    )
    def test_presence_is_set_by_the_domain_with_its_history(self, supervisor, action, presence):
        agents = [make_agent(presence="offline"), make_agent(presence="available")]
        page = self.act(supervisor, Agent, action, *agents)
        assert f"2 agents are now {presence}." in page
        assert set(Agent.objects.values_list("presence", flat=True)) == {presence}
        told = PresencePeriod.objects.exclude(cause="test")
        assert {(p.cause, p.actor.username) for p in told} == {("admin", "sarah")}

    def test_a_wrap_up_is_ended(self, supervisor):
        busy = make_agent(engagement="wrap_up", wrap_up_until=T0 + timedelta(days=400))
        page = self.act(supervisor, Agent, "end_wrap_up", busy, make_agent())
        assert "1 of 2 were in wrap-up." in page
        busy.refresh_from_db()
        assert busy.engagement == "idle"

    def test_a_live_call_is_hung_up_and_a_past_one_left_alone(self, supervisor, centre):
        talking = QueuedCall.objects.filter(state="connected").first()
        past = make_call(centre, state="abandoned", abandoned_in="queue", ended_at=T0)
        page = self.act(supervisor, QueuedCall, "hang_up", talking, past)
        assert "1 of 2 calls are being hung up." in page
        assert not Leg.objects.filter(call=talking, hang_up_at=None).exists()
        talking.refresh_from_db()
        assert talking.state == "completed"
        assert CallEvent.objects.get(kind="hung_up_by_supervisor").detail == {"by": "sarah"}
        assert not Leg.objects.filter(call=past, hang_up_at__isnull=False).exists()

    def test_a_waiting_call_that_is_hung_up_ends_by_its_own_word(self, supervisor, centre):
        waiting = make_call(centre)
        self.act(supervisor, QueuedCall, "hang_up", waiting)
        assert Leg.objects.get(call=waiting).hang_up_at
        waiting.refresh_from_db()
        assert waiting.state == "waiting"  # until the provider says that the leg has ended

    def test_an_alert_is_dismissed(self, supervisor, centre):
        self.act(supervisor, Alert, "dismiss", Alert.objects.get())
        assert Alert.objects.get().dismissed_at


class TestRoles:
    def test_an_agent_gets_no_admin(self, centre):
        client = signed_in(Agent.objects.first().user)
        for model in OURS:
            assert client.get(url(model, "changelist")).status_code in {302, 403}

    def test_a_supervisor_touches_neither_accounts_nor_groups(self, supervisor):
        for name in ("auth_user", "auth_group"):
            assert supervisor.get(reverse(f"admin:{name}_changelist")).status_code == 403
            assert supervisor.get(reverse(f"admin:{name}_add")).status_code == 403

    def test_an_administrator_does(self):
        root = signed_in(User.objects.create_superuser("root"))
        for name in ("auth_user", "auth_group"):
            assert root.get(reverse(f"admin:{name}_changelist")).status_code == 200
            assert root.get(reverse(f"admin:{name}_add")).status_code == 200

    def test_a_supervisor_deletes_no_fact_and_an_administrator_may(self, supervisor, centre):
        fact = ProviderFact.objects.get()
        body = {"post": "yes"}
        assert supervisor.post(url(ProviderFact, "delete", fact.pk), body).status_code == 403
        root = signed_in(User.objects.create_superuser("root"))
        assert root.post(url(ProviderFact, "delete", fact.pk), body).status_code == 302

    def test_nothing_of_the_offers_can_be_added(self, centre):
        assert Offer not in admin.site._registry
        assert Leg not in admin.site._registry
