"""The callers in line who are kept for one agent, found without reading the line."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("queues", "0009_contacts")]

    operations = [
        AddIndexConcurrently(
            "queuedcall",
            models.Index(
                fields=["wanted_agent"],
                condition=Q(state="waiting", wanted_agent__isnull=False),
                name="calls_kept",
            ),
        )
    ]
