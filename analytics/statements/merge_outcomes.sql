-- The outcomes that a batch touches, as they stand after it, whatever the order in which events arrive.
--
-- What holds: the first request, the first plan and the first response in the log, and the reward with the highest revision. `known` are
-- their rows in `outcome` before the batch, so a value of it comes first wherever the first one holds. Batch tables have one row an event;
-- `batch_touched` has one row a request, with its slice.
WITH first_request AS (
    SELECT * FROM batch_request_received
    QUALIFY row_number() OVER (PARTITION BY request_key ORDER BY partition, log_offset) = 1
),
first_plan AS (
    SELECT * FROM batch_request_routed
    QUALIFY row_number() OVER (PARTITION BY request_key ORDER BY partition, log_offset) = 1
),
response AS (
    SELECT *, true AS answered FROM batch_response_ready
    UNION ALL BY NAME
    SELECT *, false AS answered FROM batch_response_failed
),
first_response AS (
    SELECT * FROM response
    QUALIFY row_number() OVER (PARTITION BY request_key ORDER BY partition, log_offset) = 1
),
generation AS (
    SELECT * FROM batch_generation_completed
    UNION ALL BY NAME
    SELECT * FROM batch_generation_failed
),
call AS (
    SELECT
        request_key,
        any_value(tenant) AS tenant,
        any_value(conversation_id) AS conversation_id,
        any_value(request_id) AS request_id,
        count(*) AS calls,
        sum(cost_usd ORDER BY partition, log_offset) AS cost_usd,
        min(occurred_at_us) AS occurred_at_us
    FROM generation
    GROUP BY request_key
),
highest_reward AS (
    SELECT * FROM batch_reward_computed
    QUALIFY row_number() OVER (PARTITION BY request_key ORDER BY revision DESC, partition, log_offset) = 1
),
found AS (
    SELECT
        touched_key.request_key,
        touched_key.slice,
        coalesce(o.tenant, r.tenant, p.tenant, s.tenant, c.tenant, w.tenant) AS tenant,
        coalesce(o.conversation_id, r.conversation_id, p.conversation_id, s.conversation_id, c.conversation_id,
            w.conversation_id) AS conversation_id,
        coalesce(o.request_id, r.request_id, p.request_id, s.request_id, c.request_id, w.request_id) AS request_id,
        coalesce(o.workflow, r.workflow, p.workflow, s.workflow, w.workflow) AS workflow,
        o.routed_at_us IS NOT NULL AS had_plan,
        o.responded_at_us IS NOT NULL AS had_response,
        w.revision IS NOT NULL AND (o.reward_revision IS NULL OR w.revision > o.reward_revision) AS new_reward,
        CASE
            WHEN p.complexity IS NULL THEN NULL WHEN p.complexity <= 3 THEN 'low'
            WHEN p.complexity <= 7 THEN 'middle' ELSE 'high'
        END AS plan_band,
        CASE
            WHEN s.complexity IS NULL THEN NULL WHEN s.complexity <= 3 THEN 'low'
            WHEN s.complexity <= 7 THEN 'middle' ELSE 'high'
        END AS response_band,
        coalesce(o.requested_at_us, p.requested_at_us, r.occurred_at_us) AS requested_at_us,
        coalesce(o.routed_at_us, p.occurred_at_us) AS routed_at_us,
        coalesce(o.responded_at_us, s.occurred_at_us) AS responded_at_us,
        o, p, s, c, w
    FROM (SELECT request_key AS letters, request_key::UUID AS request_key, slice FROM batch_touched) touched_key
    LEFT JOIN known o ON o.request_key = touched_key.request_key
    LEFT JOIN first_request r ON r.request_key = touched_key.letters
    LEFT JOIN first_plan p ON p.request_key = touched_key.letters
    LEFT JOIN first_response s ON s.request_key = touched_key.letters
    LEFT JOIN call c ON c.request_key = touched_key.letters
    LEFT JOIN highest_reward w ON w.request_key = touched_key.letters
)
SELECT
    slice,
    request_key,
    tenant,
    conversation_id,
    request_id,
    workflow,
    CASE WHEN had_plan THEN o.scope ELSE coalesce(p.profile_scope, o.scope, s.profile_scope) END AS scope,
    CASE WHEN had_plan THEN o.content_type ELSE coalesce(p.content_type, o.content_type, s.content_type) END AS content_type,
    coalesce(o.content_type_confidence, p.content_type_confidence) AS content_type_confidence,
    CASE WHEN had_plan THEN o.complexity ELSE coalesce(p.complexity, o.complexity, s.complexity) END AS complexity,
    CASE WHEN had_plan THEN o.band ELSE coalesce(plan_band, o.band, response_band) END AS band,
    CASE
        WHEN had_response AND o.answered THEN o.strategy
        WHEN NOT had_response AND s.strategy IS NOT NULL THEN s.strategy
        ELSE coalesce(
            o.rewarded_strategy, w.strategy, o.chosen_strategy, p.strategy
        )
    END AS strategy,
    coalesce(o.chosen_strategy, p.strategy) AS chosen_strategy,
    coalesce(o.propensity, p.propensity) AS propensity,
    CASE WHEN had_plan THEN o.demanded WHEN p.event_id IS NOT NULL THEN p.demanded_strategy IS NOT NULL END AS demanded,
    CASE WHEN had_plan THEN o.routing_id ELSE coalesce(p.event_id, o.routing_id, s.routing_id, w.routing_id) END AS routing_id,
    coalesce(o.policy, p.policy) AS policy,
    CASE
        WHEN had_plan THEN o.profile_version
        ELSE coalesce(p.profile_version, o.profile_version, s.profile_version)
    END AS profile_version,
    CASE WHEN had_response THEN o.step ELSE s.step END AS step,
    CASE WHEN had_response THEN o.model ELSE s.model END AS model,
    coalesce(o.calls, 0) + coalesce(c.calls, 0) AS calls,
    coalesce(o.call_cost_usd, 0) + coalesce(c.cost_usd, 0) AS call_cost_usd,
    CASE WHEN had_response THEN o.response_cost_usd ELSE s.cost_usd END AS response_cost_usd,
    coalesce(
        CASE WHEN had_response THEN o.response_cost_usd ELSE s.cost_usd END,
        coalesce(o.call_cost_usd, 0) + coalesce(c.cost_usd, 0)
    ) AS cost_usd,
    CASE WHEN had_response THEN o.latency_ms ELSE s.latency_ms END AS latency_ms,
    CASE WHEN had_response THEN o.answered ELSE s.answered END AS answered,
    CASE WHEN had_response THEN o.response_code ELSE s.code END AS response_code,
    CASE WHEN new_reward THEN w.reward ELSE o.reward END AS reward,
    CASE WHEN new_reward THEN w.revision ELSE o.reward_revision END AS reward_revision,
    CASE WHEN new_reward THEN w.rated ELSE o.rated END AS rated,
    CASE WHEN new_reward THEN w.evaluator ELSE o.evaluator END AS evaluator,
    CASE WHEN new_reward THEN w.strategy ELSE o.rewarded_strategy END AS rewarded_strategy,
    requested_at_us,
    routed_at_us,
    responded_at_us,
    CASE WHEN new_reward THEN w.occurred_at_us ELSE o.rewarded_at_us END AS rewarded_at_us,
    coalesce(
        requested_at_us, routed_at_us, responded_at_us, o.window_start_us, w.occurred_at_us, c.occurred_at_us
    ) // 3600000000 * 3600000000 AS window_start_us
FROM found
