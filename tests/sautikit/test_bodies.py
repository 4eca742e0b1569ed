"""From bytes to fields, whatever the sender calls them."""

from datetime import UTC, datetime

import pytest

from callcenter.sautikit import bodies
from callcenter.sautikit.bodies import Unreadable, parse_body

FORM = b"sessionId=HD_0a1b2c3d4e5f&callerNumber=%2B254700000111&Digits="
FIELDS = {"sessionId": "HD_0a1b2c3d4e5f", "callerNumber": "+254700000111", "Digits": ""}
JSON = b'{"CallId":"c-1","From":"+254700000111","To":"+254200000101"}'


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "application/json; charset=utf-8", "", "text/plain"],
)
def test_the_declared_type_is_only_a_hint(content_type):
    assert parse_body(content_type, FORM) == FIELDS
    assert parse_body(content_type, JSON)["CallId"] == "c-1"
    assert parse_body(content_type, b"\xef\xbb\xbf \n" + JSON)["CallId"] == "c-1"
    assert parse_body(content_type, b"") == {}
    assert parse_body(content_type, b" \r\n") == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage", b"[1,2]", b'"text"', b"17", b"null", b"{", b'{"a":NaN}', b'{"a":1}x',
        b"<xml a='b'/>", b"=x", b"\xff\xfe\x00", b"[" * 5000, b'{"a":' * 5000 + b"1",
        b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", b'{"a":' + b"9" * 5000 + b"}",
        b"&".join(b"a%d=1" % n for n in range(501)), b"a=" + b"x" * 65536,
    ],
)  # fmt: skip
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_what_is_no_set_of_fields_is_unreadable(content_type, raw):
    with pytest.raises(Unreadable):
        parse_body(content_type, raw)


def test_the_first_of_a_repeated_form_field_counts():
    assert parse_body("", b"a=1&a=2&b=") == {"a": "1", "b": ""}


def test_nothing_gets_in_that_postgresql_cannot_store():
    raw = b'{"a\\u0000":"x\\u0000y\\ud800z","n":1e999,"l":["\\u0000"]}'
    assert parse_body("application/json", raw) == {"a": "xyz", "n": None, "l": [""]}
    assert parse_body("", b"a%00=x%00y&b=%ff&c=\xff") == {"a": "xy", "b": "\ufffd", "c": "\ufffd"}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("  a\r\nb\t\u202ec ", "abc"),
        ("x" * 300, "x" * 128),
        (5, "5"),
        (True, "true"),
        (1.5, "1.5"),
        pytest.param(10**5000, "", id="huge"),
        (["+254700000111", "x"], "+254700000111"),
        ([], ""),
        (None, ""),
        ({"a": 1}, ""),
    ],
)
def test_a_text_is_one_clean_line(value, line):
    assert bodies.text(value) == line


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (120, 120), ("120", 120), ("120.9", 120), (120.9, 120), (" 7 ", 7), (0, 0), ("0", 0),
        ("", None), ("-3", None), (-3, None), (True, None), (None, None), ("1e3", None),
        ("abc", None), ("1" * 30, None), (2**31, None), ("\u0663", None), ({}, None),
        ("00:12", None),
    ],
)  # fmt: skip
def test_a_whole_number_or_none(value, number):
    assert bodies.whole(value) == number


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-20T08:00:30Z",
        "2026-11-20T08:00:30.000000000Z",
        "2026-11-20T11:00:30+03:00",
        "2026-11-20T08:00:30",
        "2026-11-20 08:00:30",
        1795161630,
        "1795161630",
        1795161630000,
    ],
)
def test_times_of_any_spelling_are_aware_and_utc(value):
    at = bodies.instant(value)
    assert at == datetime(2026, 11, 20, 8, 0, 30, tzinfo=UTC)
    assert at.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    ["", None, "soon", "0001-01-01T00:00:00Z", 0, "9999-12-31T23:59:59-23:00", "9" * 18, [], {}],
)
def test_no_time_is_none(value):
    assert bodies.instant(value) is None


UUID = "0193c0de-1111-7abc-8def-000000000101"


@pytest.mark.parametrize("name", bodies.HANDLES)
@pytest.mark.parametrize("wrapper", [None, "call", "data", "payload"])
def test_a_handle_is_found_under_every_name(name, wrapper):
    fields = {name: "HD_1"}
    assert bodies.handles({wrapper: fields} if wrapper else fields) == ("HD_1",)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"CallId": UUID, "sessionId": "HD_1", "call_id": UUID}, ("HD_1", UUID)),
        ({"call_id": UUID, "data": {"pbx_call_id": "HD_1"}}, (UUID, "HD_1")),
        ({"data": {"call": {"id": UUID}}}, (UUID,)),
        ({"id": UUID, "status": "busy"}, (UUID,)),
        ({"id": UUID, "kind": "call.failed", "data": {"call_id": "HD_1"}}, ("HD_1",)),
        ({"id": UUID, "kind": "x", "data": {}}, ()),  # the event's own id
        ({"id": "17"}, ()),
        ({"sessionId": "null", "CallSid": "undefined", "call_id": None, "callId": ""}, ()),
        ({"call": "HD_1", "data": [1]}, ()),
        ({"sessionId": " HD_1\n"}, ("HD_1",)),
        ({}, ()),
    ],
)
def test_handles_in_the_order_of_the_contract(fields, found):
    assert bodies.handles(fields) == found
