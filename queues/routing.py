"""ACD: which agent gets which caller, and why.

Order of callers: priority, then arrival, over all queues. Order of agents: the queue's strategy.
A caller whom a supervisor keeps for one agent is offered to that agent only, and before anybody
else is; those behind such a caller do not wait for it.

One pair a transaction: the agent's row is locked first (a locked agent is skipped, somebody else
is changing them), then the head of the line. The head is waited for rather than skipped, because
skipping it would serve a later caller first; whoever holds it does so for milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from django.db import OperationalError, connection, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum
from django.db.models.expressions import RawSQL
from django.db.models.functions import Random
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents.models import Agent, AgentQuerySet, Presence
from callcenter.rows import from_row
from queues import offers, provider
from queues.models import Offer, Queue, QueuedCall
from queues.models.queue import Strategy
from queues.scene import Scene

_ROUTABLE = """
a.presence = 'available' AND a.engagement = 'idle'
AND a.retired_at IS NULL AND (a.hold_off_until IS NULL OR a.hold_off_until <= %(at)s)
AND NOT (a.destination LIKE 'sip%%' AND EXISTS (
    SELECT 1 FROM queues_providerfact WHERE name = 'sip_to_refused'))"""
_HEADS = """
SELECT q.*, head.wanted_agent_id, EXISTS (
    SELECT 1 FROM queues_queuedcall c
    WHERE c.queue_id = q.id AND c.state = 'waiting' AND c.offerable_from <= %(at)s
    AND c.id <> head.id
) AS has_more
FROM queues_queue q
CROSS JOIN LATERAL (
    (SELECT c.priority, c.arrived_at, c.id, c.wanted_agent_id
     FROM queues_queuedcall c JOIN agents_agent a ON a.id = c.wanted_agent_id
     WHERE c.wanted_agent_id IS NOT NULL AND c.state = 'waiting'
     AND c.queue_id = q.id AND c.offerable_from <= %(at)s AND {routable}
     ORDER BY c.priority DESC, c.arrived_at, c.id LIMIT 1)
    UNION ALL
    (SELECT c.priority, c.arrived_at, c.id, NULL FROM queues_queuedcall c
     WHERE c.queue_id = q.id AND c.state = 'waiting' AND c.offerable_from <= %(at)s
     AND c.wanted_agent_id IS NULL
     ORDER BY c.priority DESC, c.arrived_at, c.id LIMIT 1)
) head
WHERE (head.wanted_agent_id IS NOT NULL OR EXISTS (
    SELECT 1 FROM queues_member m JOIN agents_agent a ON a.id = m.agent_id
    WHERE m.queue_id = q.id AND {routable}
))
AND NOT {stopped} AND NOT {away}
ORDER BY head.priority DESC, head.arrived_at, head.id
""".format(  # noqa: S608 - no value is in it
    routable=_ROUTABLE,
    stopped=provider.STOPPED.format(paused="%(paused)s"),
    away=provider.AWAY.format(at="%(at)s"),
)


_KEPT = QueuedCall.objects.filter(state=QueuedCall.State.WAITING, wanted_agent__isnull=False)
_OPEN_TO_ALL = QueuedCall.objects.filter(state=QueuedCall.State.WAITING, wanted_agent=None)


def match(at: datetime) -> int:
    """Offer callers to agents until one side has run out; return how many offers were made."""
    made = 0
    while True:
        offer, is_last = offer_next(at)
        made += offer is not None
        if is_last:
            return made


def offer_next(at: datetime) -> tuple[Offer | None, bool]:
    """Offer the first caller in line to the agent whose turn it is.

    Returns the offer (None without a pair) and whether nothing is left to match. Locks agent,
    then call. The new offer's leg is planned; its bell rings after the commit.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HEADS, {"at": at, "paused": at - provider.DIALLING_PAUSE})
        columns = [column.name for column in cursor.description or ()]
        heads = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    for head in heads:
        has_more, wanted = head.pop("has_more"), head.pop("wanted_agent_id")
        try:
            offer = _offer_head(from_row(Queue, head), at, wanted)
        except OperationalError:  # the head stayed locked: the sweep comes back to it
            offer = None
        if offer:
            return offer, len(heads) == 1 and not has_more
    return None, True


