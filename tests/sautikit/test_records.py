"""The provider's record of a leg, in every wrapper."""

import json
from datetime import UTC, datetime

import pytest

from callcenter.sautikit.callbacks import Outcome, Unreadable, parse_record

SAMPLE = json.loads("""
{ "call": {
  "id": "0193c0de-1111-7abc-8def-000000000101",
  "workspace_id": "0193c0de-0000-7abc-8def-000000000001",
  "session_id": "HD_0a1b2c3d4e5f",
  "direction": "outbound",
  "local_e164": "+254200000101", "remote_e164": "+254700000111", "country": "KE",
  "started_at": "2026-11-20T08:00:00Z", "answered_at": "2026-11-20T08:00:07Z",
  "ended_at": "2026-11-20T08:02:07Z",
  "duration_seconds": 120, "status": "completed",
  "cost_minor": 600, "cost_currency": "KES", "rate_per_minute_minor": 300,
  "failure_code": null, "metadata": null,
  "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:02:09Z",
  "events": [{"kind": "call.answered"}, 7]
} }
""")


@pytest.mark.parametrize("wrap", [lambda c: {"call": c}, lambda c: {"data": c}, lambda c: c,
                                  lambda c: {"data": {"call": c}}])  # fmt: skip
def test_the_sample_of_the_contract(wrap):
    record = parse_record(wrap(SAMPLE["call"]))
    assert record.call_id == "0193c0de-1111-7abc-8def-000000000101"
    assert record.session_id == "HD_0a1b2c3d4e5f"
    assert record.handles == ("HD_0a1b2c3d4e5f", "0193c0de-1111-7abc-8def-000000000101")
    assert record.direction == "outbound"
    assert (record.local, record.remote) == ("+254200000101", "+254700000111")
    assert record.status is Outcome.COMPLETED
    assert record.started_at == datetime(2026, 11, 20, 8, 0, 0, tzinfo=UTC)
    assert record.answered_at == datetime(2026, 11, 20, 8, 0, 7, tzinfo=UTC)
    assert record.ended_at == datetime(2026, 11, 20, 8, 2, 7, tzinfo=UTC)
    assert record.updated_at == datetime(2026, 11, 20, 8, 2, 9, tzinfo=UTC)
    assert record.duration_seconds == 120
    assert (record.cost_minor, record.cost_currency) == (600, "KES")
    assert record.rate_per_minute_minor == 300
    assert record.failure_code == ""
    assert record.events == ({"kind": "call.answered"},)
    assert record.is_over


def test_a_record_that_has_only_begun():
    record = parse_record({"session_id": "HD_1", "status": "ringing", "answered_at": None})
    assert (record.call_id, record.session_id) == (None, "HD_1")
    assert record.status is Outcome.RINGING
    assert record.answered_at is None
    assert record.cost_minor is None
    assert not record.is_over


def test_a_session_handle_under_the_other_s_name():
    record = parse_record({"call_sid": "HD_1"})
    assert (record.call_id, record.session_id) == (None, "HD_1")


@pytest.mark.parametrize(
    ("direction", "local", "remote"),
    [
        ("inbound", "+254200000101", "+254700000111"),
        ("outbound", "+254700000111", "+254200000101"),
    ],
)
def test_from_and_to_are_turned_by_direction(direction, local, remote):
    record = parse_record(
        {"id": "x", "direction": direction, "from": "+254700000111", "to": ["+254200000101"]}
    )
    assert (record.local, record.remote) == (local, remote)


@pytest.mark.parametrize(
    ("fields", "status", "is_over"),
    [
        ({"status": "failed", "failure_code": "no_answer"}, Outcome.NO_ANSWER, True),
        ({"status": "no-answer"}, Outcome.NO_ANSWER, True),
        ({"status": "paused"}, Outcome.UNKNOWN, False),
        ({"status": "paused", "ended_at": "2026-11-20T08:02:07Z"}, Outcome.UNKNOWN, True),
        # An end time under a word that says otherwise proves nothing.
        ({"status": "answered", "ended_at": "2026-11-20T08:02:07Z"}, Outcome.ANSWERED, False),
        ({}, Outcome.UNKNOWN, False),
    ],
)
def test_whether_it_is_over(fields, status, is_over):
    record = parse_record({"id": "x", **fields})
    assert record.status is status
    assert record.is_over is is_over


def test_wrong_types_are_absent_fields():
    record = parse_record(
        {"id": 7, "status": 5, "events": "no", "cost_minor": "lots", "started_at": [], "from": {}}
    )
    assert record.call_id == "7"
    assert record.status is Outcome.UNKNOWN
    assert record.events == ()
    assert record.cost_minor is None
    assert record.started_at is None


@pytest.mark.parametrize(
    "obj",
    [None, [], "x", 5, {}, {"call": {}}, {"data": None}, {"id": "", "session_id": None},
     {"data": {"data": {"data": {"data": {"id": "deep"}}}}}],
)  # fmt: skip
def test_without_a_handle_it_is_no_record(obj):
    with pytest.raises(Unreadable):
        parse_record(obj)
