"""Rows for tests, with defaults that no test has to know."""

import uuid
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from django.contrib.auth.models import Group, User
from django.db import transaction

from agents.models import Agent, Presence, PresencePeriod
from callcenter.ids import new_id
from callcenter.permissions import SUPERVISORS
from queues import offers
from queues.models import Leg, Member, Menu, MenuOption, Number, Offer, Queue, QueuedCall, Recording
from queues.scene import scene
from reporting.models import Export, ScheduledReport

T0 = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
_numbers = count(1)
LINE = "+254200000101"
CALLER = "+254700000111"


def make_queue(slug: str = "support", *, number: str | None = LINE, **values: object) -> Queue:
    queue = Queue.objects.create(
        slug=slug, **{"name": slug.title(), "ring_timeout": 15, "wrap_up_seconds": 10, **values}
    )
    if number:
        Number.objects.create(e164=number, queue=queue)
    return queue


def make_agent(
    *queues: Queue,
    username: str | None = None,
    presence: str = Presence.AVAILABLE,
    **values: object,
) -> Agent:
    n = next(_numbers)
    username = username or f"agent{n}"
    user = User.objects.create_user(username, password="a-good-password")
    agent = _with_a_period(
        user=user,
        name=username.title(),
        presence=presence,
        **{
            "destination": f"+2547110{n:05}",
            "presence_since": T0 - timedelta(hours=1),
            "engagement_since": T0 - timedelta(hours=1),
            "idle_since": T0 - timedelta(hours=1) + timedelta(seconds=n),
            **values,
        },
    )
    for queue in queues:
        Member.objects.create(queue=queue, agent=agent)
    return agent


@transaction.atomic
def _with_a_period(**values: object) -> Agent:
    """An agent's row, and what the database demands of one who is not offline."""
    agent = Agent.objects.create(**values)
    if agent.presence != Presence.OFFLINE:
        PresencePeriod.objects.create(
            agent=agent, presence=agent.presence, reason=agent.presence_reason,
            started_at=agent.presence_since, cause="test",
        )  # fmt: skip
    return agent


def make_menu(*options: tuple[str, Queue], number: str = "+254200000100", **values: object) -> Menu:
    menu = Menu.objects.create(**{"slug": "main", "prompt": "Press a key.", **values})
    Number.objects.create(e164=number, menu=menu)
    for digit, queue in options:
        MenuOption.objects.create(menu=menu, digit=digit, queue=queue)
    return menu


def make_waiting(queue: Queue, *, arrived_at: datetime = T0, **values: object) -> QueuedCall:
    pk = new_id()
    call = QueuedCall.objects.create(
        **{
            "pk": pk, "public_id": str(pk), "direction": "inbound", "state": "waiting",
            "queue": queue, "customer": CALLER, "line": LINE, "arrived_at": arrived_at,
            "queued_at": arrived_at, "offerable_from": arrived_at, **values,
        }
    )  # fmt: skip
    Leg.objects.create(
        call=call, role="customer", state="ringing", party=call.customer, line=call.line,
        session_id=f"HD_{pk.hex[-12:]}", planned_at=arrived_at, placed_at=arrived_at,
        ask_at=arrived_at + timedelta(seconds=30),
    )  # fmt: skip
    return call


def make_offered(queue: Queue, *, arrived_at: datetime = T0, **values: object) -> QueuedCall:
    """A call that is offered to an agent of its own, who is in no queue."""
    call, agent = make_waiting(queue, arrived_at=arrived_at, **values), make_agent()
    with scene(call.pk, at=arrived_at, source="test") as opened:
        offers.make(opened, agent, Offer.Kind.ROOM)
        return opened.call


def make_recording(call: QueuedCall, *, storage: Path, sound: bytes = b"RIFF") -> Recording:
    """The stored recording of a caller's leg, and its file."""
    (storage / "2026").mkdir(parents=True, exist_ok=True)
    path = f"2026/{call.pk}.wav"
    (storage / path).write_bytes(sound)
    return Recording.objects.create(
        call=call, leg=call.legs.get(role="customer"), state="stored", path=path,
        content_type="audio/wav", size_bytes=len(sound), created_at=T0, stored_at=T0,
        remove_at=T0 + timedelta(days=90),
    )  # fmt: skip


def make_supervisor(username: str = "sarah") -> User:
    user = User.objects.create_user(username, password="a-good-password", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=SUPERVISORS)[0])
    return user


def make_export(pk: uuid.UUID, storage: Path) -> Export:
    """A report as a spreadsheet, and its file."""
    storage.mkdir(parents=True, exist_ok=True)
    (storage / "report.xlsx").write_bytes(b"PK")
    return Export.objects.create(
        pk=pk, report="queues", state="done", path="report.xlsx", size_bytes=2, created_at=T0,
        ended_at=T0, remove_at=T0 + timedelta(days=7),
    )  # fmt: skip


def make_schedule(**values: object) -> ScheduledReport:
    return ScheduledReport.objects.create(
        **{"name": "Calls of the day", "report": "queues", "recipients": "boss@example.test",
           "next_at": T0, **values}
    )  # fmt: skip
