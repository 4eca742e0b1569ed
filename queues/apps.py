from django.apps import AppConfig


class QueuesConfig(AppConfig):
    name = "queues"
    verbose_name = "Queues"

    def ready(self) -> None:
        """Say what the bells do: routing and the provider's tasks; pages."""
        from callcenter import checks, live, preferences  # noqa: F401 - they register themselves
        from queues import bells, webhooks  # noqa: F401 - and so do the handlers

        bells.connect()
        live.connect()
