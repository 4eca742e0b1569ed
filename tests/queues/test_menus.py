"""A question before the queue: keys by either URL, no key, wrong keys, and giving up."""

from datetime import timedelta

import pytest
import time_machine

from callcenter.sautikit.callbacks import Outcome
from queues import links, reconcile
from queues.models import CallEvent, Leg, MenuOption, Number, QueuedCall
from queues.routing import match
from tests.factories import T0, make_agent, make_menu, make_queue

from .telephone import TOKEN, Telephone, actions, argument, the_call, verbs

pytestmark = pytest.mark.django_db
MENU_LINE = "+254200000100"
CUSTOMER = "HD_000000000001"
SORRY = "Sorry, that was not one of the choices."


@pytest.fixture
def clock():
    with time_machine.travel(T0, tick=False) as travelled:
        yield travelled


class Caller(Telephone):
    """A caller of the menu's number."""

    def dial(self, **body):
        return self.inbound(destinationNumber=MENU_LINE, **body)

    def press_inbound(self, digits, **body):
        """The keys come to the number's own voice URL."""
        return self.dial(Digits=digits, **body)

    def press_menu(self, reply, digits=None, **body):
        """The keys, or the redirect after none, come to the URL that `reply` handed out."""
        fields = {"sessionId": CUSTOMER, **body}
        if digits is not None:
            fields["Digits"] = digits
        return self.post(argument(reply, "redirect")["url"], fields)


@pytest.fixture
def phone(clock):
    return Caller()


@pytest.fixture
def sales():
    return make_queue("sales", number=None)


@pytest.fixture
def support():
    return make_queue("support", number=None)


@pytest.fixture
def menu(sales, support):
    return make_menu(("1", sales), ("2", support), prompt="For sales press 1.", timeout=6)


def prompt(reply):
    return [action["say"]["text"] for action in argument(reply, "getDigits")["nested"]]


def step_of(reply):
    token = argument(reply, "redirect")["url"].split("token=")[1]
    return links.read(token).step


class TestTheQuestion:
    def test_it_is_asked_inside_the_wait_for_one_key_and_leads_back_to_its_step(self, phone, menu):
        reply = phone.dial()
        assert verbs(reply) == ["getDigits", "redirect"]
        assert argument(reply, "getDigits") == {
            "nested": [{"say": {"text": "For sales press 1.", "language": "en-KE"}}],
            "timeout": 6,
            "numDigits": 1,
        }
        assert argument(reply, "redirect")["url"].startswith(
            "https://calls.example.test/calls/menu?token="
        )
        assert step_of(reply) == the_call().step == 1
        call = the_call()
        assert (call.state, call.queue, call.queued_at) == ("greeting", None, None)

    def test_an_audio_prompt_is_played(self, phone, sales):
        make_menu(("1", sales), prompt="https://cdn.example.test/menu.mp3")
        assert argument(phone.dial(), "getDigits")["nested"] == [
            {"play": {"url": "https://cdn.example.test/menu.mp3"}}
        ]

    def test_without_a_prompt_it_is_made_from_the_options(self, phone, sales, support):
        menu = make_menu(("1", sales), prompt="")
        MenuOption.objects.create(menu=menu, digit="*", queue=support, label="anything else")
        assert prompt(phone.dial()) == ["For Sales, press 1. For anything else, press star."]

    def test_it_is_asked_in_the_menus_language(self, phone, sales):
        make_menu(("1", sales), prompt="Bonyeza moja.", language="sw-KE")
        assert argument(phone.dial(), "getDigits")["nested"][0]["say"]["language"] == "sw-KE"


