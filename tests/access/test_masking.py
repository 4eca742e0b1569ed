"""No secret and no whole number in any log, whatever is logged by whom."""

import io
import json
import logging
import os
import re
import subprocess
import sys

import pytest
import responses
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory
from django.views.debug import get_exception_reporter_class, get_exception_reporter_filter
from rest_framework.authtoken.models import Token

from callcenter import masking
from callcenter.error_reports import Reporter
from callcenter.masking import Masker, mask
from queues import dialling
from queues.models import Leg
from queues.routing import match
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting

NUMBER = re.compile(r"\+?254[17]\d{8}|0[17]\d{8}")


class TestMasking:
    @pytest.mark.parametrize(
        ("line", "masked"),
        [
            ("call to +254711000001 failed", "call to +254***001 failed"),
            ("Not Found: /api/agents/+254711000001/", "Not Found: /api/agents/+254***001/"),
            ("GET /api/calls/?number=%2B254711000001", "GET /api/calls/?number=+254***001"),
            ("number=0711000001&x=1", "number=***01&x=1"),
            ("254711000001 is busy", "***01 is busy"),
            ("to sip:amina@pbx.example", "to sip:a***@pbx.example"),
            ("to sip%3Aamina%40pbx.example", "to sip%3Aa***%40pbx.example"),
            ("POST /calls/inbound?token=abc.def-1", "POST /calls/inbound?token=***"),
            ("POST /calls/menu?a=1&token=abc&b=2", "POST /calls/menu?a=1&token=***&b=2"),
            ("Authorization: Bearer abcdefghijklmnop1", "Authorization: Bearer ***"),
            ("{'Authorization': 'Token 0123456789abcdef0'}", "{'Authorization': 'Token ***'}"),
            ('{"api_key": "abc", "n": 1}', '{"api_key": "***", "n": 1}'),
            ("X-Sautikit-Signature: t=1,v1=00ff", "X-Sautikit-Signature: ***,v1=***"),
            ("redis://:hunter2@127.0.0.1/0", "redis://:***@127.0.0.1/0"),
            ("postgres://u:hunter2@h/db", "postgres://u:***@h/db"),
        ],
    )
    def test_secrets_and_numbers_are_taken_out(self, line, masked):
        assert mask(line) == masked

    @pytest.mark.parametrize(
        "line",
        [
            "Not Found: /api/calls/HD_0123456789abcdef/",
            "call 0193a1b2-7c4d-7000-8000-254711000001 ended",
            "2026-11-22 10:00:00,123 INFO 5 rows in 0.004 s",
            "offer 12 of Token is wrong",
            "port 8000, pid 254, 1732281600.123 s",
            "KeyError: 'queue'",
        ],
    )
    def test_everything_else_stays(self, line):
        assert mask(line) == line

    def test_configured_secrets_are_known_wherever_they_stand(self):
        known = Masker(["a-long-secret", "short"])
        assert known("xa-long-secretx") == "x***x"
        assert known("short") == "short"


