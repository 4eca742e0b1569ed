"""What a stranger, a confused provider or a thief may post at the webhook URLs."""

import json
import time
from urllib.parse import quote, urlencode

import pytest

from callcenter.sautikit import signature, tokens
from queues import links
from queues.models import QueuedCall, WebhookEvent
from queues.routing import match
from tests.factories import CALLER, LINE, T0, make_agent, make_queue, make_waiting
from tests.queues.telephone import TOKEN

from .test_requests import BODIES

pytestmark = pytest.mark.django_db
VOICE = ["inbound", "menu", "dial-result", "agent-join", "outbound-answer"]
EVENTS = ["queue-events", "agent-status", "outbound-status", "events"]
SHARED = {"inbound", "events"}  # their token is the account's
TAG = "<script>alert(1)</script>"
NASTY = [
    TAG, '"><img src=x onerror=alert(1)>', "'; DROP TABLE queues_queuedcall; --", "\x00", "\ud800",
    "9" * 1000, "-1", "{{7*7}}", "%s%n", "\u202e+254", "\r\nX-Evil: 1", "../../etc/passwd", "",
    "=cmd|' /C calc'!A0",
]  # fmt: skip
FIELDS = [
    "sessionId", "callerNumber", "destinationNumber", "callSessionState", "Digits", "direction",
    "durationInSeconds", "dialStatus", "hangupCause", "clientRequestId", "event_id", "kind",
    "event", "conference_name", "participant_id", "recordingUrl", "call_id", "status",
    "answered_at", "ended_at", "amount", "currencyCode",
]  # fmt: skip


@pytest.fixture
def ours(centre):
    """Good tokens for each URL, of a call that is being offered to an agent."""
    make_agent(centre)
    assert match(T0) == 1
    call = QueuedCall.objects.select_related("offer").get()
    offer = call.offer
    return {
        "inbound": f"/calls/inbound?token={TOKEN}",
        "events": f"/calls/events?token={TOKEN}",
        "menu": _path(links.menu(call, 1)),
        "dial-result": _path(links.dial_result(call, 1)),
        "queue-events": _path(links.queue_events(call, call.step)),
        "agent-join": _path(links.agent_join(offer)),
        "agent-status": _path(links.agent_status(offer)),
        "outbound-answer": _path(links.outbound_answer(call)),
        "outbound-status": _path(links.outbound_status(call)),
    }


def post(browser, url, body):
    form = "application/x-www-form-urlencoded"
    return browser("").generic("POST", url, urlencode(body), content_type=form)


def _path(url):
    return url.removeprefix("https://calls.example.test")


@pytest.mark.parametrize("name", VOICE + EVENTS)
class TestTokens:
    @pytest.mark.parametrize(
        "token",
        [
            "", "x", "." * 600, "c.00000000000000000000000000000000.x", TOKEN[:-1], TOKEN + "x",
            quote("\x00"), quote("ä"), "%ff%fe",
        ],
    )  # fmt: skip
    def test_a_wrong_one_is_refused_and_nothing_is_kept(self, name, token, ours, browser, picture):
        before = picture()
        body = {"sessionId": "HD_1", "callerNumber": CALLER, "destinationNumber": LINE}
        for url in (f"/calls/{name}?token={token}", f"/calls/{name}"):
            reply = post(browser, url, body)
            assert reply.status_code == 403
        assert picture() == before

    def test_that_of_another_url_of_another_key_or_of_a_session_is_refused(
        self, name, ours, browser, picture
    ):
        before = picture()
        call = QueuedCall.objects.get()
        forged = tokens.issue("c", call.pk.hex, key="callback:another-key")
        assert browser("root").post(f"/calls/{name}?token={forged}", {}).status_code == 403
        if name not in SHARED:
            assert browser("root").post(f"/calls/{name}?token={TOKEN}", {}).status_code == 403
        else:
            own = links.dial_result(call, 1).partition("token=")[2]
            assert browser("root").post(f"/calls/{name}?token={own}", {}).status_code == 403
        assert picture() == before

    def test_an_agents_token_opens_no_customers_url_and_the_other_way_round(
        self, name, ours, browser, picture
    ):
        if name in SHARED | {"queue-events", "agent-status", "outbound-status"}:
            pytest.skip("an event URL takes either, and believes it only as far as it says")
        before = picture()
        call = QueuedCall.objects.select_related("offer").get()
        is_agents = name == "agent-join"
        other = links.dial_result(call, 1) if is_agents else links.agent_join(call.offer)
        token = other.partition("token=")[2]
        body = {"sessionId": "HD_1", "callSessionState": "Active"}
        assert post(browser, f"/calls/{name}?token={token}", body).status_code == 403
        assert picture() == before

    @pytest.mark.parametrize("body", BODIES)
    def test_a_body_that_says_nothing_is_answered_and_changes_no_call(
        self, name, body, ours, browser, picture
    ):
        before = picture()
        for content_type in ("application/json", "application/x-www-form-urlencoded", "text/x"):
            reply = browser("").generic("POST", ours[name], BODIES[body], content_type)
            assert reply.status_code in ({200, 413} if name in VOICE else {200, 204, 400, 413})
        after = picture()
        if name not in {"agent-join", "dial-result", "menu", "outbound-answer"}:
            assert after["queues_queuedcall"] == before["queues_queuedcall"]

    def test_another_method_is_refused(self, name, ours, browser, picture):
        before = picture()
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert browser("").generic(method, ours[name]).status_code == 405
        assert picture() == before

    @pytest.mark.parametrize("age", [301, -301, 10**9])
    def test_an_old_signature_is_kept_apart_and_not_acted_on(
        self, name, age, ours, browser, picture, settings
    ):
        settings.SAUTIKIT_SIGNING_SECRETS = ["whsec"]
        before = picture()
        raw = urlencode({"sessionId": "HD_9", "callSessionState": "Completed", "kind": "x"})
        signed = signature.sign("whsec", raw.encode(), int(time.time()) - age)
        reply = browser("").generic(
            "POST", ours[name], raw, content_type="application/x-www-form-urlencoded",
            headers={signature.HEADER: signed},
        )  # fmt: skip
        assert reply.status_code in {200, 204}
        after = picture()
        assert after.pop("queues_webhookevent") != before.pop("queues_webhookevent")
        assert after == before
        assert WebhookEvent.objects.get().verdict == "quarantined"


