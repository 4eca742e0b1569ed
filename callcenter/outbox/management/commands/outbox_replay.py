"""Tell an endpoint everything again from a sequence number on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from callcenter.outbox import again
from callcenter.outbox.models import Endpoint


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Name the endpoint and the first number."""
        parser.add_argument("--endpoint", type=int, required=True, help="Its number in the admin.")
        parser.add_argument(
            "--from", type=int, required=True, dest="first", help="The first sequence number."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Mark the messages; the workers send them."""
        if options["first"] < 1:
            raise CommandError("--from is a sequence number: 1 or more.")
        try:
            count = again.replay(options["endpoint"], options["first"], at=timezone.now())
        except Endpoint.DoesNotExist:
            known = ", ".join(f"{e.pk} ({e})" for e in Endpoint.objects.all()) or "none"
            raise CommandError(
                f"There is no endpoint {options['endpoint']}. There are: {known}."
            ) from None
        self.stdout.write(f"{count} messages will be sent again.")
