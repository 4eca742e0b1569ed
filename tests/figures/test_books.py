"""The books: what entered is what ended or goes on; else the calls that break them are named."""

import pytest
from django.db import connection

from queues.models import QueuedCall
from reporting.figures import books
from tests.factories import make_agent, make_queue, make_waiting
from tests.figures.made import LATER, after, answered, ask, left

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue():
    return make_queue()


def test_each_day_of_each_queue_adds_up(queue):
    agent = make_agent(queue)
    answered(queue, agent, wait=5, talk=60)
    left(queue, wait=9)
    left(queue, wait=9, abandoned_in="menu")
    left(queue, wait=9, state="failed")
    left(queue, queued=-86400, wait=9, state="rejected")
    make_waiting(queue, arrived_at=after(1))
    rows = books.days(ask(**{"from": "2026-11-19", "to": "2026-11-20"}), at=LATER)
    told = [
        (row["start"].day, row["offered"], row["not_offered_ends"],
         sum(row[name] for name in books.ENDS), row["still_open"], row["difference"], row["breaks"])
        for row in rows
    ]  # fmt: skip
    assert told == [(19, 0, 1, 1, 0, 0, []), (20, 4, 1, 4, 1, 0, [])]


@pytest.mark.parametrize(
    ("change", "difference", "why"),
    [
        ({"ended_at": None}, -1, "Offered, Completed, Still open"),
        ({"state": "greeting"}, 1, "Offered"),
    ],
)
def test_a_call_that_breaks_them_is_named(queue, change, difference, why):
    call = answered(queue, make_agent(queue), wait=5, talk=60)
    left(queue, wait=9)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in ("call_ends_once", "only_a_talk_is_connected"):
            cursor.execute(f"ALTER TABLE queues_queuedcall DROP CONSTRAINT {name}")
        cursor.execute("DROP TRIGGER end_of_call_is_final ON queues_queuedcall")
    QueuedCall.objects.filter(pk=call.pk).update(**change)
    [row] = books.days(ask(), at=LATER)
    assert row["difference"] == difference
    assert row["breaks"] == [{"call": call.public_id, "why": why}]
