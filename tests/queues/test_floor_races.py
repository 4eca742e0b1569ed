"""A supervisor's hand against the router and the caller's own: real threads, round after round."""

from datetime import timedelta

import pytest

from agents.refusals import Refused
from callcenter import bell
from callcenter.sautikit.callbacks import Outcome
from queues import floor, reconcile, supervision
from queues.models import CallEvent, Leg, Offer, QueuedCall, Supervision
from queues.routing import match
from tests.factories import T0, make_agent, make_supervisor, make_waiting

from .invariants import broken
from .test_races import ROUNDS, a_queue, offered
from .threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def after(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def no_routing(monkeypatch):
    """Routing happens only where the test asks for it."""
    monkeypatch.setitem(bell._answers, "route", lambda: None)


@pytest.fixture(autouse=True)
def consistent():
    yield
    assert broken() == []


@pytest.fixture
def sarah():
    return make_supervisor("sarah")


def tried(act, *args, **more):
    """An action that may be too late; returns whether it was in time."""

    def run():
        try:
            act(*args, **more)
        except Refused:
            return False
        return True

    return run


def leave(call):
    leg = Leg.objects.get(call=call, role="customer")
    return lambda: reconcile.observe(leg, Outcome.COMPLETED, at=after(2), source="test")


class TestAgainstTheRouter:
    def test_a_caller_who_is_moved_is_offered_in_one_of_the_two_queues_only(self, sarah):
        for _ in range(ROUNDS):
            here, there = a_queue(), a_queue()
            make_agent(here), make_agent(there)
            call = make_waiting(here)
            move = tried(floor.move_to_queue, call.public_id, there.slug, at=after(1), actor=sarah)
            _, was_moved, _ = at_once(lambda: match(after(1)), move, lambda: match(after(1)))
            match(after(2))
            [offer] = Offer.objects.filter(call=call)
            assert offer.queue == (there if was_moved else here)
            assert offer.agent.memberships.get().queue == offer.queue

    def test_a_caller_who_is_kept_goes_to_nobody_else_once_that_is_answered(self, sarah):
        for _ in range(ROUNDS):
            queue = a_queue()
            free, wanted = make_agent(queue), make_agent(queue, presence="break")
            call = make_waiting(queue)
            keep = tried(floor.keep_for, call.public_id, wanted.pk, at=after(1), actor=sarah)
            _, was_kept, _ = at_once(lambda: match(after(1)), keep, lambda: match(after(1)))
            match(after(2))
            offers = [offer.agent for offer in Offer.objects.filter(call=call)]
            assert offers == ([] if was_kept else [free])

    def test_a_caller_who_is_pulled_and_routed_is_offered_once(self, sarah):
        for _ in range(ROUNDS):
            queue = a_queue()
            routed, named = make_agent(queue), make_agent(a_queue())
            call = make_waiting(queue)
            pull = tried(floor.pull, call.public_id, named.pk, at=after(1), actor=sarah)
            _, was_pulled, _ = at_once(lambda: match(after(1)), pull, lambda: match(after(1)))
            [offer] = Offer.objects.filter(call=call)
            assert offer.agent == (named if was_pulled else routed)
            pulled = CallEvent.objects.filter(call=call, kind="pulled").count()
            assert pulled == int(was_pulled)

    def test_two_supervisors_pull_the_last_free_agent_for_one_caller_only(self, sarah):
        for _ in range(ROUNDS):
            agent, callers = make_agent(), [make_waiting(a_queue()) for _ in range(2)]
            pulls = [
                tried(floor.pull, call.public_id, agent.pk, at=after(1), actor=sarah)
                for call in callers
            ]
            assert sorted(at_once(*pulls)) == [False, True]
            assert Offer.objects.filter(agent=agent).count() == 1


class TestAgainstTheCaller:
    @pytest.mark.parametrize("what", ["move", "keep", "pull", "up", "hang_up"])
    def test_who_hangs_up_at_that_instant_ends_once(self, sarah, what):
        for _ in range(ROUNDS):
            queue, there = a_queue(), a_queue()
            make_waiting(queue, arrived_at=T0 - timedelta(seconds=5))
            agent, call = make_agent(), make_waiting(queue)
            args = {"at": after(1), "actor": sarah}
            act = {
                "move": tried(floor.move_to_queue, call.public_id, there.slug, **args),
                "keep": tried(floor.keep_for, call.public_id, agent.pk, **args),
                "pull": tried(floor.pull, call.public_id, agent.pk, **args),
                "up": tried(floor.move_up, call.public_id, **args),
                "hang_up": tried(floor.hang_up, call.public_id, **args),
            }[what]
            at_once(act, leave(call), act)
            call.refresh_from_db()
            agent.refresh_from_db()
            assert call.state in {"abandoned", "failed"}
            assert agent.engagement == "idle"
            ends = CallEvent.objects.filter(call=call, kind__in=QueuedCall.FINAL)
            assert ends.count() == 1

    def test_a_hang_up_while_the_agent_s_phone_is_answered(self, sarah):
        for _ in range(ROUNDS):
            call, offer, agent = offered(a_queue())
            leg = Leg.objects.get(offer=offer)
            at_once(
                tried(floor.hang_up, call.public_id, at=after(2), actor=sarah),
                lambda leg=leg: reconcile.observe(
                    leg, Outcome.ANSWERED, at=after(2), source="test"
                ),
            )
            call.refresh_from_db()
            agent.refresh_from_db()
            assert (call.state, agent.engagement) == ("failed", "idle")


class TestListening:
    def test_of_three_supervisors_one_listens(self):
        from agents.models import Preferences
        from queues import calls
        from queues.scene import scene

        people = [make_supervisor(f"s{n}") for n in range(3)]
        for n, user in enumerate(people):
            Preferences.objects.create(user=user, phone=f"+25473300000{n}")
        for _ in range(ROUNDS):
            call, _, _ = offered(a_queue())
            with scene(call.pk, at=after(1), source="test") as opened:
                calls.connect(opened, at=after(1))
            starts = [
                tried(supervision.start, call.public_id, "listen", user=user, at=after(2))
                for user in people
            ]
            assert sorted(at_once(*starts)) == [False, False, True]
            Supervision.objects.update(state="ended", ended_at=after(3), check_at=None)
