"""Documents that leave the caller somewhere, and no others."""

import json

import pytest

from callcenter.sautikit.actions import (
    EMPTY_JSON,
    EMPTY_XML,
    Conference,
    Dial,
    GetDigits,
    Hangup,
    Play,
    Redirect,
    Reject,
    Say,
    document,
    is_web_url,
    render,
)

URL = "https://calls.example.com/next"
NUMBER = "+254700000111"
EVENTS_TO = {"status_events_callback_url": URL}


def test_the_page_s_direct_dial():
    assert document(
        [
            Say("Connecting you to an agent."),
            Dial(number="+254711222333", caller_id="+254700000001", timeout=30),
        ]
    ) == {
        "actions": [
            {"say": {"text": "Connecting you to an agent."}},
            {"dial": {"number": "+254711222333", "callerId": "+254700000001", "timeout": 30}},
        ]
    }


def test_the_page_s_hold_room():
    room = Conference(
        name="queue-HD_0a1b2c3d4e5f",
        start_on_enter=False,
        wait_url="https://yourapp.example.com/hold-music",
        status_events_callback_url="https://yourapp.example.com/calls/queue-events",
        status_events=("join", "leave", "end"),
        end_on_exit=True,
    )
    assert document([Say("Please hold."), room])["actions"][1] == {
        "conference": {
            "name": "queue-HD_0a1b2c3d4e5f",
            "startOnEnter": False,
            "waitUrl": "https://yourapp.example.com/hold-music",
            "statusEventsCallbackUrl": "https://yourapp.example.com/calls/queue-events",
            "statusEvents": "join leave end",
            "endOnExit": True,
        }
    }


def test_the_page_s_agent_side():
    room = Conference(name="queue-1", start_on_enter=True, end_on_exit=True, beep=False)
    assert room.as_json() == {
        "conference": {"name": "queue-1", "startOnEnter": True, "endOnExit": True, "beep": False}
    }


@pytest.mark.parametrize(
    ("action", "sent"),
    [
        (
            GetDigits(
                nested=(Say("One or two?", language="en-KE", voice="woman"), Play(URL, loop=2)),
                timeout=8,
                num_digits=1,
                finish_on_key="",
            ),
            {
                "getDigits": {
                    "nested": [
                        {"say": {"text": "One or two?", "voice": "woman", "language": "en-KE"}},
                        {"play": {"url": URL, "loop": 2}},
                    ],
                    "timeout": 8,
                    "numDigits": 1,
                    "finishOnKey": "",
                }
            },
        ),
        (GetDigits(timeout=10), {"getDigits": {"timeout": 10}}),
        (
            Dial(sip="sip:agent7@pbx.example.com", record="record-from-answer"),
            {"dial": {"sip": "sip:agent7@pbx.example.com", "record": "record-from-answer"}},
        ),
        (
            Dial(numbers=("+254700000222", "+254700000333")),
            {"dial": {"numbers": ["+254700000222", "+254700000333"]}},
        ),
        (
            Conference(
                "r", collect_digits=True, finish_on_key="#", num_digits=1, digits_callback_url=URL,
                max_participants=2, muted=True, record=False, flags="waste|moderator",
            ),
            {
                "conference": {
                    "name": "r", "maxParticipants": 2, "muted": True, "record": False,
                    "collectDigits": True, "finishOnKey": "#", "numDigits": 1,
                    "digitsCallbackUrl": URL, "flags": "waste|moderator",
                }
            },
        ),
        (Redirect(URL), {"redirect": {"url": URL}}),
        (Redirect(URL, method="GET"), {"redirect": {"url": URL, "method": "GET"}}),
        (Reject(), {"reject": {}}),
        (Reject("busy"), {"reject": {"reason": "busy"}}),
        (Hangup(), {"hangup": {}}),
    ],
)  # fmt: skip
def test_each_verb_as_the_provider_spells_it(action, sent):
    assert action.as_json() == sent
    assert json.loads(render([action])) == {"actions": [sent]}


