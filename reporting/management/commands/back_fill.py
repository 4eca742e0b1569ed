"""Read the provider's records of a past range into the mirror."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from reporting.management.commands.audit import instant
from reporting.mirror import back_fill
from reporting.models import BackFill


class Command(BaseCommand):
    help = (
        "Read the provider's call records of a past range into the mirror, and tell how far it "
        "is. Cut off, it is gone on with by the worker, or by the same command with --resume."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=instant, help="a day or a time, in TIME_ZONE")
        parser.add_argument("--until", type=instant, help="before this day or time; now without")
        parser.add_argument("--resume", action="store_true", help="go on with the one that runs")
        parser.add_argument("--stop", action="store_true", help="stop the one that runs")

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        running = BackFill.objects.filter(state=BackFill.State.RUNNING).first()
        if options["stop"] or options["resume"]:
            if running is None:
                raise CommandError("No back-fill is running.", returncode=2)
            if options["stop"]:
                back_fill.stop(running.pk, at=at)
                self.stdout.write(f"Stopped at {running.reached:%Y-%m-%d %H:%M} UTC.")
                return
            fill = running
        elif options["since"] is None:
            raise CommandError("Say from when: --since 2026-10-01.", returncode=2)
        else:
            try:
                fill = back_fill.begin(options["since"], options["until"] or at, at=at)
            except back_fill.Refused as error:
                raise CommandError(str(error), returncode=2) from None
        self._follow(fill)

    def _follow(self, fill: BackFill) -> None:
        """Read slice after slice; where a worker is at one, wait for it."""
        told = ""
        while fill.state == BackFill.State.RUNNING:
            goes_on = back_fill.read_slice(fill.pk, at=timezone.now())
            fill.refresh_from_db()
            line = (
                f"{back_fill.progress(fill):4.0%} down to {fill.reached:%Y-%m-%d %H:%M} UTC, "
                f"{fill.seen} read, {fill.news} new or changed"
            )
            line += f" ({fill.error})" if fill.error else ""
            if line != told:
                self.stdout.write(line)
                told = line
            if fill.state == BackFill.State.RUNNING and not goes_on:
                time.sleep(1)
        self.stdout.write(f"{fill.state}: {fill.seen} read, {fill.news} new or changed.")
