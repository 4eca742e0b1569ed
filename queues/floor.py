"""What a supervisor does from the room: with callers in line, with agents, and with queues.

Each action looks at the state under the locks (agent, then call), changes it only from what the
supervisor has seen, and leaves an event that names them. What is too late raises Refused with a
sentence; then nothing has changed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from agents import presence as presences
from agents.models import Agent, Presence
from agents.refusals import Refused
from callcenter import bell
from queues import arrivals, calls, offers, outbound, routing
from queues.models import Queue, QueuedCall
from queues.scene import Contended, Scene, scene

State = QueuedCall.State
SOURCE = "supervisor"
HIGHEST = 32767  # of a priority


# --- Callers in line ---------------------------------------------------------------------------


def move_up(call_id: str, *, at: datetime, actor: Any) -> None:
    """Put a waiting caller at the head of the queue's line, by a priority one above the head's.

    Priority counts over all queues that an agent is in, so the caller also passes those who wait
    elsewhere with a lower one.
    """
    with _in_line(call_id, at) as opened:
        call = opened.call
        if routing.position(call) == 1:
            raise Refused(_("This caller is first in line already."))
        line = QueuedCall.objects.filter(
            queue=call.queue, direction=call.direction, state__in=[State.WAITING, State.OFFERED]
        )
        head = line.aggregate(most=Max("priority"))["most"] or 0
        call.priority = min(max(head, call.priority) + 1, HIGHEST)
        QueuedCall.objects.filter(pk=call.pk).update(priority=call.priority)
        opened.note("moved_up", by=_name(actor), priority=call.priority)
        bell.ring("route")


def move_to_queue(call_id: str, queue_slug: str, *, at: datetime, actor: Any) -> None:
    """Put a waiting caller into another queue's line, by the time of their arrival.

    The figures count the call, and all of its wait, in the queue that it was in last.
    """
    queue = _queue(queue_slug)
    with _in_line(call_id, at) as opened:
        call = opened.call
        if call.queue_id == queue.pk:
            raise Refused(_("This caller is in that queue already."))
        if queue.closed_at:
            raise Refused(_("%(queue)s is closed.") % {"queue": queue.name})
        left, call.queue, call.priority = call.queue, queue, queue.priority
        if calls.has_waited_too_long(call, at):
            raise Refused(
                _("This caller has waited for longer than %(queue)s lets anybody wait.")
                % {"queue": queue.name}
            )
        QueuedCall.objects.filter(pk=call.pk).update(queue=queue, priority=queue.priority)
        opened.note(
            "moved_to_queue", by=_name(actor), queue=queue.name, queue_id=queue.pk,
            left=left.name if left else "",
        )  # fmt: skip
        bell.ring("route")


def keep_for(call_id: str, agent_pk: int | None, *, at: datetime, actor: Any) -> None:
    """Keep a waiting caller for one agent, or (None) let them go to whoever is free.

    The agent need not be in the queue. Who goes offline loses the caller to all: `release_kept`.
    """
    agent = _agent(agent_pk) if agent_pk is not None else None
    if agent and agent.presence == Presence.OFFLINE:
        raise Refused(_("%(agent)s is offline.") % {"agent": agent.name})
    with _in_line(call_id, at) as opened:
        call = opened.call
        if call.wanted_agent_id == agent_pk:
            raise Refused(
                _("This caller is kept for %(agent)s already.") % {"agent": agent.name}
                if agent
                else _("This caller is kept for nobody.")
            )
        if agent and agent.is_sip and routing.sip_to_is_refused():
            raise Refused(_("Sautikit refuses to call SIP addresses."))
        QueuedCall.objects.filter(pk=call.pk).update(wanted_agent=agent)
        if agent:
            opened.note("kept_for", by=_name(actor), agent=agent.name, agent_id=agent.pk)
        else:
            opened.note("kept_no_more", by=_name(actor))
        bell.ring("route")


KEPT_IN_VAIN = """
SELECT c.id FROM queues_queuedcall c JOIN agents_agent a ON a.id = c.wanted_agent_id
WHERE c.state = 'waiting' AND c.wanted_agent_id IS NOT NULL
AND (a.presence = 'offline' OR a.retired_at IS NOT NULL)
"""


def release_kept(at: datetime) -> None:
    """Open to all again whoever is kept for an agent who has gone offline."""
    with connection.cursor() as cursor:
        cursor.execute(KEPT_IN_VAIN)
        found = cursor.fetchall()
    for (call_pk,) in found:
        with suppress(Contended), scene(call_pk, at=at, source="sweep") as opened:
            wanted = opened.call.wanted_agent
            if wanted and (wanted.presence == Presence.OFFLINE or wanted.retired_at):
                QueuedCall.objects.filter(pk=call_pk).update(wanted_agent=None)
                opened.note("kept_no_more", agent=wanted.name, reason="offline")
                bell.ring("route")


def pull(call_id: str, agent_pk: int, *, at: datetime, actor: Any) -> None:
    """Offer a waiting caller now to this free agent, whoever is ahead."""
    agent = _agent(agent_pk)
    call_pk = _key(call_id)
    _still_in_line(QueuedCall.objects.get(pk=call_pk))
    try:
        outbound.pull(call_pk, agent.pk, at=at, source=SOURCE, by=_name(actor))
    except Refused:
        _still_in_line(QueuedCall.objects.get(pk=call_pk))
        raise
    except Contended as error:
        raise Refused(_changing_hands()) from error


def hang_up(call_id: str, *, at: datetime, actor: Any) -> None:
    """End a call: a talk is completed, a call without one has failed; all legs are hung up."""
    with _opened(call_id, at) as opened:
        if opened.call.is_final:
            raise Refused(_over(opened.call))
        opened.note("hung_up_by_supervisor", by=_name(actor))
        calls.cut_off(opened, reason="hung up by a supervisor")


# --- Agents ------------------------------------------------------------------------------------


def end_wrap_up(agent_pk: int, *, at: datetime, actor: Any) -> None:
    """End an agent's wrap-up, whether or not the agent has written down what it was about."""
    agent = _agent(agent_pk)
    if not offers.end_wrap_up(agent.pk, at=at, early=True, by=_name(actor)):
        raise Refused(_("%(agent)s is not in wrap-up any more.") % {"agent": agent.name})


