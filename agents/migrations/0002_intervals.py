"""An agent's time as a chain of intervals, written by the database.

No gap: each start refers to its predecessor's end. No overlap: an exclusion constraint. See
docs/decisions/0014-the-database-writes-the-intervals.md.
"""

import django.db.models.deletion
from django.db import migrations, models

RUNS_BESIDE = (
    "Who changes presence has written a period all along; the triggers write only a new table."
)

CHAIN = """
ALTER TABLE agents_agentinterval
    ADD CONSTRAINT interval_starts_where_the_last_ended
        FOREIGN KEY (agent_id, previous_id, started_at)
        REFERENCES agents_agentinterval (agent_id, id, ended_at)
        DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT intervals_do_not_overlap
        EXCLUDE USING gist (
            int8range(agent_id, agent_id, '[]') WITH &&, tstzrange(started_at, ended_at) WITH &&
        );
"""

# A zero-length interval is an empty range, which overlaps nothing.
WRITER = """
CREATE FUNCTION agents_write_interval() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    starts timestamptz := greatest(NEW.presence_since, NEW.engagement_since);
    last bigint;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        starts := greatest(
            CASE WHEN (NEW.presence, NEW.presence_reason) <> (OLD.presence, OLD.presence_reason)
                 THEN NEW.presence_since END,
            CASE WHEN NEW.engagement <> OLD.engagement THEN NEW.engagement_since END,
            CASE WHEN NEW.retired_at IS DISTINCT FROM OLD.retired_at
                 THEN coalesce(NEW.retired_at, clock_timestamp()) END
        );
        UPDATE agents_agentinterval SET ended_at = greatest(started_at, starts)
        WHERE agent_id = NEW.id AND ended_at IS NULL
        RETURNING id, ended_at INTO last, starts;
        starts := coalesce(starts, NEW.engagement_since);
    END IF;
    INSERT INTO agents_agentinterval
        (agent_id, presence, reason, engagement, started_at, ended_at, previous_id)
    VALUES (
        NEW.id,
        CASE WHEN NEW.retired_at IS NULL THEN NEW.presence ELSE 'offline' END,
        CASE WHEN NEW.retired_at IS NULL THEN NEW.presence_reason ELSE '' END,
        NEW.engagement, starts, NULL, last
    );
    RETURN NULL;
END $$;

CREATE TRIGGER agent_begins_an_interval AFTER INSERT ON agents_agent
    FOR EACH ROW EXECUTE FUNCTION agents_write_interval();
CREATE TRIGGER agent_goes_to_the_next_interval AFTER UPDATE ON agents_agent
    FOR EACH ROW WHEN (
        (OLD.presence, OLD.presence_reason, OLD.engagement)
            IS DISTINCT FROM (NEW.presence, NEW.presence_reason, NEW.engagement)
        OR OLD.retired_at IS DISTINCT FROM NEW.retired_at
    ) EXECUTE FUNCTION agents_write_interval();
"""

# Intent changes only by a person or a named policy: the period that names them is there by the
# end of the transaction.
TOLD = """
CREATE FUNCTION agents_presence_is_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM agents_agent a WHERE a.id = NEW.id AND NOT EXISTS (
            SELECT 1 FROM agents_presenceperiod p
            WHERE p.agent_id = a.id AND p.ended_at IS NULL
              AND p.presence = a.presence AND p.reason = a.presence_reason
        )
    ) THEN
        RAISE EXCEPTION 'agent % changed presence without a period that says who and why', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'presence_change_has_a_period';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER presence_change_has_a_period AFTER UPDATE ON agents_agent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.presence, OLD.presence_reason) <> (NEW.presence, NEW.presence_reason))
    EXECUTE FUNCTION agents_presence_is_told();
CREATE CONSTRAINT TRIGGER presence_begins_with_a_period AFTER INSERT ON agents_agent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.presence <> 'offline')
    EXECUTE FUNCTION agents_presence_is_told();
"""

# What was before the first row is not known: the chain starts with what is the case now.
START = """
INSERT INTO agents_agentinterval (agent_id, presence, reason, engagement, started_at)
SELECT id,
    CASE WHEN retired_at IS NULL THEN presence ELSE 'offline' END,
    CASE WHEN retired_at IS NULL THEN presence_reason ELSE '' END,
    engagement, greatest(presence_since, engagement_since, retired_at)
FROM agents_agent;
"""

UNDO = """
DROP TRIGGER agent_begins_an_interval ON agents_agent;
DROP TRIGGER agent_goes_to_the_next_interval ON agents_agent;
DROP TRIGGER presence_change_has_a_period ON agents_agent;
DROP TRIGGER presence_begins_with_a_period ON agents_agent;
DROP FUNCTION agents_write_interval();
DROP FUNCTION agents_presence_is_told();
"""

PRESENCES = [("available", "Available"), ("break", "Break"), ("offline", "Offline")]
ENGAGEMENTS = [
    ("idle", "Idle"), ("ringing", "Ringing"), ("on_call", "On a call"), ("wrap_up", "Wrap-up"),
]  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("agents", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="AgentInterval",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "presence",
                    models.CharField(
                        choices=PRESENCES, help_text="A retired agent is offline.", max_length=9
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=60)),
                ("engagement", models.CharField(choices=ENGAGEMENTS, max_length=7)),
                ("started_at", models.DateTimeField()),
                (
                    "ended_at",
                    models.DateTimeField(blank=True, help_text="Empty: it goes on.", null=True),
                ),
                (
                    "agent",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="intervals",
                        to="agents.agent",
                    ),
                ),
                (
                    "previous",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="agents.agentinterval",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["agent", "started_at"], name="intervals_by_agent")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ended_at", None))
                        | models.Q(("ended_at__gte", models.F("started_at"))),
                        name="interval_ends_after_it_starts",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("previous", None)),
                        fields=("agent",),
                        name="one_first_interval_per_agent",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("agent",),
                        name="one_open_interval_per_agent",
                    ),
                    models.UniqueConstraint(fields=("previous",), name="one_next_interval"),
                    models.UniqueConstraint(
                        fields=("agent", "id", "ended_at"), name="interval_end"
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="presenceperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("cause", ""), _negated=True), name="presence_has_a_cause"
            ),
        ),
        migrations.RunSQL(CHAIN, migrations.RunSQL.noop),
        migrations.RunSQL(WRITER + TOLD, UNDO),
        migrations.RunSQL(START, migrations.RunSQL.noop),
    ]
