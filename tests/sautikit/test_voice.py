"""What the provider posts while a call runs, as recorded and as guessed."""

import pytest

from callcenter.sautikit.callbacks import State, parse_body, parse_conference, parse_voice

UUID = "0193c0de-1111-7abc-8def-000000000101"
FIRST_POST = (
    b"sessionId=HD_0a1b2c3d4e5f&callerNumber=%2B254700000111&destinationNumber=%2B254200000101"
    b"&callSessionState=Ringing&direction=Inbound&isActive=1"
)
HANGUP = (
    b"sessionId=HD_0a1b2c3d4e5f&callerNumber=254700000111&destinationNumber=254200000101"
    b"&callSessionState=Completed&direction=Inbound&isActive=0&durationInSeconds=42"
    b"&hangupCause=NORMAL_CLEARING"
)


def test_the_first_post_of_an_inbound_call():
    said = parse_voice(parse_body("application/x-www-form-urlencoded", FIRST_POST))
    assert said.handles == ("HD_0a1b2c3d4e5f",)
    assert said.handle == said.session_id == "HD_0a1b2c3d4e5f"
    assert said.call_id is None
    assert (said.caller, said.dialled) == ("+254700000111", "+254200000101")
    assert said.state is State.RINGING
    assert said.direction == "inbound"
    assert said.is_active is True
    assert said.digits is None
    assert said.duration_seconds is None
    assert said.dial_status == ""
    assert not said.is_end
    assert said.raw["callSessionState"] == "Ringing"


def test_the_hang_up_of_the_same_call():
    said = parse_voice(parse_body("application/x-www-form-urlencoded", HANGUP))
    assert said.state is State.COMPLETED
    assert said.is_end
    assert said.duration_seconds == 42
    assert said.hangup_cause == "NORMAL_CLEARING"
    assert (said.caller, said.dialled) == ("+254700000111", "+254200000101")


def test_the_page_s_json():
    raw = b'{"CallId":"%s","From":"+254711222333","To":"+254700000001"}' % UUID.encode()
    said = parse_voice(parse_body("application/json", raw))
    assert said.handle == said.call_id == UUID
    assert said.session_id is None
    assert (said.caller, said.dialled) == ("+254711222333", "+254700000001")
    assert said.state is State.NONE
    assert not said.is_end


def test_both_handles_are_kept():
    said = parse_voice({"sessionId": "HD_1", "call_id": UUID})
    assert (said.session_id, said.call_id) == ("HD_1", UUID)
    assert said.handles == ("HD_1", UUID)


def test_nothing_at_all_is_still_a_callback():
    said = parse_voice({})
    assert said.handle is None
    assert said.handles == ()
    assert (said.caller, said.dialled, said.direction, said.client_request_id) == ("", "", "", "")
    assert said.state is State.NONE


@pytest.mark.parametrize("name", ["callerNumber", "From", "from", "caller_number"])
def test_the_caller_under_every_name(name):
    assert parse_voice({name: "0700000111"}).caller == "+254700000111"
    assert parse_voice({"data": {name: "254700000111"}}).caller == "+254700000111"


@pytest.mark.parametrize(
    "name", ["destinationNumber", "clientDialedNumber", "To", "to", "destination_number"]
)
def test_the_dialled_number_under_every_name(name):
    assert parse_voice({name: "+254200000101"}).dialled == "+254200000101"
    assert parse_voice({name: ["+254200000101"]}).dialled == "+254200000101"


def test_a_caller_s_field_that_is_empty_means_withheld():
    assert parse_voice({"callerNumber": ""}).caller == "anonymous"
    assert parse_voice({"callerNumber": None}).caller == ""
    assert parse_voice({"callerNumber": "", "From": "+254700000111"}).caller == "+254700000111"
    assert parse_voice({"destinationNumber": ""}).dialled == ""


