"""A made-up afternoon of the demo centre, for looking at pages: rows only, no telephony."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from agents.models import Agent
from callcenter.ids import new_id
from queues.models import Alert, CallEvent, Leg, Menu, Offer, Queue, QueuedCall, WebhookEvent
from reporting import wall_links
from reporting.models import CallRecord

State = QueuedCall.State
FREE = {"wrap_up_until": None, "hold_off_until": None, "hold_off_reason": ""}


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def centre() -> None:
    """The demo's queues, agents and supervisor."""
    call_command("demo_data", verbosity=0)


def put(
    username: str,
    engagement: str = "idle",
    presence: str = "available",
    since: float = 0,
    **values: object,
) -> Agent:
    """Set an agent as they stand now; who rings or talks needs an offer by the commit."""
    now = timezone.now()
    fields = {
        **FREE, "engagement": engagement, "presence": presence, "presence_reason": "",
        "engagement_since": now - seconds(since), "presence_since": now - seconds(since),
        "idle_since": now - seconds(since), **values,
    }  # fmt: skip
    agent = Agent.objects.select_related("user").get(user__username=username)
    with transaction.atomic():
        agent.presence_periods.filter(ended_at=None).update(ended_at=F("started_at"))
        agent.presence_periods.create(
            presence=presence,
            reason=str(fields["presence_reason"]),
            started_at=now,
            cause="made up",
        )
        Agent.objects.filter(pk=agent.pk).update(**fields)
    return Agent.objects.select_related("user").get(pk=agent.pk)


def call(
    slug: str | None, state: str, *, ago: float, customer: str, agent: Agent | None = None,
    waited: float = 0, talked: float = 0, **values: object,
) -> QueuedCall:  # fmt: skip
    """One call that arrived `ago` seconds before now, with its evidence."""
    now = timezone.now()
    arrived = now - seconds(ago)
    pk = new_id()
    has_talked = state in {State.CONNECTED, State.COMPLETED}
    connected = arrived + seconds(waited) if has_talked else None
    ended = None
    if state not in QueuedCall.OPEN:
        ended = arrived + seconds(waited + talked)
    row = QueuedCall(
        pk=pk, public_id=str(pk), direction="inbound", state=state, customer=customer,
        line="+254200000101", queue=Queue.objects.filter(slug=slug).first() if slug else None,
        arrived_at=arrived, queued_at=arrived if slug else None, connected_at=connected,
        ended_at=ended, agent=agent, offerable_from=arrived if state == State.WAITING else None,
    )  # fmt: skip
    for name, value in values.items():
        setattr(row, name, value)
    row.save(force_insert=True)
    _customer(row, now)
    return row


def _customer(row: QueuedCall, now: datetime) -> None:
    leg = Leg.objects.create(
        call=row, role="customer", party=row.customer, line=row.line, planned_at=row.arrived_at,
        answered_at=row.arrived_at, ended_at=row.ended_at, ask_at=None if row.ended_at else now,
        state="ended" if row.ended_at else "answered", session_id=f"HD_{new_id().hex[:20]}",
    )  # fmt: skip
    _record(leg, row.arrived_at, now)
    note(row, "arrived", row.arrived_at, "inbound")


def _record(leg: Leg, began: datetime, now: datetime) -> None:
    length = int(((leg.ended_at or now) - began).total_seconds())
    CallRecord.objects.create(
        call=leg.call, leg=leg, session_id=leg.session_id, remote=leg.party, local=leg.line,
        status="completed" if leg.ended_at else "answered", started_at=began, answered_at=began,
        ended_at=leg.ended_at, duration_seconds=length, direction="inbound",
        cost_minor=(length + 59) // 60 * 150 if leg.ended_at else None, cost_currency="KES",
        first_seen_at=began, changed_at=now,
    )  # fmt: skip


def offer(row: QueuedCall, agent: Agent, state: str, *, ago: float, answered: float | None = None,
          until: float | None = None, kind: str = "room") -> Offer:  # fmt: skip
    """One attempt; times in seconds before now."""
    now = timezone.now()
    joined = now - seconds(answered) if answered is not None else None
    ended = now - seconds(until) if until is not None else None
    made = Offer.objects.create(
        call=row, agent=agent, queue=row.queue, kind=kind, state=state,
        created_at=now - seconds(ago), ring_until=now + seconds(10), answered_at=joined,
        joined_at=joined, ended_at=ended, check_at=None if ended or joined else now + seconds(10),
    )  # fmt: skip
    if state in Offer.OPEN:
        QueuedCall.objects.filter(pk=row.pk).update(offer=made, agent=agent)
    return made


def note(row: QueuedCall, event: str, at: datetime, source: str, **detail: object) -> None:
    CallEvent.objects.create(call=row, kind=event, at=at, source=source, detail=detail)


def history(count: int = 90) -> None:
    """Calls of earlier today."""
    chance = random.Random(7)
    agents = list(Agent.objects.order_by("name"))
    slugs = ["support", "support", "billing", "appointments"]
    for number in range(count):
        slug, ago = chance.choice(slugs), 400 + number * chance.uniform(40, 60)
        customer = f"+2547{chance.randint(10_000_000, 99_999_999)}"
        if chance.random() < 0.86:
            agent, waited, talked = (
                chance.choice(agents), chance.expovariate(1 / 9), chance.uniform(20, 340),
            )  # fmt: skip
            row = call(slug, State.COMPLETED, ago=ago, customer=customer, agent=agent,
                       waited=waited, talked=talked)  # fmt: skip
            offer(row, agent, "ended", ago=ago, answered=ago - waited, until=ago - waited - talked)
        else:
            row = call(slug, State.ABANDONED, ago=ago, customer=customer, abandoned_in="queue",
                       waited=chance.uniform(4, 70))  # fmt: skip
            if number % 3 == 0:
                offer(row, agents[0], "no_answer", ago=ago, until=ago - 15)


