CREATE VIEW service_levels AS
WITH newest AS (SELECT max(requested_at_us) AS at_us FROM events.outcome),
counted AS (
    SELECT
        requested_at_us // 300000000 * 300000000 AS window_start_us,
        coalesce(workflow, '') AS workflow,
        -- A request that never ended counts an hour after it was asked: no request may wait for longer.
        count(*) FILTER (CASE
            WHEN answered IS NULL THEN requested_at_us < newest.at_us - 3600000000
            ELSE answered OR response_code NOT IN (
                'cost_ceiling_reached', 'empty_message', 'invalid_request', 'message_too_long',
                'no_eligible_strategy', 'unknown_strategy', 'unknown_workflow'
            )
        END) AS answerable,
        count(*) FILTER (answered) AS answered,
        count(*) FILTER (answered IS NOT NULL AND routed_at_us IS NOT NULL) AS planned,
        [
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 200),
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 500),
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 1000),
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 2000),
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 3000),
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 5000),
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 10000),
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 20000),
            count(*) FILTER (routed_at_us IS NOT NULL AND latency_ms <= 30000)
        ] AS in_time,
        count(reward) FILTER (answered) AS rewarded,
        [
            count(*) FILTER (answered AND reward >= 0.5),
            count(*) FILTER (answered AND reward >= 0.6),
            count(*) FILTER (answered AND reward >= 0.7),
            count(*) FILTER (answered AND reward >= 0.75),
            count(*) FILTER (answered AND reward >= 0.8),
            count(*) FILTER (answered AND reward >= 0.85),
            count(*) FILTER (answered AND reward >= 0.9),
            count(*) FILTER (answered AND reward >= 0.95)
        ] AS good
    FROM events.outcome, newest
    WHERE requested_at_us IS NOT NULL
    GROUP BY ALL
)
SELECT make_timestamp(window_start_us) AS window_start, workflow, level, threshold, valid, good
FROM (
    SELECT window_start_us, workflow, 'answered' AS level, NULL::DOUBLE AS threshold, answerable AS valid, answered AS good
    FROM counted
    UNION ALL
    SELECT window_start_us, workflow, 'latency', unnest([200, 500, 1000, 2000, 3000, 5000, 10000, 20000, 30000])::DOUBLE, planned, unnest(in_time)
    FROM counted
    UNION ALL
    SELECT window_start_us, workflow, 'floor', unnest([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])::DOUBLE, rewarded, unnest(good)
    FROM counted
)
WHERE valid > 0;

COMMENT ON VIEW service_levels IS 'How promises were kept, by five minutes and workflow: for each level and threshold, the requests that count and those that kept it.';
COMMENT ON COLUMN service_levels.window_start IS 'Beginning of the five minutes in which the requests were asked, UTC.';
COMMENT ON COLUMN service_levels.workflow IS 'The workflow; empty while it is not known.';
COMMENT ON COLUMN service_levels.level IS 'answered, latency or floor.';
COMMENT ON COLUMN service_levels.threshold IS 'For latency the milliseconds, for floor the reward that is promised; null for answered.';
COMMENT ON COLUMN service_levels.valid IS 'Requests that count: for answered those that may be answered, for latency those with a plan that ended, for floor the rewarded answers.';
COMMENT ON COLUMN service_levels.good IS 'Of these, those that kept the promise.';
