CREATE VIEW strategy_totals AS
WITH total AS (
    SELECT
        workflow, content_type, strategy,
        sum(requests)::BIGINT AS requests,
        sum(answered)::BIGINT AS answered,
        sum(failed)::BIGINT AS failed,
        sum(rewarded)::BIGINT AS rewarded,
        sum(rated)::BIGINT AS rated,
        sum(fallbacks)::BIGINT AS fallbacks,
        sum(reward_sum) AS reward_sum,
        sum(reward_square_sum) AS reward_square_sum,
        sum(cost_usd_sum) AS cost_usd,
        sum(latency_ms_sum) AS latency_ms_sum
    FROM events.strategy_hours
    GROUP BY ALL
)
SELECT
    workflow, content_type, strategy,
    requests, answered, failed, rewarded, rated, fallbacks,
    reward_sum / nullif(rewarded, 0) AS mean_reward,
    events.deviation(rewarded, reward_sum, reward_square_sum) AS reward_sd,
    cost_usd,
    cost_usd / requests AS mean_cost_usd,
    latency_ms_sum / nullif(answered, 0) AS mean_latency_ms,
    p50_latency_ms,
    p95_latency_ms
FROM total LEFT JOIN events.latency_percentiles USING (workflow, content_type, strategy);

COMMENT ON VIEW strategy_totals IS 'How strategies did over all time, by workflow, content type and strategy; all tenants and bands, with percentiles of the latency.';
COMMENT ON COLUMN strategy_totals.workflow IS 'The workflow; empty while it is not known.';
COMMENT ON COLUMN strategy_totals.content_type IS 'The content type; empty where there was no plan.';
COMMENT ON COLUMN strategy_totals.strategy IS 'The strategy; empty where there was no plan.';
COMMENT ON COLUMN strategy_totals.requests IS 'Requests.';
COMMENT ON COLUMN strategy_totals.answered IS 'Of these, answered.';
COMMENT ON COLUMN strategy_totals.failed IS 'Of these, failed.';
COMMENT ON COLUMN strategy_totals.rewarded IS 'Of these, with a reward.';
COMMENT ON COLUMN strategy_totals.rated IS 'Of these, rated by users.';
COMMENT ON COLUMN strategy_totals.fallbacks IS 'Answered by an alternative of their plan.';
COMMENT ON COLUMN strategy_totals.mean_reward IS 'Mean of the rewards, in [0, 1]; null where there is none.';
COMMENT ON COLUMN strategy_totals.reward_sd IS 'Standard deviation of the rewards; null below two.';
COMMENT ON COLUMN strategy_totals.cost_usd IS 'Price of all calls, in US dollars.';
COMMENT ON COLUMN strategy_totals.mean_cost_usd IS 'Price a request, in US dollars.';
COMMENT ON COLUMN strategy_totals.mean_latency_ms IS 'Mean time of answered requests, in milliseconds.';
COMMENT ON COLUMN strategy_totals.p50_latency_ms IS 'Median time of answered requests, in milliseconds, within 0.5 %.';
COMMENT ON COLUMN strategy_totals.p95_latency_ms IS '95 % of answered requests took at most this, in milliseconds, within 0.5 %.';
