"""Indexes that nothing uses go: docs/decisions/0022-indexes-of-a-million-calls.md.

Two kinds. Of a reference whose column another index begins with, the one that Django makes of
itself. And those for LIKE that it makes beside each unique text: handles and keys are looked up
whole. What agents wrote is found by time, for retention.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

RUNS_BESIDE = "No statement of any version needs these indexes: another begins with the column."

# Name, table, what it is on.
UNUSED = [
    ("queues_queuedcall_agent_id_5a676a2b", "queues_queuedcall", "agent_id"),
    ("queues_queuedcall_queue_id_dd463534", "queues_queuedcall", "queue_id"),
    ("queues_queuedcall_public_id_1e5ce3a3_like", "queues_queuedcall",
     "public_id varchar_pattern_ops"),
    ("queues_leg_call_id_c845eecc", "queues_leg", "call_id"),
    ("queues_leg_provider_id_f48155a6_like", "queues_leg", "provider_id varchar_pattern_ops"),
    ("queues_leg_session_id_89f813a1_like", "queues_leg", "session_id varchar_pattern_ops"),
    ("queues_offer_agent_id_4f9790ab", "queues_offer", "agent_id"),
    ("queues_offer_queue_id_b9e2e531", "queues_offer", "queue_id"),
    ("queues_webhookevent_call_id_a074b691", "queues_webhookevent", "call_id"),
    ("queues_webhookevent_key_a683b50b_like", "queues_webhookevent", "key varchar_pattern_ops"),
]  # fmt: skip


def reference(to: str, related_name: str, *, on_delete: object, null: bool = False) -> object:
    optional = {"null": True, "blank": True} if null else {}
    return models.ForeignKey(
        db_index=False, on_delete=on_delete, related_name=related_name, to=to, **optional
    )


CASCADE, PROTECT = django.db.models.deletion.CASCADE, django.db.models.deletion.PROTECT


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("queues", "0013_numbers_are_searched"),
        ("agents", "0007_periods_by_agent"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    [f"DROP INDEX CONCURRENTLY IF EXISTS {name}" for name, _, _ in UNUSED],
                    [
                        f"CREATE INDEX CONCURRENTLY {name} ON {table} ({on})"
                        for name, table, on in UNUSED
                    ],
                )
            ],
            [
                migrations.AlterField(
                    "leg", "call", reference("queues.queuedcall", "legs", on_delete=CASCADE)
                ),
                migrations.AlterField(
                    "offer", "agent", reference("agents.agent", "offers", on_delete=PROTECT)
                ),
                migrations.AlterField(
                    "offer",
                    "queue",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="offers",
                        to="queues.queue",
                    ),
                ),
                migrations.AlterField(
                    "queuedcall", "agent",
                    reference("agents.agent", "calls", on_delete=PROTECT, null=True),
                ),
                migrations.AlterField(
                    "queuedcall", "queue",
                    reference("queues.queue", "calls", on_delete=PROTECT, null=True),
                ),
                migrations.AlterField(
                    "webhookevent", "call",
                    reference("queues.queuedcall", "webhook_events", on_delete=CASCADE, null=True),
                ),
            ],
        ),
        AddIndexConcurrently(
            "wrapup",
            models.Index(
                condition=~models.Q(notes=""), fields=["updated_at"], name="notes_by_time"
            ),
        ),
    ]  # fmt: skip
