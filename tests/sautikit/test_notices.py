"""Event webhooks in each envelope, and the key that tells a repeat."""

from datetime import UTC, datetime

import pytest

from callcenter.sautikit.callbacks import (
    Outcome,
    event_key,
    normalise_status,
    parse_body,
    parse_notice,
)

UUID = "0193c0de-1111-7abc-8def-000000000102"
ENVELOPE_A = b"""
{ "kind": "call.failed", "event_id": "0193c0de-2222-7abc-8def-000000000009",
  "workspace_id": "0193c0de-0000-7abc-8def-000000000001", "occurred_at": "2026-11-20T08:00:30Z",
  "data": { "call_id": "0193c0de-1111-7abc-8def-000000000102", "pbx_call_id": "HD_0a1b2c3d4e60",
    "direction": "outbound", "from": "+254200000101", "to": "+254700000222",
    "number_id": "0193c0de-3333-7abc-8def-000000000001",
    "status": "failed", "failure_reason": "no_answer", "ended_at": "2026-11-20T08:00:30Z" } }
"""
AT = datetime(2026, 11, 20, 8, 0, 30, tzinfo=UTC)


def test_envelope_a():
    notice = parse_notice({}, parse_body("application/json", ENVELOPE_A))
    assert notice.kind == "call.failed"
    assert notice.event_id == "0193c0de-2222-7abc-8def-000000000009"
    assert notice.occurred_at == notice.ended_at == AT
    assert set(notice.handles) == {UUID, "HD_0a1b2c3d4e60"}
    assert (notice.call_id, notice.session_id) == (UUID, "HD_0a1b2c3d4e60")
    assert notice.direction == "outbound"
    assert (notice.from_, notice.to) == ("+254200000101", "+254700000222")
    assert notice.outcome is Outcome.NO_ANSWER
    assert notice.failure_reason == "no_answer"
    assert notice.answered_at is None
    assert notice.data["number_id"] == "0193c0de-3333-7abc-8def-000000000001"


def test_envelope_b():
    notice = parse_notice(
        {},
        {
            "event_kind": "call.recording.ready",
            "event_id": "e-1",
            "payload": {
                "call_id": UUID,
                "recording_duration_seconds": 118,
                "occurred_at": "2026-11-20T08:00:30Z",
            },
        },
    )
    assert notice.kind == "call.recording.ready"
    assert notice.occurred_at == AT
    assert notice.duration_seconds == 118
    assert notice.handles == (UUID,)
    assert notice.outcome is Outcome.UNKNOWN
    assert notice.data["call_id"] == UUID


def test_envelope_c_is_the_pbx_body_with_its_kind_in_a_header():
    raw = (
        b"sessionId=HD_1&callerNumber=%2B254200000101&destinationNumber=%2B254700000222"
        b"&callSessionState=Completed&durationInSeconds=61&clientRequestId=att-1&direction=Outbound"
    )
    fields = parse_body("application/x-www-form-urlencoded", raw)
    headers = {"x-SAUTIKIT-event-kind": "call.completed", "X-Sautikit-Event-Id": "e-9"}
    notice = parse_notice(headers, fields)
    assert notice.kind == "call.completed"
    assert notice.event_id == "e-9"
    assert notice.session_id == "HD_1"
    assert notice.outcome is Outcome.COMPLETED
    assert notice.duration_seconds == 61
    assert notice.client_request_id == "att-1"
    assert (notice.from_, notice.to) == ("+254200000101", "+254700000222")
    assert parse_notice({}, fields).kind == "call.completed"  # and without any header