class TestTheRightKey:
    @pytest.mark.parametrize("by", ["inbound", "menu"])
    def test_it_leads_to_a_free_agent_of_that_queue(self, phone, menu, support, by):
        agent = make_agent(support)
        reply = phone.dial()
        answer = phone.press_inbound("2") if by == "inbound" else phone.press_menu(reply, "2")
        assert argument(answer, "dial")["number"] == agent.destination
        call = the_call()
        assert (call.state, call.queue, call.agent) == ("offered", support, agent)
        assert call.queued_at == T0

    @pytest.mark.parametrize("by", ["inbound", "menu"])
    def test_it_leads_to_the_hold_room_when_nobody_is_free(self, phone, menu, sales, by):
        reply = phone.dial()
        answer = phone.press_inbound("1") if by == "inbound" else phone.press_menu(reply, "1")
        assert verbs(answer)[-2:] == ["conference", "redirect"]
        assert (the_call().state, the_call().queue) == ("waiting", sales)

    def test_waiting_is_counted_from_the_key_and_not_from_the_first_ring(self, phone, menu):
        reply = phone.dial()
        with time_machine.travel(T0 + timedelta(seconds=7), tick=False):
            phone.press_menu(reply, "1")
        call = the_call()
        assert (call.queued_at - call.arrived_at).total_seconds() == 7

    @pytest.mark.parametrize("digits", ["2#", " 2", "2222"])
    def test_a_pound_sign_a_blank_or_a_bounced_key_does_no_harm(self, phone, menu, support, digits):
        phone.dial()
        phone.press_inbound(digits)
        assert the_call().queue == support

    def test_the_queues_priority_is_taken_on(self, phone, menu, sales):
        sales.priority = 7
        sales.save()
        phone.dial()
        phone.press_inbound("1")
        assert the_call().priority == 7

    def test_a_key_after_the_choice_does_not_choose_again(self, phone, menu, sales, clock):
        reply = phone.dial()
        held = phone.press_menu(reply, "1")
        clock.shift(5)
        assert phone.press_menu(reply, "2").content == held.content
        assert the_call().queue == sales

    def test_a_submenu_asks_its_own_question(self, phone, menu, support):
        inner = make_menu(("1", support), number="+254200000199", slug="inner", prompt="Inner?")
        MenuOption.objects.create(menu=menu, digit="3", submenu=inner)
        phone.dial()
        answer = phone.press_inbound("3")
        assert prompt(answer) == ["Inner?"]
        assert step_of(answer) == 2
        assert verbs(phone.press_menu(answer, "1"))[-1] == "redirect"
        assert the_call().queue == support

    def test_when_empty_end_after_a_menu_says_so_and_is_not_offered(self, phone, menu, sales):
        sales.when_empty = "end"
        sales.save()
        phone.dial()
        assert verbs(phone.press_inbound("1")) == ["say", "hangup"]
        call = the_call()
        assert (call.state, call.queued_at) == ("rejected", None)


class TestTheWrongKey:
    @pytest.mark.parametrize("by", ["inbound", "menu"])
    def test_the_question_is_asked_again(self, phone, menu, by):
        reply = phone.dial()
        answer = phone.press_inbound("9") if by == "inbound" else phone.press_menu(reply, "9")
        assert prompt(answer) == [SORRY, "For sales press 1."]
        assert step_of(answer) == 2
        assert the_call().menu_tries == 1

    def test_after_the_last_try_the_first_options_queue_takes_the_caller(
        self, phone, menu, sales, clock
    ):
        reply = phone.dial()  # 3 tries
        for _ in range(2):
            clock.shift(5)
            reply = phone.press_menu(reply, "9")
            assert verbs(reply) == ["getDigits", "redirect"]
        clock.shift(5)
        assert "conference" in verbs(phone.press_menu(reply, "9"))
        assert the_call().queue == sales

    def test_the_first_options_queue_is_found_through_submenus(self, phone, menu, support):
        inner = make_menu(("5", support), number="+254200000199", slug="inner")
        MenuOption.objects.filter(menu=menu).delete()
        MenuOption.objects.create(menu=menu, digit="1", submenu=inner)
        menu.tries = 1
        menu.save()
        phone.dial()
        phone.press_inbound("9")
        assert the_call().queue == support

    def test_or_the_call_ends_politely_by_setting(self, phone, menu):
        menu.on_failure, menu.tries = "hangup", 1
        menu.save()
        phone.dial()
        assert verbs(phone.press_inbound("9")) == ["say", "hangup"]
        call = the_call()
        assert (call.state, call.queued_at, call.queue) == ("rejected", None, None)

    def test_a_right_key_after_a_wrong_one_counts(self, phone, menu, support, clock):
        reply = phone.press_menu(phone.dial(), "9")
        clock.shift(2)
        phone.press_menu(reply, "2")
        assert the_call().queue == support

    def test_the_same_wrong_key_later_at_the_numbers_url_counts_twice(self, phone, menu, clock):
        phone.dial()
        phone.press_inbound("9")
        clock.shift(1.5)
        phone.press_inbound("9")
        assert the_call().menu_tries == 2

    def test_an_identical_body_within_a_second_is_a_repeat(self, phone, menu, clock):
        phone.dial()
        first = phone.press_inbound("9")
        clock.shift(0.9)
        assert phone.press_inbound("9").content == first.content
        assert the_call().menu_tries == 1


