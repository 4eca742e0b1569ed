"""A caller dials a number: the first POST, the hold room, the agent, the end."""

from datetime import timedelta

import pytest
from django.utils import timezone

from agents import presence
from agents.models import Agent
from callcenter.sautikit.callbacks import Outcome
from callcenter.sautikit.commands import PlacedCall
from queues import adoption, calls, dialling, links, reconcile
from queues.models import Alert, CallEvent, Leg, Offer, QueuedCall
from queues.routing import match
from queues.scene import scene
from tests.factories import CALLER, LINE, make_agent, make_queue

from .telephone import (
    TOKEN,
    Telephone,
    actions,
    agent_leg,
    argument,
    the_call,
    the_offer,
    verbs,
)

pytestmark = pytest.mark.django_db(transaction=True)
CUSTOMER, AGENT = "HD_000000000001", "HD_00000000000a"


@pytest.fixture
def phone():
    return Telephone()


def now():
    return timezone.now()


class TestAnAgentIsFree:
    def test_the_caller_is_greeted_and_the_agent_is_dialled(self, phone):
        agent = make_agent(make_queue(greeting="Welcome."))
        reply = phone.inbound()
        assert verbs(reply) == ["say", "dial", "redirect"]
        assert argument(reply, "say")["text"] == "Welcome."
        assert argument(reply, "dial") == {
            "number": agent.destination, "callerId": LINE, "timeout": 15,
        }  # fmt: skip
        assert "/calls/dial-result?token=" in argument(reply, "redirect")["url"]
        call = the_call()
        assert (call.state, call.agent, call.queued_at) == ("offered", agent, call.arrived_at)
        agent.refresh_from_db()
        assert agent.engagement == "ringing"

    def test_an_audio_greeting_is_played(self, phone):
        make_agent(make_queue(greeting="https://cdn.example.test/hello.mp3"))
        assert argument(phone.inbound(), "play")["url"] == "https://cdn.example.test/hello.mp3"

    def test_a_sip_agent_is_dialled_by_sip(self, phone):
        make_agent(make_queue(), destination="sip:amina@pbx.example.com")
        assert argument(phone.inbound(), "dial")["sip"] == "sip:amina@pbx.example.com"

    def test_an_agent_who_presses_1_is_called_into_the_room_instead(self, phone, bells):
        make_agent(make_queue(), confirm_key=True)
        reply = phone.inbound()
        assert verbs(reply) == ["say", "say", "conference", "redirect"]

    def test_a_repeated_first_post_gets_the_same_bytes_and_no_second_agent(self, phone):
        queue = make_queue()
        make_agent(queue), make_agent(queue)
        assert phone.inbound().content == phone.inbound().content
        assert Offer.objects.count() == QueuedCall.objects.count() == 1

    def test_the_second_caller_gets_the_second_agent(self, phone):
        queue = make_queue()
        first, second = make_agent(queue), make_agent(queue)
        assert argument(phone.inbound("HD_1aaaaaaaaaaa"), "dial")["number"] == first.destination
        assert argument(phone.inbound("HD_2aaaaaaaaaaa"), "dial")["number"] == second.destination
        assert verbs(phone.inbound("HD_3aaaaaaaaaaa"))[-2:] == ["conference", "redirect"]

    def test_no_answer_brings_the_caller_to_the_hold_room_in_the_old_place(self, phone, bells):
        agent = make_agent(make_queue())
        result = argument(phone.inbound(), "redirect")["url"]
        queued_at = the_call().queued_at
        reply = phone.post(result, {"sessionId": CUSTOMER})
        assert verbs(reply)[-2:] == ["conference", "redirect"]
        call = the_call()
        assert (call.state, call.queued_at, call.agent) == ("waiting", queued_at, None)
        agent.refresh_from_db()
        assert (agent.engagement, agent.hold_off_reason, agent.strikes) == ("idle", "no_answer", 1)
        seconds = (agent.hold_off_until - the_offer().ended_at).total_seconds()
        assert seconds == 10
        # not offerable for two seconds, while the provider is asked
        assert bells.of("check_offer")
        assert call.not_before - the_offer().ended_at == timedelta(seconds=2)

    def test_an_answer_event_connects_and_the_dial_result_says_goodbye(self, phone):
        agent = make_agent(make_queue(wrap_up_seconds=30))
        result = argument(phone.inbound(), "redirect")["url"]
        leg = adoption.adopt_outbound((AGENT,), LINE, agent.destination, at=now())
        reconcile.observe(leg, Outcome.ANSWERED, at=now(), source="test")
        assert the_call().state == "connected"
        agent.refresh_from_db()
        assert agent.engagement == "on_call"
        assert verbs(phone.post(result, {"sessionId": CUSTOMER})) == ["say", "hangup"]
        assert the_call().state == "completed"
        agent.refresh_from_db()
        assert agent.engagement == "wrap_up"

    def test_the_caller_leaving_before_any_evidence_is_a_provisional_abandon(self, phone, bells):
        agent = make_agent(make_queue())
        phone.inbound()
        assert actions(phone.hang_up()) == []
        call = the_call()
        assert (call.state, call.abandoned_in, call.is_provisional) == (
            "abandoned",
            "ringing",
            True,
        )
        assert bells.of("check_offer") == [str(the_offer().pk)]
        agent.refresh_from_db()
        assert (agent.engagement, agent.strikes) == ("ringing", 0)

    def test_the_providers_record_corrects_a_provisional_abandon(self, phone):
        agent = make_agent(make_queue())
        phone.inbound()
        phone.hang_up()
        leg = adoption.adopt_outbound((AGENT,), LINE, agent.destination, at=now())
        reconcile.observe(
            leg, Outcome.COMPLETED, at=now(), source="record",
            answered_at=now() - timedelta(seconds=5), ended_at=now(),
        )  # fmt: skip
        call = the_call()
        assert (call.state, call.abandoned_in, call.agent) == ("completed", "", agent)
        agent.refresh_from_db()
        assert agent.engagement == "wrap_up"
        assert the_offer().state == "ended"

    def test_a_dial_duration_in_the_hang_up_is_evidence(self, phone):
        agent = make_agent(make_queue())
        phone.inbound()
        phone.hang_up(dialDurationInSeconds="42")
        assert the_call().state == "completed"
        agent.refresh_from_db()
        assert agent.engagement == "wrap_up"


