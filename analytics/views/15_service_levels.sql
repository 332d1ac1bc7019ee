CREATE VIEW service_levels AS
WITH counted AS (
    SELECT
        *,
        -- A request that never ended counts an hour after its five minutes: no request may wait for longer.
        answerable + CASE WHEN window_start + INTERVAL 5 MINUTE <= max(newest_at) OVER () - INTERVAL 1 HOUR THEN pending ELSE 0 END AS expected
    FROM events.service_sums
)
SELECT window_start, workflow, level, threshold, valid, good
FROM (
    SELECT window_start, workflow, 'answered' AS level, NULL::DOUBLE AS threshold, expected AS valid, answered AS good
    FROM counted
    UNION ALL
    SELECT window_start, workflow, 'latency', unnest([200, 500, 1000, 2000, 3000, 5000, 10000, 20000, 30000])::DOUBLE, planned, unnest([in_200_ms, in_500_ms, in_1000_ms, in_2000_ms, in_3000_ms, in_5000_ms, in_10000_ms, in_20000_ms, in_30000_ms])
    FROM counted
    UNION ALL
    SELECT window_start, workflow, 'floor', unnest([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])::DOUBLE, rewarded, unnest([good_50, good_60, good_70, good_75, good_80, good_85, good_90, good_95])
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
