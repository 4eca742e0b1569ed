from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def _set_up_roles(**kwargs: Any) -> None:
    """The groups are there after every migration, for a first supervisor to be put into."""
    from queues.roles import set_up_roles

    set_up_roles()


class ReportingConfig(AppConfig):
    name = "reporting"
    verbose_name = "Reporting"

    def ready(self) -> None:
        """Set up the roles once the tables of all apps are there: this is the last of them."""
        post_migrate.connect(_set_up_roles, sender=self)
