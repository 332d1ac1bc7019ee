CREATE VIEW model_calibration AS
SELECT
    day,
    workflow,
    strategy,
    decile,
    sum(requests)::BIGINT AS requests,
    sum(predicted_reward_sum) / sum(requests) AS predicted_quality,
    sum(observed_reward_sum) / sum(requests) AS observed_quality,
    events.deviation(sum(requests), sum(observed_reward_sum), sum(reward_square_sum)) AS reward_sd
FROM events.calibrated
GROUP BY day, workflow, strategy, decile;

COMMENT ON VIEW model_calibration IS 'Whether predictions can be taken at their word: predicted beside observed quality by day, workflow, chosen strategy and tenth of the prediction.';
COMMENT ON COLUMN model_calibration.day IS 'The day, UTC.';
COMMENT ON COLUMN model_calibration.workflow IS 'The workflow.';
COMMENT ON COLUMN model_calibration.strategy IS 'The strategy that was chosen.';
COMMENT ON COLUMN model_calibration.decile IS 'Tenth of the predicted quality: 1 is below 0.1, 10 is 0.9 and more.';
COMMENT ON COLUMN model_calibration.requests IS 'Answered requests with a reward whose strategy was drawn.';
COMMENT ON COLUMN model_calibration.predicted_quality IS 'Mean of the rewards that their plans expected.';
COMMENT ON COLUMN model_calibration.observed_quality IS 'Mean of their rewards.';
COMMENT ON COLUMN model_calibration.reward_sd IS 'Standard deviation of a single reward; null below two.';
