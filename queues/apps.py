from django.apps import AppConfig


class QueuesConfig(AppConfig):
    name = "queues"
    verbose_name = "Queues"

    def ready(self) -> None:
        """Say what the bells do: routing and the provider's tasks; pages."""
        from callcenter import live
        from queues import bells

        bells.connect()
        live.connect()
