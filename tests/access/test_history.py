"""Who changed what when: every door leaves its row, and calls leave none."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from rest_framework.authtoken.models import Token, TokenProxy

from agents import presence
from agents.models import Agent
from callcenter.sautikit.outcomes import Outcome
from queues import alerts, calls, offers
from queues.models import Alert, Member, Menu, MenuOption, Number, ProviderFact, Queue
from queues.roles import set_up_roles
from queues.routing import match
from queues.scene import scene
from tests.factories import T0, make_agent, make_menu, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db
KEPT: tuple[Any, ...] = (Agent, Queue, Member, Menu, MenuOption, Number)


@pytest.fixture
def sarah():
    set_up_roles()
    return make_supervisor()


@pytest.fixture
def api(sarah):
    return Client(headers={"Authorization": f"Token {Token.objects.create(user=sarah).key}"})


@pytest.fixture
def browser(sarah):
    client = Client()
    client.force_login(sarah)
    return client


def send(client, method, path, body):
    reply = client.generic(method, path, json.dumps(body),
                           content_type="application/json")  # fmt: skip
    assert reply.status_code < 300, reply.content
    return reply


def newest(model):
    return model.history.order_by("-history_id").first()


def rows() -> int:
    return sum(model.history.count() for model in (*KEPT, User, Group))


class TestDoors:
    def test_a_token_names_its_user(self, api):
        make_queue()
        send(api, "PATCH", "/api/queues/support/", {"ring_timeout": 25})
        row = newest(Queue)
        assert (row.ring_timeout, row.history_type) == (25, "~")
        assert (row.history_user.username, row.history_change_reason) == ("sarah", "api")

    def test_the_admin_names_who_signed_in_also_for_the_parts(self, browser):
        queue, agent = make_queue(), make_agent()
        body = {
            "name": "Help", "slug": "support", "language": "en-KE", "priority": "0",
            "strategy": "longest_idle", "ring_timeout": "15", "wrap_up_seconds": "10",
            "greeting": "", "hold_message": "", "when_empty": "hold", "max_wait_seconds": "600",
            "service_level_seconds": "20", "short_abandon_seconds": "5",
            "wrap_up_extension_seconds": "60", "service_level_target": "80",
            "keep_recordings_days": "90",
            "numbers-TOTAL_FORMS": "1", "numbers-INITIAL_FORMS": "1",
            "numbers-0-id": str(queue.numbers.get().pk), "numbers-0-queue": str(queue.pk),
            "numbers-0-e164": "+254200000109",
            "memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "0",
            "memberships-0-queue": str(queue.pk), "memberships-0-agent": str(agent.pk),
            "memberships-0-position": "3",
        }  # fmt: skip
        path = reverse("admin:queues_queue_change", args=[queue.pk])
        reply = browser.post(path, body)
        assert reply.status_code == 302, reply.context["errors"]
        for model, kind in ((Queue, "~"), (Number, "~"), (Member, "+")):
            row = newest(model)
            assert (row.history_type, row.history_user.username) == (kind, "sarah"), model
            assert row.history_change_reason == "admin"

    def test_a_command_has_no_user(self):
        make_queue()
        row = newest(Queue)
        assert (row.history_user, row.history_change_reason) == (None, "command")

    def test_a_removal_is_kept_with_all_that_went_with_it(self, api):
        agent = make_agent(make_queue())
        assert api.delete("/api/queues/support/").status_code == 204
        for model in (Queue, Number, Member):
            assert newest(model).history_type == "-"
            assert newest(model).history_user.username == "sarah"
        assert api.delete(f"/api/agents/{agent.user.username}/").status_code == 204
        assert newest(Agent).history_type == "-"

    def test_a_row_that_stays_for_the_figures_is_kept_as_removed(self, api):
        queue = make_queue()
        make_waiting(queue, state="abandoned", abandoned_in="queue", ended_at=T0)
        assert api.delete("/api/queues/support/").status_code == 204
        assert newest(Queue).retired_at

    def test_the_keys_of_a_menu_are_kept_one_by_one(self, api):
        queue = make_queue()
        make_menu(("1", queue))
        options = [{"digit": "1", "queue": "support"}, {"digit": "2", "queue": "support"}]
        send(api, "PATCH", "/api/menus/main/", {"options": options})
        kinds = list(MenuOption.history.order_by("history_id").values_list("history_type", "digit"))
        assert kinds == [("+", "1"), ("-", "1"), ("+", "1"), ("+", "2")]

    def test_a_save_that_changes_nothing_leaves_no_row(self, api):
        make_queue()
        before = rows()
        send(api, "PATCH", "/api/queues/support/", {"ring_timeout": 15})
        assert rows() == before


class TestAccounts:
    def test_who_was_put_into_a_group_and_by_whom(self, sarah):
        root = User.objects.create_superuser("root")
        client = Client()
        client.force_login(root)
        clerk = User.objects.create_user("clerk")
        group = Group.objects.get(name="supervisor")
        body = {"username": "clerk", "is_active": "on", "is_staff": "on", "groups": [group.pk],
                "date_joined_0": "2026-11-22", "date_joined_1": "10:00:00"}  # fmt: skip
        path = reverse("admin:auth_user_change", args=[clerk.pk])
        assert client.post(path, body).status_code == 302
        row = User.history.filter(id=clerk.pk).order_by("-history_id").first()
        assert (row.is_staff, row.history_user.username) == (True, "root")
        assert [each.group.name for each in row.groups.all()] == ["supervisor"]

    def test_from_the_groups_side_too(self, sarah):
        group = Group.objects.get(name="supervisor")
        clerk = User.objects.create_user("clerk")
        group.user_set.add(clerk)
        assert [each.group for each in newest(User).groups.all()] == [group]

    def test_a_new_password_is_told_and_not_kept(self, browser, sarah):
        new = {"old_password": "a-good-password", "new_password1": "quite-another-1",
               "new_password2": "quite-another-1"}  # fmt: skip
        browser.post("/password/", new)
        row = newest(User)
        assert row.history_change_reason == "page: new password"
        assert not hasattr(row, "password")

    def test_signing_in_is_no_change(self, sarah):
        before = rows()
        body = {"username": "sarah", "password": "a-good-password"}
        assert Client().post("/login/", body).status_code == 302
        assert rows() == before

    @pytest.mark.parametrize("model", [Token, TokenProxy])
    def test_a_token_made_and_removed_without_its_key(self, sarah, model):
        made = model.objects.create(user=sarah)
        key = made.key
        made.delete()
        kinds = list(Token.history.order_by("history_id").values_list("history_type", "user"))
        assert kinds == [("+", sarah.pk), ("-", sarah.pk)]
        assert key not in str(list(Token.history.values()))


class TestEvidence:
    def test_who_dismissed_an_alert(self, browser):
        alerts.raise_alert("wallet", "x", "The wallet is empty.", at=T0)
        browser.post(f"/alerts/{Alert.objects.get().pk}/dismiss/")
        assert Alert.objects.get().dismissed_by.username == "sarah"

    def test_who_deleted_a_fact_and_what_it_was(self, sarah):
        ProviderFact.objects.create(name="call_schema", value="sdk", at=T0)
        assert not ProviderFact.history.exists()
        client = Client()
        client.force_login(User.objects.create_superuser("root"))
        path = reverse("admin:queues_providerfact_delete", args=["call_schema"])
        client.post(path, {"post": "yes"})
        row = ProviderFact.history.get()
        assert (row.value, row.history_user.username) == ("sdk", "root")
        page = client.get(reverse("admin:queues_providerfact_history", args=["call_schema"]))
        assert "removed" in page.content.decode()


class TestCalls:
    def test_a_whole_call_and_presence_leave_no_row(self):
        agent = make_agent(queue := make_queue())
        make_waiting(queue)
        before = rows()
        match(T0)
        call = queue.calls.get()
        with scene(call.pk, at=T0 + timedelta(seconds=3), source="test") as opened:
            calls.connect(opened, at=T0 + timedelta(seconds=3))
        with scene(call.pk, at=T0 + timedelta(seconds=9), source="test") as opened:
            calls.customer_ended(
                opened, outcome=Outcome.COMPLETED, ended_at=T0 + timedelta(seconds=9)
            )
        offers.end_wrap_up(agent.pk, at=T0 + timedelta(seconds=12), early=True)
        presence.change(agent.pk, "break", at=T0 + timedelta(seconds=20), cause="page")
        assert rows() == before

    def test_and_ask_nothing_of_its_tables(self, django_assert_num_queries):
        agent = make_agent()
        with django_assert_num_queries(1) as asked:
            agent.idle_since = T0
            agent.save(update_fields=["idle_since"])
        assert "historical" not in str(asked.captured_queries)


class TestThePage:
    def test_it_shows_who_and_before_and_after(self, api, browser):
        queue = make_queue()
        send(api, "PATCH", "/api/queues/support/", {"ring_timeout": 25,
             "numbers": ["+254200000101", "+254200000102"]})  # fmt: skip
        page = browser.get(reverse("admin:queues_queue_history", args=[queue.pk]))
        words = " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())
        assert "sarah api queue Support changed ring timeout: 15 → 25" in words
        assert "sarah api number +254200000102 added" in words

    def test_it_is_there_after_the_row_has_gone(self, api, browser):
        queue = make_queue()
        pk = queue.pk
        api.delete("/api/queues/support/")
        page = browser.get(reverse("admin:queues_queue_history", args=[pk]))
        assert "removed" in page.content.decode()
        assert browser.get(reverse("admin:queues_queue_history", args=[999])).status_code == 404

    def test_an_older_row_can_be_written_back(self, api):
        make_queue()
        send(api, "PATCH", "/api/queues/support/", {"ring_timeout": 25, "name": "Other"})
        newest(Queue).prev_record.instance.save()
        assert Queue.objects.get().ring_timeout == 15