class TestNobodyIsFree:
    def test_the_hold_document_is_that_of_the_page(self, phone):
        make_queue()
        reply = phone.inbound()
        assert argument(reply, "conference") == {
            "name": f"queue-{CUSTOMER}",
            "startOnEnter": False,
            "endOnExit": True,
            "waitUrl": "https://calls.example.test/hold-music",
            "statusEvents": "join leave end",
            "statusEventsCallbackUrl": links.queue_events(the_call(), the_call().step),
        }
        assert argument(reply, "redirect")["url"] == links.dial_result(the_call(), the_call().step)

    def test_the_caller_is_told_the_place_in_line(self, phone):
        make_queue()
        first = actions(phone.inbound("HD_1aaaaaaaaaaa"))
        second = actions(phone.inbound("HD_2aaaaaaaaaaa"))
        assert first[1]["say"]["text"] == "You are next in line."
        assert second[1]["say"]["text"] == "You are number 2 in line."

    def test_the_call_is_offered_once_the_caller_is_in_the_room(self, phone, bells):
        queue = make_queue()
        url = argument(phone.inbound(), "conference")["statusEventsCallbackUrl"]
        agent = make_agent(queue)
        assert match(now()) == 0
        assert phone.event(url, "join").status_code == 204
        assert the_call().state == "offered"
        assert the_offer().agent == agent
        assert bells.of("place") == [str(agent_leg().pk)]

    def test_without_a_join_event_the_call_is_offered_eight_seconds_later(self, phone):
        queue = make_queue()
        agent = make_agent(queue, presence="offline")
        phone.inbound()
        presence.change(agent.pk, "available", at=now(), cause="test")
        held_at = CallEvent.objects.get(kind="holding").at
        assert match(held_at + timedelta(seconds=7.9)) == 0
        assert match(held_at + timedelta(seconds=8)) == 1

    def test_the_agent_answers_joins_talks_and_wraps_up(self, phone):
        call, agent, join = self.ringing(phone)
        reply = phone.post(join, {"sessionId": AGENT, "callSessionState": "Answered"})
        assert argument(reply, "conference")["name"] == call.room
        assert argument(reply, "conference")["startOnEnter"] is True
        assert the_offer().state == "answered"
        phone.event(argument(reply, "conference")["statusEventsCallbackUrl"], "join", AGENT)
        assert the_call().state == "connected"
        agent.refresh_from_db()
        assert agent.engagement == "on_call"
        assert actions(phone.hang_up()) == []
        call = the_call()
        assert (call.state, call.agent) == ("completed", agent)
        agent.refresh_from_db()
        assert agent.engagement == "wrap_up"
        assert agent.wrap_up_until - call.ended_at == timedelta(seconds=10)

    def test_without_a_join_event_the_talk_begins_three_seconds_after_the_room(self, phone):
        _, _agent, join = self.ringing(phone)
        phone.post(join, {"sessionId": AGENT})
        offer = the_offer()
        reconcile.check_offer(offer.pk, at=offer.conference_at + timedelta(seconds=3))
        call = the_call()
        assert (call.state, call.connected_is_estimated) == ("connected", True)
        assert call.connected_at == offer.conference_at

    def test_a_caller_who_gives_up_while_waiting_is_abandoned_in_queue(self, phone):
        make_queue()
        phone.inbound()
        phone.hang_up()
        call = the_call()
        assert (call.state, call.abandoned_in) == ("abandoned", "queue")

    def test_a_caller_who_gives_up_while_an_agent_rings_stops_the_ringing(self, phone, bells):
        _, agent, join = self.ringing(phone)
        phone.hang_up()
        call = the_call()
        assert (call.state, call.abandoned_in, call.is_provisional) == (
            "abandoned",
            "ringing",
            False,
        )
        assert the_offer().state == "caller_gone"
        agent.refresh_from_db()
        assert (agent.engagement, agent.strikes, agent.hold_off_until) == ("idle", 0, None)
        assert bells.of("hang_up") == [str(agent_leg().pk)]
        late = phone.post(join, {"sessionId": AGENT})
        assert verbs(late) == ["say", "hangup"]

    def test_an_agent_who_does_not_answer_gives_the_caller_back_to_the_line(self, phone):
        call, agent, join = self.ringing(phone)
        phone.post(join, {"sessionId": AGENT, "callSessionState": "Completed"})
        after = the_call()
        assert (after.state, after.queued_at) == ("waiting", call.queued_at)
        agent.refresh_from_db()
        assert (agent.hold_off_reason, agent.engagement) == ("no_answer", "idle")

    def test_our_own_timer_ends_the_ringing(self, phone, bells):
        _, _agent, _ = self.ringing(phone)
        offer = the_offer()
        reconcile.check_offer(offer.pk, at=offer.ring_until)
        assert the_offer().state == "no_answer"
        assert bells.of("hang_up") == [str(agent_leg().pk)]

    def test_leaving_the_room_alone_only_makes_us_ask(self, phone, bells):
        make_queue()
        url = argument(phone.inbound(), "conference")["statusEventsCallbackUrl"]
        phone.event(url, "join")
        phone.event(url, "leave")
        assert the_call().state == "waiting"
        assert bells.of("ask")

    def test_a_room_that_ended_by_itself_is_entered_again(self, phone):
        make_queue()
        result = argument(phone.inbound(), "redirect")["url"]
        queued_at = the_call().queued_at
        reply = phone.post(result, {"sessionId": CUSTOMER})
        assert "conference" in verbs(reply)
        assert the_call().queued_at == queued_at

    def test_when_empty_end_says_a_sentence_and_does_not_count(self, phone):
        queue = make_queue(when_empty="end")
        make_agent(queue, presence="offline")
        assert verbs(phone.inbound()) == ["say", "hangup"]
        call = the_call()
        assert (call.state, call.queued_at) == ("rejected", None)

    def test_a_call_that_waited_too_long_expires_and_is_hung_up(self, phone, bells):
        make_queue(max_wait_seconds=60)
        phone.inbound()
        call = the_call()
        with scene(call.pk, at=now(), source="sweep") as opened:
            calls.expire(opened)
        assert the_call().state == "expired"
        assert bells.of("hang_up") == [str(Leg.objects.get().pk)]

    @staticmethod
    def ringing(phone) -> tuple[QueuedCall, Agent, str]:
        """A held caller whose agent's phone rings."""
        queue = make_queue()
        url = argument(phone.inbound(), "conference")["statusEventsCallbackUrl"]
        agent = make_agent(queue)
        phone.event(url, "join", CUSTOMER)
        leg = agent_leg()
        placed = PlacedCall(call_id=None, session_id=AGENT, status=Outcome.RINGING)
        dialling._placed(leg, placed, now())
        offer = the_offer()
        assert offer.state == "ringing"
        offer.call = the_call()
        return the_call(), agent, links.agent_join(offer)


