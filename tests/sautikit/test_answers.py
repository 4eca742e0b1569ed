"""What every refusal and every silence of the provider means."""

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from callcenter.sautikit.errors import (
    BadShape,
    Conflict,
    NotFound,
    OutOfFunds,
    RateLimited,
    Rejected,
    SautikitError,
    Unauthorised,
    Unavailable,
)
from tests.sautikit.wire import CALLS, envelope, place


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, envelope("calls.invalid"), BadShape, "calls.invalid"),
        (422, {"detail": "to: not a list"}, BadShape, "http_422"),
        (402, envelope("wallet.insufficient_funds"), OutOfFunds, "wallet.insufficient_funds"),
        (402, "", OutOfFunds, "http_402"),
        (400, envelope("wallet_insufficient_funds"), OutOfFunds, "wallet_insufficient_funds"),
        (401, envelope("api_key.invalid"), Unauthorised, "api_key.invalid"),
        (403, envelope("api_key.scope_denied"), Unauthorised, "api_key.scope_denied"),
        (404, "<h1>Not Found</h1>", NotFound, "http_404"),
        (409, envelope("idempotency.conflict"), Conflict, "idempotency.conflict"),
        (410, {"code": "gone", "reason": "pbx_deleted"}, Rejected, "gone"),
        (418, {"error": "teapot"}, Rejected, "http_418"),
        (429, "", RateLimited, "http_429"),
        (408, "", Unavailable, "http_408"),
        (500, envelope("internal_error"), Unavailable, "internal_error"),
        (502, "<html>Bad gateway</html>", Unavailable, "http_502"),
        (503, "[]", Unavailable, "http_503"),
        (302, "", Rejected, "redirected"),
    ],
)
def test_each_refusal_is_an_error_of_ours(api, client, status, body, kind, code):
    body = body if isinstance(body, str) else json.dumps(body)
    api.post(CALLS, body=body, status=status)
    with pytest.raises(SautikitError) as error:
        place(client)
    assert type(error.value) is kind
    assert error.value.status == status
    assert error.value.code == code
    assert error.value.message
    if "req_9f3c21" in body:
        assert error.value.request_id == "req_9f3c21"
    if isinstance(error.value, Unavailable):
        assert error.value.maybe_placed is (status >= 500)


def test_bad_shape_is_a_word_about_placing_only(api, client):
    api.get(f"{CALLS}/HD_1", json=envelope("calls.invalid"), status=400)
    with pytest.raises(Rejected) as error:
        client.get_call("HD_1")
    assert not isinstance(error.value, BadShape)


@pytest.mark.parametrize(
    ("header", "wait"),
    [("7", 7.0), ("0.5", 0.5), ("99999999", 3600.0), ("", None), ("soon", None), ("-1", None)],
)
def test_how_long_a_rate_limit_asks_to_wait(api, client, header, wait):
    api.post(CALLS, status=429, headers={"Retry-After": header})
    with pytest.raises(RateLimited) as error:
        place(client)
    assert error.value.retry_after == wait
    assert not error.value.maybe_placed


def test_a_rate_limit_until_a_date(api, client):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    api.post(CALLS, status=429, headers={"Retry-After": until})
    with pytest.raises(RateLimited) as error:
        place(client)
    assert error.value.retry_after is not None
    assert 25 < error.value.retry_after <= 30


REFUSED = requests.ConnectionError(
    MaxRetryError(None, "/v1/calls", NewConnectionError(None, "refused"))  # type: ignore[arg-type]
)


@pytest.mark.parametrize(
    ("failure", "maybe_placed"),
    [
        (requests.ReadTimeout(), True),
        (requests.ConnectionError(("Connection aborted.", ConnectionResetError())), True),
        (requests.exceptions.ChunkedEncodingError(), True),
        (requests.ConnectTimeout(), False),
        (requests.exceptions.SSLError(), False),
        (requests.exceptions.ProxyError(), False),
        (REFUSED, False),
    ],
)
def test_no_answer_tells_whether_the_request_may_have_gone_out(api, client, failure, maybe_placed):
    api.post(CALLS, body=failure)
    with pytest.raises(Unavailable) as error:
        place(client)
    assert error.value.maybe_placed is maybe_placed
    assert error.value.status is None


def test_reading_never_says_that_something_was_placed(api, client):
    api.get(f"{CALLS}/HD_1", body=requests.ReadTimeout())
    with pytest.raises(Unavailable) as error:
        client.get_call("HD_1")
    assert not error.value.maybe_placed


def test_errors_survive_pickling():
    error = RateLimited("wait", code="http_429", status=429, request_id="r", retry_after=2.0)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is RateLimited
        assert vars(twin) == vars(error)
        assert str(twin) == "wait (code http_429, status 429, request r)"
    assert str(SautikitError()) == "SautikitError"
