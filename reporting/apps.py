from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


def _set_up_roles(**kwargs: Any) -> None:
    """The groups are there after every migration, for a first supervisor to be put into."""
    from queues.roles import set_up_roles

    set_up_roles()


class ReportingConfig(AppConfig):
    name = "reporting"
    verbose_name = "Reporting"

    def ready(self) -> None:
        """Set up roles and views once the tables of all apps are there: this is the last."""
        from reporting import bells
        from reporting.sql import database_views

        bells.connect()
        post_migrate.connect(_set_up_roles, sender=self)
        pre_migrate.connect(database_views.before_migrations, sender=self)
        post_migrate.connect(database_views.after_migrations, sender=self)
