"""`manage.py report_reader`: a login of the database that reads the views of reports only."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.utils import ProgrammingError

from reporting.sql import readers


class Command(BaseCommand):
    help = (
        "Make a role of PostgreSQL that may read the views in the schema “reports” and nothing "
        "else, and print its password, once. For one that is there: give it a new password."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="small letters, digits and _")
        parser.add_argument("--remove", action="store_true", help="remove it")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        try:
            if options["remove"]:
                readers.revoke(name)
                self.stdout.write(f"{name} is removed.")
                return
            password, is_new = readers.grant(name)
        except readers.NotPossible as error:
            raise CommandError(str(error)) from error
        except ProgrammingError as error:
            raise CommandError(
                f"PostgreSQL refused: {str(error).splitlines()[0]}. The role of DATABASE_URL needs "
                "CREATEROLE, and must own the database."
            ) from error
        self.stdout.write(password)
        told = "is made" if is_new else "has a new password; the old one is no longer good"
        self.stderr.write(f"{name} {told}. The password is shown this once.")
