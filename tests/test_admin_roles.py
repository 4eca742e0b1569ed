"""The admin, page by page and action by action: who may do what.

Everything that the admin's registry has stands in the table; what is missing from it fails.
"""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse
from rest_framework.authtoken.models import Token

from agents.models import Agent
from queues import alerts
from queues.models import Menu, ProviderFact, Queue, QueuedCall, WebhookEvent
from queues.roles import set_up_roles
from reporting import wall_links
from reporting.models import CallRecord
from tests.factories import T0, make_agent, make_menu, make_queue, make_supervisor, make_waiting
from tests.one_of_each import make_row

pytestmark = pytest.mark.django_db
PAGES = ("view", "add", "change", "delete", "history")
# By model: what a supervisor may open; what an administrator may; and the actions of each.
SETUP = "view add change delete history"
SEEN = "view history"
TABLE = {
    "agents.Agent": (SETUP, SETUP),
    "queues.Queue": (SETUP, SETUP),
    "queues.Menu": (SETUP, SETUP),
    "agents.BreakReason": (SETUP, SETUP),
    "queues.Contact": (SETUP, SETUP),
    "queues.Disposition": (SETUP, SETUP),
    "queues.AlertRule": (SETUP, SETUP),
    "agents.Notice": (SEEN, SEEN),
    "queues.Recording": (SEEN, SEEN),
    "queues.Supervision": (SEEN, SEEN),
    "queues.WrapUp": (SEEN, SEEN),
    "queues.AlertMail": (SEEN, SEEN),
    "queues.QueuedCall": (SEEN, SEEN),
    "queues.WebhookEvent": (SEEN, SEEN),
    "queues.Alert": (SEEN, SEEN),
    "reporting.CallRecord": (SEEN, SEEN),
    "queues.ProviderFact": (SEEN, "view delete history"),
    "auth.User": ("", SETUP),
    "auth.Group": ("", SETUP),
    "authtoken.TokenProxy": ("", SETUP),
    "agents.HistoricalToken": ("", SEEN),
    "reporting.AuditRun": (SEEN, SEEN),
    "reporting.ScheduledReport": (SETUP, SETUP),
    "reporting.ReportMail": (SEEN, SEEN),
    "reporting.Export": (SEEN, SEEN),
    "reporting.Download": (SEEN, SEEN),
    "reporting.WallLink": (SEEN, SEEN),
    # messages to the shop's own systems: set up by administrators, for they hold secrets
    "outbox.Endpoint": (SEEN, SETUP),
    "outbox.Message": (SEEN, SEEN),
    "outbox.Delivery": (SEEN, SEEN),
}
PRESENCE = {"make_available", "send_on_break", "sign_out", "end_wrap_up", "let_sign_in"}
ACTIONS = {  # (a supervisor's, an administrator's)
    "agents.Agent": (PRESENCE | {"delete_selected"}, PRESENCE | {"delete_selected"}),
    "queues.QueuedCall": ({"hang_up"}, {"hang_up"}),
    "queues.Alert": ({"dismiss"}, {"dismiss"}),
    "reporting.WallLink": ({"revoke"}, {"revoke"}),
    "queues.AlertRule": (
        {"send_a_test", "delete_selected"},
        {"send_a_test", "delete_selected"},
    ),
    "queues.ProviderFact": (set(), {"delete_selected"}),
    "auth.User": (set(), {"let_sign_in", "remove_second_factor", "delete_selected"}),
    "outbox.Endpoint": (
        set(),
        {"send_a_test", "show_secrets", "add_secret", "drop_secret", "replay", "delete_selected"},
    ),
    "outbox.Delivery": (set(), {"redeliver"}),
    "authtoken.TokenProxy": (set(), set()),
}
SHEETS = ["agents.Agent", "queues.Contact"]  # imported and exported
SITE = {  # pages of the admin that belong to no model, all for staff
    "search", "index", "login", "logout", "password_change", "password_change_done",
    "autocomplete", "jsi18n", "view_on_site", "app_list", None,
}  # fmt: skip
MODELS: dict[str, Any] = {model._meta.label: model for model in admin.site._registry}


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def people():
    set_up_roles()
    clerk = User.objects.create_user("clerk", is_staff=True)  # staff, and in no group
    return {
        "nobody": None,
        "agent": make_agent(username="amina").user,
        "clerk": clerk,
        "supervisor": make_supervisor(),
        "administrator": User.objects.create_superuser("root"),
    }


