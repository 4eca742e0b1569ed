"""Create a believable demo centre; run again, it only repairs what is missing."""

import json
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from agents import presence
from agents.models import Agent, BreakReason, Presence
from callcenter.permissions import AGENTS, SUPERVISORS
from queues.models import Disposition, Member, Menu, MenuOption, Number, Queue
from queues.roles import set_up_roles

PASSWORD = "demo"  # noqa: S105 - on loopback only, and printed on the console
MAIN_LINE = "+254200000100"
QUEUES: list[dict[str, Any]] = [
    {
        "slug": "support", "name": "Support", "number": "+254200000101",
        "greeting": "Welcome to Baraka Clinic. Connecting you to an agent.",
        "wrap_up_seconds": 15, "ring_timeout": 15, "fetch_recordings": True,
    },
    {
        "slug": "billing", "name": "Billing", "number": "+254200000102",
        "greeting": "Baraka Clinic, billing. Connecting you to an agent.",
        "wrap_up_seconds": 20, "ring_timeout": 15,
    },
    {
        "slug": "appointments", "name": "Appointments", "number": "+254200000103",
        "greeting": "Karibu Baraka Clinic. Tunakuunganisha na mhudumu.", "language": "sw-KE",
        "hold_message": "Wahudumu wetu wote wana wateja. Tafadhali subiri.",
        "wrap_up_seconds": 10, "ring_timeout": 15, "say_position": False,
    },
]  # fmt: skip
# Paid or not, and after how many minutes somebody should ask.
BREAK_REASONS = [
    ("Lunch", False, 45),
    ("Short break", True, 15),
    ("Training", True, None),
    ("Meeting", True, None),
]
# By queue, "" for all: what a call can come to, with the entries of each group.
DISPOSITIONS: dict[str, dict[str, list[str]]] = {
    "": {
        "Wrong number": [],
        "Caller hung up": [],
    },
    "support": {
        "Solved": ["On the phone", "Sent to a nurse", "Will call back"],
        "Not solved": ["Passed on to the doctor", "Caller will call again"],
    },
    "billing": {
        "Payment": ["Paid by M-Pesa", "Promised to pay", "Disputed"],
        "Question": ["Invoice explained", "Insurance cover"],
    },
    "appointments": {
        "Appointment": ["Booked", "Moved", "Cancelled"],
        "Question": ["Opening hours", "Directions"],
    },
}
AGENT_ROWS = [
    ("amina", "Amina Yusuf", "+254711000001", ["support", "billing"], False, Presence.OFFLINE),
    ("brian", "Brian Otieno", "+254711000002", ["support"], False, Presence.AVAILABLE),
    ("chebet", "Chebet Koech", "sip:chebet@pbx.baraka.example", ["support", "appointments"],
     False, Presence.AVAILABLE),
    ("david", "David Mwangi", "+254711000004", ["billing"], True, Presence.AVAILABLE),
    ("esther", "Esther Wanjiru", "+254711000005", ["appointments", "billing"], False,
     Presence.AVAILABLE),
    ("faisal", "Faisal Hassan", "sip:faisal@pbx.baraka.example", ["appointments"], False,
     Presence.BREAK),
]  # fmt: skip


