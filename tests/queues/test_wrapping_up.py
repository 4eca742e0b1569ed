"""What an agent writes down: whose it is, what may be chosen, and the time for it."""

import uuid
from datetime import timedelta

import pytest

from agents.models import Agent
from agents.refusals import Refused
from callcenter.outbox.models import Endpoint, Message
from queues import calls, offers, sweeping, wrapping_up
from queues.models import CallEvent, Disposition, Offer, Queue, WrapUp
from queues.routing import match
from queues.scene import scene
from tests.factories import T0, make_agent, make_queue, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def queue():
    return make_queue(wrap_up_seconds=30)


def talking(queue, **agent):
    """An agent of `queue` who talks from second 5 on."""
    made = make_agent(queue, **agent)
    call = make_waiting(queue)
    match(T0)
    with scene(call.pk, at=after(5), source="test") as opened:
        calls.connect(opened, at=after(5))
    return made, Offer.objects.get(agent=made)


def wrapping(queue):
    """The same, whose talk ended in second 60."""
    agent, offer = talking(queue)
    with scene(offer.call_id, at=after(60), source="test") as opened:
        calls.finish(opened, ended_at=after(60))
    return agent, offer


def write(agent, offer, *, at=T0 + timedelta(seconds=61), actor=None, **words):
    return wrapping_up.write(
        offer.pk, agent.pk if agent else None, at=at, actor=actor or agent.user, **words
    )


def group(label="Order", **values):
    return Disposition.objects.create(label=label, **values)


def events(kind):
    return [event.detail for event in CallEvent.objects.filter(kind=kind)]


class TestWhatMayBeChosen:
    def test_groups_with_their_entries_and_single_ones_in_order(self, queue):
        order, spam = group(position=2), group("Wrong number", position=1)
        placed = group("Placed", parent=order, position=2)
        asked = group("Asked", parent=order, position=1)
        assert wrapping_up.choices(queue) == [(spam, []), (order, [asked, placed])]

    def test_another_queues_and_those_out_of_use_are_left_out(self, queue):
        other = make_queue("billing", number=None)
        group("Theirs", queue=other)
        group("Old", is_active=False)
        mine = group("Ours", queue=queue)
        order = group()
        group("Theirs too", queue=other, parent=order)
        assert wrapping_up.choices(queue) == [(mine, [])]
        assert len(wrapping_up.choices(None)) == 3

    def test_a_group_out_of_use_takes_its_entries_along(self, queue):
        placed = group("Placed", parent=group(is_active=False))
        agent, offer = wrapping(queue)
        assert wrapping_up.choices(queue) == []
        with pytest.raises(Refused, match="cannot be chosen"):
            write(agent, offer, disposition=placed.pk)

    @pytest.mark.parametrize("why", ["another queue", "out of use", "not there"])
    def test_what_is_not_offered_is_refused_and_nothing_is_written(self, queue, why):
        agent, offer = wrapping(queue)
        values = {
            "another queue": {"queue": make_queue("billing", number=None)},
            "out of use": {"is_active": False},
            "not there": {},
        }[why]
        pk = group(**values).pk + (why == "not there")
        with pytest.raises(Refused, match="cannot be chosen"):
            write(agent, offer, disposition=pk, notes="typed")
        assert not WrapUp.objects.exists()

    def test_a_group_with_entries_is_no_choice_itself(self, queue):
        agent, offer = wrapping(queue)
        order = group()
        entry = group("Placed", parent=order)
        with pytest.raises(Refused, match="an entry of “Order”"):
            write(agent, offer, disposition=order.pk)
        entry.is_active = False
        entry.save()
        assert write(agent, offer, disposition=order.pk).disposition == order

    def test_what_was_chosen_stays_when_it_goes_out_of_use(self, queue):
        agent, offer = wrapping(queue)
        order = group()
        write(agent, offer, disposition=order.pk)
        Disposition.objects.update(is_active=False)
        written = write(agent, offer, disposition=order.pk, notes="more")
        assert (written.disposition, written.notes) == (order, "more")


