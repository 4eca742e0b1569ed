"""What must be true of calls and offers, held by the database. See docs/invariants.md.

The checks are not held against rows that were there before (NOT VALID): `manage.py audit` finds
what is wrong with those, and an upgrade does not stop for it.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import F, Q

RUNS_BESIDE = (
    "Agent, offer and call have always moved in one transaction, and the checks are "
    "not held against old rows."
)

ENDS = [
    "abandoned", "busy", "callback", "closed_hours", "completed", "expired", "failed",
    "no_answer", "overflowed", "rejected", "voicemail",
]  # fmt: skip

# At the end of every transaction an agent rings or talks if, and only if, an offer says so.
ENGAGEMENT = """
CREATE FUNCTION queues_engagement_agrees() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    agent bigint := (to_jsonb(NEW) ->> TG_ARGV[0])::bigint;
    offered text;
    engaged text;
BEGIN
    SELECT engagement INTO engaged FROM agents_agent WHERE id = agent;
    SELECT state INTO offered FROM queues_offer
        WHERE agent_id = agent AND state IN ('dialling', 'ringing', 'answered', 'joined');
    IF (CASE
        WHEN engaged IS NULL THEN false
        WHEN offered IS NULL THEN engaged IN ('ringing', 'on_call')
        WHEN offered = 'joined' THEN engaged <> 'on_call'
        ELSE engaged <> 'ringing' END)
    THEN
        RAISE EXCEPTION 'agent % is %, and the open offer is %', agent, engaged,
            coalesce(offered, 'none')
            USING ERRCODE = 'check_violation', CONSTRAINT = 'engagement_agrees_with_offers';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER engagement_agrees_with_offers AFTER UPDATE ON agents_agent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.engagement <> NEW.engagement)
    EXECUTE FUNCTION queues_engagement_agrees('id');
CREATE CONSTRAINT TRIGGER new_offer_engages_its_agent AFTER INSERT ON queues_offer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.state IN ('dialling', 'ringing', 'answered', 'joined'))
    EXECUTE FUNCTION queues_engagement_agrees('agent_id');
CREATE CONSTRAINT TRIGGER offer_engages_its_agent AFTER UPDATE ON queues_offer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (
        OLD.state <> NEW.state AND (OLD.ended_at IS NULL OR NEW.ended_at IS NULL)
            AND (OLD.state = 'joined' OR NEW.state = 'joined' OR NEW.ended_at IS NOT NULL)
        OR OLD.agent_id <> NEW.agent_id
    )
    EXECUTE FUNCTION queues_engagement_agrees('agent_id');
"""

# At the end of every transaction a call names its open offer, and its state agrees with it.
OFFER_OF_CALL = """
CREATE FUNCTION queues_call_agrees() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    call queues_queuedcall;
    open queues_offer;
BEGIN
    SELECT * INTO call FROM queues_queuedcall WHERE id = (to_jsonb(NEW) ->> TG_ARGV[0])::uuid;
    SELECT * INTO open FROM queues_offer
        WHERE call_id = call.id AND state IN ('dialling', 'ringing', 'answered', 'joined');
    IF call.id IS NULL THEN
        RETURN NULL;
    END IF;
    IF call.offer_id IS DISTINCT FROM open.id
        OR open.id IS NULL AND call.state IN ('offered', 'connected')
        OR open.id IS NOT NULL AND call.state IN ('greeting', 'waiting')
        OR open.id IS NOT NULL AND call.ended_at IS NOT NULL AND NOT call.is_provisional
        OR (call.state = 'connected') <> coalesce(open.state = 'joined', false)
        OR call.state IN ('offered', 'connected') AND call.agent_id IS DISTINCT FROM open.agent_id
    THEN
        RAISE EXCEPTION 'call % is % with offer % of agent %; its open offer is % (%) of agent %',
            call.public_id, call.state, call.offer_id, call.agent_id,
            open.id, open.state, open.agent_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'call_agrees_with_its_offer';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER new_call_agrees_with_its_offer AFTER INSERT ON queues_queuedcall
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.offer_id IS NOT NULL OR NEW.state IN ('offered', 'connected'))
    EXECUTE FUNCTION queues_call_agrees('id');
CREATE CONSTRAINT TRIGGER call_agrees_with_its_offer AFTER UPDATE ON queues_queuedcall
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (
        OLD.state <> NEW.state OR OLD.offer_id IS DISTINCT FROM NEW.offer_id
        OR OLD.agent_id IS DISTINCT FROM NEW.agent_id
        OR OLD.is_provisional <> NEW.is_provisional
    )
    EXECUTE FUNCTION queues_call_agrees('id');
CREATE CONSTRAINT TRIGGER new_offer_is_its_calls AFTER INSERT ON queues_offer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.state IN ('dialling', 'ringing', 'answered', 'joined'))
    EXECUTE FUNCTION queues_call_agrees('call_id');
CREATE CONSTRAINT TRIGGER offer_is_its_calls AFTER UPDATE ON queues_offer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (
        OLD.state <> NEW.state AND (OLD.ended_at IS NULL OR NEW.ended_at IS NULL)
            AND (OLD.state = 'joined' OR NEW.state = 'joined' OR NEW.ended_at IS NOT NULL)
        OR OLD.call_id <> NEW.call_id OR OLD.agent_id <> NEW.agent_id
    )
    EXECUTE FUNCTION queues_call_agrees('call_id');

CREATE FUNCTION queues_leg_agrees() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM queues_leg l JOIN queues_offer o ON o.id = l.offer_id
               WHERE l.id = NEW.id AND o.call_id <> l.call_id) THEN
        RAISE EXCEPTION 'leg % is of one call, and its offer of another', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'leg_is_of_its_offers_call';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER new_leg_is_of_its_offers_call AFTER INSERT ON queues_leg
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.offer_id IS NOT NULL)
    EXECUTE FUNCTION queues_leg_agrees();