@pytest.mark.parametrize(
    "name", ["callSessionState", "CallSessionState", "streamEvent", "streamStatus", "status",
             "callStatus", "CallStatus", "event"]
)  # fmt: skip
def test_the_state_under_every_name(name):
    assert parse_voice({name: "Completed"}).state is State.COMPLETED
    assert parse_voice({"payload": {name: "Completed"}}).state is State.COMPLETED


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Ringing", State.RINGING), ("RINGING", State.RINGING), ("initiated", State.RINGING),
        ("Answered", State.ANSWERED), ("in-progress", State.ANSWERED),
        ("IN_PROGRESS", State.ANSWERED),
        ("Active", State.ANSWERED), ("Completed", State.COMPLETED), ("hangup", State.COMPLETED),
        ("call.completed", State.COMPLETED), ("failed", State.FAILED), ("rejected", State.FAILED),
        ("busy", State.BUSY), ("USER_BUSY", State.BUSY), ("no-answer", State.NO_ANSWER),
        ("no_answer", State.NO_ANSWER), ("noanswer", State.NO_ANSWER),
        ("No Answer", State.NO_ANSWER),
        ("canceled", State.CANCELED), ("cancelled", State.CANCELED),
        ("DialCompleted", State.DIAL_COMPLETED), ("dial-completed", State.DIAL_COMPLETED),
        ("callDialCompletedEvent", State.DIAL_COMPLETED), ("StreamStarted", State.OTHER),
        ("StreamStopped", State.OTHER), ("DigitsCollected", State.OTHER), ("", State.NONE),
        ("  ", State.NONE), (None, State.NONE), ({}, State.NONE),
    ],
)  # fmt: skip
def test_every_word_has_a_state(word, state):
    assert parse_voice({"callSessionState": word}).state is state


def test_a_general_event_field_is_a_state_only_if_it_says_one():
    assert parse_voice({"event": "voice.request"}).state is State.NONE
    assert parse_voice({"event": "DialCompleted"}).state is State.DIAL_COMPLETED
    # A room's event that strayed here must not read as the end of the leg.
    assert parse_voice({"event": "ended", "conference_name": "queue-1"}).state is State.NONE
    assert parse_voice({"event": "end"}).state is State.NONE


@pytest.mark.parametrize(
    ("fields", "is_end"),
    [
        ({"callSessionState": "Completed"}, True),
        ({"status": "no-answer"}, True),
        ({"status": "busy"}, True),
        ({"status": "hangup"}, True),
        ({"isActive": "0", "durationInSeconds": "12"}, True),
        ({"isActive": False, "hangupCause": "NORMAL_CLEARING"}, True),
        ({"isActive": "0", "status": "Success", "durationInSeconds": 3}, True),
        ({"isActive": "0"}, False),
        ({"isActive": "1", "durationInSeconds": "12"}, False),
        ({"durationInSeconds": "12"}, False),
        ({"callSessionState": "Ringing", "isActive": "0", "durationInSeconds": 0}, False),
        ({"callSessionState": "DialCompleted", "isActive": "0", "durationInSeconds": 9}, False),
        ({}, False),
    ],
)
def test_when_the_leg_is_gone(fields, is_end):
    assert parse_voice(fields).is_end is is_end


@pytest.mark.parametrize(
    ("fields", "digits"),
    [
        ({}, None),
        ({"Digits": None}, None),
        ({"Digits": ""}, ""),
        ({"Digits": "1"}, "1"),
        ({"Digits": 2}, "2"),
        ({"digits": " 12# "}, "12#"),
        ({"dtmfDigits": "*9"}, "*9"),
        ({"Digits": "", "dtmfDigits": "3"}, "3"),
        ({"data": {"Digits": "4"}}, "4"),
        ({"Digits": "timeout"}, "AD"[:0]),
    ],
)
def test_digits_absent_empty_and_pressed_are_three_things(fields, digits):
    assert parse_voice(fields).digits == digits


@pytest.mark.parametrize(
    "name", ["durationInSeconds", "duration_seconds", "durationSeconds", "Duration", "duration",
             "call_duration"]
)  # fmt: skip
def test_the_duration_under_every_name(name):
    assert parse_voice({name: "42"}).duration_seconds == 42
    assert parse_voice({name: 0}).duration_seconds == 0
    assert parse_voice({name: "n/a"}).duration_seconds is None


