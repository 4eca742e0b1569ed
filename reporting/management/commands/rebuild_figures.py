"""`manage.py rebuild_figures`: count the interval tables anew from the calls, or check them."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from reporting.figures import upkeep
from reporting.management.commands.audit import instant


class Command(BaseCommand):
    help = (
        "Count the figures of the reports anew, the newest day first; the reports can be read "
        "meanwhile. With --check nothing is changed: every stored row that differs from what is "
        "counted now is printed, and the exit code is 1 if there is one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=instant, help="a day or a time, in TIME_ZONE")
        parser.add_argument("--until", type=instant, help="before this day or time")
        parser.add_argument("--check", action="store_true", help="compare only")

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        since = options["since"] or upkeep.first_quarter()
        until = options["until"] or upkeep.end_of_all(at)
        if since is None:
            self.stderr.write("There is nothing to count.")
            return
        if since >= until:
            raise CommandError("--since must be before --until.", returncode=2)
        if options["check"]:
            self._check(since, until)
            return
        done = upkeep.rebuild(since, until, at=at, told=self._tell)
        if self.stderr.isatty():
            self.stderr.write("")
        self.stderr.write(f"{done} quarters of an hour counted")

    def _check(self, since: datetime, until: datetime) -> None:
        found = 0
        for line in upkeep.compare(since, until):
            found += 1
            self.stdout.write(line)
        if not found:
            self.stdout.write("none")
        self.stderr.write(f"{found} rows are not what is counted now")
        if found:
            raise SystemExit(1)

    def _tell(self, day: datetime) -> None:
        """Say how far back it has come: on one line that goes on, or a line for each month."""
        local = timezone.localtime(day, timezone.get_default_timezone())
        if self.stderr.isatty():
            self.stderr.write(f"\rcounted from {local:%Y-%m-%d} on", ending="")
            sys.stderr.flush()
        elif local.day == 1:
            self.stderr.write(f"counted from {local:%Y-%m-%d} on")
