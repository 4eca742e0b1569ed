"""How far a request is believed, how often it counts, and what is answered when we cannot work."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlencode

import pytest
import time_machine
from django.db import connection, utils
from psycopg_pool import PoolTimeout

from agents.models import Agent
from callcenter.sautikit import signature
from queues import arrivals, links, provider, reconcile, sweeping, unhandled
from queues.models import CallEvent, Leg, Offer, QueuedCall, WebhookEvent
from queues.routing import match
from queues.scene import Contended
from tests.factories import CALLER, LINE, T0, make_agent, make_menu, make_queue, make_waiting

from .telephone import TOKEN, actions, agent_leg, argument, the_call, the_offer, verbs

pytestmark = pytest.mark.django_db
CUSTOMER, AGENT = "HD_000000000001", "HD_00000000000a"
INBOUND = f"/calls/inbound?token={TOKEN}"
EVENTS = f"/calls/events?token={TOKEN}"
FIRST = {
    "sessionId": CUSTOMER, "callerNumber": CALLER, "destinationNumber": LINE,
    "callSessionState": "Ringing",
}  # fmt: skip
SECRET, OLD_SECRET = "whsec-new", "whsec-old"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(T0, tick=False) as travelled:
        yield travelled


@pytest.fixture
def queue():
    return make_queue()


@pytest.fixture
def signed(phone, settings):
    """Post a body with a signature made with `secret`, `age` seconds ago."""
    settings.SAUTIKIT_SIGNING_SECRETS = [SECRET, OLD_SECRET]

    def post(url, body, *, secret=SECRET, age=0, header=None):
        raw = urlencode(body)
        made = signature.sign(secret, raw.encode(), int(time.time()) - age)
        return phone.post(url, body, **{signature.HEADER: header or made})

    return post


def event(kind, handle=CUSTOMER, **data):
    word = kind.removeprefix("call.")
    return {"kind": kind, "data": {"pbx_call_id": handle, "status": word, **data}}


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            FIRST,
            {"SessionId": CUSTOMER, "From": CALLER, "To": LINE, "CallSessionState": "Ringing"},
            {"CallSid": CUSTOMER, "caller_number": CALLER, "destination_number": LINE},
            {"callId": CUSTOMER, "from": "254700000111", "to": "254200000101"},
            {"call_id": CUSTOMER, "callerNumber": CALLER, "clientDialedNumber": LINE},
            # a WebRTC session shows our number as the caller (contract 4.2)
            {"sessionId": CUSTOMER, "callerNumber": LINE, "destinationNumber": CALLER},
        ],
        ids=["field", "capitals", "twilio", "no plus", "clientDialed", "swapped"],
    )
    @pytest.mark.parametrize("as_json", [False, True], ids=["form", "json"])
    def test_any_alias_in_either_encoding_is_understood(self, phone, queue, body, as_json):
        assert "conference" in verbs(phone.post(INBOUND, body, as_json=as_json))
        call = the_call()
        assert (call.customer, call.line, call.public_id) == (CALLER, LINE, CUSTOMER)

    def test_fields_wrapped_in_data_are_understood(self, phone, queue):
        assert "conference" in verbs(phone.post(INBOUND, {"data": FIRST}, as_json=True))

    def test_json_under_a_wrong_content_type_is_read_all_the_same(self, phone, queue):
        reply = phone.client.generic(
            "POST", INBOUND, json.dumps(FIRST), "application/x-www-form-urlencoded"
        )
        assert "conference" in verbs(reply)

    def test_a_handle_that_fits_no_room_gets_an_id_of_our_own(self, phone, queue):
        phone.post(INBOUND, {**FIRST, "sessionId": "HD_with spaces/and:more"})
        call = the_call()
        assert call.public_id == str(call.pk)
        assert Leg.objects.get().session_id == "HD_with spaces/and:more"

    def test_a_body_that_names_no_call_is_an_apology_and_is_kept(self, phone, queue):
        reply = phone.post(INBOUND, {"callerNumber": CALLER, "destinationNumber": LINE})
        assert verbs(reply) == ["say", "hangup"]
        assert WebhookEvent.objects.get().verdict == "unknown"
        assert not QueuedCall.objects.exists()

    @pytest.mark.parametrize(
        "raw", [b"", b"[]", b"null", b"\x00\x01", b"{" * 5000, b'{"a": NaN}', b"plain words"]
    )
    def test_a_body_that_says_nothing_is_never_a_500(self, phone, queue, raw):
        voice = phone.client.generic("POST", INBOUND, raw, "application/json")
        assert verbs(voice) == ["say", "hangup"]
        told = phone.client.generic("POST", EVENTS, raw, "application/json")
        assert told.status_code in {200, 400}
        assert not QueuedCall.objects.exists()

    @pytest.mark.parametrize(
        "noise",
        [{"durationInSeconds": "-1"}, {"isActive": "maybe"}, {"Digits": "\x00\x00"},
         {"callerNumber": "x" * 5000}, {"direction": "sideways"}],
    )  # fmt: skip
    def test_nonsense_in_a_field_is_not_an_error(self, phone, queue, noise):
        assert phone.post(INBOUND, {**FIRST, **noise}).status_code == 200
        assert QueuedCall.objects.count() == 1

    def test_64_kib_are_read_and_a_byte_more_is_413(self, phone, queue):
        raw = urlencode(FIRST) + "&x="
        form = "application/x-www-form-urlencoded"
        fits = raw + "y" * (64 * 1024 - len(raw))
        assert phone.client.generic("POST", INBOUND, fits + "y", form).status_code == 413
        assert phone.client.generic("POST", EVENTS, fits + "y", form).status_code == 413
        assert not QueuedCall.objects.exists()
        assert "conference" in verbs(phone.client.generic("POST", INBOUND, fits, form))


VOICE = ["inbound", "menu", "dial-result", "agent-join", "outbound-answer"]
EVENT = ["queue-events", "agent-status", "outbound-status", "events"]


class TestDoors:
    @pytest.mark.parametrize("path", [*VOICE, *EVENT])
    @pytest.mark.parametrize("method", ["get", "put", "delete"])
    def test_anything_but_post_is_405(self, phone, path, method):
        reply = getattr(phone.client, method)(f"/calls/{path}?token={TOKEN}")
        assert reply.status_code == 405
        assert reply["Allow"] == "POST"

    @pytest.mark.parametrize("path", [*VOICE, *EVENT])
    @pytest.mark.parametrize("token", ["", "wrong", "c.0.0", "test-webhook-tokenX", "é", "%00"])
    def test_a_bad_or_missing_token_is_403_and_nothing_is_stored(self, phone, path, token):
        url = f"/calls/{path}?token={token}" if token else f"/calls/{path}"
        assert phone.post(url, FIRST).status_code == 403
        assert not WebhookEvent.objects.exists()
        assert not QueuedCall.objects.exists()

    @pytest.mark.parametrize(
        "path", [p for p in [*VOICE, *EVENT] if p not in {"inbound", "events"}]
    )
    def test_the_accounts_token_opens_only_the_two_urls_that_a_person_pastes(self, phone, path):
        assert phone.post(f"/calls/{path}?token={TOKEN}", FIRST).status_code == 403

    def test_several_tokens_may_be_active(self, phone, queue, settings):
        settings.SAUTIKIT_WEBHOOK_TOKENS = ["new-token", TOKEN]
        assert phone.post(INBOUND, FIRST).status_code == 200
        assert phone.post("/calls/inbound?token=new-token", FIRST).status_code == 200
        settings.SAUTIKIT_WEBHOOK_TOKENS = []
        assert phone.post("/calls/inbound?token=", FIRST).status_code == 403

    def test_a_token_signed_with_a_retired_key_is_refused_and_with_a_fallback_taken(
        self, phone, queue, settings
    ):
        result = argument(phone.post(INBOUND, FIRST), "redirect")["url"]
        old = settings.SECRET_KEY
        settings.SECRET_KEY = "another-key-for-tests-that-is-long-enough"
        assert phone.post(result, {"sessionId": CUSTOMER}).status_code == 403
        settings.SECRET_KEY_FALLBACKS = [old]
        assert phone.post(result, {"sessionId": CUSTOMER}).status_code == 200

    @pytest.mark.parametrize("glue", ["?clientRequestId=x", "&clientRequestId=x&y=1", "&a=1?b=2"])
    def test_what_the_provider_appends_to_our_urls_is_cut(self, phone, queue, glue):
        result = argument(phone.post(INBOUND, FIRST), "redirect")["url"]
        assert "conference" in verbs(phone.post(result + glue, {"sessionId": CUSTOMER}))

    def test_a_customers_token_opens_no_agents_door_and_the_other_way_round(self, phone, queue):
        phone.post(INBOUND, FIRST)
        make_agent(queue)
        QueuedCall.objects.update(offerable_from=T0)
        match(T0)
        call, offer = the_call(), the_offer()
        offer.call = call
        for path, url in (
            ("agent-join", links.dial_result(call, 1)),
            ("dial-result", links.agent_join(offer)),
            ("menu", links.agent_status(offer)),
            ("outbound-answer", links.agent_join(offer)),
        ):
            token = url.split("token=")[1]
            reply = phone.post(f"/calls/{path}?token={token}", {"sessionId": AGENT})
            assert reply.status_code == 403, path
        assert (the_call().state, the_offer().state) == ("offered", "dialling")

    def test_empty_replies_are_xml_or_json_by_setting(self, phone, queue, settings):
        phone.post(INBOUND, FIRST)
        end = {**FIRST, "callSessionState": "Completed"}
        assert phone.post(INBOUND, end).content == b"<Response></Response>"
        settings.SAUTIKIT_EMPTY_REPLY = "json"
        assert phone.post(INBOUND, end).content == b'{"actions":[]}'

    def test_hold_music_is_audio_for_anybody(self, phone):
        reply = phone.client.get("/hold-music")
        assert (reply.status_code, reply["Content-Type"]) == (200, "audio/wav")
        assert b"".join(reply.streaming_content)[:4] == b"RIFF"

    def test_a_room_event_is_204_and_the_others_200(self, phone, queue):
        url = argument(phone.post(INBOUND, FIRST), "conference")["statusEventsCallbackUrl"]
        assert phone.event(url, "join", CUSTOMER).status_code == 204
        assert phone.event(url, "something-new", CUSTOMER).status_code == 204
        assert phone.post(EVENTS, event("call.answered"), as_json=True).status_code == 200


class TestSignatures:
    def test_a_valid_one_is_served(self, signed, queue):
        assert "conference" in verbs(signed(INBOUND, FIRST))

    def test_one_made_with_an_older_secret_is_served(self, signed, queue):
        assert "conference" in verbs(signed(INBOUND, FIRST, secret=OLD_SECRET))

    @pytest.mark.parametrize("age", [300, -300])
    def test_five_minutes_off_is_still_served(self, signed, queue, age):
        assert "conference" in verbs(signed(INBOUND, FIRST, age=age))

    @pytest.mark.parametrize(
        ("how", "note"),
        [
            ({"secret": "somebody-else"}, "signature wrong"),
            ({"age": 301}, "signature stale: made 5 min before our clock's time"),
            ({"age": -301}, "signature stale: made 5 min after our clock's time"),
            ({"header": "t=1,v1=zz"}, "signature malformed"),
            ({"header": "a" * 64}, "signature malformed"),  # the bare form, not allowed by default
        ],
    )
    def test_a_wrong_or_stale_one_is_quarantined_and_not_acted_on(self, signed, queue, how, note):
        assert verbs(signed(INBOUND, FIRST, **how)) == ["say", "hangup"]
        kept = WebhookEvent.objects.get()
        assert (kept.verdict, kept.note) == ("quarantined", note)
        assert not QueuedCall.objects.exists()

    def test_a_quarantined_end_edge_is_answered_empty_and_ends_nothing(self, signed, queue):
        signed(INBOUND, FIRST)
        end = {**FIRST, "callSessionState": "Completed"}
        assert actions(signed(INBOUND, end, secret="other")) == []
        assert the_call().state == "waiting"

    def test_a_quarantined_event_is_200_and_ends_nothing(self, signed, queue):
        signed(INBOUND, FIRST)
        body = {"kind": "call.completed", "call_id": CUSTOMER, "status": "completed"}
        assert signed(EVENTS, body, secret="other").status_code == 200
        assert the_call().state == "waiting"

    def test_the_genuine_request_after_a_quarantined_one_is_no_repeat_of_it(self, signed, queue):
        signed(INBOUND, FIRST)
        body = {"kind": "call.completed", "event_id": "e-1", "call_id": CUSTOMER}
        signed(EVENTS, body, age=400)
        signed(EVENTS, body)
        assert the_call().state == "abandoned"

    def test_a_hint_without_a_signature_does_not_make_the_signed_event_a_repeat(
        self, signed, phone, queue
    ):
        signed(INBOUND, FIRST)
        body = {"kind": "call.completed", "event_id": "e-1", "call_id": CUSTOMER}
        phone.post(EVENTS, body)
        signed(EVENTS, body)
        assert the_call().state == "abandoned"

    def test_with_no_secret_set_the_header_is_ignored(self, phone, queue, settings):
        settings.SAUTIKIT_SIGNING_SECRETS = []
        reply = phone.post(INBOUND, FIRST, **{signature.HEADER: "t=1,v1=nonsense"})
        assert "conference" in verbs(reply)

    def test_an_unsigned_voice_webhook_is_served_though_secrets_are_set(
        self, phone, queue, settings
    ):
        settings.SAUTIKIT_SIGNING_SECRETS = [SECRET]
        assert "conference" in verbs(phone.post(INBOUND, FIRST))

    def test_unless_signatures_are_required(self, phone, signed, queue, settings):
        settings.SAUTIKIT_REQUIRE_SIGNATURE = True
        assert verbs(phone.post(INBOUND, FIRST)) == ["say", "hangup"]
        assert WebhookEvent.objects.get().note == "not signed"
        assert not QueuedCall.objects.exists()
        assert "conference" in verbs(signed(INBOUND, FIRST))

    def test_the_same_signature_again_is_a_repeat_however_late(self, signed, clock, sales):
        body = {**FIRST, "destinationNumber": "+254200000100"}
        signed(INBOUND, body)
        header = signature.sign(
            SECRET, urlencode({**body, "Digits": "9"}).encode(), int(time.time())
        )
        for _ in range(3):
            clock.shift(10)
            signed(INBOUND, {**body, "Digits": "9"}, header=header)
        assert the_call().menu_tries == 1

    def test_the_same_key_signed_anew_later_is_a_second_press(self, signed, clock, sales):
        body = {**FIRST, "destinationNumber": "+254200000100"}
        signed(INBOUND, body)
        for _ in range(2):
            clock.shift(10)
            signed(INBOUND, {**body, "Digits": "9"})
        assert the_call().menu_tries == 2

    @pytest.fixture
    def sales(self):
        return make_menu(("1", make_queue("sales", number=None)))


class TestEvents:
    """`/calls/events` is believed when signed; unsigned it only makes us ask."""

    @pytest.fixture
    def talking(self, signed, phone, queue):
        url = argument(signed(INBOUND, FIRST), "conference")["statusEventsCallbackUrl"]
        make_agent(queue)
        QueuedCall.objects.update(offerable_from=T0)
        match(T0)
        Leg.objects.filter(role="agent").update(
            state="answered",
            session_id=AGENT,
            answered_at=T0,
            placed_at=T0,
            ask_at=T0,
        )
        offer = the_offer()
        offer.call = the_call()
        joined = phone.post(links.agent_join(offer), {"sessionId": AGENT})
        phone.event(argument(joined, "conference")["statusEventsCallbackUrl"], "join", AGENT)
        assert the_call().state == "connected"
        return url

    def test_an_unsigned_event_only_rings_the_bell_that_asks(self, phone, queue, commits, bells):
        phone.post(INBOUND, FIRST)
        with commits():
            reply = phone.post(EVENTS, event("call.completed"), as_json=True)
        assert reply.status_code == 200
        assert the_call().state == "waiting"
        assert bells.of("ask_handle") == [CUSTOMER]
        assert WebhookEvent.objects.get(endpoint="events").verdict == "hint"

    def test_a_signed_end_ends_the_call(self, signed, talking):
        signed(EVENTS, {"kind": "call.completed", "call_id": CUSTOMER})
        assert the_call().state == "completed"

    def test_told_three_times_it_has_one_effect(self, signed, talking, clock):
        body = {"kind": "call.completed", "event_id": "e-9", "call_id": CUSTOMER}
        for _ in range(3):
            clock.shift(4)
            signed(EVENTS, body)
        assert CallEvent.objects.filter(kind="completed").count() == 1
        assert WebhookEvent.objects.get(endpoint="events").repeats == 2
        assert the_call().ended_at == T0 + timedelta(seconds=4)
        assert Agent.objects.get().wrap_up_until == T0 + timedelta(seconds=14)

    def test_answered_after_completed_reopens_nothing(self, signed, talking, clock):
        signed(EVENTS, {"kind": "call.completed", "call_id": CUSTOMER})
        clock.shift(3)
        signed(EVENTS, {"kind": "call.answered", "call_id": CUSTOMER})
        signed(EVENTS, {"kind": "call.answered", "call_id": AGENT})
        signed(EVENTS, {"kind": "call.started", "call_id": AGENT})
        assert (the_call().state, the_offer().state) == ("completed", "ended")
        assert Leg.objects.get(role="customer").state == "ended"

    def test_the_agents_end_before_the_agents_answer_is_told_in_full_by_the_end(
        self, signed, phone, queue, clock
    ):
        """`completed` with its `answered_at` overtakes `answered`: held, rung, not joined."""
        signed(INBOUND, FIRST)
        make_agent(queue)
        QueuedCall.objects.update(offerable_from=T0)
        match(T0)
        Leg.objects.filter(role="agent").update(state="ringing", session_id=AGENT, ask_at=T0)
        clock.shift(9)
        body = {"kind": "call.completed", "call_id": AGENT, "status": "completed",
                "answered_at": "2026-11-20T08:00:02Z",
                "ended_at": "2026-11-20T08:00:09Z"}  # fmt: skip
        signed(EVENTS, body)
        assert the_call().state == "waiting"
        assert the_offer().state == "declined"
        signed(EVENTS, {"kind": "call.answered", "call_id": AGENT})
        assert (the_call().state, the_offer().state) == ("waiting", "declined")

    def test_a_room_that_is_left_before_it_is_joined_is_a_talk_all_the_same(
        self, signed, phone, queue
    ):
        signed(INBOUND, FIRST)
        make_agent(queue)
        QueuedCall.objects.update(offerable_from=T0)
        match(T0)
        Leg.objects.filter(role="agent").update(state="ringing", session_id=AGENT, ask_at=T0)
        offer = the_offer()
        offer.call = the_call()
        joined = phone.post(links.agent_join(offer), {"sessionId": AGENT})
        url = argument(joined, "conference")["statusEventsCallbackUrl"]
        phone.event(url, "leave", AGENT)
        call = the_call()
        assert (call.state, call.connected_is_estimated) == ("completed", True)
        phone.event(url, "join", AGENT)
        assert the_call().state == "completed"

    def test_an_unknown_kind_or_call_is_200_stored_and_counted(self, signed):
        assert signed(EVENTS, {"kind": "moon.rises", "event_id": "e-1"}).status_code == 200
        assert signed(EVENTS, {"kind": "call.completed", "call_id": "HD_nobody"}).status_code == 200
        assert list(WebhookEvent.objects.values_list("verdict", flat=True)) == ["unknown"] * 2
        assert not QueuedCall.objects.exists()

    def test_a_signed_event_of_the_dialled_agent_is_adopted(self, signed, queue):
        agent = make_agent(queue)
        signed(INBOUND, FIRST)
        assert the_offer().kind == "direct"
        signed(EVENTS, {"kind": "call.answered", "call_id": AGENT, "direction": "outbound",
                        "from": LINE, "to": agent.destination})  # fmt: skip
        assert the_call().state == "connected"
        assert agent_leg().session_id == AGENT

    def test_a_status_url_is_believed_by_its_token_though_unsigned(self, phone, queue):
        make_agent(queue)
        make_waiting(queue)
        match(T0)
        Leg.objects.filter(role="agent").update(state="ringing", session_id=AGENT, ask_at=T0)
        body = event("call.failed", AGENT, failure_reason="busy")
        reply = phone.post(links.agent_status(the_offer()), body, as_json=True)
        assert reply.status_code == 200
        assert (the_offer().state, the_call().state) == ("busy", "waiting")

    def test_a_good_token_of_a_closed_offer_gets_an_answered_agent_a_word_and_the_end(
        self, signed, phone, talking
    ):
        offer = the_offer()
        offer.call = the_call()
        signed(EVENTS, {"kind": "call.completed", "call_id": CUSTOMER})
        assert verbs(phone.post(links.agent_join(offer), {"sessionId": AGENT})) == ["say", "hangup"]
        assert the_call().state == "completed"


class TestRepeats:
    def test_a_first_post_is_answered_the_same_until_the_next_step_is_seen(self, phone, queue):
        first = phone.post(INBOUND, FIRST)
        assert phone.post(INBOUND, FIRST).content == first.content
        phone.event(argument(first, "conference")["statusEventsCallbackUrl"], "join", CUSTOMER)
        assert actions(phone.post(INBOUND, FIRST)) == []
        assert QueuedCall.objects.count() == 1
        assert WebhookEvent.objects.get(endpoint="inbound").repeats == 2

    def test_a_dial_completed_at_the_numbers_url_and_then_the_redirect_get_one_document(
        self, phone, queue
    ):
        make_agent(queue)
        result = argument(phone.post(INBOUND, FIRST), "redirect")["url"]
        told = phone.post(INBOUND, {**FIRST, "callSessionState": "DialCompleted"})
        assert "conference" in verbs(told)
        assert phone.post(result, {"sessionId": CUSTOMER}).content == told.content
        assert (the_call().state, Offer.objects.count()) == ("waiting", 1)

    def test_a_dial_that_lasted_is_an_answer_that_nobody_told(self, phone, queue):
        agent = make_agent(queue, idle_since=T0)
        result = argument(phone.post(INBOUND, FIRST), "redirect")["url"]
        body = {"sessionId": CUSTOMER, "dialDurationInSeconds": "0", "dialStatus": "NoAnswer"}
        held = phone.post(result, body)
        assert "conference" in verbs(held)
        assert Agent.objects.get(pk=agent.pk).strikes == 1

    def test_a_dial_duration_above_zero_is_a_talk_of_that_length(self, phone, queue, clock):
        make_agent(queue)
        result = argument(phone.post(INBOUND, FIRST), "redirect")["url"]
        clock.shift(50)
        reply = phone.post(result, {"sessionId": CUSTOMER, "dialDurationInSeconds": "42"})
        assert verbs(reply) == ["say", "hangup"]
        call = the_call()
        assert call.state == "completed"
        assert call.connected_at == T0 + timedelta(seconds=8)
        assert call.ended_at == T0 + timedelta(seconds=50)

    def test_an_end_that_carries_the_dials_length_is_a_talk_too(self, phone, queue, clock):
        make_agent(queue)
        phone.post(INBOUND, FIRST)
        clock.shift(50)
        end = {**FIRST, "callSessionState": "Completed", "dialDurationInSeconds": "42"}
        assert actions(phone.post(INBOUND, end)) == []
        call = the_call()
        assert (call.state, (call.ended_at - call.connected_at).total_seconds()) == (
            "completed", 42,
        )  # fmt: skip


@pytest.mark.django_db(transaction=True)
class TestTheDatabaseIsAway:
    """Promise 6: a static plan in under a second, and by state when the caller comes back."""

    @pytest.fixture
    def away(self):
        """The pool has no connection to give; it took its 0.8 s to find out."""
        tried = []

        def no_connection(execute, sql, params, many, context):
            tried.append(sql)
            raise utils.OperationalError("no connection") from PoolTimeout("after 0.8 s")

        with connection.execute_wrapper(no_connection):
            yield tried

    def test_the_caller_is_told_to_hold_and_asks_again_after_ten_seconds(self, phone, away):
        reply = phone.post(INBOUND, FIRST)
        assert verbs(reply) == ["say", "getDigits", "redirect"]
        assert argument(reply, "getDigits")["timeout"] == 10
        assert argument(reply, "redirect")["url"] == (
            f"https://calls.example.test/calls/inbound?token={TOKEN}&resume=1"
        )

    def test_an_empty_pool_is_not_asked_a_second_time(self, phone, away):
        """0.8 s twice would be more than the second that the caller is promised."""
        phone.post(INBOUND, FIRST)
        assert len(away) == 1

    def test_the_plan_is_given_again_for_as_long_as_the_database_is_away(self, phone, away):
        url = argument(phone.post(INBOUND, FIRST), "redirect")["url"]
        again = argument(phone.post(url, FIRST), "redirect")["url"]
        assert again == url
        assert url.count("resume=1") == 1

    def test_an_end_edge_is_answered_empty(self, phone, away):
        assert actions(phone.post(INBOUND, {**FIRST, "callSessionState": "Completed"})) == []

    def test_an_event_is_503_so_that_the_sender_tries_again(self, phone, away):
        assert phone.post(EVENTS, event("call.completed"), as_json=True).status_code == 503

    def test_one_that_is_to_be_quarantined_is_503_as_well(self, phone, away, settings):
        settings.SAUTIKIT_SIGNING_SECRETS = [SECRET]
        header = {signature.HEADER: signature.sign("other", b"", 1)}
        assert phone.post(EVENTS, event("call.completed"), as_json=True, **header).status_code == (
            503
        )

    def test_an_event_of_a_call_that_stayed_locked_is_kept_and_handled_by_the_sweep(
        self, phone, queue, settings, monkeypatch, bells
    ):
        settings.SAUTIKIT_SIGNING_SECRETS = [SECRET]
        phone.post(INBOUND, FIRST)
        body = urlencode({"kind": "call.completed", "event_id": "e-1", "call_id": CUSTOMER})
        header = {signature.HEADER: signature.sign(SECRET, body.encode(), int(time.time()))}

        def send():
            form = "application/x-www-form-urlencoded"
            return phone.client.generic("POST", EVENTS, body, form, headers=header).status_code

        def locked(*args, **kwargs):
            raise Contended("x")

        with monkeypatch.context() as patch:
            patch.setattr(reconcile, "observe", locked)
            assert [send(), send()] == [200, 200]
        kept = WebhookEvent.objects.get(handled_at=None)
        assert (kept.endpoint, kept.repeats, the_call().state) == ("events", 1, "waiting")
        sweeping.sweep(at=kept.received_at + timedelta(seconds=3))
        assert bells.of("handle_event") == [str(kept.pk)]
        unhandled.handle_again(kept.pk, at=kept.received_at + timedelta(seconds=4))
        assert (the_call().state, the_call().ended_at) == ("abandoned", kept.received_at)
        assert not WebhookEvent.objects.filter(handled_at=None).exists()
        unhandled.handle_again(kept.pk, at=kept.received_at + timedelta(seconds=5))

    def test_a_caller_who_comes_back_is_served_as_new(self, phone, queue):
        reply = phone.post(f"{INBOUND}&resume=1", FIRST)
        assert "conference" in verbs(reply)
        assert the_call().state == "waiting"

    def test_a_caller_who_comes_back_into_a_call_is_served_by_its_state(self, phone, queue):
        phone.post(INBOUND, FIRST)
        queued_at = the_call().queued_at
        assert "conference" in verbs(phone.post(f"{INBOUND}&resume=1", FIRST))
        assert (the_call().state, the_call().queued_at) == ("waiting", queued_at)

    def test_a_caller_who_comes_back_after_the_end_hears_goodbye(self, phone, queue):
        phone.post(INBOUND, FIRST)
        QueuedCall.objects.update(
            state="abandoned", abandoned_in="queue", ended_at=T0, offerable_from=None
        )
        assert verbs(phone.post(f"{INBOUND}&resume=1", FIRST)) == ["say", "hangup"]

    def test_a_fault_of_ours_is_a_plan_once_and_then_an_apology(self, phone, queue, monkeypatch):
        def broken(*args, **kwargs):
            raise RuntimeError("a bug")

        monkeypatch.setattr(arrivals, "arrive", broken)
        url = argument(phone.post(INBOUND, FIRST), "redirect")["url"]
        assert verbs(phone.post(url, FIRST)) == ["say", "hangup"]


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_died_is_replaced_within_the_same_request(phone, queue):
    """PostgreSQL was restarted between two webhooks: the caller does not notice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [(pid,)] = cursor.fetchall()

    def kill():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(kill).result(5)
    assert "conference" in verbs(phone.post(INBOUND, FIRST))