class TestNoKey:
    def test_empty_digits_at_the_numbers_url_are_a_try(self, phone, menu):
        phone.dial()
        answer = phone.press_inbound("")
        assert prompt(answer) == ["For sales press 1."]  # nothing wrong was pressed
        assert (the_call().menu_tries, the_call().step) == (1, 2)

    def test_the_redirect_alone_is_a_try(self, phone, menu):
        answer = phone.press_menu(phone.dial())
        assert step_of(answer) == 2
        assert the_call().menu_tries == 1
        assert CallEvent.objects.filter(kind="no_key").count() == 1

    def test_no_input_and_redirect_both_arriving_count_once(self, phone, menu, clock):
        first = phone.dial()
        told = phone.press_inbound("")
        clock.shift(0.2)
        assert phone.press_menu(first).content == told.content
        assert (the_call().menu_tries, the_call().step) == (1, 2)

    def test_the_redirect_and_then_the_late_no_input_count_once(self, phone, menu, clock):
        told = phone.press_menu(phone.dial())
        clock.shift(0.2)
        assert phone.press_inbound("").content == told.content
        assert (the_call().menu_tries, the_call().step) == (1, 2)

    def test_a_stale_step_gets_the_present_steps_document(self, phone, menu, clock):
        first = phone.dial()
        clock.shift(5)
        second = phone.press_menu(first, "9")
        clock.shift(5)
        stale = phone.press_menu(first, "1")
        assert stale.content == second.content
        assert (the_call().state, the_call().step) == ("greeting", 2)

    def test_silence_to_the_end_leads_to_the_first_options_queue(self, phone, menu, sales, clock):
        reply = phone.dial()
        for _ in range(3):
            clock.shift(8)
            reply = phone.press_menu(reply)
        assert "conference" in verbs(reply)
        assert the_call().queue == sales

    def test_a_repeated_first_post_is_asked_the_same_question(self, phone, menu):
        assert phone.dial().content == phone.dial().content
        assert (the_call().step, QueuedCall.objects.count()) == (1, 1)

    def test_the_static_plans_resume_gets_the_present_question_and_costs_no_try(
        self, phone, menu, clock
    ):
        reply = phone.dial()
        clock.shift(10)
        url = argument(reply, "redirect")["url"] + "&resume=1"
        assert phone.post(url, {"sessionId": CUSTOMER}).content == reply.content
        assert the_call().menu_tries == 0


class TestGivingUp:
    @pytest.mark.parametrize("by", ["inbound", "menu"])
    def test_a_caller_who_hangs_up_in_the_menu_is_abandoned_there_and_not_offered(
        self, phone, menu, sales, by
    ):
        make_agent(sales)
        reply = phone.dial()
        if by == "inbound":
            gone = phone.dial(callSessionState="Completed", durationInSeconds="4", isActive="0")
        else:
            gone = phone.press_menu(reply, callSessionState="Completed", durationInSeconds="4")
        assert actions(gone) == []
        call = the_call()
        assert (call.state, call.abandoned_in, call.queued_at) == ("abandoned", "menu", None)
        assert match(T0 + timedelta(seconds=30)) == 0

    def test_a_key_after_the_end_is_answered_empty(self, phone, menu):
        reply = phone.dial()
        phone.dial(callSessionState="Completed", durationInSeconds="4")
        assert actions(phone.press_menu(reply, "1")) == []
        assert the_call().state == "abandoned"

    def test_an_end_seen_only_by_asking_is_abandoned_in_the_menu_too(self, phone, menu):
        phone.dial()
        reconcile.observe(Leg.objects.get(), Outcome.COMPLETED, at=T0, source="record")
        assert the_call().abandoned_in == "menu"

    def test_over_when_first_heard_of_is_abandoned_in_the_menu(self, phone, menu):
        phone.dial(callSessionState="Completed", durationInSeconds="4")
        call = the_call()
        assert (call.state, call.abandoned_in, call.queued_at) == ("abandoned", "menu", None)
        assert (call.ended_at - call.arrived_at).total_seconds() == 4


def test_keys_of_a_caller_who_is_not_in_a_menu_change_nothing(phone, support):
    Number.objects.create(e164=MENU_LINE, queue=support)
    held = phone.dial()
    assert phone.press_inbound("1").content == held.content
    assert the_call().state == "waiting"


def test_a_token_of_an_offer_is_refused_at_the_menu(phone, menu):
    call_url = argument(phone.dial(), "redirect")["url"]
    offer_token = links._url("/calls/menu", links.OFFER, the_call().pk.hex)
    assert phone.post(offer_token, {"sessionId": CUSTOMER, "Digits": "1"}).status_code == 403
    assert phone.post(call_url[:-2] + "xx", {"sessionId": CUSTOMER}).status_code == 403
    assert the_call().menu_tries == 0
    assert TOKEN not in call_url