class TestPressOne:
    @pytest.fixture
    def answered(self, phone):
        make_agent(make_queue(), confirm_key=True)
        url = argument(phone.inbound(), "conference")["statusEventsCallbackUrl"]
        phone.event(url, "join", CUSTOMER)
        offer = the_offer()
        offer.call = the_call()
        join = links.agent_join(offer)
        reply = phone.post(join, {"sessionId": AGENT})
        assert verbs(reply) == ["getDigits", "redirect"]
        return join, argument(reply, "redirect")["url"]

    def test_1_joins_the_caller(self, phone, answered):
        join, _ = answered
        assert verbs(phone.post(join, {"sessionId": AGENT, "Digits": "1"})) == ["conference"]

    def test_a_voicemail_presses_nothing_and_the_caller_stays_in_line(self, phone, answered):
        _, no_key = answered
        assert verbs(phone.post(no_key, {"sessionId": AGENT})) == ["say", "hangup"]
        assert the_call().state == "waiting"
        agent = Agent.objects.get()
        assert (agent.hold_off_reason, agent.strikes) == ("no_keypress", 1)

    def test_2_declines(self, phone, answered):
        join, _ = answered
        phone.post(join, {"sessionId": AGENT, "Digits": "2"})
        agent = Agent.objects.get()
        assert (agent.hold_off_reason, agent.strikes) == ("declined", 0)


