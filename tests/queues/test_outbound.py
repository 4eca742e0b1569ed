"""Click to call: the agent is reserved, the contact is rung, the two are brought together."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.authtoken.models import Token

from agents.models import Agent
from callcenter.sautikit.callbacks import Outcome
from queues import adoption, calls, dialling, links, reconcile
from queues.models import Leg, Offer, ProviderFact, QueuedCall
from queues.scene import scene
from tests.api import Api, api
from tests.factories import LINE, T0, make_agent, make_queue, make_supervisor, make_waiting

from .telephone import actions, agent_leg, argument, the_call, the_offer, verbs

pytestmark = pytest.mark.django_db
CONTACT, CONTACT_LEG, AGENT_LEG = "+254700000222", "HD_0000000000c0", "HD_0000000000a9"


@pytest.fixture
def supervisor():
    return api(make_supervisor())


def customer_leg() -> Leg:
    return Leg.objects.select_related("call").get(role="customer")


class TestAsking:
    def test_it_answers_201_and_the_row_and_reserves_the_agent(self, supervisor):
        agent = make_agent(make_queue(), username="amina")
        reply = supervisor.post(
            "/api/calls/", {"agent": "amina", "to": "0700 000 222", "queue": "support"}, "json"
        )
        assert reply.status_code == 201
        row = reply.json()
        assert (row["direction"], row["status"]) == ("outbound", "dialling")
        assert (row["from"], row["to"], row["queue"]) == (LINE, CONTACT, "support")
        assert (row["queued_at"], row["ended_at"], row["talk_seconds"]) == (None, None, None)
        assert [leg["party"] for leg in row["legs"]] == [CONTACT]
        assert row["id"] == the_call().public_id == str(the_call().pk)
        agent.refresh_from_db()
        assert agent.engagement == "ringing"
        assert (the_offer().kind, the_offer().state) == ("click", "dialling")

    def test_without_a_queue_the_centres_own_number_is_shown(self, supervisor):
        make_agent(username="amina")
        row = supervisor.post("/api/calls/", {"agent": "amina", "to": CONTACT}).json()
        assert (row["from"], row["queue"]) == ("+254200000100", None)

    def test_the_contacts_leg_is_placed_and_the_agents_is_not(self, supervisor, bells, commits):
        make_agent(username="amina")
        with commits():
            supervisor.post("/api/calls/", {"agent": "amina", "to": CONTACT})
        assert bells.of("place") == [str(customer_leg().pk)]
        assert Leg.objects.count() == 1

    def test_an_agent_may_call_for_themselves_only(self):
        me, other = make_agent(username="amina"), make_agent(username="brian")
        client = api(me.user)
        assert client.post("/api/calls/", {"agent": "brian", "to": CONTACT}).status_code == 403
        assert client.post("/api/calls/", {"agent": "amina", "to": CONTACT}).status_code == 201
        other.refresh_from_db()
        assert other.engagement == "idle"

    def test_an_agent_on_break_may_call_and_one_who_is_offline_may_not(self, supervisor):
        make_agent(username="onbreak", presence="break")
        make_agent(username="away", presence="offline")
        assert (
            supervisor.post("/api/calls/", {"agent": "onbreak", "to": CONTACT}).status_code == 201
        )
        refused = supervisor.post("/api/calls/", {"agent": "away", "to": CONTACT})
        assert refused.status_code == 409
        assert "offline" in refused.json()["detail"]

    @pytest.mark.parametrize("engagement", ["ringing", "on_call", "wrap_up"])
    def test_an_agent_who_is_not_idle_is_409_and_nothing_is_made(self, supervisor, engagement):
        until = T0 if engagement == "wrap_up" else None
        make_agent(username="amina", engagement=engagement, wrap_up_until=until)
        assert supervisor.post("/api/calls/", {"agent": "amina", "to": CONTACT}).status_code == 409
        assert not QueuedCall.objects.exists()
        assert not Offer.objects.exists()

    def test_a_second_click_is_409(self, supervisor):
        make_agent(username="amina")
        body = {"agent": "amina", "to": CONTACT}
        answers = [supervisor.post("/api/calls/", body).status_code for _ in range(2)]
        assert answers == [201, 409]

    @pytest.mark.parametrize("to", ["", "12", "hello", "+25470000", "+2547000000000000", "700"])
    def test_a_number_that_is_none_is_refused_at_the_field(self, supervisor, to):
        make_agent(username="amina")
        reply = supervisor.post("/api/calls/", {"agent": "amina", "to": to})
        if to == "+25470000":  # eight digits: the form of an E.164 number
            assert reply.status_code == 201
            return
        assert reply.status_code == 400
        assert list(reply.json()) == ["to"]
        assert not QueuedCall.objects.exists()

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"agent": "nobody", "to": CONTACT}, "agent"),
            ({"to": CONTACT}, "agent"),
            ({"agent": "amina"}, "to"),
            ({"agent": "amina", "to": CONTACT, "queue": "nowhere"}, "queue"),
        ],
    )
    def test_what_is_missing_or_unknown_is_told_at_the_field(self, supervisor, body, field):
        make_agent(username="amina")
        reply = supervisor.post("/api/calls/", body)
        assert reply.status_code == 400
        assert list(reply.json()) == [field]

    def test_nobody_signed_in_is_refused(self):
        assert Api().post("/api/calls/", {}).status_code == 401


@pytest.fixture
def dialled(supervisor):
    """A contact who is to be rung for agent Amina."""
    make_agent(make_queue(), username="amina", destination="+254711000001")
    supervisor.post("/api/calls/", {"agent": "amina", "to": CONTACT, "queue": "support"})
    return customer_leg()


class TestPlacing:
    def test_the_sdk_shape_comes_first_and_is_exact(self, dialled, provider):
        provider.takes_calls(call_id="c-1", session_id=CONTACT_LEG)
        dialling.place(dialled.pk, at=timezone.now())
        assert provider.placed == [
            {
                "from": LINE,
                "to": [CONTACT],
                "voice_callback_url": links.outbound_answer(the_call()),
                "client_request_id": dialled.pk.hex,
            }
        ]
        assert provider.keys == [f"{dialled.pk.hex}-sdk"]
        leg = customer_leg()
        assert (leg.state, leg.session_id, leg.provider_id) == ("ringing", CONTACT_LEG, "c-1")
        assert ProviderFact.objects.get(name="call_schema").value == "sdk"

    def test_the_key_authorises(self, dialled, provider):
        provider.takes_calls(call_id="c-1")
        dialling.place(dialled.pk, at=timezone.now())
        request = provider.mock.calls[0].request
        assert request.headers["Authorization"] == "Bearer test-key"

    @pytest.mark.parametrize("status", [400, 422])
    def test_refused_the_pages_shape_is_tried_once_and_remembered(self, dialled, provider, status):
        provider.answers_placing(status, "validation")
        provider.takes_calls(call_id="c-1")
        dialling.place(dialled.pk, at=timezone.now())
        assert provider.placed[1] == {
            "to": CONTACT,
            "from": LINE,
            "action_url": links.outbound_answer(the_call()),
            "status_url": links.outbound_status(the_call()),
        }
        assert provider.keys == [f"{dialled.pk.hex}-sdk", f"{dialled.pk.hex}-use_case"]
        assert ProviderFact.objects.get(name="call_schema").value == "use_case"
        assert the_call().state == "dialling"

    def test_what_is_remembered_comes_first_next_time(self, dialled, provider):
        ProviderFact.objects.create(name="call_schema", value="use_case", at=T0)
        provider.takes_calls(call_id="c-1")
        dialling.place(dialled.pk, at=timezone.now())
        assert "action_url" in provider.placed[0]
        assert len(provider.placed) == 1

    def test_both_refused_is_a_refusal_with_the_first_error(self, dialled, provider):
        provider.answers_placing(422, "first.error")
        provider.answers_placing(400, "second.error")
        dialling.place(dialled.pk, at=timezone.now())
        call = the_call()
        assert call.state == "failed"
        assert "first.error" in call.end_reason
        assert len(provider.placed) == 2
        assert Agent.objects.get().engagement == "idle"
        assert not ProviderFact.objects.filter(name="call_schema").exists()

    @pytest.mark.parametrize("shape", ["sdk", "use_case"])
    def test_a_shape_by_setting_is_the_only_one(self, dialled, provider, settings, shape):
        settings.SAUTIKIT_CALL_SCHEMA = shape
        provider.answers_placing(422)
        dialling.place(dialled.pk, at=timezone.now())
        assert provider.keys == [f"{dialled.pk.hex}-{shape}"]
        assert the_call().state == "failed"

    def test_a_sip_destination_never_decides_the_shape(self, supervisor, provider):
        make_agent(username="amina")
        supervisor.post("/api/calls/", {"agent": "amina", "to": "sip:bob@pbx.example.com"})
        provider.answers_placing(422)
        provider.takes_calls(call_id="c-1")
        dialling.place(customer_leg().pk, at=timezone.now())
        assert len(provider.placed) == 2
        assert not ProviderFact.objects.filter(name="call_schema").exists()

    @pytest.mark.parametrize("status", [401, 403, 404, 409])
    def test_other_refusals_are_not_tried_in_the_other_shape(self, dialled, provider, status):
        provider.answers_placing(status)
        dialling.place(dialled.pk, at=timezone.now())
        assert len(provider.placed) == 1
        assert the_call().state == "failed"

    def test_402_fails_the_call_frees_the_agent_and_blames_nobody(self, dialled, provider):
        provider.answers_placing(402, "wallet.insufficient_funds")
        dialling.place(dialled.pk, at=timezone.now())
        agent = Agent.objects.get()
        assert the_call().state == "failed"
        assert (agent.engagement, agent.hold_off_until, agent.strikes) == ("idle", None, 0)


@pytest.fixture
def ringing(dialled, provider):
    """The contact's phone rings."""
    provider.takes_calls(call_id="c-1", session_id=CONTACT_LEG)
    dialling.place(dialled.pk, at=timezone.now())
    return links.outbound_answer(the_call())


