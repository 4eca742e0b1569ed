"""Who may do what: every address with every method, and each person's own things.

The table names the roles that are let in; everybody else must be refused, and so must every method
that it does not name. An address that is missing from it fails the test.
"""

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission, User
from django.core.signals import request_finished
from django.db import close_old_connections, transaction
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.authtoken.models import Token

from agents.models import Agent
from callcenter import live
from queues import alerts
from queues.models import Alert, Contact, Queue
from queues.roles import set_up_roles
from queues.routing import match
from reporting import wall_links
from tests.factories import (
    T0,
    make_agent,
    make_export,
    make_menu,
    make_queue,
    make_recording,
    make_schedule,
    make_supervisor,
    make_waiting,
)

pytestmark = pytest.mark.django_db
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ROLES = ("nobody", "agent", "supervisor", "administrator")
ALL, STAFF = frozenset(ROLES), frozenset({"supervisor", "administrator"})
KNOWN = STAFF | {"agent"}
AGENT: frozenset[str] = frozenset({"agent"})
NONE: frozenset[str] = frozenset()
WEBHOOK = {"POST": NONE}  # a token in the address lets in, and nobody's session does

TABLE: dict[str, dict[str, frozenset[str]]] = {
    # pages; an agent who asks for the wallboard is led to the desk
    "": {"GET": KNOWN},
    "board/": {"GET": STAFF},
    "alerts/<int:pk>/dismiss/": {"POST": STAFF},
    "room/calls/<str:public_id>/": {"POST": STAFF},
    "room/agents/<int:pk>/": {"POST": STAFF},
    "room/queues/<slug:slug>/": {"POST": STAFF},
    "room/message/": {"POST": STAFF},
    "wall-links/": {"GET": STAFF, "POST": STAFF},
    "wall-links/<int:pk>/revoke/": {"POST": STAFF},
    "wall/<str:token>/": {"GET": ALL},  # who has the address; without a link's token, nobody
    "wall/<str:token>/now/": {"GET": ALL},
    "events/wall/<str:token>/": {"GET": ALL},
    **{
        f"reports/{page}": {"GET": STAFF}
        for page in (
            "", "service/", "waits/", "hours/", "agents/", "costs/", "definitions/", "books/"
        )
    },
    "calls-log/": {"GET": STAFF},
    "calls-log/<str:public_id>/": {"GET": STAFF},
    "calls-log/<str:public_id>/recordings/<uuid:pk>/": {"GET": STAFF},
    "reports/planning/": {"GET": STAFF},
    "reports/<slug:table>.csv": {"GET": STAFF},
    "reports/files/": {"GET": STAFF, "POST": STAFF},
    "reports/files/<uuid:pk>/": {"GET": STAFF},
    "reports/schedules/": {"GET": STAFF},
    "reports/schedules/<int:pk>/send/": {"POST": STAFF},
    "reports/kept/": {"GET": STAFF},
    "reports/erasures/": {
        "GET": frozenset({"administrator"}), "POST": frozenset({"administrator"})
    },
    "reports/provider/": {"GET": STAFF},
    "reports/provider/back-fill/": {"GET": STAFF, "POST": STAFF},
    "reports/provider/back-fill/<int:pk>/stop/": {"POST": STAFF},
    "reports/provider/differences/<int:pk>/settle/": {"POST": STAFF},
    "agent/": {"GET": AGENT},
    "agent/state/": {"GET": AGENT},
    "agent/presence/": {"POST": AGENT},
    **{
        path: {"POST": AGENT}
        for path in [
            "agent/done/", "agent/hang-up/", "agent/decline/", "agent/help/", "agent/extend/",
            "agent/call/", "agent/sounds/", "agent/seen/", "agent/notices/<int:pk>/read/",
            "agent/notes/<uuid:offer>/",
        ]
    },
    "agent/calls/": {"GET": AGENT},
    "agent/calls/<uuid:offer>/": {"POST": AGENT},
    "events/<str:board>/": dict.fromkeys(METHODS, STAFF),  # the desk's: see below
    "preferences/": {"GET": KNOWN, "POST": KNOWN},
    "language/": dict.fromkeys(METHODS, ALL),  # does nothing but at POST: leads back
    "start/": {"GET": STAFF},
    "start/check/": {"GET": STAFF, "POST": STAFF},
    "start/check/routing/": {"POST": frozenset({"administrator"})},
    # signing in, and what is everybody's own
    # who is signed in already is led on, whatever the method
    "login/": {"GET": ALL, "POST": ALL, "PUT": ALL, "PATCH": KNOWN, "DELETE": KNOWN},
    "login/code/": {"GET": NONE, "POST": NONE},  # half way through signing in only
    "logout/": {"POST": ALL},
    "password/": {"GET": KNOWN, "POST": KNOWN, "PUT": KNOWN},
    "password/done/": {"GET": KNOWN},
    "second-factor/": {"GET": KNOWN},
    "second-factor/begin/": {"POST": KNOWN},
    "second-factor/confirm/": {"GET": KNOWN, "POST": KNOWN},
    "second-factor/codes/": {"POST": KNOWN},
    "second-factor/remove/": {"POST": KNOWN},
    "admin/login/": {"GET": STAFF},
    # the API; lists and rows of an agent hold what is theirs
    "api/agents/": {"GET": KNOWN, "POST": STAFF},
    "api/agents/<username>/": {"GET": KNOWN, "PATCH": STAFF, "DELETE": STAFF},
    "api/agents/<username>/presence/": {"POST": KNOWN},
    "api/agents/<username>/decline/": {"POST": AGENT},
    "api/agents/<username>/help/": {"POST": AGENT, "DELETE": AGENT},
    "api/agents/<username>/wrap-up/extend/": {"POST": AGENT},
    "api/agents/<username>/wrap-up/done/": {"POST": AGENT},
    "api/break-reasons/": {"GET": KNOWN},
    "api/dispositions/": {"GET": KNOWN},
    "api/notices/": {"POST": STAFF},
    "api/calls/": {"GET": KNOWN, "POST": KNOWN},
    "api/calls/<pk>/": {"GET": KNOWN},
    **{
        f"api/calls/<pk>/actions/{name}/": {"POST": STAFF}
        for name in ("move-up", "move", "keep-for", "pull", "hang-up")
    },
    "api/calls/<pk>/supervision/": {"POST": STAFF, "PATCH": STAFF, "DELETE": STAFF},
    "api/calls/<pk>/wrap-up/": {"PATCH": KNOWN},
    "api/contacts/": {"GET": STAFF, "POST": STAFF},
    "api/contacts/<number>/": {"GET": STAFF, "PATCH": STAFF, "DELETE": STAFF},
    "api/live/": {"GET": STAFF},
    "api/menus/": {"GET": STAFF, "POST": STAFF},
    "api/menus/<slug>/": {"GET": STAFF, "PATCH": STAFF, "DELETE": STAFF},
    "api/queues/": {"GET": STAFF, "POST": STAFF},
    "api/queues/<slug>/": {"GET": STAFF, "PATCH": STAFF, "DELETE": STAFF},
    "api/queues/<slug>/close/": {"POST": STAFF},
    "api/queues/<slug>/open/": {"POST": STAFF},
    "api/reports/queues/": {"GET": STAFF},
    "api/reports/agents/": {"GET": STAFF},
    "api/reports/planning/": {"GET": STAFF},
    "api/schema/": {"GET": KNOWN},
    "api/docs/": {"GET": KNOWN},
    # the provider
    **dict.fromkeys(
        [
            "calls/inbound", "calls/menu", "calls/dial-result", "calls/queue-events",
            "calls/agent-join", "calls/agent-status", "calls/outbound-answer",
            "calls/outbound-status", "calls/events",
        ],
        WEBHOOK,
    ),
    "calls/connect-agent": {"POST": NONE},  # an API token only: see below
    "hold-music": dict.fromkeys(METHODS, ALL),
    # operations
    "health/live": dict.fromkeys(METHODS, ALL),
    "health/ready": dict.fromkeys(METHODS, ALL),
    "metrics": dict.fromkeys(METHODS, NONE),  # from elsewhere than this machine
    "favicon.ico": dict.fromkeys(METHODS, ALL),
}  # fmt: skip


