CREATE VIEW strategy_totals AS
SELECT
    coalesce(workflow, '') AS workflow,
    coalesce(content_type, '') AS content_type,
    coalesce(strategy, '') AS strategy,
    count(*) AS requests,
    count(*) FILTER (answered) AS answered,
    count(*) FILTER (NOT answered) AS failed,
    count(reward) AS rewarded,
    count(*) FILTER (rated) AS rated,
    count(*) FILTER (answered AND step > 0) AS fallbacks,
    avg(reward) AS mean_reward,
    stddev_samp(reward) AS reward_sd,
    sum(cost_usd) AS cost_usd,
    avg(cost_usd) AS mean_cost_usd,
    avg(latency_ms) FILTER (answered) AS mean_latency_ms,
    quantile_cont(latency_ms, 0.5) FILTER (answered) AS p50_latency_ms,
    quantile_cont(latency_ms, 0.95) FILTER (answered) AS p95_latency_ms
FROM events.outcome
GROUP BY ALL;

COMMENT ON VIEW strategy_totals IS 'How strategies did over all time, by workflow, content type and strategy; all tenants and bands, with exact percentiles of the latency.';
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
COMMENT ON COLUMN strategy_totals.p50_latency_ms IS 'Median time of answered requests, in milliseconds.';
COMMENT ON COLUMN strategy_totals.p95_latency_ms IS '95 % of answered requests took at most this, in milliseconds.';
