"""Indexes of the call records that nothing uses go: see queues, 0014."""

import django.db.models.deletion
from django.db import migrations, models

RUNS_BESIDE = "No statement of any version needs these indexes: another begins with the column."

TABLE = "reporting_callrecord"
UNUSED = [
    ("reporting_callrecord_call_id_e31c6054", "call_id"),
    ("reporting_callrecord_provider_id_8375a0e8_like", "provider_id varchar_pattern_ops"),
    ("reporting_callrecord_session_id_4afd4a72_like", "session_id varchar_pattern_ops"),
]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("reporting", "0006_downloads_and_recipients_left"),
        ("queues", "0014_fewer_indexes"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    [f"DROP INDEX CONCURRENTLY IF EXISTS {name}" for name, _ in UNUSED],
                    [f"CREATE INDEX CONCURRENTLY {name} ON {TABLE} ({on})" for name, on in UNUSED],
                )
            ],
            [
                migrations.AlterField(
                    "callrecord",
                    "call",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="records",
                        to="queues.queuedcall",
                    ),
                )
            ],
        )
    ]