class Command(BaseCommand):
    help = "Create the demo centre, and the configuration of the simulator that calls it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--simulator-config", type=Path, help="Where to write the JSON.")
        parser.add_argument("--simulator-url", default="http://127.0.0.1:9100")
        parser.add_argument("--base-url", default=settings.PUBLIC_BASE_URL)

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        set_up_roles()
        self._supervisor()
        queues = {row["slug"]: self._queue(dict(row)) for row in QUEUES}
        self._menu(queues)
        self._desk(queues)
        for username, name, destination, slugs, confirm_key, wish in AGENT_ROWS:
            agent, is_new = self._agent(username, name, destination, confirm_key)
            for slug in slugs:
                Member.objects.get_or_create(agent=agent, queue=queues[slug])
            if is_new:
                presence.change(
                    agent.pk, wish, at=timezone.now(), cause="demo",
                    reason="Lunch" if wish == Presence.BREAK else "",
                )  # fmt: skip
        if options["simulator_config"]:
            self._simulator(options)

    def _supervisor(self) -> None:
        user, is_new = User.objects.get_or_create(
            username="supervisor", defaults={"is_staff": True, "first_name": "Sarah"}
        )
        if is_new:
            user.set_password(PASSWORD)
            user.save()
        user.groups.add(Group.objects.get(name=SUPERVISORS))

    def _queue(self, row: dict[str, Any]) -> Queue:
        number = row.pop("number")
        queue = Queue.objects.filter(slug=row["slug"], retired_at=None).first()
        if queue is None:
            queue = Queue.objects.create(**row)
        Number.objects.get_or_create(e164=number, defaults={"queue": queue})
        return queue

    def _menu(self, queues: dict[str, Queue]) -> None:
        menu, is_new = Menu.objects.get_or_create(
            slug="main",
            defaults={
                "name": "Main line",
                "prompt": "Welcome to Baraka Clinic. For support, press 1. For billing, press 2. "
                "Kwa miadi, bonyeza 3.",
            },
        )
        if is_new:
            for digit, slug in enumerate(queues, start=1):
                MenuOption.objects.create(
                    menu=menu, digit=str(digit), queue=queues[slug], label=queues[slug].name
                )
        Number.objects.get_or_create(e164=MAIN_LINE, defaults={"menu": menu})

    def _desk(self, queues: dict[str, Queue]) -> None:
        """What agents choose from: reasons for a break, and dispositions."""
        for position, (name, is_paid, minutes) in enumerate(BREAK_REASONS, start=1):
            BreakReason.objects.get_or_create(
                name=name,
                defaults={"is_paid": is_paid, "limit_minutes": minutes, "position": position},
            )
        if Disposition.objects.exists():
            return
        for slug, groups in DISPOSITIONS.items():
            queue, first = queues.get(slug), 1 if slug else 90  # those of every queue come last
            for position, (label, entries) in enumerate(groups.items(), start=first):
                top = Disposition.objects.create(queue=queue, label=label, position=position)
                for place, entry in enumerate(entries, start=1):
                    Disposition.objects.create(queue=queue, parent=top, label=entry, position=place)

    def _agent(
        self, username: str, name: str, destination: str, confirm_key: bool
    ) -> tuple[Agent, bool]:
        user, is_new_user = User.objects.get_or_create(username=username)
        if is_new_user:
            user.set_password(PASSWORD)
            user.save()
        user.groups.add(Group.objects.get(name=AGENTS))
        return Agent.objects.get_or_create(
            user=user,
            defaults={"name": name, "destination": destination, "confirm_key": confirm_key},
        )

    def _simulator(self, options: dict[str, Any]) -> None:
        token = settings.SAUTIKIT_WEBHOOK_TOKENS[0]
        base = options["base_url"].rstrip("/")
        lines = [MAIN_LINE, *(str(row["number"]) for row in QUEUES)]
        config = {
            "port": int(options["simulator_url"].rsplit(":", 1)[1]),
            "api_key": settings.SAUTIKIT_API_KEY,
            "signing_secrets": settings.SAUTIKIT_SIGNING_SECRETS,
            "numbers": [
                {
                    "e164": line,
                    "voice_callback_url": f"{base}/calls/inbound?token={token}",
                    "events_url": f"{base}/calls/events?token={token}",
                }
                for line in lines
            ],
            "phones": {
                destination: (
                    {"ring": 4, "action": "answer", "talk": None,
                     "digits": [{"after": 1.5, "keys": "1"}] if confirm_key else []}
                )
                for _, _, destination, _, confirm_key, _ in AGENT_ROWS
            },
            "default_phone": {"ring": 5, "action": "answer", "talk": 20, "digits": []},
            "traffic": {
                "per_minute": float(os.environ.get("DEMO_CALLS_PER_MINUTE", "6")),
                "to": lines,
                "patience": [40, 150],
                "talk": [15, 60],
                "digits": ["1", "2", "3", "9"],
            },
        }  # fmt: skip
        path: Path = options["simulator_config"]
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")
        path.chmod(0o600)
