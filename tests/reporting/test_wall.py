"""Screens on walls: a link lets look, shows figures only, and ends when it is revoked."""

import re
from hashlib import sha256
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.utils import timezone

from callcenter import live, masking
from queues.models import Queue
from reporting import views_wall, wall_links
from reporting.models import WallLink
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting
from tests.pages import made_up

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_limits(monkeypatch):
    for name in ("requests", "wrong"):
        monkeypatch.setattr(views_wall, name, views_wall.Limit(getattr(views_wall, name).most))


@pytest.fixture
def sarah():
    client = Client()
    client.force_login(make_supervisor())
    return client


@pytest.fixture
def token():
    return wall_links.make("Reception", [], at=T0, user=None)[1]


def address_of(html: str) -> str:
    found = re.search(r'data-testid="wall-address">http://testserver(/wall/[\w-]{43}/)<', html)
    assert found
    return found[1]


class TestLinks:
    def test_the_address_is_shown_once_and_only_its_digest_is_kept(self, sarah, client):
        make_queue()
        reply = sarah.post("/wall-links/", {"name": "Reception", "once": "1"})
        address = address_of(reply.content.decode())
        assert reply.headers["Cache-Control"] == "no-store"
        link = WallLink.objects.get()
        token = address.split("/")[2]
        assert link.digest == sha256(token.encode()).hexdigest()
        assert link.created_by.username == "sarah"
        assert token not in sarah.get("/wall-links/").content.decode()
        assert token not in str(WallLink.history.values())
        assert client.get(address).status_code == 200

    def test_the_page_loaded_again_makes_no_second_link(self, sarah):
        for _ in range(2):
            sarah.post("/wall-links/", {"name": "Reception", "once": "1"})
        sarah.post("/wall-links/", {"name": "Kitchen", "once": "2"})
        assert sorted(link.name for link in WallLink.objects.all()) == ["Kitchen", "Reception"]

    def test_a_name_is_asked_for_at_the_field_and_nothing_is_lost(self, sarah):
        queue = make_queue()
        html = sarah.post(
            "/wall-links/", {"name": " ", "queues": [queue.pk], "once": "1"}
        ).content.decode()
        assert "This field is required." in html
        assert "checked" in html
        assert not WallLink.objects.exists()

    def test_a_revoked_one_ends_and_the_second_supervisor_is_told(self, sarah, client, token):
        link = WallLink.objects.get()
        assert client.get(f"/wall/{token}/now/").status_code == 200
        reply = sarah.post(f"/wall-links/{link.pk}/revoke/", follow=True)
        assert "its screens go blank" in reply.content.decode()
        assert client.get(f"/wall/{token}/now/").status_code == 403
        page = client.get(f"/wall/{token}/")
        assert page.status_code == 403
        assert "This link does not work any more." in page.content.decode()
        again = sarah.post(f"/wall-links/{link.pk}/revoke/", follow=True)
        assert "That link was revoked already." in again.content.decode()

    def test_who_made_and_ended_it_is_kept(self, sarah):
        sarah.post("/wall-links/", {"name": "Reception", "once": "1"})
        sarah.post(f"/wall-links/{WallLink.objects.get().pk}/revoke/")
        rows = WallLink.history.order_by("history_id")
        assert {row.history_user.username for row in rows} == {"sarah"}
        assert [bool(row.revoked_at) for row in rows][-1] is True

    def test_when_it_was_last_used_is_known_to_the_minute(self, client, token):
        client.get(f"/wall/{token}/")
        used = WallLink.objects.get().last_used_at
        assert abs((timezone.now() - used).total_seconds()) < 5
        client.get(f"/wall/{token}/now/")
        assert WallLink.objects.get().last_used_at == used

    def test_the_admin_revokes_too(self, token):
        client, link = Client(), WallLink.objects.get()
        client.force_login(User.objects.create_superuser("root"))
        client.post("/admin/reporting/walllink/",
                    {"action": "revoke", "_selected_action": [link.pk]})  # fmt: skip
        assert WallLink.objects.get().revoked_at


class TestTheScreen:
    def test_it_shows_figures_and_no_caller_and_no_agent(self, client):
        made_up.centre()
        made_up.busy()
        token = made_up.needing_help()
        for path in ("", "now/"):
            html = client.get(f"/wall/{token}/{path}").content.decode()
            assert 'data-testid="wall-waiting">4<' in html
            assert not re.search(r"\+\d{6}|sip:|Amina|Brian|Chebet", html)
        assert "Closed" in html

    def test_only_the_chosen_queues_and_their_agents_each_counted_once(self, client):
        support, billing = make_queue(), make_queue("billing", number=None)
        make_agent(support, billing)
        make_agent(billing)
        make_agent(make_queue("sales", number=None))
        for queue in (support, billing, Queue.objects.get(slug="sales")):
            make_waiting(queue)
        _link, token = wall_links.make("X", [support.pk, billing.pk], at=T0, user=None)
        html = client.get(f"/wall/{token}/").content.decode()
        assert 'data-testid="wall-waiting">2<' in html
        assert 'data-testid="wall-free">2<' in html
        assert "of 2 signed in" in html
        assert "Sales" not in html

    def test_its_headers_keep_the_address_to_itself(self, client, token):
        for path in ("", "now/"):
            headers = client.get(f"/wall/{token}/{path}").headers
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Robots-Tag"] == "noindex, nofollow"
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert "Set-Cookie" not in headers

    def test_no_log_has_its_address(self, token):
        assert masking.mask(f"GET /wall/{token}/now/ 200") == "GET /wall/***/now/ 200"

    def test_it_only_reads(self, client, token):
        assert client.post(f"/wall/{token}/").status_code == 405

    def test_guessing_is_slowed_down_and_so_is_asking_without_end(self, client, token, monkeypatch):
        for _ in range(views_wall.MOST_WRONG_A_MINUTE):
            assert client.get("/wall/wrong/").status_code == 403
        slow = client.get(f"/wall/{token}/")
        assert (slow.status_code, slow.headers["Retry-After"]) == (429, "60")
        assert client.get(f"/wall/{token}/", REMOTE_ADDR="10.0.0.8").status_code == 200
        monkeypatch.setattr(views_wall, "requests", views_wall.Limit(3))
        codes = [
            client.get(f"/wall/{token}/", REMOTE_ADDR="10.0.0.9").status_code for _ in range(3)
        ]
        assert codes == [200, 200, 429]

    def test_its_stream_is_for_its_token(self, token, monkeypatch):
        monkeypatch.setattr(live, "connection", SimpleNamespace(close=lambda: None))

        def code(token: str) -> int:
            request = RequestFactory().get("/events/wall/x/")
            return async_to_sync(views_wall.events)(request, token).status_code

        assert code(token) == 200
        assert code("wrong") == 403
        wall_links.revoke(WallLink.objects.get().pk, at=T0)
        assert code(token) == 403
