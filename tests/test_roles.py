"""Who may open what: pages, streams, operations; and that nothing is open by oversight."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.authtoken.models import Token

from agents.models import Agent
from queues.roles import set_up_roles
from tests.factories import make_agent, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db
OPEN = {
    "/calls/connect-agent",  # its own authentication: a token
    "/hold-music", "/login/", "/health/live", "/health/ready", "/favicon.ico",
}  # fmt: skip


@pytest.fixture
def as_agent():
    client = Client()
    client.force_login(make_agent(make_queue(), username="amina").user)
    return client


@pytest.fixture
def as_supervisor():
    client = Client()
    client.force_login(make_supervisor())
    return client


def every_path() -> list[str]:
    """Each address of the site map, with something plausible in its blanks."""
    found = []

    def walk(patterns, before):
        for each in patterns:
            route = before + str(each.pattern).strip("^$").replace("\\Z", "")
            if isinstance(each, URLResolver):
                if route != "admin/":
                    walk(each.url_patterns, route)
            elif isinstance(each, URLPattern) and "(?P" not in route:
                for blank, value in (
                    ("<int:pk>", "1"), ("<str:public_id>", "x"), ("<str:board>", "board"),
                    ("<drf_format_suffix:format>", ""),
                ):  # fmt: skip
                    route = route.replace(blank, value)
                found.append(f"/{route}")

    walk(get_resolver().url_patterns, "")
    return sorted(set(found))


@pytest.mark.parametrize("path", every_path())
def test_nobody_gets_in_without_a_sign_in_or_a_token(path):
    reply = Client().get(path)
    reply.close()
    if path in OPEN:
        assert reply.status_code in {200, 301, 302, 401, 405}
    elif reply.status_code == 302:
        assert reply.url.startswith("/login/")
    else:
        # webhooks take POST only, the API and the streams refuse, metrics are for loopback
        assert reply.status_code in {401, 403, 404, 405} or path == "/metrics"


class TestPages:
    SUPERVISORS = ("/board/", "/calls-log/")

    def test_an_agent_is_sent_to_their_own_page(self, as_agent):
        assert as_agent.get("/").url == "/agent/"
        assert as_agent.get("/agent/").status_code == 200
        assert as_agent.get("/agent/state/").status_code == 200

    @pytest.mark.parametrize("path", SUPERVISORS)
    def test_the_supervisors_pages_are_not_an_agents(self, as_agent, path):
        assert as_agent.get(path).status_code == 403

    def test_the_agents_page_is_not_a_supervisors(self, as_supervisor):
        assert as_supervisor.get("/agent/").status_code == 403
        assert as_supervisor.get("/").status_code == 200
        assert as_supervisor.get("/board/").status_code == 200

    def test_an_agent_of_the_desk_acts_for_themselves_only(self, as_agent):
        other = make_agent(username="brian")
        as_agent.post("/agent/presence/", {"presence": "break", "reason": "Lunch"})
        assert Agent.objects.get(user__username="amina").presence == "break"
        other.refresh_from_db()
        assert other.presence == "available"

    def test_a_form_needs_its_csrf_token(self):
        client = Client(enforce_csrf_checks=True)
        client.force_login(make_agent(username="amina").user)
        assert client.post("/agent/presence/", {"presence": "break"}).status_code == 403

    def test_an_agent_who_was_removed_or_switched_off_has_no_page(self):
        agent = make_agent(username="amina")
        client = Client()
        client.force_login(agent.user)
        User.objects.filter(pk=agent.user.pk).update(is_active=False)
        assert client.get("/agent/").status_code == 302

    def test_supervisors_are_group_and_staff_together(self):
        clerk = User.objects.create_user("clerk", is_staff=True)
        client = Client()
        client.force_login(clerk)
        assert client.get("/").status_code == 403


class TestOperations:
    def test_live_and_ready_are_open(self, client):
        assert client.get("/health/live").json() == {"status": "ok"}
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["database"]) == (200, "ok")

    def test_metrics_are_for_loopback(self, client):
        make_waiting(make_queue())
        reply = client.get("/metrics")
        assert reply.status_code == 200
        assert 'callcenter_open_calls{state="waiting"} 1' in reply.content.decode()

    @pytest.mark.parametrize(
        "headers",
        [{"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"},
         {"X-Forwarded-Proto": "https"}],
        ids=str,
    )  # fmt: skip
    def test_who_was_forwarded_is_never_loopback(self, client, headers):
        assert client.get("/metrics", headers=headers).status_code == 403

    def test_from_elsewhere_they_need_a_supervisors_token(self, client):
        def ask(user):
            key = Token.objects.create(user=user).key
            return client.get("/metrics", REMOTE_ADDR="10.0.0.7",
                              headers={"Authorization": f"Token {key}"}).status_code  # fmt: skip

        assert client.get("/metrics", REMOTE_ADDR="10.0.0.7").status_code == 403
        assert ask(make_agent().user) == 403
        assert ask(make_supervisor()) == 200


class TestGroups:
    def test_they_are_made_and_repaired(self):
        Group.objects.all().delete()
        set_up_roles(), set_up_roles()
        assert sorted(group.name for group in Group.objects.all()) == ["agent", "supervisor"]

    def test_a_supervisor_may_change_setup_and_look_at_evidence(self):
        set_up_roles()
        held = {p.codename for p in Permission.objects.filter(group__name="supervisor")}
        assert {"change_queue", "add_agent", "delete_menu", "view_queuedcall", "view_callrecord",
                "view_webhookevent"} <= held  # fmt: skip
        for name in ("change_queuedcall", "delete_callevent", "change_callrecord", "add_offer",
                     "delete_webhookevent", "change_user", "add_group"):  # fmt: skip
            assert name not in held
        assert not Permission.objects.filter(group__name="agent").exists()
