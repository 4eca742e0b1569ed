"""The periods of presence of an agent are looked up by time, by reports on each break."""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

RUNS_BESIDE = "An index is made before the other, whose columns it begins with, is taken away."

OLD = "agents_presenceperiod_agent_id_a507b85a"


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("agents", "0006_hanging_up")]

    operations = [
        AddIndexConcurrently(
            "presenceperiod",
            models.Index(fields=["agent", "started_at"], name="periods_by_agent"),
        ),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    [f"DROP INDEX CONCURRENTLY IF EXISTS {OLD}"],
                    [f"CREATE INDEX CONCURRENTLY {OLD} ON agents_presenceperiod (agent_id)"],
                )
            ],
            [
                migrations.AlterField(
                    "presenceperiod",
                    "agent",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="presence_periods",
                        to="agents.agent",
                    ),
                )
            ],
        ),
    ]
