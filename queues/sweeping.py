"""The sweep: everything that has fallen due, found in the rows, whatever message was lost.

Beat runs it once a second. It does what needs the database only, and rings the bells of what asks
the provider; a row is leased for some seconds when its bell is rung, so a slow worker is not
buried under repeats.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, transaction

from callcenter import bell
from callcenter.outbox.delivering import DUE as TO_TELL
from queues import breaker, calls, desk_sweep, floor, offers, routing, supervision
from queues.scene import Contended, scene

LEASE = timedelta(seconds=10)
AT_ONCE = 200  # rows of each sort in one sweep
UNPLACED = 2  # seconds after which the bell of a planned leg was lost

_DUE = f"""
SELECT
  EXISTS (SELECT 1 FROM agents_agent WHERE engagement = 'wrap_up' AND wrap_up_until <= %(at)s),
  EXISTS (SELECT 1 FROM queues_offer WHERE check_at <= %(at)s),
  EXISTS (SELECT 1 FROM queues_leg WHERE state <> 'planned' AND ask_at <= %(at)s),
  EXISTS (SELECT 1 FROM queues_leg WHERE state = 'planned'
          AND coalesce(ask_at, planned_at + make_interval(secs => %(unplaced)s)) <= %(at)s),
  EXISTS (SELECT 1 FROM queues_leg WHERE hang_up_at <= %(at)s AND ended_at IS NULL),
  EXISTS (SELECT 1 FROM queues_queuedcall c JOIN queues_queue q ON q.id = c.queue_id
          WHERE c.state = 'waiting'
          AND c.queued_at + make_interval(secs => q.max_wait_seconds) <= %(at)s),
  EXISTS (SELECT 1 FROM queues_webhookevent WHERE retry_at <= %(at)s),
  {TO_TELL},
  EXISTS (SELECT 1 FROM queues_breaker WHERE look_at <= %(at)s),
  {desk_sweep.DUE},
  {supervision.DUE},
  EXISTS ({floor.KEPT_IN_VAIN}),
  EXISTS (SELECT 1 FROM queues_queuedcall c WHERE c.state = 'waiting')
"""  # noqa: S608 - no value is in it
_WRAPPED_UP = """
SELECT id FROM agents_agent WHERE engagement = 'wrap_up' AND wrap_up_until <= %(at)s LIMIT %(most)s
"""
_LEASES = {
    "check_offer": """
        UPDATE queues_offer SET check_at = %(later)s WHERE id IN (
            SELECT id FROM queues_offer WHERE check_at <= %(at)s
            ORDER BY check_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) RETURNING id""",
    "ask": """
        UPDATE queues_leg SET ask_at = %(later)s WHERE id IN (
            SELECT id FROM queues_leg WHERE state <> 'planned' AND ask_at <= %(at)s
            ORDER BY ask_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) RETURNING id""",
    "place": """
        UPDATE queues_leg SET ask_at = %(later)s WHERE id IN (
            SELECT id FROM queues_leg WHERE state = 'planned'
            AND coalesce(ask_at, planned_at + make_interval(secs => %(unplaced)s)) <= %(at)s
            ORDER BY role <> 'agent', planned_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
        RETURNING id""",
    "hang_up": """
        UPDATE queues_leg SET hang_up_at = %(later)s WHERE id IN (
            SELECT id FROM queues_leg WHERE hang_up_at <= %(at)s AND ended_at IS NULL
            ORDER BY hang_up_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) RETURNING id""",
    "handle_event": """
        UPDATE queues_webhookevent SET retry_at = %(later)s WHERE id IN (
            SELECT id FROM queues_webhookevent WHERE retry_at <= %(at)s
            ORDER BY received_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) RETURNING id""",
    "supervise": supervision.LEASE,
}
_EXPIRED = """
SELECT c.id FROM queues_queuedcall c JOIN queues_queue q ON q.id = c.queue_id
WHERE c.state = 'waiting' AND c.queued_at + make_interval(secs => q.max_wait_seconds) <= %(at)s
LIMIT %(most)s
"""


def sweep(*, at: datetime) -> None:
    """Do or ring for all that is due at this instant; a second sweep at the same time is idle."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {**desk_sweep.values(at), "unplaced": UNPLACED})
        (
            wrapped_up, to_check, to_ask, to_place, to_hang_up, expired, to_handle, to_tell,
            to_look, at_desks, to_supervise, kept_in_vain, waiting,
        ) = cursor.fetchone()  # fmt: skip
    if wrapped_up:
        for (agent_pk,) in _rows(_WRAPPED_UP, at):
            offers.end_wrap_up(agent_pk, at=at)
    for is_due, name in (
        (to_check, "check_offer"), (to_ask, "ask"), (to_place, "place"), (to_hang_up, "hang_up"),
        (to_handle, "handle_event"),
    ):  # fmt: skip
        if is_due:
            _lease_and_ring(name, at)
    if to_tell:
        bell.ring("tell")
    if to_look:
        breaker.look_due(at=at)
    if at_desks:
        desk_sweep.sweep(at)
    if expired:
        for (call_pk,) in _rows(_EXPIRED, at):
            _expire(call_pk, at)
    if to_supervise:
        supervision.stop_with_their_calls(at)
        _lease_and_ring("supervise", at)
    if kept_in_vain:
        floor.release_kept(at)
    if waiting:
        routing.match(at)


def _rows(statement: str, at: datetime):  # type: ignore[no-untyped-def]
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {"at": at, "later": at + LEASE, "most": AT_ONCE, "unplaced": UNPLACED},
        )
        return cursor.fetchall()


@transaction.atomic
def _lease_and_ring(name: str, at: datetime) -> None:
    for (key,) in _rows(_LEASES[name], at):
        bell.ring(name, str(key))


def _expire(call_pk, at: datetime) -> None:  # type: ignore[no-untyped-def]
    try:
        with scene(call_pk, at=at, source="sweep") as opened:
            calls.expire(opened)
    except Contended:
        return
