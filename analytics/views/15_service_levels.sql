CREATE VIEW service_levels AS
WITH told AS (
    SELECT *, max(newest_at) OVER () AS newest FROM events.service_sums
),
counted AS (
    SELECT
        -- Five minutes for the last three days, which is what burn rates look at; hours before.
        CASE WHEN window_start < date_trunc('hour', newest) - INTERVAL 73 HOURS THEN date_trunc('hour', window_start) ELSE window_start END AS began,
        workflow,
        -- A request that never ended counts an hour after its five minutes: no request may wait for longer.
        sum(answerable + CASE WHEN window_start + INTERVAL 5 MINUTE <= newest - INTERVAL 1 HOUR THEN pending ELSE 0 END)::BIGINT AS expected,
        sum(answered)::BIGINT AS answered,
        sum(planned)::BIGINT AS planned,
        sum(in_200_ms)::BIGINT AS in_200_ms,
        sum(in_500_ms)::BIGINT AS in_500_ms,
        sum(in_1000_ms)::BIGINT AS in_1000_ms,
        sum(in_2000_ms)::BIGINT AS in_2000_ms,
        sum(in_3000_ms)::BIGINT AS in_3000_ms,
        sum(in_5000_ms)::BIGINT AS in_5000_ms,
        sum(in_10000_ms)::BIGINT AS in_10000_ms,
        sum(in_20000_ms)::BIGINT AS in_20000_ms,
        sum(in_30000_ms)::BIGINT AS in_30000_ms,
        sum(rewarded)::BIGINT AS rewarded,
        sum(good_50)::BIGINT AS good_50,
        sum(good_60)::BIGINT AS good_60,
        sum(good_70)::BIGINT AS good_70,
        sum(good_75)::BIGINT AS good_75,
        sum(good_80)::BIGINT AS good_80,
        sum(good_85)::BIGINT AS good_85,
        sum(good_90)::BIGINT AS good_90,
        sum(good_95)::BIGINT AS good_95
    FROM told
    GROUP BY began, workflow
)
SELECT began AS window_start, workflow, level, threshold, valid, good
FROM (
    SELECT began, workflow, 'answered' AS level, NULL::DOUBLE AS threshold, expected AS valid, answered AS good
    FROM counted
    UNION ALL
    SELECT began, workflow, 'latency', unnest([200, 500, 1000, 2000, 3000, 5000, 10000, 20000, 30000])::DOUBLE, planned, unnest([in_200_ms, in_500_ms, in_1000_ms, in_2000_ms, in_3000_ms, in_5000_ms, in_10000_ms, in_20000_ms, in_30000_ms])
    FROM counted
    UNION ALL
    SELECT began, workflow, 'floor', unnest([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])::DOUBLE, rewarded, unnest([good_50, good_60, good_70, good_75, good_80, good_85, good_90, good_95])
    FROM counted
)
WHERE valid > 0;

COMMENT ON VIEW service_levels IS 'How promises were kept, by five minutes (hours, three days back and more) and workflow: for each level and threshold, the requests that count and those that kept it.';
COMMENT ON COLUMN service_levels.window_start IS 'Beginning of the five minutes (of the hour, three days back and more) in which the requests were asked, UTC.';
COMMENT ON COLUMN service_levels.workflow IS 'The workflow; empty while it is not known.';
COMMENT ON COLUMN service_levels.level IS 'answered, latency or floor.';
COMMENT ON COLUMN service_levels.threshold IS 'For latency the milliseconds, for floor the reward that is promised; null for answered.';
COMMENT ON COLUMN service_levels.valid IS 'Requests that count: for answered those that may be answered, for latency those with a plan that ended, for floor the rewarded answers.';
COMMENT ON COLUMN service_levels.good IS 'Of these, those that kept the promise.';