@transaction.atomic
def _offer_head(queue: Queue, at: datetime, wanted: int | None = None) -> Offer | None:
    agent = _lock_wanted(wanted, at) if wanted else claim_agent(queue, at, for_room=True)
    if agent is None:
        return None
    call = (
        QueuedCall.objects.filter(
            queue=queue,
            state=QueuedCall.State.WAITING,
            offerable_from__lte=at,
            wanted_agent_id=wanted,
        )
        .order_by("-priority", "arrived_at", "id")
        .select_for_update(of=("self",), no_key=True)
        .first()
    )
    if call is None or call.offer_id is not None:
        return None
    call.queue = queue
    why = explanation(queue, agent, Offer.Kind.ROOM, at)
    with Scene(call, None, None, at, "router") as scene:
        return offers.make(scene, agent, Offer.Kind.ROOM, why=why)


def claim_agent(
    queue: Queue, at: datetime, *, for_room: bool, unless_waiting: bool = False
) -> Agent | None:
    """Lock and return the routable agent whose turn it is in `queue`, or None. Inside atomic().

    `for_room` leaves out SIP agents where the provider refuses to call them; a direct dial leaves
    out agents who press 1, because nobody would hear the key. `unless_waiting`: nobody, where
    somebody waits in this queue already. An agent for whom a caller is kept takes no other.
    """
    agents = Agent.objects.routable(at).filter(memberships__queue=queue)
    agents = agents.exclude(Exists(_KEPT.filter(wanted_agent=OuterRef("pk"))))
    if not for_room:
        agents = agents.filter(confirm_key=False)
    elif sip_to_is_refused():
        agents = agents.exclude(destination__startswith="sip")
    if unless_waiting:
        waiting = _OPEN_TO_ALL.filter(queue=queue)
        agents = agents.exclude(Exists(waiting))
    return (
        _in_turn(agents, queue, at)
        .select_for_update(of=("self",), no_key=True, skip_locked=True)
        .first()
    )


def _in_turn(agents: AgentQuerySet, queue: Queue, at: datetime) -> AgentQuerySet:
    """Order agents by the queue's strategy; ties go to the longest idle.

    Figures of the day are read beforehand: a row lock cannot be taken on grouped rows.
    """
    longest_idle = ("idle_since", "pk")
    if queue.strategy == Strategy.LINEAR:
        return agents.order_by("memberships__position", "memberships__id")
    if queue.strategy == Strategy.RANDOM:
        return agents.order_by(Random())
    if queue.strategy == Strategy.LONGEST_IDLE:
        return agents.order_by(*longest_idle)
    since = timezone.localtime(at, timezone.get_default_timezone()).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    figure = {
        Strategy.ROUND_ROBIN: Max("offers__created_at"),
        Strategy.FEWEST_CALLS: Count("offers", filter=Q(offers__joined_at__gte=since)),
        Strategy.LEAST_TALK: Sum(
            F("offers__ended_at") - F("offers__joined_at"), filter=Q(offers__joined_at__gte=since)
        ),
    }[Strategy(queue.strategy)]
    ranked = agents.annotate(figure=figure).order_by(
        F("figure").asc(nulls_first=True), *longest_idle
    )
    first = ranked.values_list("pk", flat=True).first()
    return agents.filter(pk__in=[first] if first else []).order_by(*longest_idle)


def claim_for_arrival(queue: Queue, at: datetime) -> Agent | None:
    """Lock an agent for a caller who has just arrived, unless somebody is ahead of them."""
    if not queue.direct_dial or queue.closed_at:
        return None
    return claim_agent(queue, at, for_room=False, unless_waiting=True)


def claim_for_lap(call: QueuedCall, queue: Queue, at: datetime) -> Agent | None:
    """Lock an agent for a caller whose lap of music is over, unless somebody waits ahead."""
    if call.wanted_agent_id:
        return _lock_wanted(call.wanted_agent_id, at, confirm_key=False)
    if _ahead(call).filter(state=QueuedCall.State.WAITING, wanted_agent=None).exists():
        return None
    return claim_agent(queue, at, for_room=False)


def _lock_wanted(agent_pk: int, at: datetime, **more: bool) -> Agent | None:
    """Lock the one agent for whom a caller is kept, if routable; a locked one is skipped."""
    agents = Agent.objects.routable(at).filter(pk=agent_pk, **more)
    return agents.select_for_update(of=("self",), no_key=True, skip_locked=True).first()


def sip_to_is_refused() -> bool:
    """Whether the provider has refused to call a SIP URI (contract 9)."""
    return bool(provider.recall_soon(provider.SIP_TO_REFUSED))


def holds_by_laps(queue: Queue) -> bool:
    """Whether only SIP agents are signed in and the provider does not call SIP URIs."""
    if not sip_to_is_refused():
        return False
    signed_in = (
        Agent.objects.current().filter(memberships__queue=queue).exclude(presence=Presence.OFFLINE)
    )
    return (
        signed_in.filter(destination__startswith="sip").exists()
        and not signed_in.exclude(destination__startswith="sip").exists()
    )