@pytest.fixture
def written():
    """What every logger writes, by a handler that knows nothing of masking."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    loggers = [logging.getLogger(), logging.getLogger("granian.access"), logging.getLogger("x")]
    for logger in loggers:
        logger.addHandler(handler)
    was, loggers[0].level = loggers[0].level, logging.DEBUG
    yield stream.getvalue
    loggers[0].level = was
    for logger in loggers:
        logger.removeHandler(handler)


def test_a_handler_of_anybodys_is_served(written):
    logging.getLogger("granian.access").warning("GET /calls/inbound?token=%s", "abc.def")
    logging.getLogger("x").warning("to %(to)s", {"to": "+254711000001"})
    logging.getLogger("x").warning("100 %% of %s", "0711000001")
    assert "token=***" in written()
    assert "to +254***001" in written()
    assert "100 % of ***01" in written()


def test_a_traceback_is_masked(written):
    try:
        raise ValueError(f"{settings.SAUTIKIT_WEBHOOK_TOKENS[0]} of +254711000001")
    except ValueError:
        logging.getLogger("x").exception("no")
    assert "ValueError: *** of +254***001" in written()
    assert settings.SAUTIKIT_WEBHOOK_TOKENS[0] not in written()


def test_a_wrong_format_is_left_to_the_handler_to_report():
    record = masking._make("x", logging.WARNING, "f.py", 1, "%d calls", ("many",), None)
    assert (record.msg, record.args) == ("%d calls", ("many",))


@pytest.mark.django_db
def test_webhooks_the_api_and_dialling_leave_no_trace(written, sautikit_api, monkeypatch):
    queue = make_queue()
    agent = make_agent(queue, username="amina", destination="+254711000001", confirm_key=True)
    make_agent(username="chebet", destination="sip:chebet@pbx.example", presence="offline")
    key = Token.objects.create(user=make_supervisor()).key
    api = Client(headers={"Authorization": f"Token {key}"}, raise_request_exception=False)
    secret = settings.SAUTIKIT_WEBHOOK_TOKENS[0]

    # webhooks: with a wrong token, not readable, failing inside
    Client().post("/calls/inbound?token=a-wrong-token-of-somebody")
    Client().post(f"/calls/inbound?token={secret}", "{", content_type="application/json")
    monkeypatch.setattr("queues.webhooks.arrivals.arrive", _fail, raising=False)
    monkeypatch.setattr("queues.arrivals.arrive", _fail, raising=False)
    body = {"sessionId": "HD_1", "callerNumber": "+254722000001", "direction": "inbound",
            "destinationNumber": "+254200000101", "callState": "Ringing"}  # fmt: skip
    Client().post(f"/calls/inbound?token={secret}", json.dumps(body),
                  content_type="application/json")  # fmt: skip

    # the API: numbers in addresses, in queries, in a clash of the database
    api.get("/api/agents/+254711000001/")
    api.get("/api/calls/?number=0722000001&since=rubbish")
    api.patch("/api/agents/chebet/", {"destination": "+254711000001"},
              content_type="application/json")  # fmt: skip
    logging.getLogger("django.db").warning("Key (destination)=(+254711000001) already exists.")

    # dialling: refused, and no answer at all
    make_waiting(queue)
    match(T0)
    for answer in ({"status": 422, "json": {"error": {"message": "bad to +254711000001"}}},
                   {"body": ConnectionError("to +254711000001")}):  # fmt: skip
        sautikit_api.add(responses.POST, f"{settings.SAUTIKIT_API_BASE_URL}/v1/calls", **answer)
    for leg in Leg.objects.filter(role="agent", ended_at=None):
        try:
            dialling.place(leg.pk, at=T0)
        except Exception:
            logging.getLogger("celery.task").exception("place failed for %s", leg.party)

    text = written()
    assert agent.destination not in text
    assert "/api/agents/+254***001/" in text
    assert NUMBER.findall(text) == []
    assert "chebet@" not in text
    for hidden in (key, secret, settings.SAUTIKIT_API_KEY, "a-wrong-token-of-somebody"):
        assert hidden not in text


def _fail(*args, **kwargs):
    raise RuntimeError(f"no place for {args} {kwargs}")


class TestReports:
    def test_they_are_what_django_uses(self):
        assert get_exception_reporter_class(None) is Reporter

    def test_settings_are_hidden(self):
        shown = get_exception_reporter_filter(None).get_safe_settings()
        for name in ("SECRET_KEY", "SAUTIKIT_API_KEY", "SAUTIKIT_WEBHOOK_TOKENS", "DATABASES",
                     "SAUTIKIT_SIGNING_SECRETS", "REDIS_URL", "CELERY_BROKER_URL"):  # fmt: skip
            assert shown[name] == masking.HIDDEN, name
        assert shown["TIME_ZONE"] == "Africa/Nairobi"

    @pytest.mark.parametrize("kind", ["get_traceback_text", "get_traceback_html"])
    def test_request_and_traceback_are_masked(self, kind):
        hidden = ["abc" + ".def", "7110" + "00001", "7110" + "00002", "01234567" + "89abcdef"]
        token, caller, number, key = hidden
        headers = {"Authorization": f"Token {key}"}
        query = f"token={token}&from=%2B254{caller}"
        report = report_of(RequestFactory().get(f"/calls/inbound?{query}", headers=headers), kind,
                           f"number +254{number}")  # fmt: skip
        for each in [*hidden, settings.SECRET_KEY]:
            assert each not in report
        assert "+254***" in report


def report_of(request, kind, message) -> str:
    """An error report whose frames hold the request and the message, and nothing in clear."""
    try:
        raise ImproperlyConfigured(message)
    except ImproperlyConfigured:
        reporter = Reporter(request, *sys.exc_info())
        return getattr(reporter, kind)()


def test_it_is_on_in_every_process_that_loads_the_settings():
    """The worker too: Celery makes its own handlers, by its own rules."""
    program = (
        "import logging, sys; from callcenter.celery import app\n"
        "app.loader.import_default_modules()\n"
        "app.log.setup(loglevel='INFO', logfile=None)\n"
        "logging.getLogger('celery.worker').error('to %s', '+254711000001')\n"
        "logging.getLogger('anything').error('token=%s', 'abc')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=os.environ, check=True)  # fmt: skip
    told = done.stdout + done.stderr
    assert "to +254***001" in told
    assert "token=***" in told
    assert "711000001" not in told