def routes(patterns: list, before: str = "") -> Iterator[str]:
    """Every address of the site map but the admin's, which tests/test_admin_roles.py walks."""
    for each in patterns:
        text = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", str(each.pattern))
        route = before + text.replace("^", "").replace("$", "").replace("\\Z", "")
        if isinstance(each, URLResolver):
            if route != "admin/":
                yield from routes(each.url_patterns, route)
        elif isinstance(each, URLPattern):
            yield route


@pytest.fixture
def storage(tmp_path, settings):
    settings.STATE_DIR = tmp_path
    return tmp_path / "recordings"


@pytest.fixture
def people(storage):
    """One of each role, and something of everything; amina's phone rings."""
    set_up_roles()
    queue = make_queue()
    make_menu(("1", queue))
    amina = make_agent(queue, username="amina")
    call = make_waiting(queue)
    match(T0)
    alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
    Contact.objects.create(number="+254700000111", name="Wanjiru")
    recording = make_recording(call, storage=storage)
    make_export(recording.pk, storage.with_name("exports"))
    make_schedule(pk=Alert.objects.get().pk)
    blanks = {
        "int:pk": str(Alert.objects.get().pk), "str:public_id": call.public_id,
        "uuid:offer": str(amina.offers.get().pk),
        "uuid:pk": str(recording.pk), "str:board": "board", "username": "amina",
        "pk": call.public_id, "number": "+254700000111",
        "slug:slug": "support", "slug:table": "queues",
        "str:token": wall_links.make("Reception", [], at=T0, user=None)[1],
    }  # fmt: skip
    users = {
        "agent": amina.user,
        "supervisor": make_supervisor(),
        "administrator": User.objects.create_superuser("root"),
    }
    return users, blanks