CREATE CONSTRAINT TRIGGER leg_is_of_its_offers_call AFTER UPDATE ON queues_leg
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.offer_id IS DISTINCT FROM NEW.offer_id OR OLD.call_id <> NEW.call_id)
    EXECUTE FUNCTION queues_leg_agrees();
"""

# An end is final, but for the one correction, which has an event of its own; a place is kept.
FINAL = """
CREATE FUNCTION queues_end_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('abandoned', 'failed') AND OLD.is_provisional AND NEW.state = 'completed'
        OR OLD.state = 'completed' AND NEW.state = 'abandoned'
            AND (OLD.connected_is_estimated AND NEW.abandoned_in = 'ringing'
                OR NEW.ended_at < OLD.connected_at)
    THEN
        IF EXISTS (SELECT 1 FROM queues_callevent WHERE call_id = NEW.id AND kind = 'corrected')
        THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION 'call % was corrected without an event', NEW.public_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'end_of_call_is_final';
    END IF;
    RAISE EXCEPTION 'call % has ended %, it cannot become %', NEW.public_id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'end_of_call_is_final';
END $$;

CREATE CONSTRAINT TRIGGER end_of_call_is_final AFTER UPDATE ON queues_queuedcall
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.ended_at IS NOT NULL AND OLD.state <> NEW.state)
    EXECUTE FUNCTION queues_end_is_final();

CREATE FUNCTION queues_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% % cannot change so: %', TG_TABLE_NAME, OLD.id, TG_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;

CREATE TRIGGER end_of_offer_is_final BEFORE UPDATE ON queues_offer
    FOR EACH ROW WHEN (
        OLD.ended_at IS NOT NULL AND OLD.state <> NEW.state
        AND NOT (OLD.state IN ('no_answer', 'caller_gone') AND NEW.state = 'ended')
        AND NOT (OLD.state = 'no_answer' AND NEW.state = 'busy')
    ) EXECUTE FUNCTION queues_refuse();
CREATE TRIGGER place_in_line_is_kept BEFORE UPDATE ON queues_queuedcall
    FOR EACH ROW WHEN (
        OLD.arrived_at <> NEW.arrived_at
        OR OLD.queued_at IS NOT NULL AND OLD.queued_at IS DISTINCT FROM NEW.queued_at
    ) EXECUTE FUNCTION queues_refuse();
"""

UNDO = """
DROP TRIGGER engagement_agrees_with_offers ON agents_agent;
DROP TRIGGER new_offer_engages_its_agent ON queues_offer;
DROP TRIGGER offer_engages_its_agent ON queues_offer;
DROP TRIGGER new_call_agrees_with_its_offer ON queues_queuedcall;
DROP TRIGGER call_agrees_with_its_offer ON queues_queuedcall;
DROP TRIGGER new_offer_is_its_calls ON queues_offer;
DROP TRIGGER offer_is_its_calls ON queues_offer;
DROP TRIGGER new_leg_is_of_its_offers_call ON queues_leg;
DROP TRIGGER leg_is_of_its_offers_call ON queues_leg;
DROP TRIGGER end_of_call_is_final ON queues_queuedcall;
DROP TRIGGER end_of_offer_is_final ON queues_offer;
DROP TRIGGER place_in_line_is_kept ON queues_queuedcall;
DROP FUNCTION queues_engagement_agrees();
DROP FUNCTION queues_call_agrees();
DROP FUNCTION queues_leg_agrees();
DROP FUNCTION queues_end_is_final();
DROP FUNCTION queues_refuse();
"""


def check(model: str, name: str, condition: Q) -> AddConstraintNotValid:
    return AddConstraintNotValid(model, models.CheckConstraint(condition=condition, name=name))


class Migration(migrations.Migration):
    dependencies = [
        ("queues", "0003_what_was_sent_and_how_the_provider_stands"),
        ("agents", "0002_intervals"),
    ]

    operations = [
        check(
            "queuedcall",
            "only_a_talk_is_connected",
            Q(connected_at=None) | Q(state__in=["connected", "completed"], queued_at__isnull=False),
        ),
        check(
            "queuedcall",
            "only_an_end_without_a_talk_is_provisional",
            Q(is_provisional=False) | Q(state__in=["abandoned", "failed"]),
        ),
        check(
            "queuedcall",
            "times_of_a_call_are_in_order",
            Q(queued_at__gte=F("arrived_at"))
            & Q(connected_at__gte=F("queued_at"))
            & Q(ended_at__gte=F("queued_at"))
            & Q(ended_at__gte=F("connected_at")),
        ),
        check(
            "offer",
            "joined_offer_has_its_time",
            ~Q(state="joined") | Q(joined_at__isnull=False),
        ),
        check(
            "offer",
            "ringing_offer_has_a_deadline",
            ~Q(state__in=["dialling", "ringing", "answered"])
            | Q(check_at__isnull=False)
            | Q(kind="click"),
        ),
        check(
            "offer",
            "times_of_an_offer_are_in_order",
            Q(answered_at__gte=F("created_at"))
            & Q(joined_at__gte=F("answered_at"))
            & Q(ended_at__gte=F("created_at"))
            & Q(ended_at__gte=F("joined_at"))
            & Q(wrap_up_ended_at__gte=F("ended_at")),
        ),
        migrations.AddConstraint(
            "callevent",
            models.UniqueConstraint(
                fields=["call"], condition=Q(kind__in=ENDS), name="one_end_per_call"
            ),
        ),
        migrations.RunSQL(ENGAGEMENT + OFFER_OF_CALL + FINAL, UNDO),
    ]
