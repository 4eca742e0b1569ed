"""The history of what was there before it: each row has a first one to be compared with."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from agents.models import Agent
from queues.models import Menu, Number, Queue
from tests.factories import make_agent, make_menu, make_queue

pytestmark = pytest.mark.django_db


def test_an_upgrade_keeps_what_was_set_up():
    queue, agent = make_queue(), make_agent()
    make_menu(("1", queue))
    for model in (Agent, Queue, Menu, Number):
        model.history.all().delete()
    loader = MigrationExecutor(connection).loader
    for app, name in (
        ("agents", "0003_history_of_what_is_set_up"), ("queues", "0005_history_of_what_is_set_up"),
    ):  # fmt: skip
        migration = loader.get_migration(app, name)
        state = loader.project_state((app, name))
        migration.operations[-1].code(state.apps, None)
    assert Agent.history.get().destination == agent.destination
    assert Queue.history.get().ring_timeout == queue.ring_timeout
    assert Queue.history.get().history_change_reason == "before there was a history"
    assert set(Number.history.values_list("e164", flat=True)) == {
        number.e164 for number in Number.objects.all()
    }
