"""What every answer tells a browser; and how large a request may be."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver

from callcenter import headers
from callcenter.access import second_factor
from queues.roles import set_up_roles
from tests.factories import make_agent, make_queue, make_waiting
from tests.test_roles import close, path_of, routes

pytestmark = pytest.mark.django_db
STRICT = (
    "base-uri 'none'; connect-src 'self'; default-src 'none'; font-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; img-src 'self'; media-src 'self'; "
    "script-src 'self'; style-src 'self'"
)
WALKED = [
    *sorted(
        set(routes(get_resolver().url_patterns))
        - {"events/<str:board>/", "events/wall/<str:token>/"}  # streams: see test_live
    ),
    "admin/", "admin/queues/queue/", "admin/queues/queue/add/", "no-such-page/", "api/none/",
]  # fmt: skip


def parts(policy: str) -> set[str]:
    return {part.strip() for part in policy.split(";")}


@pytest.fixture
def root():
    set_up_roles()
    queue = make_queue()
    user = User.objects.create_superuser("root")
    make_agent(queue, username="amina")
    call = make_waiting(queue)
    client = Client()
    client.force_login(user)
    client.blanks = {
        "int:pk": "1", "str:public_id": call.public_id, "username": "amina", "pk": call.public_id,
        "number": "+254700000111", "slug:slug": "support",
        "slug:table": "queues", "str:token": "made-up",
        **dict.fromkeys(["uuid:pk", "uuid:offer"], str(call.pk)),
    }  # fmt: skip
    return client


@pytest.mark.parametrize("route", WALKED)
def test_every_page_has_its_headers_whoever_asks(root, route):
    path = path_of(route, root.blanks)
    for client in (root, Client()):
        for reply in (client.get(path), client.post(path)):
            told = reply.headers
            assert told["X-Content-Type-Options"] == "nosniff"
            by_token = path.startswith("/wall/") and reply.status_code != 405
            assert told["Referrer-Policy"] == ("no-referrer" if by_token else "same-origin")
            assert told["Cross-Origin-Opener-Policy"] == "same-origin"
            assert told["Cross-Origin-Resource-Policy"] == "same-origin"
            assert told["X-Frame-Options"] == "DENY"
            assert "microphone=()" in told["Permissions-Policy"]
            policy = parts(told["Content-Security-Policy"])
            if path.startswith("/admin/"):
                assert "script-src 'self' 'unsafe-inline' 'unsafe-eval'" in policy
            elif path.startswith("/api/docs/"):
                assert "script-src 'self'" in policy
                assert "style-src 'self' 'unsafe-inline'" in policy
            else:
                assert policy == parts(STRICT)
            assert "frame-ancestors 'none'" in policy
            close(reply)


def test_the_header_for_https_only_comes_over_https(root):
    assert "Strict-Transport-Security" not in root.get("/board/").headers
    over_https = root.get("/board/", secure=True, headers={"X-Forwarded-Proto": "https"})
    assert over_https.headers["Strict-Transport-Security"] == "max-age=2592000"


def test_a_page_of_ours_has_neither_inline_script_nor_style(root):
    for path in ("/", "/calls-log/", "/second-factor/", "/password/", "/no-such-page/"):
        html = root.get(path).content.decode()
        assert not re.search(r"<script(?![^>]*\ssrc=)|\son[a-z]+=\"|\sstyle=|<style", html), path


def test_the_pages_with_secrets_are_not_kept(root):
    user = User.objects.get(username="root")
    second_factor.begin(user)
    for path in ("/login/", "/second-factor/", "/second-factor/confirm/", "/password/"):
        client = Client() if path == "/login/" else root
        assert "no-store" in client.get(path)["Cache-Control"], path


def test_the_policies_are_made_once(django_assert_num_queries):
    headers.policy.cache_clear()
    for _ in range(3):
        Client().get("/health/live")
    assert headers.policy.cache_info().misses == 1


class TestLimits:
    def test_a_large_body_is_refused_without_being_read_whole(self, root):
        body = b'{"slug": "' + b"x" * 1024 * 1024 + b'"}'
        reply = root.post("/api/queues/", body, content_type="application/json")
        assert reply.status_code == 413
        assert root.post("/password/", {"old_password": "x" * 1024 * 1024}).status_code == 400

    def test_nothing_takes_a_file(self, root):
        from io import BytesIO

        reply = root.post("/password/", {"file": BytesIO(b"content")})
        assert reply.status_code == 400

    def test_a_form_has_a_limit_of_fields_above_that_of_a_large_queue(self, root):
        fields = {f"memberships-{n}-position": "0" for n in range(4000)}
        assert root.post("/password/", fields).status_code == 200
        assert root.post("/password/", {f"f{n}": "0" for n in range(5001)}).status_code == 400
