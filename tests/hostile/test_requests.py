"""Hand-made requests at every address: wrong methods, broken bodies, other people's names."""

import json

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

pytestmark = pytest.mark.django_db
METHODS = ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"]
SENT = [
    ("POST", "application/json"), ("PATCH", "application/json"), ("POST", "x/y"),
    ("POST", "application/x-www-form-urlencoded"),
]  # fmt: skip
DEEP = b"[" * 20_000 + b"]" * 20_000
BODIES = {
    "nothing": b"",
    "one byte": b"{",
    "no JSON": b'{"a": ',
    "deep": DEEP,
    "not text": b"\xff\xfe\x00\x80" * 8,
    "a list": b"[1, 2, 3]",
    "a number": b"1e999",
    "null": b"null",
    "NUL": b'{"username": "a\\u0000b", "slug": "a\\u0000b", "to": "\\u0000"}',
    "surrogate": b'{"username": "\\ud800", "slug": "\\udfff", "name": "\\ud800"}',
    "huge number": b'{"priority": 99999999999999999999999, "timeout": -1e400, "limit": NaN}',
    "many fields": json.dumps({f"f{n}": n for n in range(5000)}).encode(),
    "two megabytes": b'{"name": "' + b"x" * (2 << 20) + b'"}',
    "SQL": b'{"slug": "x\'; DROP TABLE queues_queue; --", "name": "\' OR 1=1 --"}',
}
BLANKS = {
    "<int:pk>": ["1", "0", "99999999999999999999"],
    "<str:public_id>": ["x", "%00", "..%2f..%2fetc", "9" * 1000, "%27%20OR%201%3D1--", "%ff"],
    "<str:board>": ["board", "desk", "x" * 500, "%0d%0aX-Evil:1"],
    "<path:object_id>": ["1", "_2F_", "99999999999999999999", "x"],
    "<str:username>": ["amina", "x" * 300],
    "<slug:slug>": ["support", "x" * 300],
}


def addresses() -> list[str]:
    """Every route of the site map with plausible and implausible things in its blanks."""
    found = []

    def walk(patterns, before):
        for each in patterns:
            route = before + str(each.pattern).strip("^$").replace("\\Z", "")
            if isinstance(each, URLResolver):
                walk(each.url_patterns, route)
            elif isinstance(each, URLPattern) and "(?P" not in route:
                found.append(f"/{route}")

    walk(get_resolver().url_patterns, "")
    filled = []
    for route in sorted(set(found)):
        blank = next((name for name in BLANKS if name in route), None)
        if "<" in route and blank is None:
            continue
        for value in BLANKS.get(blank or "", [""]):
            path = route.replace(blank, value, 1) if blank else route
            if "<" not in path:
                filled.append(path)
    return filled


STREAMS = ("/events/", "/health/ready")  # a stream, and what says 503 in so many words
ADDRESSES = [path for path in addresses() if not path.startswith(STREAMS)]


def finish(reply) -> None:
    """Read a stream to its end, which closes its file; the client has closed all others."""
    if reply.streaming:
        b"".join(reply.streaming_content)


def test_every_address_is_known_to_this_test():
    assert len(ADDRESSES) > 60
    assert any(path.startswith("/admin/queues/") for path in ADDRESSES)


@pytest.mark.parametrize(
    "who",
    ["", pytest.param("amina", marks=pytest.mark.long), "sarah",
     pytest.param("root", marks=pytest.mark.long)],
)  # fmt: skip
def test_no_method_at_any_address_breaks_anything(who, centre, browser, picture):
    before, broken = picture(), []
    client = browser(who)
    for path in ADDRESSES:
        if "logout" in path or "password" in path:  # these sign out, or away
            client = browser(who)
        for method in METHODS:
            if method == "POST" and path.startswith("/agent/"):
                continue  # an agent's own buttons, without a body
            reply = client.generic(method, path)
            finish(reply)
            if reply.status_code >= 500:
                broken.append((method, path))
    assert broken == []
    if who in {"", "sarah"}:
        assert picture() == before


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("who", ["", "amina", "root"])
def test_no_body_breaks_anything(who, body, centre, browser, picture):
    client = browser(who)
    before, broken = picture(), []
    for path in ADDRESSES:
        if path.startswith(("/admin/", "/logout", "/agent/")):
            continue
        for method, content_type in SENT:
            reply = client.generic(method, path, BODIES[body], content_type=content_type)
            finish(reply)
            if reply.status_code >= 500:
                broken.append((method, path, content_type))
    assert broken == []
    assert picture() == before


@pytest.mark.parametrize("path", ["/calls-log/", "/api/calls/", "/api/reports/queues/", "/login/"])
@pytest.mark.parametrize(
    "value",
    [
        "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' OR 1=1 --", "%00",
        "9" * 1000, "-1", "1e309", "\u202e", "2026-13-45", "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59+14:00",
    ],
)  # fmt: skip
def test_nothing_in_a_query_comes_back_as_markup(path, value, centre, browser):
    client = browser("root")
    for name in ("status", "queue", "number", "since", "until", "interval", "limit", "cursor",
                 "next", "page", "q"):  # fmt: skip
        reply = client.get(path, {name: value})
        assert reply.status_code < 500, (path, name)
        if "html" in reply["Content-Type"]:
            assert b"<script>alert" not in reply.content
            assert b"<img src=x" not in reply.content


def test_a_sign_in_leads_to_no_other_site(centre, browser):
    for elsewhere in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil"):
        reply = browser("").post(
            "/login/", {"username": "sarah", "password": "a-good-password", "next": elsewhere}
        )
        assert reply.status_code in {200, 302}
        assert "evil" not in reply.get("Location", "")
        assert "javascript" not in reply.get("Location", "")