@pytest.fixture(autouse=True)
def streams_keep_the_connection(monkeypatch):
    monkeypatch.setattr(live, "connection", SimpleNamespace(close=lambda: None))


def path_of(route: str, blanks: dict[str, str]) -> str:
    blanks = {**blanks, "slug": "main" if "menus" in route else "support"}
    return "/" + re.sub(r"<([^>]+)>", lambda found: blanks[found[1]], route)


def let_in(reply) -> bool:
    """Whether the answer is that of somebody who may; a bad form is one, 404 is not."""
    if reply.status_code in {301, 302}:
        return not reply.url.startswith(("/login/", "/admin/login/"))
    return reply.status_code not in {401, 403, 404, 405}


def close(reply) -> None:
    """Close an answer, and keep the connection, which is the test's own."""
    request_finished.disconnect(close_old_connections)
    reply.close()
    request_finished.connect(close_old_connections)


def answer(user, method: str, path: str):
    """Ask as `user` in a new session, from another machine, and undo what that did."""
    client = Client(REMOTE_ADDR="10.0.0.7")
    with transaction.atomic():
        if user:
            client.force_login(user)
        reply = client.generic(method, path, "{}" if path.startswith("/api/") else "",
                               content_type="application/json")  # fmt: skip
        close(reply)
        transaction.set_rollback(True)
    return reply


def test_the_table_has_every_address_and_no_other():
    assert sorted(TABLE) == sorted(set(routes(get_resolver().url_patterns)))


@pytest.mark.parametrize("route", sorted(TABLE))
def test_an_address_is_for_the_roles_that_the_table_names(people, route):
    users, blanks = people
    path = path_of(route, blanks)
    wrong = []
    for method in METHODS:
        allowed = TABLE[route].get(method, NONE)
        for role in ROLES:
            reply = answer(users.get(role), method, path)
            if role == "nobody" and path == "/" + "logout/":
                continue  # leads to the sign-in, signed in or not
            if route == "logout/" and method == "POST":
                assert reply.url == "/login/"
                continue
            if let_in(reply) != (role in allowed):
                wrong.append((method, role, reply.status_code))
    assert wrong == []


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


