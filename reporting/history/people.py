"""Who works in the centre whose history is made: queues, agents, dispositions, a menu."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User

from agents.models import Agent, BreakReason
from callcenter.permissions import AGENTS
from callcenter.sautikit import phone
from queues.models import Disposition, Member, Menu, MenuOption, Number, Queue
from queues.roles import set_up_roles

NAMES = [
    "Support", "Billing", "Appointments", "Sales", "Orders", "Deliveries", "Returns", "Insurance",
    "Pharmacy", "Laboratory",
]  # fmt: skip
FIRST = [
    "Achieng", "Baraka", "Cherono", "Dalmas", "Emali", "Fatuma", "Gitau", "Halima", "Imani",
    "Jabali", "Kamau", "Lulu", "Mutua", "Njeri", "Omari", "Pendo", "Rehema", "Safari",
]  # fmt: skip
LAST = [
    "Abdi", "Barasa", "Chepkoech", "Gatheru", "Hamisi", "Juma", "Kariuki", "Langat", "Maina",
    "Ndegwa", "Odhiambo", "Ruto", "Simiyu", "Wafula",
]  # fmt: skip
BREAKS = [("Lunch", False, 45), ("Short break", True, 15)]
OUTCOMES = ["Solved", "Passed on", "Will call again", "Wrong number"]


@dataclass
class Line:
    """One queue as the days need it."""

    queue: Queue
    number: str
    share: float  # of the calls
    talk: float  # the middle of its talks, seconds
    dispositions: list[int]
    workers: list[Worker] = field(default_factory=list)


@dataclass
class Worker:
    """One agent: the queues they are in, and how far their time has been told."""

    pk: int
    name: str
    destination: str
    confirm_key: bool
    lines: list[Line]
    free_from: datetime
    windows: list[tuple[datetime, datetime]] = field(default_factory=list)  # available, today
    changes: list[tuple[datetime, str, Any]] = field(default_factory=list)  # of today, for chain
    strikes: list[datetime] = field(default_factory=list)  # offers missed since the last talk
    available_since: datetime | None = None


@dataclass
class Centre:
    """All of them."""

    lines: list[Line]
    workers: list[Worker]
    menu: Menu
    menu_number: str


def set_up(queues: int, agents: int, *, seed: int, since: datetime) -> Centre:
    """Use the queues that there are, make what is missing, and agents of their own."""
    rng = random.Random(f"{seed} people")  # noqa: S311 - no secret
    set_up_roles()
    for position, (name, is_paid, minutes) in enumerate(BREAKS, start=1):
        BreakReason.objects.get_or_create(
            name=name,
            defaults={"is_paid": is_paid, "limit_minutes": minutes, "position": position},
        )
    lines = [_line(n, rng) for n in range(queues)]
    menu, menu_number = _menu(lines)
    workers = []
    group = Group.objects.get(name=AGENTS)
    taken = User.objects.filter(username__startswith="past").count()
    for n in range(agents):
        workers.append(_worker(taken + n + 1, n, lines, group, rng, since))
    return Centre(lines, workers, menu, menu_number)


def _line(n: int, rng: random.Random) -> Line:
    there = list(Queue.objects.filter(retired_at=None).order_by("pk")[: n + 1])
    if len(there) > n:
        queue = there[n]
    else:
        name = NAMES[n] if n < len(NAMES) else f"Line {n + 1}"
        slug = f"past-{name.lower().replace(' ', '-')}"
        queue = Queue.objects.create(
            slug=slug, name=name, direct_dial=n % 3 != 1, wrap_up_seconds=20 + 10 * (n % 3)
        )
        Number.objects.get_or_create(
            e164=f"+25420555{n + 1:04d}", defaults={"queue": queue}
        )  # fmt: skip
    number = queue.numbers.values_list("e164", flat=True).first()
    own = Disposition.objects.filter(queue=queue, is_active=True, children=None)
    keys = list(own.order_by("pk").values_list("pk", flat=True))
    if not keys:
        keys = [
            Disposition.objects.create(queue=queue, label=label, position=k).pk
            for k, label in enumerate(OUTCOMES, start=1)
        ]
    share = 1 / (n + 1) ** 0.7
    main = settings.SAUTIKIT_NUMBER or "+254205550000"
    return Line(queue, number or main, share, rng.uniform(90, 200), keys)


def _menu(lines: list[Line]) -> tuple[Menu, str]:
    menu = Menu.objects.order_by("pk").first()
    if menu is None:
        menu = Menu.objects.create(slug="past-main", name="Main line", prompt="Choose.")
        for digit, line in enumerate(lines[:9], start=1):
            MenuOption.objects.create(menu=menu, digit=str(digit), queue=line.queue)
        Number.objects.get_or_create(e164="+254205550000", defaults={"menu": menu})
    number = menu.numbers.values_list("e164", flat=True).first()
    return menu, number or "+254205550000"


def _worker(
    number: int, n: int, lines: list[Line], group: Group, rng: random.Random, since: datetime
) -> Worker:
    name = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
    user = User(username=f"past{number:04d}", first_name=name.split()[0])
    user.set_unusable_password()
    user.save()
    user.groups.add(group)
    is_sip = n % 5 == 4
    destination = f"sip:past{number:04d}@pbx.example.com" if is_sip else f"+254110{number:06d}"
    agent = Agent.objects.create(
        user=user, name=name, destination=phone.normalise(destination), confirm_key=n % 7 == 3,
        presence_since=since, engagement_since=since, idle_since=since,
    )  # fmt: skip
    shares = [line.share for line in lines]
    own = [lines[n]] if n < len(lines) else rng.choices(lines, shares)
    if len(lines) > 1 and (rng.random() < 0.4 or n < len(lines)):
        own = [*own, rng.choice([line for line in lines if line is not own[0]])]
    worker = Worker(agent.pk, name, destination, agent.confirm_key, own, since)
    for position, line in enumerate(own):
        Member.objects.create(queue=line.queue, agent=agent, position=position)
        line.workers.append(worker)
    return worker
