"""Listening in, on the wire: what is asked, and every shape in which it may be answered."""

import json
from datetime import UTC, datetime

import pytest
import responses

from callcenter.sautikit import errors
from callcenter.sautikit.client import SautikitClient
from callcenter.sautikit.notices import parse_notice
from callcenter.sautikit.supervision import (
    Listening,
    Supervised,
    body_to_change,
    body_to_start,
    ids_of,
    parse,
)

URL = "https://api.sautikit.test/v1/calls/HD_a1/supervision"
TOLD = {"supervision_id": "s-1", "state": "connected", "mode": "whisper",
        "connected_at": "2026-11-20T08:00:00Z"}  # fmt: skip
MEANT = Supervised("s-1", Listening.CONNECTED, "whisper", datetime(2026, 11, 20, 8, tzinfo=UTC))


@pytest.fixture
def client():
    return SautikitClient("https://api.sautikit.test", "key")


class TestAsking:
    def test_a_phone_and_a_sip_address_are_named_apart(self):
        asked = json.loads(body_to_start("+254733000001", "listen", label="x" * 70))
        assert asked["supervisor"] == {"type": "phone", "number": "+254733000001"}
        assert asked["label"] == "x" * 64
        asked = json.loads(body_to_start("sip:sarah@pbx.example.com", "barge"))
        assert asked["supervisor"] == {"type": "sip", "identity": "sip:sarah@pbx.example.com"}

    @pytest.mark.parametrize(("to", "mode"), [("0733", "listen"), ("+254733000001", "shout")])
    def test_what_cannot_be_sent_is_refused_here(self, to, mode):
        with pytest.raises(ValueError, match=r"mode|phone"):
            body_to_start(to, mode)

    def test_a_mode_is_one_of_three(self):
        with pytest.raises(ValueError, match="mode"):
            body_to_change("shout")


class TestAnswers:
    @pytest.mark.parametrize(
        "answer",
        [
            TOLD,
            {"supervision": TOLD},
            {"data": TOLD},
            {"data": {"supervision": TOLD}},
            {**TOLD, "state": None, "status": "Active"},
        ],
    )
    def test_it_is_read_bare_or_wrapped(self, answer):
        assert parse(answer) == MEANT

    @pytest.mark.parametrize("answer", [{"supervision": None}, {"data": None}, {}, [], None])
    def test_nobody_listens(self, answer):
        assert parse(answer) is None

    def test_an_unknown_word_is_no_end(self):
        told = parse({**TOLD, "state": "pondering", "mode": "sing"})
        assert told
        assert (told.state, told.mode, told.is_over) == (Listening.UNKNOWN, "", False)

    @pytest.mark.parametrize(("status", "raised"), [(404, False), (409, False), (403, True)])
    def test_an_end_of_nothing_is_an_end(self, client, sautikit_api, status, raised):
        sautikit_api.add(responses.DELETE, URL, json={"code": "x"}, status=status)
        if raised:
            with pytest.raises(errors.Unauthorised):
                client.end_supervision("HD_a1")
        else:
            client.end_supervision("HD_a1")

    def test_a_created_one_may_say_nothing(self, client, sautikit_api):
        sautikit_api.add(responses.POST, URL, body=b"", status=201)
        told = client.start_supervision("HD_a1", b"{}", idempotency_key="k")
        assert told == Supervised()

    def test_a_lost_answer_to_a_change_may_have_had_an_effect(self, client, sautikit_api):
        sautikit_api.add(responses.PATCH, URL, json={}, status=503)
        with pytest.raises(errors.Unavailable) as raised:
            client.change_supervision("HD_a1", "barge")
        assert raised.value.maybe_placed


class TestEvents:
    @pytest.mark.parametrize(
        "kind", ["call.supervision.mode_changed", "call_supervision_mode_changed",
                 "CALL.SUPERVISION.MODE-CHANGED"],
    )  # fmt: skip
    def test_the_kind_is_known_however_it_is_spelt(self, kind):
        notice = parse_notice({}, {"kind": kind, "data": {"call_id": "c-1", "status": "ended"}})
        assert notice.kind == "call.supervision.modechanged"
        assert notice.handles == ("c-1",)
        assert not notice.outcome.is_final  # the supervisor's end is not the call's

    @pytest.mark.parametrize(
        "data", [{"supervision_id": "s-1"}, {"supervision": {"supervisionId": "s-1"}}]
    )
    def test_its_own_id_is_found_wherever_it_stands(self, data):
        assert ids_of(data, {}) == ("s-1",)
