"""`manage.py make_history`: a year of believable calls, for trying reports and for measuring."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from queues.models import QueuedCall
from reporting.history import making, wish


class Command(BaseCommand):
    help = (
        "Make believable history: calls of several queues with all that belongs to them, and "
        "agents of their own, on the days before today. For a place that is no demo, say --yes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--calls", type=int, default=100_000)
        parser.add_argument("--days", type=int, default=365)
        parser.add_argument("--queues", type=int, default=6)
        parser.add_argument("--agents", type=int, help="as many as the calls need")
        parser.add_argument("--seed", type=int, default=1, help="the same one, the same history")
        parser.add_argument(
            "--timelines", type=int, default=7, metavar="DAYS",
            help="the last days whose calls get a timeline and webhooks",
        )  # fmt: skip
        parser.add_argument("--beside", action="store_true", help="beside calls that are there")
        parser.add_argument("--yes", action="store_true", help="in a place that is no demo, too")

    def handle(self, *args: Any, **options: Any) -> None:
        for name, most in (
            ("calls", wish.MOST_CALLS), ("days", wish.MOST_DAYS), ("queues", wish.MOST_QUEUES),
            ("agents", wish.MOST_AGENTS), ("timelines", wish.MOST_DAYS),
        ):  # fmt: skip
            given = options[name]
            if given is not None and not 1 <= given <= most:
                raise CommandError(f"--{name} is a number from 1 to {most}.", returncode=2)
        if not settings.DEMO and not options["yes"]:
            raise CommandError(
                "This place is no demo. Calls that never happened would stand in its reports for "
                "good; say --yes if that is what you want."
            )
        if not options["beside"] and QueuedCall.objects.exists():
            raise CommandError("There are calls already. Say --beside to add to them.")
        at = timezone.now()
        calls, days = options["calls"], options["days"]
        asked = wish.Wish(
            calls=calls, days=days, queues=options["queues"],
            agents=options["agents"] or wish.agents_for(calls, days), seed=options["seed"],
            zone=timezone.get_default_timezone(), until=at, events_days=options["timelines"],
        )  # fmt: skip
        self.stdout.write(f"{asked.first} to {asked.last}: {calls:,} calls, {asked.agents} agents")
        made = making.make(asked, at=at, told=self.stdout.write)
        self.stdout.write(f"{made:,} calls made")
