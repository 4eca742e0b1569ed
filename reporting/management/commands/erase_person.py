"""`manage.py erase_person +2547…`: take one person's number out of everything, and prove it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from reporting import erasure, traces


class Command(BaseCommand):
    help = (
        "Erase a person by their number: calls stay, with a name of chance in its place. Then "
        "search everything for the number; exits 1 if it is found."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="+254…, 07…, or sip:…")
        parser.add_argument("--dry-run", action="store_true", help="only tell what there is")
        parser.add_argument("--reason", default="", help="why, and who asked for it")

    def handle(self, *args: Any, **options: Any) -> None:
        reason = options["reason"].strip()
        if len(reason) > erasure.LONGEST_REASON:
            most = erasure.LONGEST_REASON
            raise CommandError(f"--reason has at most {most} characters.", returncode=2)
        try:
            if options["dry_run"]:
                self._tell(erasure.look(options["number"]))
                return
            row = erasure.erase(options["number"], at=timezone.now(), reason=reason)
        except erasure.Refused as refused:
            raise CommandError(str(refused), returncode=2) from refused
        for table, count in row.counts.items():
            self.stdout.write(f"{table}: {count}")
        self.stdout.write(f"files: {row.files}")
        self.stdout.write(f"erasure {row.pk}: {row.masked} is {row.replaced_by} now")
        self.stdout.write(f"found afterwards: {row.remaining}")
        if row.remaining:
            for place, count in traces.count(erasure.person(options["number"])).items():
                self.stdout.write(f"{place}: {count}")
            raise SystemExit(1)

    def _tell(self, found: erasure.Found) -> None:
        for place, count in found.rows.items():
            self.stdout.write(f"{place}: {count}")
        self.stdout.write(
            f"{len(found.calls)} calls, {found.notes} notes, {found.recordings} recordings, "
            f"{found.exports} exports; nothing was changed"
        )
