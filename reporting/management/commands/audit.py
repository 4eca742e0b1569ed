"""`manage.py audit`: recount everything from the timelines; the only good answer is "none"."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from queues import arrivals
from reporting.audit import Audit


def instant(text: str) -> datetime:
    """Read a day or a time, in TIME_ZONE unless it names its own."""
    try:
        found = parse_datetime(text)
        if found is None and (day := parse_date(text)):
            found = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - made aware below
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: {error}.") from error
    if found is None:
        raise ArgumentTypeError(f"{text!r} is neither a day (2026-11-20) nor a time.")
    return timezone.make_aware(found) if timezone.is_naive(found) else found


class Command(BaseCommand):
    help = (
        "Recount calls, offers, agents and figures from the timelines, and print every "
        "disagreement. Exits 1 if there is one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=instant, help="a day or a time, in TIME_ZONE")
        parser.add_argument("--until", type=instant, help="before this day or time")
        parser.add_argument("--call", help="one call, by its id or either provider handle")

    def handle(self, *args: Any, **options: Any) -> None:
        since, until = options["since"], options["until"]
        if since and until and since >= until:
            raise CommandError("--since must be before --until.", returncode=2)
        call = None
        if options["call"]:
            call = arrivals.public_id(options["call"])
            if call is None:
                raise CommandError(f"There is no call {options['call']}.", returncode=2)
        audit = Audit(at=timezone.now(), since=since, until=until, call=call)
        found = 0
        for line in audit.lines():
            found += 1
            self.stdout.write(line)
        if not found:
            self.stdout.write("none")
        self.stderr.write(_summary(audit, found))
        if found:
            raise SystemExit(1)


def _summary(audit: Audit, found: int) -> str:
    text = f"{audit.calls} calls recounted, {found} disagreements"
    if audit.not_recountable:
        text += f"; not recountable in part, written down before: {audit.not_recountable} calls"
    return text
