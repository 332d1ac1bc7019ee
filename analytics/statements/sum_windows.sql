-- The sums of the hours in `touched_window`, from scratch: a late reward or a repeat can never count twice.
-- What is not known yet is an empty name.
SELECT
    window_start_us,
    coalesce(workflow, '') AS workflow,
    tenant,
    coalesce(content_type, '') AS content_type,
    coalesce(band, '') AS band,
    coalesce(strategy, '') AS strategy,
    count(*) AS requests,
    count(*) FILTER (answered) AS answered,
    count(*) FILTER (NOT answered) AS failed,
    count(reward) AS rewarded,
    count(*) FILTER (rated) AS rated,
    coalesce(sum(reward), 0) AS reward_sum,
    coalesce(sum(reward * reward), 0) AS reward_square_sum,
    coalesce(sum(cost_usd), 0) AS cost_usd_sum,
    coalesce(sum(latency_ms) FILTER (answered), 0) AS latency_ms_sum,
    coalesce(max(latency_ms) FILTER (answered), 0) AS latency_ms_max,
    count(*) FILTER (answered AND step > 0) AS fallbacks
FROM outcome
WHERE window_start_us IN (SELECT window_start_us FROM touched_window)
GROUP BY ALL