class TestBadInput:
    def test_an_unknown_number_is_told_so_and_the_supervisor_too(self, phone):
        assert verbs(phone.inbound(destinationNumber="+254200999999")) == ["say", "hangup"]
        assert the_call().state == "rejected"
        assert "+254200999999" in Alert.objects.get().text

    @pytest.mark.parametrize("caller", ["anonymous", "", "sip:bob@example.com", "+266696687"])
    def test_withheld_and_sip_callers_are_served_like_others(self, phone, caller):
        make_queue()
        assert "conference" in verbs(phone.inbound(callerNumber=caller))

    def test_a_bad_or_missing_token_is_403_and_nothing_is_stored(self, phone):
        make_queue()
        for url in ("/calls/inbound", "/calls/inbound?token=wrong", "/calls/dial-result?token=a.b"):
            assert phone.post(url, {"sessionId": "HD_1"}).status_code == 403
        assert not QueuedCall.objects.exists()

    def test_what_the_provider_appends_to_the_query_is_cut(self, phone):
        make_queue()
        reply = phone.post(
            f"/calls/inbound?token={TOKEN}?clientRequestId=abc",
            {"sessionId": CUSTOMER, "callerNumber": CALLER, "destinationNumber": LINE},
        )
        assert "conference" in verbs(reply)

    def test_a_huge_body_is_413(self, phone):
        assert phone.inbound(padding="x" * 70_000).status_code == 413

    def test_an_unreadable_body_is_an_apology_on_a_voice_url(self, phone):
        reply = phone.client.generic(
            "POST", f"/calls/inbound?token={TOKEN}", b"\xff\xfe{", "application/json"
        )
        assert verbs(reply) == ["say", "hangup"]

    def test_an_unreadable_body_is_400_on_an_event_url(self, phone):
        reply = phone.client.generic(
            "POST", f"/calls/events?token={TOKEN}", b"\xff\xfe{", "application/json"
        )
        assert reply.status_code == 400

    def test_an_unknown_event_is_stored_and_counted(self, phone):
        reply = phone.post(f"/calls/events?token={TOKEN}", {"kind": "moon.rises"}, as_json=True)
        assert reply.status_code == 200

    def test_completed_first_is_recorded_and_answered_empty(self, phone):
        make_queue()
        assert actions(phone.hang_up()) == []
        call = the_call()
        assert (call.state, call.abandoned_in) == ("abandoned", "queue")
        assert actions(phone.inbound()) == []
        assert the_call().state == "abandoned"

    def test_the_pages_own_body_is_served(self, phone):
        make_queue()
        reply = phone.post(
            f"/calls/inbound?token={TOKEN}",
            {"CallId": "abc-1", "From": CALLER, "To": LINE}, as_json=True,
        )  # fmt: skip
        assert argument(reply, "conference")["name"] == "queue-abc-1"


def test_the_timeline_tells_who_was_considered_and_why(phone):
    queue = make_queue()
    chosen = make_agent(queue)
    absent = make_agent(queue, presence="break")
    phone.inbound()
    event = CallEvent.objects.get(kind="offered")
    assert event.detail["chosen"] == chosen.name
    assert event.detail["passed_over"] == {absent.name: "break"}
