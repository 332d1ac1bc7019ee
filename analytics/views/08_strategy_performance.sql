CREATE VIEW strategy_performance AS
SELECT
    window_start, workflow, content_type, band, strategy,
    requests, answered, failed, rewarded, rated, fallbacks,
    reward_sum / nullif(rewarded, 0) AS mean_reward,
    events.deviation(rewarded, reward_sum, reward_square_sum) AS reward_sd,
    cost_usd_sum AS cost_usd,
    cost_usd_sum / requests AS mean_cost_usd,
    latency_ms_sum / nullif(answered, 0) AS mean_latency_ms,
    latency_ms_max AS max_latency_ms
FROM events.strategy_hours;

COMMENT ON VIEW strategy_performance IS 'How strategies did, by hour, workflow, content type, complexity band and strategy; all tenants. Add up counts, never means.';
COMMENT ON COLUMN strategy_performance.window_start IS 'Beginning of the hour, UTC.';
COMMENT ON COLUMN strategy_performance.workflow IS 'The workflow; empty while it is not known.';
COMMENT ON COLUMN strategy_performance.content_type IS 'The content type; empty where there was no plan.';
COMMENT ON COLUMN strategy_performance.band IS 'Complexity band; empty where there was no plan.';
COMMENT ON COLUMN strategy_performance.strategy IS 'The strategy; empty where there was no plan.';
COMMENT ON COLUMN strategy_performance.requests IS 'Requests.';
COMMENT ON COLUMN strategy_performance.answered IS 'Of these, answered.';
COMMENT ON COLUMN strategy_performance.failed IS 'Of these, failed.';
COMMENT ON COLUMN strategy_performance.rewarded IS 'Of these, with a reward.';
COMMENT ON COLUMN strategy_performance.rated IS 'Of these, rated by users.';
COMMENT ON COLUMN strategy_performance.fallbacks IS 'Answered by an alternative of their plan.';
COMMENT ON COLUMN strategy_performance.mean_reward IS 'Mean of the rewards, in [0, 1]; null where there is none.';
COMMENT ON COLUMN strategy_performance.reward_sd IS 'Standard deviation of the rewards; null below two.';
COMMENT ON COLUMN strategy_performance.cost_usd IS 'Price of all calls, in US dollars.';
COMMENT ON COLUMN strategy_performance.mean_cost_usd IS 'Price a request, in US dollars.';
COMMENT ON COLUMN strategy_performance.mean_latency_ms IS 'Mean time of answered requests, in milliseconds.';
COMMENT ON COLUMN strategy_performance.max_latency_ms IS 'Longest time of an answered request, in milliseconds.';