class TestTheContactAnswers:
    def test_the_agent_is_dialled(self, ringing, phone):
        reply = phone.post(ringing, {"sessionId": CONTACT_LEG, "callSessionState": "Answered"})
        assert verbs(reply) == ["dial", "redirect"]
        assert argument(reply, "dial") == {
            "number": "+254711000001", "callerId": LINE, "timeout": 15,
        }  # fmt: skip
        call = the_call()
        assert (call.state, call.agent.user.username) == ("offered", "amina")
        assert (the_offer().kind, the_offer().state) == ("direct", "dialling")

    def test_a_body_without_any_state_word_is_an_answer(self, ringing, phone):
        assert verbs(phone.post(ringing, {"sessionId": CONTACT_LEG}))[0] == "dial"

    def test_a_repeat_gets_the_same_bytes_and_dials_nobody_again(self, ringing, phone):
        first = phone.post(ringing, {"sessionId": CONTACT_LEG})
        assert phone.post(ringing, {"sessionId": CONTACT_LEG}).content == first.content
        assert Offer.objects.count() == 1

    def test_the_same_is_answered_at_the_numbers_own_url(self, ringing, phone):
        """Where the provider ignores our per-call URL, the leg is known by its handle."""
        reply = phone.inbound(
            CONTACT_LEG, callerNumber=LINE, destinationNumber=CONTACT, callSessionState="Answered"
        )
        assert verbs(reply) == ["dial", "redirect"]
        assert QueuedCall.objects.count() == 1

    def test_an_agent_who_presses_1_is_called_into_the_contacts_room(self, ringing, phone):
        Agent.objects.update(confirm_key=True)
        reply = phone.post(ringing, {"sessionId": CONTACT_LEG})
        assert argument(reply, "conference")["name"] == the_call().room
        assert argument(reply, "conference")["startOnEnter"] is False
        assert (agent_leg().state, agent_leg().party) == ("planned", "+254711000001")
        assert the_offer().kind == "room"

    def test_an_answer_of_the_agent_connects_and_the_end_completes(self, ringing, phone):
        result = argument(phone.post(ringing, {"sessionId": CONTACT_LEG}), "redirect")["url"]
        leg = adoption.adopt_outbound((AGENT_LEG,), LINE, "+254711000001", at=timezone.now())
        reconcile.observe(leg, Outcome.ANSWERED, at=timezone.now(), source="test")
        assert the_call().state == "connected"
        assert verbs(phone.post(result, {"sessionId": CONTACT_LEG})) == ["say", "hangup"]
        assert the_call().state == "completed"
        assert Agent.objects.get().engagement == "wrap_up"

    def test_an_agent_who_does_not_answer_leaves_an_apology_and_the_end(self, ringing, phone):
        result = argument(phone.post(ringing, {"sessionId": CONTACT_LEG}), "redirect")["url"]
        reply = phone.post(result, {"sessionId": CONTACT_LEG})
        assert verbs(reply) == ["say", "hangup"]
        assert "sorry" in argument(reply, "say")["text"]
        assert the_call().state == "failed"
        agent = Agent.objects.get()
        assert (agent.engagement, agent.hold_off_reason) == ("idle", "no_answer")

    def test_a_contact_who_hangs_up_while_the_agent_rings_is_abandoned_in_ringing(
        self, ringing, phone
    ):
        phone.post(ringing, {"sessionId": CONTACT_LEG})
        gone = {"sessionId": CONTACT_LEG, "callSessionState": "Completed"}
        assert actions(phone.post(ringing, gone)) == []
        call = the_call()
        assert (call.state, call.abandoned_in) == ("abandoned", "ringing")
        assert call.is_provisional

    def test_a_contact_who_hangs_up_in_the_room_stops_the_agents_phone(
        self, ringing, phone, commits, bells
    ):
        Agent.objects.update(confirm_key=True)
        phone.post(ringing, {"sessionId": CONTACT_LEG})
        Leg.objects.filter(role="agent").update(state="ringing", session_id=AGENT_LEG, ask_at=T0)
        with commits():
            phone.post(ringing, {"sessionId": CONTACT_LEG, "callSessionState": "Completed"})
        assert the_offer().state == "caller_gone"
        assert bells.of("hang_up") == [str(agent_leg().pk)]
        assert Agent.objects.get().strikes == 0