@pytest.mark.parametrize(
    ("fields", "outcome", "kind"),
    [
        ({"call_id": UUID, "status": "no-answer"}, Outcome.NO_ANSWER, "call.failed"),
        ({"call_id": UUID, "status": "busy"}, Outcome.BUSY, "call.failed"),
        ({"id": UUID, "status": "answered"}, Outcome.ANSWERED, "call.answered"),
        ({"CallSid": UUID, "CallStatus": "in-progress"}, Outcome.ANSWERED, "call.answered"),
        ({"call": {"id": UUID, "status": "ringing"}}, Outcome.RINGING, "call.started"),
        ({"call_id": UUID, "status": "melted"}, Outcome.UNKNOWN, ""),
        ({"call_id": UUID}, Outcome.UNKNOWN, ""),
    ],
)
def test_the_plain_body_of_a_status_url(fields, outcome, kind):
    notice = parse_notice({}, fields)
    assert notice.handles == (UUID,)
    assert (notice.outcome, notice.kind) == (outcome, kind)


@pytest.mark.parametrize(
    ("headers", "fields", "kind"),
    [
        ({"X-Sautikit-Event-Kind": "call.answered"}, {"kind": "call.started"}, "call.answered"),
        ({"X-Sautikit-Event": "call.answered"}, {"kind": "call.started"}, "call.answered"),
        ({}, {"kind": "call.started", "event_kind": "call.failed"}, "call.started"),
        ({}, {"event_kind": "call.started"}, "call.started"),
        ({}, {"event_type": "call_started"}, "call.started"),
        ({}, {"event": "CallCompleted"}, "call.completed"),
        ({}, {"type": "wallet.low_balance"}, "wallet.low_balance"),
        ({}, {"kind": "call.supervision.started"}, "call.supervision.started"),
        ({}, {"kind": "Moon.Rise"}, "moon.rise"),
        ({}, {"event": "end", "conference_name": "queue-1"}, "conference.end"),
        ({}, {}, ""),
    ],
)
def test_the_kind_in_the_order_of_the_contract(headers, fields, kind):
    assert parse_notice(headers, fields).kind == kind


@pytest.mark.parametrize(
    ("kind", "data", "outcome"),
    [
        ("call.started", {"status": "started"}, Outcome.STARTED),
        ("call.answered", {}, Outcome.ANSWERED),
        ("call.completed", {"status": "completed"}, Outcome.COMPLETED),
        ("call.completed", {"status": "answered"}, Outcome.COMPLETED),
        ("call.failed", {"failure_reason": "busy"}, Outcome.BUSY),
        ("call.failed", {"status": "failed", "failure_reason": "rejected"}, Outcome.FAILED),
        ("call.failed", {"status": "no_answer"}, Outcome.NO_ANSWER),
        ("call.failed", {"status": "completed"}, Outcome.FAILED),
        ("call.failed", {}, Outcome.FAILED),
        ("call.recording.ready", {"status": "completed"}, Outcome.UNKNOWN),
        ("call.supervision.ended", {"status": "ended"}, Outcome.UNKNOWN),
        ("wallet.low_balance", {"balance_minor": 4000}, Outcome.UNKNOWN),
        ("conference.end", {}, Outcome.UNKNOWN),
    ],
)
def test_one_outcome_from_kind_status_and_reason(kind, data, outcome):
    assert parse_notice({}, {"kind": kind, "data": data}).outcome is outcome


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"hangupCause": "NO_ANSWER"}, Outcome.NO_ANSWER),
        ({"hangupCause": "USER_BUSY", "durationInSeconds": 0}, Outcome.BUSY),
        ({"hangupCause": "ORIGINATOR_CANCEL"}, Outcome.CANCELED),
        ({"hangupCause": "NORMAL_CLEARING"}, Outcome.COMPLETED),
        ({"hangupCause": "USER_BUSY", "durationInSeconds": 12}, Outcome.COMPLETED),
        (
            {"hangupCause": "USER_BUSY", "answered_at": "2026-11-20T08:00:30Z"},
            Outcome.COMPLETED,
        ),
    ],
)
def test_a_hang_up_nobody_answered_is_named_by_its_cause(fields, outcome):
    notice = parse_notice({}, {"sessionId": "HD_1", "callSessionState": "Completed", **fields})
    assert notice.outcome is outcome