def token(user) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.get_or_create(user=user)[0].key}"}


class TestOnesOwn:
    """What an agent sees and changes is theirs, by whichever door they come."""

    @pytest.fixture
    def amina(self, people):
        users, _ = people
        return users["agent"]

    @pytest.fixture
    def brian(self, people):
        return make_agent(Queue.objects.get(), username="brian", presence="break")

    def test_another_agents_row_is_not_there(self, amina, brian):
        for headers in ({}, token(amina)):
            client = Client()
            if not headers:
                client.force_login(amina)
            listed = client.get("/api/agents/", headers=headers).json()["results"]
            assert [row["username"] for row in listed] == ["amina"]
            assert client.get("/api/agents/brian/", headers=headers).status_code == 404

    def test_another_agents_presence_stays(self, amina, brian):
        for body in ({"presence": "available"}, {"presence": "offline"}):
            reply = Client().post("/api/agents/brian/presence/", body, headers=token(amina),
                                  content_type="application/json")  # fmt: skip
            assert reply.status_code == 404
        brian.refresh_from_db()
        assert brian.presence == "break"

    def test_only_calls_that_were_offered_to_one_are_ones_own(self, amina, brian):
        theirs = make_waiting(Queue.objects.get())
        client = Client(headers=token(brian.user))
        assert client.get("/api/calls/").json()["results"] == []
        assert client.get(f"/api/calls/{theirs.public_id}/").status_code == 404
        mine = Client(headers=token(amina)).get("/api/calls/").json()["results"]
        assert len(mine) == 1

    def test_nobody_is_rung_in_anothers_name(self, amina, brian):
        body = {"agent": "brian", "to": "+254722000001"}
        reply = Client().post("/api/calls/", body, headers=token(amina),
                              content_type="application/json")  # fmt: skip
        assert reply.status_code == 403

    def test_the_desk_stream_is_ones_own_desk(self, amina, brian):
        for user, topic in ((amina, amina.agent.pk), (brian.user, brian.pk)):
            request = RequestFactory().get("/events/desk/")
            request.user = user
            assert async_to_sync(live._may_see)(request, "desk") == f"desk:{topic}"
            assert async_to_sync(live._may_see)(request, "board") is None
        assert answer(make_supervisor("sam"), "GET", "/events/desk/").status_code == 403
        assert answer(None, "GET", "/events/desk/").status_code == 403

    def test_an_agent_cannot_pull_a_call(self, amina):
        body = {"customerCallId": "x", "agentNumber": "+254711000001"}
        reply = Client().post("/calls/connect-agent", body, headers=token(amina),
                              content_type="application/json")  # fmt: skip
        assert reply.status_code == 403


class TestTokens:
    """A token may do what its user may do, and as long."""

    @pytest.mark.parametrize("route", sorted(r for r in TABLE if r.startswith("api/")))
    def test_it_acts_with_the_role_of_its_user(self, people, route):
        users, blanks = people
        for role, user in users.items():
            for method in ("GET", "POST"):
                with transaction.atomic():
                    reply = Client().generic(
                        method, path_of(route, blanks), "{}", content_type="application/json",
                        headers=token(user),
                    )  # fmt: skip
                    transaction.set_rollback(True)
                allowed = role in TABLE[route].get(method, NONE)
                assert let_in(reply) == allowed, (method, role, reply.status_code)

    def test_it_ends_with_its_user(self):
        agent = make_agent(username="amina")
        client = Client(headers=token(agent.user))
        assert client.get("/api/agents/").status_code == 200
        User.objects.filter(pk=agent.user.pk).update(is_active=False)
        assert client.get("/api/agents/").status_code == 401

    def test_it_opens_no_page(self, people):
        users, _ = people
        client = Client(headers=token(users["administrator"]))
        assert client.get("/board/").status_code == 302
        assert client.get("/admin/").status_code == 302