class TestWriting:
    def test_during_the_talk_in_wrap_up_and_later_that_day(self, queue):
        agent, offer = talking(queue)
        write(agent, offer, at=after(10), notes="asks for a refund")
        with scene(offer.call_id, at=after(60), source="test") as opened:
            calls.finish(opened, ended_at=after(60))
        chosen = group()
        write(agent, offer, at=after(61), disposition=chosen.pk)
        offers.end_wrap_up(agent.pk, at=after(90))
        written = write(agent, offer, at=after(3600), notes="asks for a refund, paid")
        assert (written.notes, written.disposition) == ("asks for a refund, paid", chosen)
        assert (written.updated_at, written.updated_by) == (after(3600), agent.user)
        assert WrapUp.objects.count() == 1

    def test_the_next_day_it_is_the_supervisors(self, queue):
        agent, offer = wrapping(queue)
        offers.end_wrap_up(agent.pk, at=after(90))
        with pytest.raises(Refused, match="of today"):
            write(agent, offer, at=after(86400), notes="late")
        write(None, offer, at=after(86400), actor=make_supervisor(), notes="late")
        assert WrapUp.objects.get().notes == "late"

    def test_a_talk_over_midnight_is_still_in_hand(self, queue):
        agent, offer = wrapping(queue)
        write(agent, offer, at=after(86400), notes="the wrap-up goes on")

    def test_before_they_talk_there_is_nothing_to_write_about(self, queue):
        agent = make_agent(queue)
        make_waiting(queue)
        match(T0)
        for pk in (Offer.objects.get().pk, uuid.uuid4()):
            with pytest.raises(Refused, match="no conversation"):
                wrapping_up.write(pk, agent.pk, notes="x", at=after(3), actor=agent.user)

    def test_another_agents_conversation_is_not_ones_own(self, queue):
        _, offer = wrapping(queue)
        brian = make_agent(queue)
        for writer in (brian, None):
            with pytest.raises(Refused):
                write(writer, offer, actor=brian.user, notes="x")
        assert not WrapUp.objects.exists()

    def test_what_is_left_out_stays_and_none_takes_the_disposition_back(self, queue):
        agent, offer = wrapping(queue)
        write(agent, offer, disposition=group().pk, notes="a note")
        assert write(agent, offer, disposition=None).notes == "a note"
        assert WrapUp.objects.get().disposition is None

    def test_notes_that_are_too_long_are_refused_and_a_nul_is_dropped(self, queue):
        agent, offer = wrapping(queue)
        assert write(agent, offer, notes=" a\x00b\r\nc ").notes == "ab\nc"
        with pytest.raises(Refused, match="at most 4000"):
            write(agent, offer, notes="x" * 4001)
        assert write(agent, offer, notes="x" * 4000)


class TestMoreTime:
    def test_once_by_the_queues_seconds(self, queue):
        agent, offer = wrapping(queue)
        wrapping_up.extend(agent.pk, at=after(70))
        agent.refresh_from_db()
        assert agent.wrap_up_until == after(150)
        assert events("wrap_up_extended") == [{"agent": agent.name, "seconds": 60}]
        with pytest.raises(Refused, match="already"):
            wrapping_up.extend(agent.pk, at=after(71))
        sweeping.sweep(at=after(149))
        assert Agent.objects.get().engagement == "wrap_up"
        sweeping.sweep(at=after(150))
        offer.refresh_from_db()
        assert (Agent.objects.get().engagement, offer.wrap_up_ended_at) == ("idle", after(150))

    def test_the_sweep_is_rung_for_its_end(self, queue, commits, bells):
        agent, _ = wrapping(queue)
        with commits():
            wrapping_up.extend(agent.pk, at=after(70))
        assert bells.of("sweep_at") == [after(150)]

    def test_not_where_the_queue_gives_none_and_not_out_of_wrap_up(self, queue):
        agent, _ = talking(queue)
        with pytest.raises(Refused, match="not in wrap-up"):
            wrapping_up.extend(agent.pk, at=after(10))
        Queue.objects.update(wrap_up_extension_seconds=0)
        other, _ = wrapping(queue)
        with pytest.raises(Refused, match="cannot be lengthened"):
            wrapping_up.extend(other.pk, at=after(70))
        assert not CallEvent.objects.filter(kind="wrap_up_extended").exists()


