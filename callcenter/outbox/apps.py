import time

from django.apps import AppConfig

from callcenter import bell

QUIET = 0.25  # seconds between two rings of one process; the worker that was rung finds it all


class OutboxConfig(AppConfig):
    name = "callcenter.outbox"
    label = "outbox"
    verbose_name = "Outgoing webhooks"

    def ready(self) -> None:
        """Have a worker deliver when something was told."""
        bell.answer("tell", Ringer())


class Ringer:
    """Sends for a worker, seldom enough that no webhook is slower for it."""

    def __init__(self) -> None:
        self.rung_at = float("-inf")

    def __call__(self) -> None:
        """Send for a worker, unless this process did so a moment ago: then the sweep does."""
        from callcenter.outbox import tasks

        now = time.monotonic()
        if now - self.rung_at >= QUIET:
            self.rung_at = now
            tasks.deliver.delay()
