"""What changes a call, an offer, a record or an agent's interval marks its quarters as stale.

A mark is one more row of a table in which nothing is unique and which nobody locks: no call waits
for another. See docs/decisions/0020-interval-tables.md.
"""

from django.db import migrations

RUNS_BESIDE = (
    "The triggers write only a table of marks, for every version that writes calls; building them "
    "locks each table for no longer than its catalogue entry takes."
)

# One mark, from the quarter of the first moment to that of the last; none for a moment unknown.
# A bulk load says SET callcenter.bulk = 'on', and counts everything afterwards by itself.
MARK = """
CREATE FUNCTION reporting_mark(what text, first timestamptz, last timestamptz) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO reporting_stalequarter (kind, since, until)
    SELECT what,
        date_bin('15 minutes', first, TIMESTAMPTZ '2001-01-01 00:00+00'),
        date_bin('15 minutes', last, TIMESTAMPTZ '2001-01-01 00:00+00')
    WHERE first IS NOT NULL
      AND current_setting('callcenter.bulk', true) IS DISTINCT FROM 'on'
$$;

CREATE FUNCTION reporting_counted_at(direction text, queued timestamptz, arrived timestamptz)
RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN direction = 'inbound' THEN coalesce(queued, arrived) ELSE arrived END
$$;

CREATE FUNCTION reporting_mark_call(call uuid) RETURNS void LANGUAGE sql AS $$
    SELECT reporting_mark('calls', at, at) FROM (
        SELECT reporting_counted_at(c.direction, c.queued_at, c.arrived_at) AS at
        FROM queues_queuedcall c WHERE c.id = call
    ) AS found
$$;
"""

# Going back and forth between waiting and being offered changes no figure.
CALLS = """
CREATE FUNCTION reporting_call_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_now timestamptz := reporting_counted_at(NEW.direction, NEW.queued_at, NEW.arrived_at);
    was timestamptz;
BEGIN
    PERFORM reporting_mark('calls', is_now, is_now);
    IF TG_OP = 'UPDATE' THEN
        was := reporting_counted_at(OLD.direction, OLD.queued_at, OLD.arrived_at);
        IF was <> is_now THEN
            PERFORM reporting_mark('calls', was, was);
        END IF;
        IF OLD.direction <> NEW.direction THEN
            PERFORM reporting_mark('offers', o.created_at, o.created_at)
            FROM queues_offer o WHERE o.call_id = NEW.id;
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER call_makes_quarters_stale AFTER INSERT ON queues_queuedcall
    FOR EACH ROW EXECUTE FUNCTION reporting_call_changed();
CREATE TRIGGER changed_call_makes_quarters_stale AFTER UPDATE ON queues_queuedcall
    FOR EACH ROW WHEN (
        (OLD.direction, OLD.queue_id, OLD.arrived_at, OLD.queued_at, OLD.connected_at,
         OLD.ended_at, OLD.abandoned_in)
            IS DISTINCT FROM
        (NEW.direction, NEW.queue_id, NEW.arrived_at, NEW.queued_at, NEW.connected_at,
         NEW.ended_at, NEW.abandoned_in)
        OR (OLD.state <> NEW.state AND NEW.ended_at IS NOT NULL)
    ) EXECUTE FUNCTION reporting_call_changed();
"""

