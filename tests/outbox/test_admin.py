"""The admin of the endpoints: administrators set up, supervisors look on, secrets stay hidden."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from callcenter.outbox import again, delivering
from callcenter.outbox.models import Delivery, Endpoint, Message
from callcenter.outbox.topics import TOPICS
from queues.roles import set_up_roles
from tests.factories import T0, make_agent, make_supervisor

from .receiver import answers

pytestmark = pytest.mark.django_db
MODELS = [Endpoint, Message, Delivery]
AT_MOST = 40


def url(model, page, *args):
    return reverse(f"admin:outbox_{model._meta.model_name}_{page}", args=args)


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root():
    return signed_in(User.objects.create_superuser("root"))


@pytest.fixture
def supervisor():
    set_up_roles()
    return signed_in(make_supervisor())


@pytest.fixture
def some(endpoint, tell):
    tell(*"aabb")
    delivering.deliver_next(at=T0)
    Delivery.objects.filter(message=Message.objects.latest("pk")).update(
        next_at=None, dead_at=T0, last_error="<script>alert(1)</script>"
    )
    return endpoint


def act(client, model, action, *rows, **more):
    body = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return client.post(url(model, "changelist"), body, follow=True)


def form(**values):
    return {
        "description": "CRM", "url": "https://93.184.215.14/hook", "topics": list(TOPICS),
        "is_active": "on", **values,
    }  # fmt: skip


class TestSettingUp:
    def test_a_new_endpoint_gets_a_secret_that_the_page_does_not_show(self, root):
        reply = root.post(url(Endpoint, "add"), form(), follow=True)
        assert reply.status_code == 200
        endpoint = Endpoint.objects.get()
        [secret] = endpoint.secrets
        assert secret.startswith("whsec_")
        for page in (reply, root.get(url(Endpoint, "change", endpoint.pk)),
                     root.get(url(Endpoint, "changelist"))):  # fmt: skip
            assert secret not in page.content.decode()
        shown = act(root, Endpoint, "show_secrets", endpoint)
        assert secret in shown.content.decode()
        assert "no-store" in shown["Cache-Control"]

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            ({"url": "https://127.0.0.1/hook"}, "a private address"),
            ({"url": "http://93.184.215.14/hook"}, "use https"),
            ({"url": "https://root:pw@93.184.215.14/"}, "must not carry a user name"),
            ({"url": "https://nobody.invalid/"}, "cannot be resolved"),
            ({"topics": ["call.imagined"]}, "call.imagined is not one of the available"),
            ({"topics": []}, "This field is required"),
            ({"allow_private": "on"}, "Private networks are closed"),
        ],
    )
    def test_what_cannot_be_sent_to_is_refused_with_a_sentence(self, root, values, says):
        reply = root.post(url(Endpoint, "add"), form(**values))
        assert says in reply.content.decode()
        assert not Endpoint.objects.exists()

    def test_a_private_one_needs_the_hosts_setting_and_the_tick(self, root, private):
        lan = form(url="http://127.0.0.1:8099/hook")
        assert "a private address" in root.post(url(Endpoint, "add"), lan).content.decode()
        root.post(url(Endpoint, "add"), {**lan, "allow_private": "on"})
        assert Endpoint.objects.get().allow_private

    def test_a_changed_address_keeps_the_secret_and_is_tried_at_once(self, root, endpoint):
        Endpoint.objects.update(failures=9, held_until=T0)
        body = form(url=endpoint.url + "/new", allow_private="on")
        root.post(url(Endpoint, "change", endpoint.pk), body)
        changed = Endpoint.objects.get()
        assert (changed.url, changed.secrets) == (endpoint.url + "/new", endpoint.secrets)
        assert (changed.failures, changed.held_until) == (0, None)

    def test_secrets_are_replaced_one_at_a_time(self, root, endpoint):
        [old] = endpoint.secrets
        assert "the only one" in act(root, Endpoint, "drop_secret", endpoint).content.decode()
        act(root, Endpoint, "add_secret", endpoint)
        new, kept = Endpoint.objects.get().secrets
        assert (kept, new != old) == (old, True)
        act(root, Endpoint, "drop_secret", endpoint)
        assert Endpoint.objects.get().secrets == [new]
        for _ in range(3):
            reply = act(root, Endpoint, "add_secret", endpoint)
        assert "Remove the oldest secret first" in reply.content.decode()
        assert len(Endpoint.objects.get().secrets) == 3


class TestActions:
    def test_a_test_is_posted_at_once_and_told_of(self, root, endpoint, receiver):
        Endpoint.objects.update(is_active=False)
        page = act(root, Endpoint, "send_a_test", endpoint)
        assert "CRM has taken it (204)" in page.content.decode()
        [got] = receiver.got
        assert (got.told["type"], got.told["sequence"]) == ("ping", 0)
        assert "webhook-signature" in got.headers
        assert not Message.objects.exists()

    def test_a_receivers_words_are_never_markup(self, root, endpoint, receiver):
        receiver.behave = answers(500, b"<script>alert(1)</script>")
        page = act(root, Endpoint, "send_a_test", endpoint).content.decode()
        assert "answered 500" in page
        assert "<script>alert(1)" not in page
        assert "&lt;script&gt;alert(1)" in page

    def test_a_kept_error_is_never_markup(self, root, some):
        last = Message.objects.latest("pk").pk
        for address in (url(Delivery, "changelist"), url(Message, "change", last)):
            page = root.get(address)
            assert "<script>alert(1)" not in page.content.decode()
            assert "&lt;script&gt;alert(1)" in page.content.decode()

    def test_a_replay_asks_for_the_number_first(self, root, some):
        page = act(root, Endpoint, "replay", some).content.decode()
        assert 'name="first"' in page
        assert Delivery.objects.filter(delivered_at__isnull=False).count() == 1
        for wrong in ("0", "-1", "x", "9" * 30):
            page = act(root, Endpoint, "replay", some, first=wrong).content.decode()
            assert "A sequence number is 1 or more" in page
        page = act(root, Endpoint, "replay", some, first="1").content.decode()
        assert "4 messages will be sent again" in page
        assert Delivery.objects.filter(next_at__isnull=False).count() == 4

    def test_a_dead_one_is_sent_again_and_the_others_are_left(self, root, some):
        page = act(root, Delivery, "redeliver", *Delivery.objects.all()).content.decode()
        assert "1 of 4 were dead and will be sent again" in page
        assert Delivery.objects.filter(next_at__isnull=False).count() == 3

    def test_one_endpoint_at_a_time(self, root, make_endpoint):
        both = make_endpoint(), make_endpoint()
        page = act(root, Endpoint, "show_secrets", *both).content.decode()
        assert "Choose one endpoint" in page
        assert "whsec_" not in page


class TestRoles:
    @pytest.mark.parametrize("model", MODELS)
    def test_a_supervisor_looks_and_changes_nothing(
        self, supervisor, some, model, django_assert_max_num_queries
    ):
        row = model.objects.first()
        for query in ({}, {"q": "a"}, {"q": "%_'\""}):
            with django_assert_max_num_queries(AT_MOST):
                assert supervisor.get(url(model, "changelist"), query).status_code == 200
        with django_assert_max_num_queries(AT_MOST):
            assert supervisor.get(url(model, "change", row.pk)).status_code == 200
        assert supervisor.post(url(model, "change", row.pk), form()).status_code == 403
        assert supervisor.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
        assert supervisor.get(url(model, "add")).status_code == 403

    def test_a_supervisor_sees_neither_secret_nor_path_and_has_no_actions(self, supervisor, some):
        pages = [supervisor.get(url(Endpoint, "change", some.pk)),
                 supervisor.get(url(Endpoint, "changelist"))]  # fmt: skip
        for name in ("show_secrets", "add_secret", "drop_secret", "replay", "send_a_test"):
            pages.append(act(supervisor, Endpoint, name, some, first="1"))
        pages.append(act(supervisor, Delivery, "redeliver", *Delivery.objects.all()))
        for page in pages:
            text = page.content.decode()
            assert "whsec_" not in text
            assert "/hook" not in text
        assert some.site in pages[0].content.decode()
        assert Endpoint.objects.get().secrets == some.secrets
        assert Delivery.objects.filter(delivered_at__isnull=False).count() == 1
        assert Delivery.objects.filter(dead_at__isnull=False).count() == 1

    @pytest.mark.parametrize("model", MODELS)
    def test_an_agent_gets_nothing(self, some, model):
        client = signed_in(make_agent().user)
        assert client.get(url(model, "changelist")).status_code in {302, 403}

    def test_deliveries_are_found_by_state(self, supervisor, some):
        for state, count in (("pending", 2), ("delivered", 1), ("dead", 1)):
            page = supervisor.get(url(Delivery, "changelist"), {"state": state})
            assert page.context["cl"].queryset.count() == count

    def test_an_endpoint_is_removed_and_housekeeping_takes_its_deliveries(self, root, some):
        root.post(url(Endpoint, "delete", some.pk), {"post": "yes"})
        assert not Endpoint.objects.exists()
        assert root.get(url(Delivery, "changelist")).status_code == 200
        assert root.get(url(Message, "change", Message.objects.first().pk)).status_code == 200
        again.forget_old(T0)
        assert (Delivery.objects.count(), Message.objects.count()) == (0, 4)