class TestATalkThatLeftNoTrace:
    """The dial ends without a word of an answer; the callee's record comes later."""

    @pytest.fixture
    def failed(self, ringing, phone):
        reply = phone.post(ringing, {"sessionId": CONTACT_LEG})
        url = argument(reply, "redirect")["url"]
        over = {"sessionId": CONTACT_LEG, "callSessionState": "DialCompleted"}
        assert verbs(phone.post(url, over)) == ["say", "hangup"]
        assert (the_call().state, the_call().is_provisional) == ("failed", True)

    def record(self, provider, **values):
        at = timezone.now().isoformat()
        provider.lists({"id": "c-7", "session_id": AGENT_LEG, "direction": "outbound",
                        "local_e164": LINE, "remote_e164": "+254711000001", "started_at": at,
                        **values})  # fmt: skip

    def test_the_record_of_an_answer_completes_the_call(self, failed, provider):
        at = timezone.now().isoformat()
        self.record(provider, status="completed", answered_at=at, ended_at=at)
        reconcile.check_offer(the_offer().pk, at=timezone.now())
        call = the_call()
        assert (call.state, call.agent.user.username) == ("completed", "amina")
        assert (the_offer().state, call.is_provisional) == ("ended", False)

    def test_without_one_it_stays_failed(self, failed, provider):
        self.record(provider, status="no_answer", ended_at=timezone.now().isoformat())
        for _ in range(5):
            reconcile.check_offer(the_offer().pk, at=timezone.now())
        assert (the_call().state, the_call().is_provisional) == ("failed", False)
        assert the_offer().check_at is None


