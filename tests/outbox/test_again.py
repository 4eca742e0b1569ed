"""Telling again, and forgetting: replay, dead ones once more, how long things are kept."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from callcenter.outbox import again, delivering
from callcenter.outbox.models import Delivery, Endpoint, Message
from queues import tasks
from tests.factories import T0

from .worker import REFUSED, TAKEN, after, deliver_all, states

pytestmark = pytest.mark.django_db


class TestReplay:
    def test_everything_from_a_number_on_is_sent_again_in_order(self, make_endpoint, wire, tell):
        endpoint = make_endpoint()
        tell("a", "a", "b", "a")
        deliver_all()
        second = Message.objects.order_by("pk")[1].pk
        tell("a")
        assert again.replay(endpoint.pk, second, at=after(1)) == 4
        wire.posted.clear()
        deliver_all(after(2))
        assert sorted(wire.order) == [2, 3, 4, 5]
        assert [n for n in wire.order if n != 3] == [2, 4, 5]
        assert states() == ["delivered"] * 5

    def test_it_brings_what_was_told_while_the_endpoint_was_off(self, make_endpoint, wire, tell):
        late = make_endpoint(is_active=False, topics=["call.ended"])
        make_endpoint()
        tell("a", topic="call.ended")
        tell("b", topic="call.queued")
        deliver_all()
        Endpoint.objects.update(is_active=True)
        wire.posted.clear()
        assert again.replay(late.pk, 1, at=T0) == 1
        deliver_all()
        assert wire.order == [1]

    def test_the_command_marks_them_and_names_what_is_wrong(self, make_endpoint, tell):
        endpoint = make_endpoint()
        tell("a", "b")
        out = StringIO()
        first = Message.objects.earliest("pk").pk
        call_command("outbox_replay", "--endpoint", endpoint.pk, "--from", first, stdout=out)
        assert out.getvalue() == "2 messages will be sent again.\n"
        with pytest.raises(
            CommandError, match=rf"no endpoint 99999\. There are: {endpoint.pk} \(CRM\)"
        ):
            call_command("outbox_replay", "--endpoint", "99999", "--from", "1")
        with pytest.raises(CommandError, match="1 or more"):
            call_command("outbox_replay", "--endpoint", endpoint.pk, "--from", "0")

    def test_a_replay_takes_a_delivery_from_the_worker_that_has_it(self, make_endpoint, wire, tell):
        """Its late word about the former attempt does not count for the new one."""
        endpoint = make_endpoint()
        tell("a")
        lease = delivering._lease(T0)
        again.replay(endpoint.pk, 1, at=after(1))
        delivering.settle(lease, TAKEN, at=after(2))
        assert states() == ["pending"]
        delivering.settle(lease, REFUSED, at=after(2))
        assert Delivery.objects.get().attempts == 0
        assert deliver_all(after(3)) == 1

    def test_a_dead_one_is_sent_again_alone(self, make_endpoint, wire, tell):
        make_endpoint()
        tell("a", "b")
        Delivery.objects.update(next_at=None, dead_at=T0, attempts=8)
        dead = Delivery.objects.earliest("message_id")
        assert again.redeliver([dead.pk], at=T0) == 1
        assert again.redeliver([dead.pk], at=T0) == 0
        deliver_all()
        assert (wire.order, states()) == ([1], ["delivered", "dead"])


class TestKeeping:
    def test_what_is_settled_goes_after_14_days_and_what_is_awaited_stays(
        self, make_endpoint, wire, tell
    ):
        make_endpoint()
        tell("a")
        deliver_all()
        tell("b")  # pending
        again.forget_old(T0 + timedelta(days=13))
        assert states() == ["delivered", "pending"]
        again.forget_old(T0 + timedelta(days=15))
        assert states() == ["pending"]
        assert Message.objects.count() == 1

    def test_what_nobody_waits_for_goes_too(self, make_endpoint, tell):
        off, gone = make_endpoint(), make_endpoint()
        tell("a")
        Endpoint.objects.filter(pk=off.pk).update(is_active=False)
        Endpoint.objects.filter(pk=gone.pk)._raw_delete("default")
        again.forget_old(T0 + timedelta(days=1))
        assert [d.endpoint_id for d in Delivery.objects.all()] == [off.pk]
        again.forget_old(T0 + timedelta(days=15))
        assert (Delivery.objects.count(), Message.objects.count()) == (0, 0)

    def test_housekeeping_does_it(self, make_endpoint, wire, tell):
        make_endpoint()
        tell("a", at=T0 - timedelta(days=400))
        deliver_all()
        tasks.housekeeping()
        assert not Message.objects.exists()