def nobody_signed_in(queue: Queue) -> bool:
    """Whether every member of `queue` is offline."""
    return (
        not Agent.objects.current()
        .filter(memberships__queue=queue)
        .exclude(presence=Presence.OFFLINE)
        .exists()
    )


def position(call: QueuedCall) -> int:
    """Return a waiting call's place in its line, from 1; those being offered stand in it too."""
    return _ahead(call).count() + 1


def _ahead(call: QueuedCall) -> QuerySet[QueuedCall]:
    return QueuedCall.objects.filter(
        Q(priority__gt=call.priority)
        | Q(priority=call.priority, arrived_at__lt=call.arrived_at)
        | Q(priority=call.priority, arrived_at=call.arrived_at, pk__lt=call.pk),
        queue=call.queue,
        direction=QueuedCall.Direction.INBOUND,
        state__in=[QueuedCall.State.WAITING, QueuedCall.State.OFFERED],
    )


_EXPLANATION = """
(SELECT jsonb_build_object(
    'agent', %s::text, 'agent_id', %s::bigint, 'queue_id', %s::bigint,
    'kind', %s::text, 'chosen', %s::text, 'strategy', %s::text,
    'also_routable', coalesce(jsonb_agg(name ORDER BY idle_since) FILTER (WHERE why = ''), '[]'),
    'passed_over', coalesce(jsonb_object_agg(name, why) FILTER (WHERE why <> ''), '{}'))
FROM (
    SELECT a.name, a.idle_since, CASE
        WHEN a.presence <> 'available' THEN a.presence
        WHEN a.engagement <> 'idle' THEN a.engagement
        WHEN a.hold_off_until > %s THEN 'hold_off:' || a.hold_off_reason
        ELSE '' END AS why
    FROM queues_member m JOIN agents_agent a ON a.id = m.agent_id
    WHERE m.queue_id = %s AND a.retired_at IS NULL AND a.id <> %s
    ORDER BY a.idle_since, a.id LIMIT %s
) considered)
"""


def explanation(queue: Queue, chosen: Agent, kind: str, at: datetime) -> RawSQL:
    """Say who was considered for a call of `queue` and why the others were passed over.

    An expression, so that the database finds it out as the event is written.
    """
    told = [chosen.name, chosen.pk, queue.pk, kind, chosen.name, queue.strategy]
    return RawSQL(_EXPLANATION, [*told, at, queue.pk, chosen.pk, EXPLAINED])  # noqa: S611 - a constant, its values apart


EXPLAINED = 50  # members named in one explanation


def why_waiting(call: QueuedCall, at: datetime) -> str:
    """Say in words why a call that waits is still waiting."""
    if call.queue is None:
        return ""
    if call.offerable_from is None:
        return _("Not yet in the hold room.")
    if call.offerable_from > at:
        return _("Entering the hold room.")
    if call.wanted_agent:
        return why_kept(call.wanted_agent, at)
    return why_nobody(call.queue, at)


def why_kept(agent: Agent, at: datetime) -> str:
    """Say in words why a caller who is kept for one agent has not been offered yet."""
    why = agent.why_not_routable(at).split(":")[0]
    if not why:
        stopped = provider.why_not_dialling(at)
        return stopped or _("Kept for %(agent)s. Being offered now.") % {"agent": agent.name}
    state = _WORDS.get(why, why)
    return _("Kept for %(agent)s, who is %(state)s.") % {"agent": agent.name, "state": state}


_WORDS = {
    "break": gettext_lazy("on break"),
    "offline": gettext_lazy("offline"),
    "ringing": gettext_lazy("ringing"),
    "on_call": gettext_lazy("on a call"), "wrap_up": gettext_lazy("in wrap-up"),
    "hold_off": gettext_lazy("held off for a moment"),
}  # fmt: skip


def why_nobody(queue: Queue, at: datetime) -> str:
    """Say in words why the head of a queue's line has not been offered to anybody."""
    members = Agent.objects.current().filter(memberships__queue=queue)
    return why_none_of(members, at, stopped=provider.why_not_dialling(at))


def why_none_of(members: Iterable[Agent], at: datetime, *, stopped: str) -> str:
    """Say why none of a queue's agents is offered a call; `stopped`: why nobody can be called."""
    words_of = [agent.why_not_routable(at).split(":")[0] for agent in members]
    if not words_of:
        return _("The queue has no agents.")
    if "" in words_of:
        return stopped or _("Being offered now.")
    counts = Counter(words_of)
    told = ", ".join(f"{count} {_WORDS.get(word, word)}" for word, count in counts.items())
    return _("No agent is free: %(told)s.") % {"told": told}