class TestTheContactDoesNotAnswer:
    @pytest.mark.parametrize(
        ("body", "state"),
        [
            ({"callSessionState": "Completed"}, "no_answer"),  # the first word: unanswered
            ({"callSessionState": "NoAnswer"}, "no_answer"),
            ({"callSessionState": "Busy"}, "busy"),
            ({"callSessionState": "Failed"}, "failed"),
            ({"callSessionState": "Failed", "hangupCause": "USER_BUSY"}, "busy"),
            ({"callSessionState": "Completed", "hangupCause": "USER_BUSY"}, "busy"),
            ({"callSessionState": "Completed", "hangupCause": "NO_ANSWER"}, "no_answer"),
            ({"callSessionState": "Completed", "hangupCause": "normal_clearing"}, "no_answer"),
        ],
    )
    def test_an_end_edge_at_outbound_answer_ends_the_call_as_such(
        self, ringing, phone, body, state
    ):
        assert actions(phone.post(ringing, {"sessionId": CONTACT_LEG, **body})) == []
        assert the_call().state == state
        agent = Agent.objects.get()
        assert (agent.engagement, agent.hold_off_until, agent.strikes) == ("idle", None, 0)
        assert the_offer().state == "caller_gone"

    @pytest.mark.parametrize(
        ("status", "reason", "state"),
        [
            ("failed", "no_answer", "no_answer"),
            ("failed", "busy", "busy"),
            ("failed", "network error", "failed"),
            ("no_answer", "", "no_answer"),
            ("canceled", "", "no_answer"),
        ],
    )
    def test_a_status_webhook_ends_the_call_as_such(self, ringing, phone, status, reason, state):
        body = {"kind": f"call.{status}", "data": {"call_id": "c-1", "status": status,
                "failure_reason": reason}}  # fmt: skip
        reply = phone.post(links.outbound_status(the_call()), body, as_json=True)
        assert reply.status_code == 200
        assert the_call().state == state

    def test_the_providers_record_alone_ends_it_too(self, ringing, provider):
        provider.knows("c-1", session_id=CONTACT_LEG, status="busy")
        reconcile.ask(customer_leg().pk, at=timezone.now())
        assert the_call().state == "busy"

    def test_an_answer_after_the_end_is_answered_empty(self, ringing, phone):
        phone.post(ringing, {"sessionId": CONTACT_LEG, "callSessionState": "Completed"})
        assert actions(phone.post(ringing, {"sessionId": CONTACT_LEG})) == []
        assert the_call().state == "no_answer"

    def test_a_call_that_was_answered_and_then_busy_stays_what_it_was(self, ringing, phone):
        phone.post(ringing, {"sessionId": CONTACT_LEG})
        reply = phone.post(
            links.outbound_status(the_call()),
            {"kind": "call.started", "data": {"call_id": "c-1"}}, as_json=True,
        )  # fmt: skip
        assert reply.status_code == 200
        assert the_call().state == "offered"


