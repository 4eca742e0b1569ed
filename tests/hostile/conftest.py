"""A small centre that is at work, and a picture of all its rows."""

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from tests.factories import make_agent, make_menu, make_queue, make_supervisor, make_waiting

OURS = {"agents", "queues", "reporting", "outbox", "auth", "authtoken"}


@pytest.fixture
def centre(db):
    """A queue with a waiting caller, a menu, two agents and a supervisor."""
    queue = make_queue()
    make_menu(("1", queue))
    make_agent(queue, username="amina", presence="break")
    make_agent(queue, username="brian", presence="offline")
    make_waiting(queue)
    make_supervisor()
    User.objects.create_superuser("root", password="a-good-password")
    return queue


# What users choose for themselves, and when the account was last checked.
THEIR_OWN = {"agents_preferences", "queues_providerfact"}


@pytest.fixture
def picture(db) -> Callable[[], dict[str, tuple[int, int]]]:
    """Return how many rows each table has, and a sum over all that stands in them."""
    tables = [
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in OURS
        and model._meta.db_table not in THEIR_OWN
        and not model._meta.db_table.endswith("quarter")  # counted again by who reads a report
    ]

    def taken():
        found = {}
        with connection.cursor() as cursor:
            for table in tables:
                # A token's use and a sign-in leave a time behind: no change of anything.
                cursor.execute(
                    f"SELECT count(*), coalesce(sum(hashtext((to_jsonb(t) - %s)::text)), 0)"
                    f' FROM "{table}" t',
                    ["last_login"],
                )
                found[table] = cursor.fetchone()
        return found

    return taken


@pytest.fixture
def browser() -> Callable[[str], Client]:
    """A client that is signed in as this user ("": nobody), and tells a 500 as a 500."""

    def signed_in(username):
        client = Client(raise_request_exception=False)
        if username:
            client.force_login(User.objects.get(username=username))
        return client

    return signed_in
