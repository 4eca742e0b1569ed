"""A worker as a test plays it, and the answers that a receiver may give."""

from datetime import timedelta

from callcenter.outbox import delivering
from callcenter.outbox.models import Delivery
from callcenter.outbox.sending import Answer
from tests.factories import T0

TAKEN, REFUSED, AWAY = (
    Answer(204),
    Answer(500, "answered 500"),
    Answer(error="x", is_out_of_reach=True),
)


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def deliver_all(at=T0):
    count = 0
    while delivering.deliver_next(at=at):
        count += 1
    return count


def states():
    return [each.state for each in Delivery.objects.order_by("message_id")]
