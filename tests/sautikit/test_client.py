"""What goes out to the provider, and what is read from its answers."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from responses import matchers

from callcenter.sautikit.client import Page, PlaceCall, SautikitClient, Wallet
from callcenter.sautikit.errors import (
    NotFound,
    Rejected,
    SautikitError,
    Unavailable,
)
from callcenter.sautikit.outcomes import Outcome
from tests.sautikit.wire import BASE, CALL, CALLS, CREATED, UUID, envelope, place

# --- placing -----------------------------------------------------------------------------------


def test_the_body_of_the_sdk(api, client):
    api.post(CALLS, json=CREATED, status=201)
    placed = place(client)
    sent = api.calls[0].request
    assert json.loads(sent.body) == {
        "from": "+254700000001",
        "to": ["+254711222333"],
        "voice_callback_url": "https://calls.example.com/calls/agent-join?queue=1&token=a.b",
        "client_request_id": "offer-1",
    }
    assert sent.headers["Authorization"] == "Bearer tsk_live_secret"
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.headers["Accept"] == "application/json"
    assert sent.headers["Idempotency-Key"] == "offer-1-sdk"
    assert sent.headers["User-Agent"].startswith("callcenter/")
    assert (placed.call_id, placed.session_id) == (UUID, "HD_0a1b2c3d4e5f")
    assert placed.handles == ("HD_0a1b2c3d4e5f", UUID)
    assert placed.status is Outcome.RINGING
    assert placed.client_request_id == "offer-1"
    assert not placed.replayed


def test_the_bytes_never_change():
    """A repeat with other bytes would be refused, or ring twice (contract 2.5)."""
    assert CALL.body("sdk") == (
        b'{"client_request_id":"offer-1","from":"+254700000001","to":["+254711222333"],'
        b'"voice_callback_url":"https://calls.example.com/calls/agent-join?queue=1&token=a.b"}'
    )
    assert CALL.body("use_case").startswith(b'{"action_url":"https://')


def test_the_body_of_the_page(api, client):
    api.post(CALLS, json=CREATED, status=201)
    place(client, "use_case", "offer-1-use_case")
    assert json.loads(api.calls[0].request.body) == {
        "to": "+254711222333",
        "from": "+254700000001",
        "action_url": "https://calls.example.com/calls/agent-join?queue=1&token=a.b",
        "status_url": "https://calls.example.com/calls/agent-status?token=a.b",
    }


def test_a_retry_is_the_same_bytes_and_a_replay_is_told(api, client):
    api.post(CALLS, body=requests.ReadTimeout())
    api.post(CALLS, json=CREATED, status=201, headers={"Idempotent-Replay": "true"})
    with pytest.raises(Unavailable) as error:
        place(client)
    assert error.value.maybe_placed
    assert error.value.code == "timeout"
    placed = place(client)
    assert placed.replayed
    first, second = (call.request for call in api.calls)
    assert first.body == second.body
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


@pytest.mark.parametrize(
    ("answer", "handles"),
    [
        ({"call_id": UUID}, (UUID,)),
        ({"id": UUID}, (UUID,)),
        ({"call_sid": "HD_1"}, ("HD_1",)),
        ({"session_id": "HD_1"}, ("HD_1",)),
        ({"call": {"id": UUID, "session_id": "HD_1"}}, ("HD_1", UUID)),
        ({"data": {"call_id": UUID}}, (UUID,)),
        ({"status": "ringing"}, ()),
        ({}, ()),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_is_a_placed_call_with_what_handles_it_has(api, client, answer, handles, status):
    api.post(CALLS, json=answer, status=status)
    placed = place(client)
    assert placed.handles == handles
    assert placed.raw == answer


def test_an_empty_2xx_is_a_placed_call_too(api, client):
    api.post(CALLS, body=b"", status=201)
    assert place(client).handles == ()


@pytest.mark.parametrize("body", ["<html>hello</html>", "{", "[1]", "null", '"x"', "[" * 9000])
def test_an_unreadable_2xx_may_have_placed_the_call(api, client, body):
    api.post(CALLS, body=body, status=200, content_type="text/html")
    with pytest.raises(Unavailable) as error:
        place(client)
    assert error.value.maybe_placed
    assert error.value.code == "unreadable"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"to": "0711222333"}, "to"),
        ({"to": ""}, "to"),
        ({"from_": "sip:a@b.example.com"}, "from_"),
        ({"answer_url": "/calls/agent-join"}, "answer_url"),
        ({"status_url": "x"}, "status_url"),
        ({"client_request_id": "mcp:1"}, "client_request_id"),
        ({"client_request_id": "a b"}, "client_request_id"),
        ({"client_request_id": "a" * 65}, "client_request_id"),
    ],
)
def test_a_call_that_cannot_be_placed_cannot_be_made(changes, field):
    good = {"to": "+254711222333", "from_": "+254700000001", "answer_url": "https://a.example.com/"}
    with pytest.raises(ValueError, match=field):
        PlaceCall(**{**good, **changes})
    assert PlaceCall(**{**good, "to": "sip:agent7@pbx.example.com"}).status_url == ""


@pytest.mark.parametrize("key", ["", "a b", "é", "k" * 65, "a\r\nX: y"])
def test_an_idempotency_key_is_short_and_plain(client, key):
    with pytest.raises(ValueError, match="idempotency_key"):
        place(client, key=key)


def test_an_unknown_shape_is_not_sent(client):
    shape: Any = "auto"
    with pytest.raises(ValueError, match="shape"):
        place(client, shape=shape)


# --- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pasted",
    ["k.e-y_1", " k.e-y_1\n", '"k.e-y_1"', "'k.e-y_1'", "Bearer k.e-y_1", ' "bearer  k.e-y_1" '],
)
def test_a_key_is_taken_as_it_was_pasted(api, pasted):
    api.get(f"{BASE}/v1/wallet", json={"balance_minor": 1})
    SautikitClient(BASE, pasted).wallet()
    assert api.calls[0].request.headers["Authorization"] == "Bearer k.e-y_1"


@pytest.mark.parametrize("key", ["two words", "clé", "a\x00b"])
def test_a_key_that_cannot_be_sent_is_refused_at_once(key):
    with pytest.raises(ValueError, match="api_key"):
        SautikitClient(BASE, key)


@pytest.mark.parametrize("url", ["", "api.sautikit.com", "ftp://a.example.com"])
def test_a_base_url_is_absolute(url):
    with pytest.raises(ValueError, match="base_url"):
        SautikitClient(url, "key")


def test_the_key_never_follows_a_redirect(api, client):
    api.get(f"{CALLS}/HD_1", status=302, headers={"Location": "https://evil.example.com/"})
    with pytest.raises(Rejected, match="base URL"):
        client.get_call("HD_1")
    assert len(api.calls) == 1


def test_a_netrc_entry_does_not_replace_the_key(api, client, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.sautikit.test login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api.get(f"{BASE}/v1/wallet", json={"balance_minor": 1})
    client.wallet()
    assert api.calls[0].request.headers["Authorization"] == "Bearer tsk_live_secret"


def test_neither_key_nor_numbers_get_into_errors_or_logs(api, client, caplog):
    caplog.set_level(logging.DEBUG, logger="callcenter.sautikit")
    text = "key tsk_live_secret may not call +254711222333 or 0711222333"
    api.post(CALLS, json=envelope("calls.forbidden", text), status=403)
    api.get(CALLS, body=requests.ConnectionError("GET /v1/calls?q=254711222333 failed"))
    for ask in (lambda: place(client), lambda: client.list_calls(q="254711222333")):
        with pytest.raises(SautikitError) as error:
            ask()
        said = f"{error.value} {error.value!r} {error.value.__cause__} {caplog.text}"
        assert "711222333" not in said
        assert "tsk_live" not in said
        context = error.value.__context__
        assert context is None or error.value.__suppress_context__
    assert "tsk_live" not in repr(vars(client))


def test_cookies_are_not_kept(api, client):
    api.get(f"{BASE}/v1/wallet", json={"balance_minor": 1}, headers={"Set-Cookie": "a=b"})
    client.wallet()
    client.wallet()
    assert "Cookie" not in api.calls[1].request.headers


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: {"call": r}, lambda r: {"data": r}])
def test_a_record_in_any_wrapper(api, client, wrap):
    api.get(f"{CALLS}/HD_1", json=wrap({"id": UUID, "session_id": "HD_1", "status": "busy"}))
    record = client.get_call("HD_1")
    assert record.handles == ("HD_1", UUID)
    assert record.status is Outcome.BUSY


def test_an_unknown_call_is_not_found(api, client):
    api.get(f"{CALLS}/{UUID}", json=envelope("calls.not_found"), status=404)
    with pytest.raises(NotFound):
        client.get_call(UUID)


@pytest.mark.parametrize("body", ["<html>", "{}", "[]", "null", '{"call": 7}', ""])
def test_a_record_that_cannot_be_read_is_unavailable(api, client, body):
    api.get(f"{CALLS}/HD_1", body=body)
    with pytest.raises(Unavailable) as error:
        client.get_call("HD_1")
    assert error.value.code == "unreadable"


@pytest.mark.parametrize("handle", ["", " ", ".", "..", "x" * 257])
def test_a_handle_that_would_name_something_else_is_not_asked_for(client, handle):
    for ask in (client.get_call, client.hang_up):
        with pytest.raises(Rejected) as error:
            ask(handle)
        assert error.value.code == "bad_handle"


def test_an_odd_handle_stays_in_its_place(api, client):
    api.get(f"{CALLS}/..%2Fa%3Fb%23c", json={"id": "x"})
    assert client.get_call("../a?b#c").call_id == "x"
    assert api.calls[0].request.url == f"{CALLS}/..%2Fa%3Fb%23c"


def test_a_list_is_asked_for_by_window_and_filters(api, client):
    api.get(
        CALLS,
        json={"data": [{"id": "a"}], "next_cursor": "c2"},
        match=[
            matchers.query_param_matcher(
                {
                    "from": "2026-11-20T05:00:00Z",
                    "to": "2026-11-20T08:00:01Z",
                    "status": "completed,failed",
                    "direction": "outbound",
                    "q": "711222333",
                    "session_id": "HD_1",
                    "cursor": "c1",
                    "limit": "100",
                }
            )
        ],
    )
    page = client.list_calls(
        since=datetime.fromisoformat("2026-11-20T08:00:00.9+03:00"),
        until=datetime(2026, 11, 20, 8, 0, 0, 1, tzinfo=UTC),
        status=("completed", "failed"),
        direction="outbound",
        q="711222333",
        session_id="HD_1",
        cursor="c1",
        limit=5000,
    )
    assert [record.call_id for record in page.records] == ["a"]
    assert page.next_cursor == "c2"
    assert page.bad == 0


def test_a_window_without_a_zone_is_a_mistake(client):
    with pytest.raises(ValueError, match="aware"):
        client.list_calls(since=datetime(2026, 11, 20))  # noqa: DTZ001  # the mistake meant


@pytest.mark.parametrize(
    "answer",
    [
        {"data": [{"id": "a"}, {}, None, {"id": "b"}], "next_cursor": None},
        {"calls": [{"id": "a"}, 7, "x", {"call": {"id": "b"}}]},
        {"data": {"calls": [{"id": "a"}, {"x": 1}, [], {"id": "b"}], "next_cursor": ""}},
        [{"id": "a"}, {"id": ""}, {"id": None}, {"id": "b"}],
    ],
)
def test_bad_rows_are_left_out_and_counted(api, client, answer):
    api.get(CALLS, json=answer)
    page = client.list_calls()
    assert [record.call_id for record in page.records] == ["a", "b"]
    assert page.bad == 2
    assert page.next_cursor is None


@pytest.mark.parametrize("body", ["<html>", "{}", '{"data": "x"}', "7", '{"data": {"data": {}}}'])
def test_an_answer_that_is_no_list_is_unavailable(api, client, body):
    api.get(CALLS, body=body)
    with pytest.raises(Unavailable):
        client.list_calls()


def test_an_empty_list_is_an_empty_page(api, client):
    api.get(CALLS, json={"data": [], "next_cursor": None})
    assert client.list_calls() == Page(())


def pages(api, *cursors):
    for number, cursor in enumerate(cursors):
        api.get(CALLS, json={"data": [{"id": f"c{number}"}], "next_cursor": cursor})


def test_all_pages_are_read(api, client):
    pages(api, "p2", "p3", None)
    assert [record.call_id for record in client.iter_calls(direction="inbound")] == [
        "c0",
        "c1",
        "c2",
    ]
    asked = [call.request.params for call in api.calls]
    assert [params.get("cursor") for params in asked] == [None, "p2", "p3"]
    assert {params["direction"] for params in asked} == {"inbound"}


def test_a_repeated_cursor_ends_the_reading(api, client, caplog):
    pages(api, "p2", "p2")
    assert len(list(client.iter_calls())) == 2
    assert "its cursor leads back" in caplog.text


def test_reading_stops_after_so_many_pages(api, client, caplog):
    pages(api, "p2", "p3")
    assert [page.next_cursor for page in client.iter_pages(max_pages=2)] == ["p2", "p3"]
    assert "more than 2 pages" in caplog.text


# --- hanging up, wallet ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "ended"), [(200, True), (204, True), (404, False), (409, False), (410, False)]
)
def test_hanging_up(api, client, status, ended):
    body = "" if status == 204 else '{"call_id": "HD_1", "status": "hung_up"}'
    api.post(f"{CALLS}/HD_1/hangup", body=body, status=status)
    assert client.hang_up("HD_1") is ended
    assert api.calls[0].request.body is None


def test_hanging_up_may_fail(api, client):
    api.post(f"{CALLS}/HD_1/hangup", status=503)
    with pytest.raises(Unavailable):
        client.hang_up("HD_1")


@pytest.mark.parametrize(
    "wrap", [lambda w: w, lambda w: {"data": w}, lambda w: {"wallet": w},
             lambda w: {"data": {"wallet": w}}]
)  # fmt: skip
def test_the_wallet_in_any_wrapper(api, client, wrap):
    held = {"balance_minor": 12345, "currency": "kes", "low_balance_threshold_minor": 5000}
    api.get(f"{BASE}/v1/wallet", json=wrap(held))
    assert client.wallet() == Wallet(12345, "KES", 5000)


def test_the_wallet_s_other_address(api, client):
    api.get(f"{BASE}/v1/wallet", status=404)
    api.get(f"{BASE}/v1/wallet/balance", json={"balance_minor": -5, "currency": "KES"})
    assert client.wallet() == Wallet(-5, "KES", None)


@pytest.mark.parametrize("body", ["{}", "[]", '{"balance_minor": "lots"}', "<html>"])
def test_a_wallet_without_a_balance_is_unavailable(api, client, body):
    api.get(f"{BASE}/v1/wallet", body=body)
    with pytest.raises(Unavailable):
        client.wallet()