# Of an open offer only that it was made, and that they talk, is counted.
OFFERS = """
CREATE FUNCTION reporting_offer_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM reporting_mark('offers', NEW.created_at, NEW.created_at);
    IF TG_OP = 'UPDATE' THEN
        IF OLD.created_at <> NEW.created_at THEN
            PERFORM reporting_mark('offers', OLD.created_at, OLD.created_at);
        END IF;
        IF (NEW.state = 'ended' OR OLD.state = 'ended')
            AND (OLD.state, OLD.ended_at, OLD.wrap_up_ended_at)
                IS DISTINCT FROM (NEW.state, NEW.ended_at, NEW.wrap_up_ended_at)
        THEN
            PERFORM reporting_mark_call(NEW.call_id);
        END IF;
    ELSIF NEW.state = 'ended' THEN
        PERFORM reporting_mark_call(NEW.call_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER offer_makes_quarters_stale AFTER INSERT ON queues_offer
    FOR EACH ROW EXECUTE FUNCTION reporting_offer_changed();
CREATE TRIGGER changed_offer_makes_quarters_stale AFTER UPDATE ON queues_offer
    FOR EACH ROW WHEN (
        (OLD.agent_id, OLD.queue_id, OLD.created_at, OLD.joined_at, OLD.ended_at,
         OLD.wrap_up_ended_at)
            IS DISTINCT FROM
        (NEW.agent_id, NEW.queue_id, NEW.created_at, NEW.joined_at, NEW.ended_at,
         NEW.wrap_up_ended_at)
        OR (OLD.state <> NEW.state
            AND (NEW.ended_at IS NOT NULL OR 'joined' IN (OLD.state, NEW.state)))
        OR (OLD.answered_at IS DISTINCT FROM NEW.answered_at
            AND (NEW.ended_at IS NOT NULL OR NEW.state = 'joined'))
    ) EXECUTE FUNCTION reporting_offer_changed();
"""

# A leg costs from when the provider has it; its record says what.
COSTS = """
CREATE FUNCTION reporting_leg_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM reporting_mark_call(NEW.call_id);
    RETURN NULL;
END $$;

CREATE TRIGGER leg_makes_quarters_stale AFTER INSERT ON queues_leg
    FOR EACH ROW WHEN (NEW.session_id IS NOT NULL OR NEW.provider_id IS NOT NULL)
    EXECUTE FUNCTION reporting_leg_changed();
CREATE TRIGGER changed_leg_makes_quarters_stale AFTER UPDATE ON queues_leg
    FOR EACH ROW WHEN (
        (OLD.session_id IS NULL AND OLD.provider_id IS NULL)
            <> (NEW.session_id IS NULL AND NEW.provider_id IS NULL)
        OR OLD.role <> NEW.role OR OLD.party <> NEW.party
    ) EXECUTE FUNCTION reporting_leg_changed();

CREATE FUNCTION reporting_mark_record(record reporting_callrecord) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF record.leg_id IS NOT NULL THEN
        PERFORM reporting_mark_call(l.call_id) FROM queues_leg l WHERE l.id = record.leg_id;
    ELSIF record.call_id IS NOT NULL THEN
        PERFORM reporting_mark_call(record.call_id);
    ELSE
        PERFORM reporting_mark(
            'calls', coalesce(record.started_at, record.first_seen_at),
            coalesce(record.started_at, record.first_seen_at)
        );
    END IF;
END $$;

CREATE FUNCTION reporting_record_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM reporting_mark_record(OLD);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND
        (OLD.leg_id, OLD.call_id, OLD.started_at, OLD.first_seen_at)
            IS DISTINCT FROM (NEW.leg_id, NEW.call_id, NEW.started_at, NEW.first_seen_at))
    THEN
        PERFORM reporting_mark_record(NEW);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER record_makes_quarters_stale AFTER INSERT OR DELETE ON reporting_callrecord
    FOR EACH ROW EXECUTE FUNCTION reporting_record_changed();
CREATE TRIGGER changed_record_makes_quarters_stale AFTER UPDATE ON reporting_callrecord
    FOR EACH ROW WHEN (
        (OLD.leg_id, OLD.call_id, OLD.cost_minor, OLD.cost_currency, OLD.status, OLD.remote,
         OLD.started_at, OLD.direction)
            IS DISTINCT FROM
        (NEW.leg_id, NEW.call_id, NEW.cost_minor, NEW.cost_currency, NEW.status, NEW.remote,
         NEW.started_at, NEW.direction)
    ) EXECUTE FUNCTION reporting_record_changed();
"""

DISPOSITIONS = """
CREATE FUNCTION reporting_wrap_up_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM reporting_mark_call(o.call_id) FROM queues_offer o
    WHERE o.id = coalesce(NEW.offer_id, OLD.offer_id) AND o.state = 'ended';
    RETURN NULL;
END $$;

CREATE TRIGGER wrap_up_makes_quarters_stale AFTER INSERT ON queues_wrapup
    FOR EACH ROW WHEN (NEW.disposition_id IS NOT NULL)
    EXECUTE FUNCTION reporting_wrap_up_changed();
CREATE TRIGGER changed_wrap_up_makes_quarters_stale AFTER UPDATE ON queues_wrapup
    FOR EACH ROW WHEN (OLD.disposition_id IS DISTINCT FROM NEW.disposition_id)
    EXECUTE FUNCTION reporting_wrap_up_changed();
CREATE TRIGGER removed_wrap_up_makes_quarters_stale AFTER DELETE ON queues_wrapup
    FOR EACH ROW WHEN (OLD.disposition_id IS NOT NULL)
    EXECUTE FUNCTION reporting_wrap_up_changed();
"""