def set_presence(
    agent_pk: int, presence: str, reason: str = "", *, at: datetime, actor: Any
) -> None:
    """Set what an agent is asked for; the agent's page says who did it."""
    agent = _agent(agent_pk)
    if presence not in Presence.values:
        raise Refused(_("There is no such state."))
    presences.change(agent.pk, presence, at=at, cause="supervisor", actor=actor, reason=reason)


# --- Queues ------------------------------------------------------------------------------------


def close_queue(slug: str, *, at: datetime, actor: Any) -> None:
    """Let nobody into a queue any more; who is in line already is still served."""
    _set_closed(slug, at, actor)


def open_queue(slug: str, *, at: datetime, actor: Any) -> None:
    """Let callers into a queue again."""
    _set_closed(slug, None, actor)


@transaction.atomic
def _set_closed(slug: str, closed_at: datetime | None, actor: Any) -> None:
    rows = Queue.objects.select_for_update(of=("self",), no_key=True)
    queue = rows.filter(slug=slug[:50], retired_at=None).first()
    if queue is None:
        raise Refused(_("There is no such queue any more."))
    if bool(queue.closed_at) == bool(closed_at):
        told = _("%(queue)s is closed already.") if closed_at else _("%(queue)s is open already.")
        raise Refused(told % {"queue": queue.name})
    queue.closed_at = closed_at
    queue._history_user = actor  # type: ignore[attr-defined]  # the history's way to be told
    queue.save(update_fields=["closed_at"])
    bell.ring("board")


# --- What all of them share --------------------------------------------------------------------


@contextmanager
def _opened(call_id: str, at: datetime) -> Iterator[Scene]:
    try:
        with scene(_key(call_id), at=at, source=SOURCE) as opened:
            yield opened
    except Contended as error:
        raise Refused(_changing_hands()) from error


@contextmanager
def _in_line(call_id: str, at: datetime) -> Iterator[Scene]:
    """Lock a call that waits and that nobody is being rung for; raise Refused."""
    with _opened(call_id, at) as opened:
        _still_in_line(opened.call)
        yield opened


def _still_in_line(call: QueuedCall) -> None:
    if call.is_final:
        raise Refused(_over(call))
    if call.state == State.OFFERED:
        raise Refused(_("An agent's phone rings for this caller already."))
    if call.state == State.CONNECTED:
        raise Refused(_("This caller talks to an agent already."))
    if call.state != State.WAITING or not call.is_inbound:
        raise Refused(_("This caller is not in line."))


def _over(call: QueuedCall) -> str:
    if call.state == State.ABANDONED:
        return _("The caller has hung up meanwhile.")
    return _("The call is over meanwhile.")


def _changing_hands() -> str:
    return _("The call is changing hands at this moment. Please try again.")


def _key(call_id: str) -> uuid.UUID:
    call_pk = arrivals.public_id(call_id)
    if call_pk is None:
        raise Refused(_("There is no such call."))
    return call_pk


def _agent(agent_pk: int) -> Agent:
    agent = Agent.objects.current().filter(pk=agent_pk).first()
    if agent is None:
        raise Refused(_("There is no such agent any more."))
    return agent


def _queue(slug: str) -> Queue:
    queue = Queue.objects.filter(slug=slug[:50], retired_at=None).first()
    if queue is None:
        raise Refused(_("There is no such queue any more."))
    return queue


def _name(actor: Any) -> str:
    return actor.get_username() if actor else ""