def row_of(label: str):
    """A row of a model, made where none is there."""
    model = MODELS[label]
    if model.objects.exists():
        return model.objects.first()
    queue = Queue.objects.first() or make_queue()
    if made := make_row(label, queue):
        return made
    if label == "queues.Menu":
        make_menu(("1", queue))
    elif label == "queues.QueuedCall":
        make_waiting(queue)
    elif label == "queues.WebhookEvent":
        WebhookEvent.objects.create(key="1", endpoint="inbound", verdict="trusted")
    elif label == "queues.Alert":
        alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
    elif label == "queues.ProviderFact":
        ProviderFact.objects.create(name="call_schema", value="sdk", at=T0)
    elif label == "reporting.CallRecord":
        CallRecord.objects.create(session_id="r", status="answered", started_at=T0,
                                  first_seen_at=T0, changed_at=T0)  # fmt: skip
    elif label == "reporting.WallLink":
        wall_links.make("Reception", [], at=T0, user=None)
    elif label in {"authtoken.TokenProxy", "agents.HistoricalToken"}:
        Token.objects.create(user=User.objects.get(username="root"))
    return model.objects.first()


def client_of(user) -> Client:
    client = Client()
    if user:
        client.force_login(user)
    return client


def opens(client: Client, label: str, page: str) -> bool:
    """Whether a page is shown. What may only be seen has its form without a way to save."""
    model, row = MODELS[label], row_of(label)
    if page == "view":
        return client.get(url(model, "changelist")).status_code == 200
    if page == "add":
        return client.get(url(model, "add")).status_code == 200
    if row is None:
        pytest.skip(f"no row of {label} can be made here")
    if page == "change":  # 403 before the form is looked at, or a form that is not valid
        return client.post(url(model, "change", row.pk), {"nothing": "1"}).status_code == 200
    return client.get(url(model, page, row.pk)).status_code == 200


def test_the_table_has_every_model_and_no_other():
    assert sorted(TABLE) == sorted(MODELS)


def test_the_admin_has_no_page_that_is_not_known_here():
    assert {pattern.name for pattern in admin.site.urls[0] if hasattr(pattern, "name")} == SITE
    for label, model in MODELS.items():
        stem = f"{model._meta.app_label}_{model._meta.model_name}_"
        names = {pattern.name for pattern in admin.site._registry[model].get_urls()}
        known = {stem + page for page in ("changelist", "add", "change", "delete", "history")}
        extra = {"auth_user_password_change"} if label == "auth.User" else set()
        if hasattr(admin.site._registry[model], "undo_view"):
            extra |= {stem + "undo"}
        if label in SHEETS:
            extra |= {stem + "import", stem + "process_import", stem + "export"}
        assert names == known | extra | {None}, label


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("label", sorted(TABLE))
def test_a_page_is_for_the_roles_that_the_table_names(people, label, page):
    row_of(label)
    may = {"supervisor": TABLE[label][0].split(), "administrator": TABLE[label][1].split()}
    for role, user in people.items():
        assert opens(client_of(user), label, page) == (page in may.get(role, [])), role


@pytest.mark.parametrize("label", SHEETS)
def test_a_sheet_is_for_who_may_change_the_rows(people, label):
    row_of(label)
    for page in ("import", "export", "process_import"):
        for role, user in people.items():
            may = role in {"supervisor", "administrator"}
            ask = client_of(user).post if page == "process_import" else client_of(user).get
            reply = ask(url(MODELS[label], page))
            assert (reply.status_code == 200) == may, (page, role, reply.status_code)


@pytest.mark.parametrize("label", sorted(TABLE))
def test_only_who_may_change_a_row_may_undo_its_changes(people, label):
    page = admin.site._registry[MODELS[label]]
    if not hasattr(page, "undo_view") or (row := row_of(label)) is None:
        return
    may = {"supervisor": TABLE[label][0].split(), "administrator": TABLE[label][1].split()}
    for role, user in people.items():
        reply = client_of(user).post(url(MODELS[label], "undo", row.pk), {"change": "x:1"})
        allowed = page.can_undo and "change" in may.get(role, [])
        assert (reply.status_code == 404) == allowed, (role, reply.status_code)


