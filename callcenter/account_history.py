"""The history of accounts: who became what, got which rights, and who holds an API token."""

from django.contrib.auth.models import Group, User
from rest_framework.authtoken.models import Token
from simple_history import register

from callcenter.history import Accounts, Tokens


def keep() -> None:
    """Keep every change of a user or group, and tokens made and removed; no secret of them.

    The tables are the app `agents`'s own: those of Django's apps are not ours to migrate.
    """
    register(
        User,
        app="agents",
        records_class=Accounts,
        excluded_fields=["password", "last_login"],
        m2m_fields=["groups", "user_permissions"],
    )
    register(Group, app="agents", records_class=Accounts, m2m_fields=["permissions"])
    register(Token, app="agents", records_class=Tokens, excluded_fields=["key"])