class TestDone:
    def test_it_ends_the_wrap_up_and_says_what_was_chosen(self, queue):
        agent, offer = wrapping(queue)
        write(agent, offer, disposition=group("Placed", parent=group()).pk)
        assert wrapping_up.done(agent.pk, at=after(70))
        offer.refresh_from_db()
        assert offer.wrap_up_ended_at == after(70)
        assert events("wrap_up_ended") == [{"agent": agent.name, "disposition": "Order: Placed"}]
        assert not wrapping_up.done(agent.pk, at=after(71))

    def test_where_one_is_asked_for_it_needs_a_disposition(self, queue):
        Queue.objects.update(disposition_required=True)
        agent, offer = wrapping(queue)
        with pytest.raises(Refused, match="Choose a disposition"):
            wrapping_up.done(agent.pk, at=after(70))
        write(agent, offer, notes="only notes")
        with pytest.raises(Refused, match="Choose a disposition"):
            wrapping_up.done(agent.pk, at=after(71))
        assert Agent.objects.get().engagement == "wrap_up"
        write(agent, offer, disposition=group().pk)
        assert wrapping_up.done(agent.pk, at=after(72))

    @pytest.mark.parametrize(("required", "noted"), [(True, True), (False, None)])
    def test_a_wrap_up_that_runs_out_without_one_is_not_dispositioned(self, queue, required, noted):
        Queue.objects.update(disposition_required=required)
        agent, offer = wrapping(queue)
        sweeping.sweep(at=after(90))
        assert [each.get("not_dispositioned") for each in events("wrap_up_ended")] == [noted]
        assert Offer.objects.filter(wrapping_up.not_dispositioned()).get() == offer
        write(agent, offer, at=after(200), disposition=group().pk)
        assert not Offer.objects.filter(wrapping_up.not_dispositioned()).exists()
        assert [each["disposition"] for each in events("dispositioned")] == ["Order"]

    def test_a_queue_without_wrap_up_says_so_at_once(self, queue):
        Queue.objects.update(wrap_up_seconds=0, disposition_required=True)
        wrapping(queue)
        assert [each["not_dispositioned"] for each in events("wrap_up_ended")] == [True]

    def test_notes_written_later_are_no_event(self, queue):
        agent, offer = wrapping(queue)
        sweeping.sweep(at=after(90))
        write(agent, offer, at=after(200), notes="more")
        assert events("dispositioned") == []


def test_in_hand_is_the_talk_then_its_wrap_up_then_nothing(queue):
    agent, offer = talking(queue)
    assert wrapping_up.in_hand(agent.pk) == offer
    with scene(offer.call_id, at=after(60), source="test") as opened:
        calls.finish(opened, ended_at=after(60))
    assert wrapping_up.in_hand(agent.pk) == offer
    wrapping_up.done(agent.pk, at=after(70))
    assert wrapping_up.in_hand(agent.pk) is None


def test_other_systems_are_told_what_it_came_to(queue):
    Endpoint.objects.create(
        url="https://crm.example/hook", topics=["call.wrapped_up"], secrets=["whsec_x"]
    )
    agent, offer = wrapping(queue)
    write(agent, offer, disposition=group().pk)
    wrapping_up.done(agent.pk, at=after(70))
    write(agent, offer, at=after(200), disposition=None)
    told = [
        (m.topic, m.payload["agent"], m.payload["disposition"])
        for m in Message.objects.order_by("pk")
    ]
    assert told == [
        ("call.wrapped_up", agent.user.username, "Order"),
        ("call.wrapped_up", agent.user.username, None),
    ]