@pytest.mark.parametrize(
    "name", ["dialCallStatus", "DialCallStatus", "dialStatus", "dial_status", "dial_call_status"]
)
@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("completed", "completed"), ("answered", "answered"), ("ANSWER", "answered"),
        ("SUCCESS", "answered"), ("busy", "busy"), ("no-answer", "no_answer"),
        ("NOANSWER", "no_answer"), ("failed", "failed"), ("CONGESTION", "failed"),
        ("CANCEL", "canceled"), ("ringing", ""), ("whatever", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_status_of_a_dial(name, word, status):
    assert parse_voice({name: word}).dial_status == status


@pytest.mark.parametrize(
    "name", ["dialDurationInSeconds", "DialCallDuration", "dialCallDuration", "dial_duration"]
)
def test_the_duration_of_a_dial_is_not_that_of_the_call(name):
    said = parse_voice({name: "17", "callSessionState": "DialCompleted"})
    assert said.dial_duration_seconds == 17
    assert said.duration_seconds is None


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({"clientRequestId": "att-1"}, None),
        ({"client_request_id": "att-1"}, {}),
        ({}, {"clientRequestId": "att-1"}),
        ({}, {"clientRequestId": ["att-1"]}),
        ({}, {"token": "abc?clientRequestId=att-1"}),
        ({}, {"token": "abc?x=1&clientRequestId=att%2D1"}),
        ({"clientRequestId": "att-1"}, {"clientRequestId": "att-2"}),
    ],
)
def test_our_label_rides_in_the_body_or_the_query(fields, query):
    assert parse_voice(fields, query).client_request_id == "att-1"


@pytest.mark.parametrize(
    ("word", "direction"),
    [("Inbound", "inbound"), ("OUTBOUND", "outbound"), ("outbound-api", "outbound"), ("x", "")],
)
def test_the_direction_in_any_case(word, direction):
    assert parse_voice({"direction": word}).direction == direction


def test_long_and_hostile_values_are_cut_and_cleaned():
    said = parse_voice(
        {"sessionId": "HD_" + "a" * 500, "callerNumber": "<b>\r\n" + "x" * 500, "Digits": "1" * 500}
    )
    assert len(said.handles[0]) == 128
    assert len(said.caller) <= 128
    assert "\n" not in said.caller
    assert len(said.digits or "") == 64


ROOM_EVENT = (
    b'{ "event": "join", "conference_name": "room-8842", "caller": "+254700000222",'
    b' "participant_id": "p-2", "participants": 2, "sessionId": "HD_0a1b2c3d4e60" }'
)


def test_the_conference_event_of_the_contract():
    said = parse_conference(parse_body("application/json", ROOM_EVENT))
    assert said.event == "join"
    assert said.room == "room-8842"
    assert said.caller == "+254700000222"
    assert said.participant_id == "p-2"
    assert said.participants == 2
    assert said.handles == ("HD_0a1b2c3d4e60",)


@pytest.mark.parametrize("name", ["event", "Event", "conferenceEvent", "status"])
@pytest.mark.parametrize(
    ("word", "event"),
    [
        ("start", "start"), ("END", "end"), ("join", "join"), ("Leave", "leave"), ("mute", "mute"),
        ("unmute", "unmute"), ("participant-join", "join"), ("conference-end", "end"),
        ("ConferenceStarted", "start"), ("joined", "join"), ("left", "leave"), ("dance", "other"),
        ("", "other"),
    ],
)  # fmt: skip
def test_every_word_of_a_room(name, word, event):
    assert parse_conference({name: word}).event == event


@pytest.mark.parametrize(
    "name", ["conference_name", "conferenceRoomName", "conferenceName", "room", "ConferenceName"]
)
def test_the_room_under_every_name(name):
    assert parse_conference({name: "queue-1"}).room == "queue-1"
    assert parse_conference({"data": {name: "queue-1@default"}}).room == "queue-1"


@pytest.mark.parametrize("name", ["caller", "callerNumber", "Caller", "participantNumber"])
def test_the_participant_s_number_under_every_name(name):
    assert parse_conference({name: "254700000222"}).caller == "+254700000222"


@pytest.mark.parametrize("name", ["participant_id", "participantId", "conferenceParticipantId"])
def test_the_participant_s_id_under_every_name(name):
    assert parse_conference({name: 7}).participant_id == "7"


@pytest.mark.parametrize(("value", "count"), [(2, 2), ("2", 2), (["a", "b"], 2), ("x", None)])
def test_how_many_are_in_the_room(value, count):
    assert parse_conference({"participants": value}).participants == count