@pytest.mark.parametrize("name", VOICE + EVENTS)
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "form"])
def test_no_field_can_break_a_url(name, as_json, ours, browser):
    broken = []
    for field in FIELDS:
        for value in NASTY:
            body = {
                "sessionId": "HD_hostile", "callerNumber": CALLER, "destinationNumber": LINE,
                "callSessionState": "Ringing", field: value,
            }  # fmt: skip
            if as_json:
                raw, content_type = json.dumps(body), "application/json"
            else:
                raw = urlencode(body, errors="replace")
                content_type = "application/x-www-form-urlencoded"
            reply = browser("").generic("POST", ours[name], raw, content_type=content_type)
            if reply.status_code >= 500 or "X-Evil" in reply.headers:
                broken.append((field, value, reply.status_code))
    assert broken == []


def test_a_callers_markup_is_shown_as_text_on_every_page(browser, picture):
    make_queue()
    make_agent(username="amina")
    for n, nasty in enumerate(value for value in NASTY if value != "\ud800"):
        body = {
            "sessionId": f"HD_{n:012}", "callerNumber": nasty or "x", "destinationNumber": LINE,
            "callSessionState": "Ringing", "callerName": nasty,
        }  # fmt: skip
        assert post(browser, f"/calls/inbound?token={TOKEN}", body).status_code == 200
        body = {"sessionId": TAG, "callerNumber": nasty, "destinationNumber": f"{TAG}{n}"}
        assert post(browser, f"/calls/inbound?token={TOKEN}", body).status_code == 200
    from django.contrib.auth.models import User

    User.objects.create_superuser("root", password="a-good-password")
    supervisor = browser("root")
    pages = ["/", "/board/", "/calls-log/", "/admin/queues/queuedcall/", "/admin/queues/alert/",
             "/admin/queues/webhookevent/", "/admin/queues/leg/"]  # fmt: skip
    for call in QueuedCall.objects.all():
        pages += [f"/calls-log/{quote(call.public_id)}/", f"/api/calls/{quote(call.public_id)}/"]
        pages += [f"/admin/queues/queuedcall/{call.pk}/change/"]
    seen = 0
    for page in pages:
        reply = supervisor.get(page)
        assert reply.status_code in {200, 302, 404}, page
        if "html" in reply["Content-Type"]:
            assert TAG.encode() not in reply.content, page
            assert b"<img src=x" not in reply.content, page
            seen += b"&lt;script&gt;" in reply.content
    assert seen > 2


@pytest.mark.parametrize("digits", ["9" * 1000, "1" * 64, "#" * 500, "1;DROP", "\u0661", "\uff11"])
def test_a_thousand_digits_are_one_wrong_key(digits, centre, browser):
    body = {
        "sessionId": "HD_0000000000ff", "callerNumber": CALLER,
        "destinationNumber": "+254200000100", "callSessionState": "Ringing",
    }  # fmt: skip
    url = f"/calls/inbound?token={TOKEN}"
    post(browser, url, body)
    reply = post(browser, url, {**body, "Digits": digits})
    assert reply.status_code == 200
    call = QueuedCall.objects.get(public_id="HD_0000000000ff")
    assert (call.state, call.menu_tries) in {("greeting", 1), ("waiting", 0), ("offered", 0)}


def test_nobody_learns_from_the_time_whether_a_call_exists(centre, browser):
    """A token decides first: the answer to a wrong one is the same for any call."""
    call = make_waiting(centre)
    for handle in (call.public_id, "HD_no_such_call"):
        reply = post(browser, "/calls/inbound?token=wrong", {"sessionId": handle})
        assert (reply.status_code, reply.content) == (403, b"")