class TestConnectAgent:
    URL = "/calls/connect-agent"

    @pytest.fixture
    def client(self):
        client = Api()
        token = Token.objects.create(user=make_supervisor())
        client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
        return client

    @pytest.fixture
    def waiting(self):
        return make_waiting(make_queue())

    def ask(self, client, call_id, number):
        body = {"customerCallId": call_id, "agentNumber": number}
        return client.post(self.URL, body)

    def test_a_waiting_call_is_offered_to_the_named_agent(self, client, waiting):
        agent = make_agent(destination="+254711000009")
        reply = self.ask(client, waiting.public_id, "0711000009")
        assert (reply.status_code, reply.json()) == (200, {"ok": True})
        assert (the_call().state, the_call().agent) == ("offered", agent)
        assert agent_leg().party == "+254711000009"

    def test_the_call_may_be_named_by_the_providers_handle(self, client, waiting):
        make_agent(destination="+254711000009")
        handle = waiting.legs.get().session_id
        assert self.ask(client, handle, "+254711000009").json() == {"ok": True}

    def test_unknown_number_or_call_is_404(self, client, waiting):
        make_agent(destination="+254711000009")
        assert self.ask(client, waiting.public_id, "+254711000008").status_code == 404
        assert self.ask(client, "nothing", "+254711000009").status_code == 404

    def test_an_agent_or_a_call_that_is_not_free_is_409(self, client, waiting):
        make_agent(destination="+254711000009")
        make_agent(destination="+254711000008")
        make_agent(destination="+254711000007", presence="offline")
        assert self.ask(client, waiting.public_id, "+254711000007").status_code == 409
        assert self.ask(client, waiting.public_id, "+254711000009").status_code == 200
        assert self.ask(client, waiting.public_id, "+254711000008").status_code == 409
        other = make_waiting(QueuedCall.objects.get().queue)
        assert self.ask(client, other.public_id, "+254711000009").status_code == 409

    def test_a_call_that_has_ended_is_409(self, client, waiting):
        make_agent(destination="+254711000009")
        with scene(waiting.pk, at=T0 + timedelta(seconds=5), source="test") as opened:
            calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=opened.at)
        assert self.ask(client, waiting.public_id, "+254711000009").status_code == 409

    def test_a_bad_body_is_400_at_the_field(self, client):
        reply = self.ask(client, "x", "no number")
        assert (reply.status_code, list(reply.json())) == (400, ["agentNumber"])
        reply = client.post(self.URL, {})
        assert sorted(reply.json()) == ["agentNumber", "customerCallId"]

    def test_it_needs_a_token_of_a_supervisor(self, waiting):
        agent = make_agent(destination="+254711000009")
        assert self.ask(Api(), waiting.public_id, "+254711000009").status_code == 401
        client = Api()
        token = Token.objects.create(user=agent.user)
        client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
        assert self.ask(client, waiting.public_id, "+254711000009").status_code == 403
        client = Api()
        client.force_login(make_supervisor("sam"))  # a session is no token
        assert self.ask(client, waiting.public_id, "+254711000009").status_code == 401
        assert the_call().state == "waiting"