@pytest.mark.parametrize("label", sorted(TABLE))
def test_an_action_is_for_the_roles_that_the_table_names(people, label):
    default = {"delete_selected"}
    by_permission = tuple(default if "delete" in may else set() for may in TABLE[label])
    expected = dict(zip(("supervisor", "administrator"), ACTIONS.get(label, by_permission),
                        strict=True))  # fmt: skip
    for role in ("clerk", "supervisor", "administrator"):
        request = RequestFactory().get("/admin/")
        request.user = people[role]
        names = set(admin.site._registry[MODELS[label]].get_actions(request))
        assert names == expected.get(role, set()), role


def test_an_action_that_is_not_ones_own_does_nothing(people):
    row_of("queues.ProviderFact")
    body = {"action": "delete_selected", "_selected_action": ["call_schema"], "post": "yes"}
    for role in ("agent", "clerk", "supervisor"):
        client_of(people[role]).post(url(ProviderFact, "changelist"), body)
        assert ProviderFact.objects.exists(), role
    client_of(people["administrator"]).post(url(ProviderFact, "changelist"), body)
    assert not ProviderFact.objects.exists()


@pytest.mark.parametrize("name", sorted(name for name in SITE if name and name != "login"))
def test_the_admins_own_pages_are_for_staff(people, name):
    arguments = {"app_list": ["queues"], "view_on_site": ["1", "1"]}.get(name, [])
    path = reverse(f"admin:{name}", args=arguments)
    for role in ("nobody", "agent"):
        reply = client_of(people[role]).get(path)
        if name in {"logout", "jsi18n"}:  # by POST only; the calendar's words hold nothing
            assert reply.status_code in {200, 302, 405}
        else:
            assert reply.status_code == 302
            assert "/login/" in reply.url


def test_signing_in_to_the_admin_is_signing_in(people):
    assert client_of(None).get("/admin/").url == "/admin/login/?next=/admin/"
    assert client_of(None).get("/admin/login/?next=/admin/").url == "/login/?next=/admin/"
    refused = client_of(people["agent"]).get("/admin/login/?next=/admin/")
    assert refused.status_code == 403
    assert "The admin is for supervisors" in refused.content.decode()
    assert client_of(people["supervisor"]).get("/admin/login/?next=//evil.test/").url == "/"


class TestSupervisors:
    @pytest.fixture
    def supervisor(self, people):
        return client_of(people["supervisor"])

    def form(self, agent, **changed):
        return {
            "username": agent.user.username, "name": agent.name, "destination": agent.destination,
            "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0",
            "presence_periods-TOTAL_FORMS": "0", "presence_periods-INITIAL_FORMS": "0", **changed,
        }  # fmt: skip

    @pytest.mark.parametrize("mark", ["is_staff", "is_superuser"])
    def test_staff_is_not_renamed(self, supervisor, mark):
        agent = Agent.objects.get()
        User.objects.filter(pk=agent.user.pk).update(**{mark: True})
        reply = supervisor.post(url(Agent, "change", agent.pk), self.form(agent, username="x"))
        assert b"Only an administrator renames staff" in reply.content
        assert User.objects.filter(username="amina").exists()

    def test_a_password_is_set_once_and_not_by_editing(self, supervisor):
        agent = Agent.objects.get()
        was = agent.user.password
        body = self.form(agent, initial_password="quite-another-1", password="quite-another-1")
        assert supervisor.post(url(Agent, "change", agent.pk), body).status_code == 302
        agent.user.refresh_from_db()
        assert agent.user.password == was

    def test_a_new_agent_is_never_staff(self, supervisor):
        agent = Agent(user=User(username="eve"), name="Eve", destination="+254711000009")
        body = self.form(agent, initial_password="quite-another-1", is_staff="on",
                         is_superuser="on", groups="1")  # fmt: skip
        assert supervisor.post(url(Agent, "add"), body).status_code == 302
        eve = User.objects.get(username="eve")
        assert (eve.is_staff, eve.is_superuser) == (False, False)
        assert [group.name for group in eve.groups.all()] == ["agent"]

    def test_a_calls_page_and_a_menus_page_open(self, supervisor):
        for label in ("queues.QueuedCall", "queues.Menu"):
            row = row_of(label)
            assert supervisor.get(url(MODELS[label], "change", row.pk)).status_code == 200
        assert QueuedCall.objects.count() == 1
        assert Menu.objects.count() == 1
