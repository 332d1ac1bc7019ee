CREATE VIEW model_drift AS
SELECT
    window_start,
    workflow,
    strategy,
    sum(chosen)::BIGINT AS requests,
    sum(predicted_reward_sum) / sum(chosen) AS predicted_quality,
    sum(observed_reward_sum) / sum(chosen) AS observed_quality,
    (sum(observed_reward_sum) - sum(predicted_reward_sum)) / sum(chosen) AS residual,
    events.deviation(sum(chosen), sum(observed_reward_sum) - sum(predicted_reward_sum), sum(residual_square_sum)) AS residual_sd,
    sum(predicted_cost_usd_sum) / sum(chosen) AS predicted_cost_usd,
    sum(observed_cost_usd_sum) / sum(chosen) AS observed_cost_usd
FROM events.judged
GROUP BY window_start, workflow, strategy
HAVING sum(chosen) > 0;

COMMENT ON VIEW model_drift IS 'How far predictions were off, by hour, workflow and chosen strategy: of answered requests with a reward whose strategy was drawn.';
COMMENT ON COLUMN model_drift.window_start IS 'Beginning of the hour, UTC.';
COMMENT ON COLUMN model_drift.workflow IS 'The workflow.';
COMMENT ON COLUMN model_drift.strategy IS 'The strategy that was chosen.';
COMMENT ON COLUMN model_drift.requests IS 'Requests for which it was chosen.';
COMMENT ON COLUMN model_drift.predicted_quality IS 'Mean of the rewards that their plans expected.';
COMMENT ON COLUMN model_drift.observed_quality IS 'Mean of their rewards.';
COMMENT ON COLUMN model_drift.residual IS 'Observed less predicted: below 0 it did worse than was believed.';
COMMENT ON COLUMN model_drift.residual_sd IS 'Standard deviation of a single residual; null below two. The mean''s is this over the root of the requests.';
COMMENT ON COLUMN model_drift.predicted_cost_usd IS 'Mean of the prices that their plans expected, in US dollars.';
COMMENT ON COLUMN model_drift.observed_cost_usd IS 'Mean of their prices, in US dollars.';