# The last quarter that an interval lies in is the one before its end, if that begins a quarter.
AGENTS = """
CREATE FUNCTION reporting_interval_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM reporting_mark('agents', NEW.started_at, NEW.ended_at - interval '1 microsecond');
    RETURN NULL;
END $$;

CREATE TRIGGER interval_makes_quarters_stale AFTER INSERT OR UPDATE ON agents_agentinterval
    FOR EACH ROW WHEN (NEW.ended_at > NEW.started_at)
    EXECUTE FUNCTION reporting_interval_changed();
"""

# Rows come and go by the hundred a second where it is busy.
VACUUM = """
ALTER TABLE reporting_stalequarter SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000
);
"""

# What was before is counted in steps of a day, the newest first, as soon as somebody asks.
START = """
INSERT INTO reporting_stalequarter (kind, since, until)
SELECT kind, date_bin('15 minutes', first, TIMESTAMPTZ '2001-01-01 00:00+00'),
    date_bin('15 minutes', now(), TIMESTAMPTZ '2001-01-01 00:00+00')
FROM (
    SELECT 'calls', least(
        (SELECT min(arrived_at) FROM queues_queuedcall),
        (SELECT min(least(started_at, first_seen_at)) FROM reporting_callrecord)
    )
    UNION ALL SELECT 'offers', min(created_at) FROM queues_offer
    UNION ALL SELECT 'agents', min(started_at) FROM agents_agentinterval
) AS oldest (kind, first) WHERE first IS NOT NULL;
"""

UNDO = """
DROP TRIGGER call_makes_quarters_stale ON queues_queuedcall;
DROP TRIGGER changed_call_makes_quarters_stale ON queues_queuedcall;
DROP TRIGGER offer_makes_quarters_stale ON queues_offer;
DROP TRIGGER changed_offer_makes_quarters_stale ON queues_offer;
DROP TRIGGER leg_makes_quarters_stale ON queues_leg;
DROP TRIGGER changed_leg_makes_quarters_stale ON queues_leg;
DROP TRIGGER record_makes_quarters_stale ON reporting_callrecord;
DROP TRIGGER changed_record_makes_quarters_stale ON reporting_callrecord;
DROP TRIGGER wrap_up_makes_quarters_stale ON queues_wrapup;
DROP TRIGGER changed_wrap_up_makes_quarters_stale ON queues_wrapup;
DROP TRIGGER removed_wrap_up_makes_quarters_stale ON queues_wrapup;
DROP TRIGGER interval_makes_quarters_stale ON agents_agentinterval;
DROP FUNCTION reporting_call_changed();
DROP FUNCTION reporting_offer_changed();
DROP FUNCTION reporting_leg_changed();
DROP FUNCTION reporting_record_changed();
DROP FUNCTION reporting_mark_record(reporting_callrecord);
DROP FUNCTION reporting_wrap_up_changed();
DROP FUNCTION reporting_interval_changed();
DROP FUNCTION reporting_mark_call(uuid);
DROP FUNCTION reporting_counted_at(text, timestamptz, timestamptz);
DROP FUNCTION reporting_mark(text, timestamptz, timestamptz);
ALTER TABLE reporting_stalequarter RESET (
    autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
    autovacuum_analyze_scale_factor, autovacuum_analyze_threshold
);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("reporting", "0004_interval_tables_and_files"),
        ("agents", "0006_hanging_up"),
        ("queues", "0013_numbers_are_searched"),
    ]

    operations = [
        migrations.RunSQL(MARK + CALLS + OFFERS + COSTS + DISPOSITIONS + AGENTS + VACUUM, UNDO),
        migrations.RunSQL(START, migrations.RunSQL.noop),
    ]