@pytest.mark.parametrize(
    ("word", "reason", "outcome", "final"),
    [
        ("ringing", "", Outcome.RINGING, False),
        ("started", "", Outcome.STARTED, False),
        ("answered", "", Outcome.ANSWERED, False),
        ("completed", "busy", Outcome.COMPLETED, True),
        ("failed", "", Outcome.FAILED, True),
        ("failed", "timeout", Outcome.NO_ANSWER, True),
        ("failed", "network_error", Outcome.FAILED, True),
        ("no-answer", "", Outcome.NO_ANSWER, True),
        ("BUSY", "", Outcome.BUSY, True),
        ("cancelled", "", Outcome.CANCELED, True),
        ("transmogrified", "busy", Outcome.UNKNOWN, False),
        ("", "", Outcome.UNKNOWN, False),
    ],
)
def test_every_status_is_one_of_ours(word, reason, outcome, final):
    assert normalise_status(word, reason) is outcome
    assert outcome.is_final is final


def test_garbage_is_a_notice_without_a_kind():
    notice = parse_notice({}, {"data": [1], "kind": {"a": 1}, "occurred_at": "yesterday"})
    assert (notice.kind, notice.event_id, notice.handles) == ("", "", ())
    assert notice.occurred_at is None


def test_an_event_is_known_by_its_own_id():
    fields = {"event_id": "e-1", "data": {"call_id": UUID}}
    assert event_key({"X-Sautikit-Event-Id": "h-1"}, fields, "events") == "events:id:e-1"
    fields = {"id": "e-2", "data": {"call_id": UUID}}
    assert event_key({"X-Sautikit-Event-Id": "h-1"}, fields, "events") == "events:id:e-2"
    assert event_key({}, {"id": UUID, "status": "busy"}, "events").startswith("events:sha256:")


@pytest.mark.parametrize("name", ["x-sautikit-event-id", "X-Sautikit-Idempotency-Key"])
def test_or_by_the_headers(name):
    assert event_key({name: "h-1"}, {"call_id": UUID}, "events") == "events:id:h-1"


VOICE = {"sessionId": "HD_1", "callSessionState": "Ringing", "callerNumber": "+254700000111"}


def test_a_repeat_has_the_same_key_whenever_it_was_stamped():
    one = event_key({}, {**VOICE, "timestamp": "1", "durationInSeconds": 1}, "voice")
    two = event_key({}, {**VOICE, "timestamp": "2", "durationInSeconds": 2}, "voice")
    assert one == two == event_key({"Date": "x"}, dict(reversed(VOICE.items())), "voice")
    assert len(one) <= 160


@pytest.mark.parametrize(
    "changed",
    [
        {"sessionId": "HD_2"},
        {"callSessionState": "Completed"},
        {"callSessionState": "StreamStarted"},
        {"Digits": ""},
        {"Digits": "1"},
        {"dialCallStatus": "busy"},
        {"clientRequestId": "att-2"},
        {"participant_id": "p-2"},
        {"conference_name": "queue-1"},
        {"event": "join"},
        {"recording_id": "r-1"},
    ],
)
def test_another_edge_has_another_key(changed):
    assert event_key({}, VOICE, "voice") != event_key({}, {**VOICE, **changed}, "voice")


def test_the_same_body_at_another_url_has_another_key():
    assert event_key({}, VOICE, "voice") != event_key({}, VOICE, "agent-join")


def test_bodies_that_name_nothing_are_told_apart_whole():
    assert event_key({}, {"a": 1}, "events") != event_key({}, {"a": 2}, "events")
    assert event_key({}, {"a": 1}, "events") == event_key({}, {"a": 1}, "events")


def test_a_key_fits_its_column():
    ids = ["e" * 64, "e" * 65, "e" * 66]
    kinds = ["k" * 48, "k" * 49, "k" * 50]
    keys = {event_key({}, {"event_id": each}, kind) for each in ids for kind in kinds}
    assert len(keys) == 9  # cut, but never run together
    assert max(map(len, keys)) <= 160
    assert len(event_key({}, VOICE, "k" * 900)) <= 160
