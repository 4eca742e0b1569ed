"""A place in line is kept, but moves along where the clock of the machine was set (queues.clock)."""

from django.db import migrations

RUNS_BESIDE = "The trigger allows one thing more than before."

KEPT = """
DROP TRIGGER place_in_line_is_kept ON queues_queuedcall;
CREATE TRIGGER place_in_line_is_kept BEFORE UPDATE ON queues_queuedcall
    FOR EACH ROW WHEN (
        (OLD.arrived_at <> NEW.arrived_at
            OR OLD.queued_at IS NOT NULL AND OLD.queued_at IS DISTINCT FROM NEW.queued_at)
        %s
    ) EXECUTE FUNCTION queues_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("queues", "0005_history_of_what_is_set_up")]

    operations = [
        migrations.RunSQL(
            KEPT % "AND current_setting('callcenter.clock', true) IS DISTINCT FROM 'moved'",
            KEPT % "",
        )
    ]