class TestADialResultToldTwice:
    """Its URL names the step that it follows: asked about an older one, nothing happens again."""

    def test_a_late_repeat_leaves_the_caller_offerable_and_gets_the_same_document(
        self, phone, queue, clock
    ):
        agent = make_agent(queue)
        url = argument(phone.inbound(), "redirect")["url"]
        body = {"sessionId": CUSTOMER, "callSessionState": "DialCompleted"}
        held = phone.post(url, body)
        clock.shift(3)
        phone.event(argument(held, "conference")["statusEventsCallbackUrl"], "join")
        before = the_call().offerable_from
        agent.refresh_from_db()
        strikes = agent.strikes
        clock.shift(1)
        assert phone.post(url, body).content == held.content
        agent.refresh_from_db()
        assert (the_call().offerable_from, agent.strikes) == (before, strikes)

    def test_a_repeat_of_the_lap_that_led_to_a_dial_is_not_taken_for_its_failure(
        self, phone, queue, clock
    ):
        provider.learn(provider.SIP_TO_REFUSED, True, at=T0)
        url = argument(phone.inbound(), "redirect")["url"]
        make_agent(queue, destination="sip:amina@example.test")
        body = {"sessionId": CUSTOMER, "callSessionState": "Active"}
        dialled = phone.post(url, body)
        assert "dial" in verbs(dialled)
        clock.shift(1)
        assert phone.post(url, body).content == dialled.content
        assert (the_call().state, the_offer().state) == ("offered", "dialling")

    def test_a_url_from_before_the_steps_is_taken_for_the_present_one(self, phone, queue):
        phone.inbound()
        reply = phone.post(links._url("/calls/dial-result", links.CALL, the_call().pk.hex), FIRST)
        assert "conference" in verbs(reply)