@transaction.atomic
def busy() -> None:
    """A busy minute."""
    brian = put("brian", "on_call", since=194)
    chebet = put("chebet", "on_call", since=51)
    put("david", "wrap_up", since=9, wrap_up_until=timezone.now() + seconds(11))
    esther = put("esther", "ringing", since=6)
    put("faisal", presence="break", since=1260, presence_reason="Lunch")
    put("amina", since=24, hold_off_until=timezone.now() + seconds(45), hold_off_reason="no_answer")
    now = timezone.now()
    talk = call(
        "support", State.CONNECTED, ago=203, waited=9, customer="+254722418903", agent=brian
    )
    offer(talk, brian, "joined", ago=200, answered=194)
    talk = call(
        "appointments", State.CONNECTED, ago=60, waited=9, customer="+254733120458", agent=chebet
    )
    offer(talk, chebet, "joined", ago=57, answered=51)
    rings = call("billing", State.OFFERED, ago=31, customer="+254701559214")
    offer(rings, esther, "ringing", ago=6)
    call("support", State.WAITING, ago=47, customer="+254712093377")
    call("support", State.WAITING, ago=14, customer="sip:front-desk@hotel.example")
    call("billing", State.WAITING, ago=11, customer="+255754220019")
    menu = call(None, State.GREETING, ago=5, customer="anonymous")
    QueuedCall.objects.filter(pk=menu.pk).update(menu=Menu.objects.first())
    Alert.objects.create(kind="unknown_number", subject="x", count=3, first_at=now, last_at=now,
                         text="A call came in on +254200000199, which is on no queue.")  # fmt: skip
    WebhookEvent.objects.create(key="q", endpoint="events", verdict="quarantined", body="{}")


def needing_help() -> str:
    """Chebet asks for help, the supervisor listens to Brian, a queue is closed, a screen hangs.

    Returns the token of the screen's link.
    """
    now = timezone.now()
    supervisor = User.objects.get(username="supervisor")
    help_wanted, heard = (
        QueuedCall.objects.get(state="connected", agent__user__username=name)
        for name in ("chebet", "brian")
    )
    Alert.objects.create(
        kind="help", subject=help_wanted.public_id, count=1, first_at=now, last_at=now,
        text="Chebet Koech asks for help (Appointments).",
    )  # fmt: skip
    heard.supervisions.create(
        leg=heard.legs.get(), supervisor=supervisor, phone="+254711000999", mode="whisper",
        state="connected", created_at=now, connected_at=now, check_at=now,
    )  # fmt: skip
    Queue.objects.filter(slug="appointments").update(closed_at=now)
    return wall_links.make("Reception, ground floor", [], at=now, user=supervisor)[1]


def told() -> QueuedCall:
    """A call with a long story."""
    amina, brian = (Agent.objects.get(user__username=name) for name in ("amina", "brian"))
    row = call("support", State.COMPLETED, ago=900, waited=58, talked=143, agent=brian,
               customer="+254722000184", end_reason="customer hung up")  # fmt: skip
    start = row.arrived_at
    first = offer(row, amina, "no_answer", ago=896, until=878, kind="direct")
    last = offer(row, brian, "ended", ago=848, answered=842, until=699)
    why = {
        "strategy": "longest_idle", "chosen": "Amina Yusuf", "also_routable": ["Brian Otieno"],
        "passed_over": {"Chebet Koech": "on_call", "David Mwangi": "hold_off:no_answer"},
    }  # fmt: skip
    steps: list[tuple[float, str, str, dict[str, object]]] = [
        (4, "offered", "inbound", {"agent": amina.name, "kind": "direct", **why}),
        (22, "offer_no_answer", "dial-result", {"agent": amina.name}),
        (22, "back_in_line", "dial-result", {}),
        (22, "holding", "dial-result", {}),
        (24, "joined_room", "queue-events", {}),
        (52, "offered", "router", {**why, "chosen": brian.name, "agent": brian.name}),
        (57, "agent_answered", "agent-join", {"agent": brian.name}),
        (58, "connected", "queue-events", {"agent": brian.name}),
        (201, "offer_ended", "queue-events", {"agent": brian.name}),
        (201, "completed", "queue-events", {"reason": "customer hung up"}),
    ]  # fmt: skip
    for after, kind, source, detail in steps:
        note(row, kind, start + seconds(after), source, **detail)
    for made, came in ((first, 4), (last, 52)):
        leg = Leg.objects.create(
            call=row, offer=made, role="agent", party=made.agent.destination, line=row.line,
            planned_at=start + seconds(came), ended_at=made.ended_at, state="ended",
            is_placed_by_us=made is last, session_id=f"HD_{new_id().hex[:20]}",
            outcome="completed" if made is last else "no_answer",
        )  # fmt: skip
        _record(leg, leg.planned_at, timezone.now())
    for name in ("inbound", "dial-result", "queue-events"):
        WebhookEvent.objects.create(
            key=new_id().hex, endpoint=name, verdict="trusted", call=row, kind="voice",
            body='{"sessionId": "HD_1", "callState": "Active", "from": "+254722000184"}',
        )  # fmt: skip
    return row