class TestTheEndOfAStay:
    def test_a_removed_agent_is_out_at_once(self, as_supervisor):
        agent = make_agent(queue := make_queue(), username="amina")
        make_waiting(queue, state="abandoned", abandoned_in="queue", ended_at=T0, agent=None)
        client = Client()
        client.force_login(agent.user)
        assert client.get("/agent/").status_code == 200
        Agent.objects.filter(pk=agent.pk).update(retired_at=T0)
        assert client.get("/agent/").status_code == 403
        assert client.get("/api/agents/").status_code == 403
        assert client.get("/events/desk/").status_code in {200, 403}
        assert as_supervisor.get("/api/agents/amina/").status_code == 404

    def test_a_new_password_ends_every_other_session(self):
        user = make_agent(username="amina").user
        here, there = Client(), Client()
        for client in (here, there):
            client.force_login(user)
        new = {"old_password": "a-good-password", "new_password1": "quite-another-1",
               "new_password2": "quite-another-1"}  # fmt: skip
        assert here.post("/password/", new).url == "/password/done/"
        assert here.get("/agent/").status_code == 200
        assert there.get("/agent/").status_code == 302

    def test_who_loses_the_role_loses_the_pages(self, as_supervisor):
        assert as_supervisor.get("/board/").status_code == 200
        User.objects.get(username="sarah").groups.clear()
        assert as_supervisor.get("/board/").status_code == 403


class TestSupervisorsAndAccounts:
    """Supervisors make and change agents, and nobody who stands above them."""

    def ask(self, method, path, body):
        boss = make_supervisor("boss")
        return Client().generic(method, path, json.dumps(body), headers=token(boss),
                                content_type="application/json")  # fmt: skip

    @pytest.mark.parametrize("mark", ["is_staff", "is_superuser"])
    def test_an_account_of_staff_is_neither_renamed_nor_removed(self, mark):
        user = make_agent(username="amina").user
        User.objects.filter(pk=user.pk).update(**{mark: True})
        assert self.ask("PATCH", "/api/agents/amina/", {"username": "x"}).status_code == 400
        Token.objects.all().delete()
        User.objects.filter(username="boss").delete()
        assert self.ask("DELETE", "/api/agents/amina/", {}).status_code == 403
        assert User.objects.get(pk=user.pk).username == "amina"

    @pytest.mark.parametrize("mark", ["is_staff", "is_superuser"])
    def test_an_account_of_staff_is_not_taken_over_by_hiring_it_again(self, mark):
        agent = make_agent(username="amina")
        User.objects.filter(pk=agent.user.pk).update(**{mark: True})
        Agent.objects.update(retired_at=T0)
        was = User.objects.get(username="amina").password
        body = {"username": "amina", "password": "quite-another-1", "destination": "+254711000009"}
        assert self.ask("POST", "/api/agents/", body).status_code == 400
        assert User.objects.get(username="amina").password == was

    def test_anothers_password_is_an_administrators_to_set(self):
        make_agent(username="amina")
        reply = self.ask("PATCH", "/api/agents/amina/", {"password": "quite-another-1"})
        assert reply.status_code == 400
        assert "administrator" in str(reply.json()["password"])

    def test_no_field_of_an_agent_makes_staff(self):
        body = {"username": "eve", "password": "quite-another-1", "destination": "+254711000009",
                "is_staff": True, "is_superuser": True, "groups": ["supervisor"],
                "user": {"is_staff": True}}  # fmt: skip
        assert self.ask("POST", "/api/agents/", body).status_code == 201
        eve = User.objects.get(username="eve")
        assert not eve.is_staff
        assert not eve.is_superuser
        assert [group.name for group in eve.groups.all()] == ["agent"]


class TestOperations:
    def test_live_and_ready_are_open(self, client):
        assert client.get("/health/live").json()["status"] == "ok"
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
