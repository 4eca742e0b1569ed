"""Two supervisors at one form, and a change that is taken back."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from callcenter import changes, first_run
from callcenter.admin_menu import SUBJECTS
from queues.models import Disposition, Member, Number, Queue
from queues.roles import set_up_roles
from tests.factories import make_agent, make_offered, make_queue, make_supervisor

pytestmark = pytest.mark.django_db
PARTS = [(Member, "queue"), (Number, "queue")]


def client_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def sarah():
    set_up_roles()
    return client_of(make_supervisor("sarah"))


@pytest.fixture
def omar(sarah):
    return client_of(make_supervisor("omar"))


def filled_in(client, queue) -> dict[str, str]:
    """The form of a queue as a browser would send it back."""
    page = client.get(reverse("admin:queues_queue_change", args=[queue.pk]))
    form = page.context["adminform"].form
    values = {
        name: value
        for name, field in form.fields.items()
        if (value := form.get_initial_for_field(field, name)) is not None and value is not False
    }
    for formset in page.context["inline_admin_formsets"]:
        prefix, rows = formset.formset.prefix, formset.formset.initial_forms
        values |= {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": len(rows)}
        for each in rows:
            for name, field in each.fields.items():
                if (value := each.get_initial_for_field(field, name)) is not None:
                    values[f"{each.prefix}-{name}"] = getattr(value, "pk", value)
    return values | {"_version": page.context["version"]}


def save(client, queue, values):
    return client.post(reverse("admin:queues_queue_change", args=[queue.pk]), values)


class TestTogether:
    def test_saving_over_a_newer_change_is_refused_and_nothing_typed_is_lost(self, sarah, omar):
        queue = make_queue()
        hers, his = filled_in(sarah, queue), filled_in(omar, queue)
        assert save(omar, queue, his | {"ring_timeout": 25}).status_code == 302
        refused = save(sarah, queue, hers | {"name": "Help desk", "greeting": "Welcome."})
        assert refused.status_code == 200
        words = " ".join(refused.content.decode().split())
        assert "Somebody has changed this since you opened it: omar at" in words
        assert "ring timeout: 15 → 25" in words
        assert 'value="Help desk"' in words
        assert 'value="Welcome."' in words
        assert Queue.objects.get().name == "Support"

    def test_saving_again_after_being_told_goes_through(self, sarah, omar):
        queue = make_queue()
        hers, his = filled_in(sarah, queue), filled_in(omar, queue)
        save(omar, queue, his | {"ring_timeout": 25})
        refused = save(sarah, queue, hers | {"name": "Help desk"})
        again = hers | {"name": "Help desk", "_version": refused.context["version"]}
        assert save(sarah, queue, again).status_code == 302
        assert (Queue.objects.get().name, Queue.objects.get().ring_timeout) == ("Help desk", 15)

    def test_a_change_of_a_part_counts_too(self, sarah):
        queue = make_queue()
        hers = filled_in(sarah, queue)
        Member.objects.create(queue=queue, agent=make_agent(username="amina"))
        refused = save(sarah, queue, hers | {"name": "Help desk"})
        assert "Amina in Support added" in refused.content.decode()

    def test_what_nobody_else_has_changed_is_saved(self, sarah):
        queue = make_queue()
        assert save(sarah, queue, filled_in(sarah, queue) | {"name": "Help"}).status_code == 302
        assert Queue.objects.get().name == "Help"

    def test_a_version_that_was_made_up_is_no_error(self, sarah):
        queue = make_queue()
        values = filled_in(sarah, queue)
        for version in ("x", "1-2-3-4", "9" * 400, "-"):
            assert save(sarah, queue, values | {"_version": version}).status_code == 200


class TestUndo:
    def undo(self, client, queue, nth: int = 0):
        key = changes.of(Queue, queue.pk, PARTS)[nth].key
        path = reverse("admin:queues_queue_undo", args=[queue.pk])
        return client.post(path, {"change": key}, follow=True).content.decode()

    def test_it_writes_back_what_the_change_altered_and_no_more(self, sarah):
        queue = make_queue()
        queue.ring_timeout, queue.name = 25, "Help"
        queue.save()
        queue.greeting = "Welcome."
        queue.save()
        page = self.undo(sarah, queue, 1)
        assert "The change has been undone" in page
        queue.refresh_from_db()
        assert (queue.ring_timeout, queue.name, queue.greeting) == (15, "Support", "Welcome.")
        newest = Queue.history.order_by("-history_id").first()
        assert (newest.history_user.username, newest.history_change_reason) == ("sarah", "admin")
        self.undo(sarah, queue)  # the undoing, undone
        assert Queue.objects.get().ring_timeout == 25

    def test_a_field_that_was_changed_again_is_left(self, sarah):
        queue = make_queue()
        for seconds in (25, 30):
            queue.ring_timeout = seconds
            queue.save()
        assert "has been changed again since" in self.undo(sarah, queue, 1)
        assert Queue.objects.get().ring_timeout == 30

    def test_what_does_not_fit_any_more_is_told_in_words(self, sarah):
        queue = make_queue()
        queue.slug = "help"
        queue.save()
        make_queue("support", number=None)
        assert "Another queue already has this slug." in self.undo(sarah, queue)
        assert set(Queue.objects.values_list("slug", flat=True)) == {"help", "support"}

    def test_a_part_that_was_removed_comes_back_and_one_that_was_added_goes(self, sarah):
        queue = make_queue()
        make_agent(queue, username="amina")
        queue.memberships.get().delete()
        self.undo(sarah, queue)
        assert queue.memberships.get().agent.name == "Amina"
        self.undo(sarah, queue)
        assert not queue.memberships.exists()

    def test_a_number_under_a_live_call_stays(self, sarah):
        queue = make_queue()
        make_offered(queue)
        rows = changes.of(Queue, queue.pk, PARTS)
        nth = next(n for n, row in enumerate(rows) if row.key.startswith("queues.Number"))
        assert "A live call came in on" in self.undo(sarah, queue, nth)
        assert queue.numbers.exists()

    def test_an_agent_with_a_live_call_keeps_the_phone(self, sarah):
        make_offered(make_queue())
        agent = Agent.objects.get()
        agent.destination = "+254711999999"
        agent.save()
        key = changes.of(Agent, agent.pk)[0].key
        path = reverse("admin:agents_agent_undo", args=[agent.pk])
        page = sarah.post(path, {"change": key}, follow=True).content.decode()
        assert "The agent has a live call" in page
        assert Agent.objects.get().destination == "+254711999999"

    def test_what_no_form_changes_no_form_undoes(self, sarah):
        queue = make_queue()
        queue.closed_at = "2026-11-22T08:00:00Z"
        queue.save()
        closed, made = changes.of(Queue, queue.pk)
        assert (closed.can_undo, made.can_undo) == (False, False)
        path = reverse("admin:queues_queue_undo", args=[queue.pk])
        for change in (closed, made):
            assert sarah.post(path, {"change": change.key}).status_code == 404
        assert Queue.objects.get().closed_at

    def test_a_change_of_another_row_is_not_undone_from_here(self, sarah):
        queue, other = make_queue(), make_queue("other", number=None)
        other.name = "Else"
        other.save()
        key = changes.of(Queue, other.pk)[0].key
        path = reverse("admin:queues_queue_undo", args=[queue.pk])
        assert sarah.post(path, {"change": key}).status_code == 404
        for key in ("", "x", "queues.Queue:", "auth.User:1", "queues.Queue:x"):
            assert sarah.post(path, {"change": key}).status_code == 404

    def test_an_agent_may_not(self, sarah):
        queue = make_queue()
        queue.name = "Help"
        queue.save()
        path = reverse("admin:queues_queue_undo", args=[queue.pk])
        assert client_of(make_agent().user).post(path, {"change": "x"}).status_code == 302
        assert Queue.objects.get().name == "Help"


class TestForms:
    def test_every_field_that_is_filled_in_has_a_sentence(self, sarah):
        from django.contrib import admin
        from django.test import RequestFactory

        request = RequestFactory().get("/")
        request.user = User.objects.create_superuser("root")
        bare = []
        for model, page in admin.site._registry.items():
            if model._meta.app_label not in {"agents", "queues"}:
                continue
            if not page.has_add_permission(request):
                continue
            forms = [page.get_form(request)]
            forms += [each.get_formset(request).form for each in page.get_inline_instances(request)
                      if each.has_add_permission(request, None)]  # fmt: skip
            bare += [
                f"{model.__name__}: {name}"
                for form in forms
                for name, field in form.base_fields.items()
                if not field.help_text and name not in {"DELETE", "id"}
            ]
        assert bare == []

    def test_the_entries_of_a_group_go_with_it_to_another_queue(self, sarah):
        queue = make_queue()
        group = Disposition.objects.create(label="Order")
        placed = Disposition.objects.create(label="Placed", parent=group)
        body = {"label": "Order", "queue": queue.pk, "position": "0", "is_active": "on"}
        path = reverse("admin:queues_disposition_change", args=[group.pk])
        reply = sarah.post(path, body)
        assert reply.status_code == 302, reply.context["errors"]
        placed.refresh_from_db()
        assert placed.queue == queue

    def test_the_menu_has_everything_that_one_may_see(self, sarah):
        from django.contrib import admin

        shown = {label for _title, models in SUBJECTS for label, _icon, _name in models}
        assert shown == {model._meta.label for model in admin.site._registry}
        page = sarah.get("/admin/").content.decode()
        assert "Queues and numbers" in page
        assert reverse("admin:queues_contact_changelist") in page
        assert "/admin/auth/user/" not in page


def test_it_begins_where_there_is_no_queue_or_no_agent():
    assert first_run.is_needed()
    queue = make_queue()
    assert first_run.is_needed()
    make_agent(queue)
    assert not first_run.is_needed()
