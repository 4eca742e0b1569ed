-- Views for other programs, in the schema "reports" (docs/sql-views.md has each column).
-- Names and meanings stay; columns may be added. No secret and no note of an agent is in them.
-- Made after each migration, dropped before one, so that no table is held by them.

CREATE VIEW reports.calls AS
SELECT
    c.public_id AS call,
    c.direction,
    c.state,
    nullif(c.abandoned_in, '') AS abandoned_in,
    q.slug AS queue,
    u.username AS agent,
    c.customer,
    c.line,
    c.arrived_at,
    c.queued_at,
    c.connected_at,
    c.ended_at,
    CASE WHEN c.direction = 'inbound' THEN coalesce(c.queued_at, c.arrived_at)
         ELSE c.arrived_at END AS counted_at,
    c.connected_is_estimated,
    c.is_provisional,
    greatest(0, extract(epoch FROM coalesce(c.connected_at, c.ended_at) - c.queued_at))::float8
        AS wait_seconds,
    greatest(0, extract(epoch FROM c.ended_at - c.connected_at))::float8 AS talk_seconds,
    CASE WHEN c.connected_at IS NOT NULL
         THEN c.connected_at - c.queued_at <= make_interval(secs => q.service_level_seconds) END
        AS is_in_time,
    CASE WHEN c.state = 'abandoned'
         THEN c.ended_at - c.queued_at < make_interval(secs => q.short_abandon_seconds) END
        AS is_short_abandon
FROM queues_queuedcall c
LEFT JOIN queues_queue q ON q.id = c.queue_id
LEFT JOIN agents_agent a ON a.id = c.agent_id
LEFT JOIN auth_user u ON u.id = a.user_id;

CREATE VIEW reports.offers AS
SELECT
    c.public_id AS call,
    c.direction,
    u.username AS agent,
    q.slug AS queue,
    o.kind,
    o.state,
    o.created_at,
    o.answered_at,
    o.joined_at,
    o.ended_at,
    o.wrap_up_ended_at,
    extract(epoch FROM coalesce(o.answered_at, o.ended_at) - o.created_at)::float8
        AS ring_seconds,
    extract(epoch FROM o.ended_at - o.joined_at)::float8 AS talk_seconds,
    extract(epoch FROM o.wrap_up_ended_at - o.ended_at)::float8 AS wrap_up_seconds
FROM queues_offer o
JOIN queues_queuedcall c ON c.id = o.call_id
JOIN agents_agent a ON a.id = o.agent_id
JOIN auth_user u ON u.id = a.user_id
LEFT JOIN queues_queue q ON q.id = o.queue_id;

CREATE VIEW reports.agent_time AS
SELECT
    u.username AS agent,
    a.name AS agent_name,
    i.presence,
    nullif(i.reason, '') AS reason,
    i.engagement,
    i.started_at,
    i.ended_at,
    extract(epoch FROM i.ended_at - i.started_at)::float8 AS seconds
FROM agents_agentinterval i
JOIN agents_agent a ON a.id = i.agent_id
JOIN auth_user u ON u.id = a.user_id;

CREATE VIEW reports.legs AS
SELECT
    l.id AS leg,
    c.public_id AS call,
    l.role,
    l.is_placed_by_us,
    l.state,
    l.party,
    l.line,
    l.session_id,
    l.provider_id,
    nullif(l.outcome, '') AS outcome,
    l.planned_at,
    l.placed_at,
    l.answered_at,
    l.ended_at
FROM queues_leg l
JOIN queues_queuedcall c ON c.id = l.call_id;

CREATE VIEW reports.records AS
SELECT
    r.session_id,
    r.provider_id,
    c.public_id AS call,
    r.leg_id AS leg,
    nullif(r.direction, '') AS direction,
    r.local,
    r.remote,
    r.status,
    r.started_at,
    r.answered_at,
    r.ended_at,
    r.duration_seconds,
    CASE WHEN r.cost_minor = 0 AND r.status IN ('ringing', 'started', 'answered') THEN NULL
         ELSE r.cost_minor END AS cost_minor,
    nullif(r.cost_currency, '') AS cost_currency,
    nullif(r.failure_code, '') AS failure_code,
    r.changed_at
FROM reporting_callrecord r
LEFT JOIN queues_queuedcall c ON c.id = r.call_id;

CREATE VIEW reports.queue_quarters AS
SELECT
    k.start,
    q.slug AS queue,
    k.direction,
    k.arrived,
    k.offered,
    k.answered,
    w.in_time,
    k.completed,
    b.abandoned,
    b.short_abandons,
    k.abandoned_menu,
    k.abandoned_queue,
    k.abandoned_ringing,
    k.overflowed,
    k.callback,
    k.voicemail,
    k.expired,
    k.closed_hours,
    k.rejected,
    k.failed,
    k.no_answer,
    k.busy,
    k.still_open,
    k.not_offered_ends,
    w.seconds AS answered_wait_seconds,
    w.longest AS longest_answered_wait_seconds,
    extract(epoch FROM k.talk)::float8 AS talk_seconds,
    extract(epoch FROM k.hold)::float8 AS hold_seconds,
    extract(epoch FROM k.wrap_up)::float8 AS wrap_up_seconds,
    w.in_time::float8 / nullif(k.offered - b.short_abandons, 0) AS service_level,
    w.seconds / nullif(k.answered, 0) AS asa_seconds,
    (extract(epoch FROM k.talk + k.hold + k.wrap_up) / nullif(k.answered, 0))::float8
        AS aht_seconds
FROM reporting_queuequarter k
LEFT JOIN queues_queue q ON q.id = k.queue_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE wait <= q.service_level_seconds * 1000000::bigint) AS in_time,
        coalesce(sum(wait), 0)::float8 / 1000000 AS seconds,
        max(wait)::float8 / 1000000 AS longest
    FROM unnest(k.answered_waits) AS wait
) w
CROSS JOIN LATERAL (
    SELECT count(*) AS abandoned,
        count(*) FILTER (WHERE wait < q.short_abandon_seconds * 1000000::bigint)
            AS short_abandons
    FROM unnest(k.abandoned_waits) AS wait
) b;

CREATE VIEW reports.agent_quarters AS
SELECT
    k.start,
    u.username AS agent,
    a.name AS agent_name,
    k.presence,
    nullif(k.reason, '') AS reason,
    k.is_paid,
    k.engagement,
    extract(epoch FROM k.time)::float8 AS seconds
FROM reporting_agentquarter k
JOIN agents_agent a ON a.id = k.agent_id
JOIN auth_user u ON u.id = a.user_id;

CREATE VIEW reports.dispositions AS
SELECT
    k.start,
    q.slug AS queue,
    k.direction,
    p.label AS disposition_group,
    d.label AS disposition,
    k.talks
FROM reporting_dispositionquarter k
LEFT JOIN queues_queue q ON q.id = k.queue_id
LEFT JOIN queues_disposition d ON d.id = k.disposition_id
LEFT JOIN queues_disposition p ON p.id = d.parent_id;