@pytest.mark.parametrize(
    ("verb", "given", "field"),
    [
        (Say, {"text": "  "}, "text"),
        (Say, {"text": "a", "language": "english please"}, "language"),
        (Say, {"text": "a", "loop": -1}, "loop"),
        (Play, {"url": "/hold.mp3"}, "url"),
        (Play, {"url": "ftp://a.example.com/x"}, "url"),
        (Play, {"url": "https://a.example.com/a b"}, "url"),
        (GetDigits, {"nested": (Hangup(),)}, "nested"),
        (GetDigits, {"nested": [Say("a")]}, "nested"),
        (GetDigits, {"timeout": 0}, "timeout"),
        (GetDigits, {"timeout": True}, "timeout"),
        (GetDigits, {"timeout": 1.5}, "timeout"),
        (GetDigits, {"num_digits": 0}, "num_digits"),
        (GetDigits, {"finish_on_key": "##"}, "finish_on_key"),
        (Dial, {}, "exactly one"),
        (Dial, {"number": NUMBER, "sip": "sip:a@b.example.com"}, "exactly one"),
        (Dial, {"number": NUMBER, "numbers": (NUMBER,)}, "exactly one"),
        (Dial, {"number": ""}, "number"),
        (Dial, {"number": "0700000111"}, "number"),
        (Dial, {"number": "sip:a@b.example.com"}, "number"),
        (Dial, {"sip": NUMBER}, "sip"),
        (Dial, {"sip": "sip:a b@c"}, "sip"),
        (Dial, {"numbers": (NUMBER, "x")}, "numbers"),
        (Dial, {"number": NUMBER, "caller_id": "020000"}, "caller_id"),
        (Dial, {"number": NUMBER, "timeout": 0}, "timeout"),
        (Dial, {"number": NUMBER, "record": "true"}, "record"),
        (Conference, {"name": ""}, "name"),
        (Conference, {"name": "a" * 65}, "name"),
        (Conference, {"name": "a room"}, "name"),
        (Conference, {"name": "r\n"}, "name"),
        (Conference, {"name": "r", "start_on_enter": "no"}, "start_on_enter"),
        (Conference, {"name": "r", "wait_url": "hold-music"}, "wait_url"),
        (Conference, {"name": "r", "max_participants": 0}, "max_participants"),
        (Conference, {"name": "r", "status_events": "join", **EVENTS_TO}, "status_events"),
        (Conference, {"name": "r", "status_events": ("hold",), **EVENTS_TO}, "status_events"),
        (Conference, {"name": "r", "status_events": ("join",)}, "status_events_callback_url"),
        (Conference, {"name": "r", **EVENTS_TO}, "status_events_callback_url"),
        (Redirect, {"url": "//host/x"}, "url"),
        (Redirect, {"url": URL, "method": "PUT"}, "method"),
        (Reject, {"reason": "tired"}, "reason"),
    ],
)
def test_an_invalid_action_cannot_be_built(verb, given, field):
    with pytest.raises(ValueError, match=field):
        verb(**given)


@pytest.mark.parametrize(
    "actions",
    [[], [Say("a")], [Hangup(), Play(URL)], [Say("a")] * 50 + [Hangup()]],
    ids=["empty", "say last", "play last", "51"],
)
def test_a_document_that_would_drop_the_caller_cannot_be_sent(actions):
    with pytest.raises(ValueError, match="actions"):
        document(actions)


def test_fifty_actions_are_taken():
    assert len(document([Say("a")] * 49 + [Hangup()])["actions"]) == 50


def test_equal_documents_are_equal_bytes():
    def made():
        return render([Say("Karibu ñ 電"), Conference("r", beep=False), Redirect(URL)])

    assert made() == made()
    assert made().isascii()
    assert ": " not in made()


def test_the_empty_replies():
    assert EMPTY_XML == "<Response></Response>"
    assert json.loads(EMPTY_JSON) == {"actions": []}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https://a:0/x",
        "https://a:99999/x",
        "https://[::1",
        "https://a/\n",
        "https://a/é",
    ],
)
def test_no_broken_url_is_sent(url):
    assert not is_web_url(url)
