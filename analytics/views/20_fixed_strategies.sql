CREATE VIEW fixed_strategies AS
SELECT
    CAST(window_start AS DATE) AS day,
    workflow,
    strategy,
    sum(eligible)::BIGINT AS requests,
    sum(chosen)::BIGINT AS chosen,
    sum(reward_sum) / sum(eligible) AS quality,
    sum(fixed_reward_sum) / sum(eligible) AS fixed_quality,
    (sum(fixed_reward_sum) - sum(reward_sum)) / sum(eligible) AS regret,
    events.deviation(sum(eligible), sum(fixed_reward_sum) - sum(reward_sum), sum(regret_square_sum)) / sqrt(sum(eligible)) AS regret_se,
    sum(cost_usd_sum) / sum(eligible) AS cost_usd,
    sum(fixed_cost_usd_sum) / sum(eligible) AS fixed_cost_usd
FROM events.judged
GROUP BY ALL;

COMMENT ON VIEW fixed_strategies IS 'What each strategy alone would have brought, by day and workflow, beside what the choices brought: the doubly robust estimate with exact propensities.';
COMMENT ON COLUMN fixed_strategies.day IS 'The day, UTC.';
COMMENT ON COLUMN fixed_strategies.workflow IS 'The workflow.';
COMMENT ON COLUMN fixed_strategies.strategy IS 'The strategy that would always have been chosen where it was eligible.';
COMMENT ON COLUMN fixed_strategies.requests IS 'Answered requests with a reward whose strategy was drawn, and for which it was eligible.';
COMMENT ON COLUMN fixed_strategies.chosen IS 'Of these, how often it was chosen.';
COMMENT ON COLUMN fixed_strategies.quality IS 'Mean of the rewards of these requests, as they were decided.';
COMMENT ON COLUMN fixed_strategies.fixed_quality IS 'Estimate of the mean reward with this strategy alone.';
COMMENT ON COLUMN fixed_strategies.regret IS 'What this strategy alone would have brought more, a request; below 0 the choices were better.';
COMMENT ON COLUMN fixed_strategies.regret_se IS 'Standard error of the regret; null below two requests.';
COMMENT ON COLUMN fixed_strategies.cost_usd IS 'Mean price of these requests, as they were decided, in US dollars.';
COMMENT ON COLUMN fixed_strategies.fixed_cost_usd IS 'Estimate of the mean price with this strategy alone, in US dollars.';
