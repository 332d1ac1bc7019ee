CREATE VIEW regret AS
WITH total AS (
    SELECT
        workflow,
        strategy,
        sum(eligible)::BIGINT AS requests,
        sum(chosen)::BIGINT AS chosen,
        sum(reward_sum) / sum(eligible) AS quality,
        sum(fixed_reward_sum) / sum(eligible) AS fixed_quality,
        events.deviation(sum(eligible), sum(fixed_reward_sum) - sum(reward_sum), sum(regret_square_sum)) / sqrt(sum(eligible)) AS regret_se,
        sum(cost_usd_sum) / sum(eligible) AS cost_usd,
        sum(fixed_cost_usd_sum) / sum(eligible) AS fixed_cost_usd
    FROM events.judged
    GROUP BY workflow, strategy
    HAVING sum(chosen) > 0  -- of what was never tried there are predictions only
)
SELECT
    workflow,
    strategy AS best_fixed,
    requests,
    chosen,
    quality,
    fixed_quality,
    fixed_quality - quality AS regret,
    fixed_quality - quality - 1.96 * regret_se AS regret_lower,
    fixed_quality - quality + 1.96 * regret_se AS regret_upper,
    cost_usd,
    fixed_cost_usd
FROM total
QUALIFY row_number() OVER (PARTITION BY workflow ORDER BY fixed_quality DESC, strategy) = 1;

COMMENT ON VIEW regret IS 'What was lost against always taking the strategy that turned out best for a workflow, over all time, and what that would have cost.';
COMMENT ON COLUMN regret.workflow IS 'The workflow.';
COMMENT ON COLUMN regret.best_fixed IS 'The strategy with the highest estimated quality, were it always chosen where it is eligible.';
COMMENT ON COLUMN regret.requests IS 'Answered requests with a reward whose strategy was drawn, and for which it was eligible.';
COMMENT ON COLUMN regret.chosen IS 'Of these, how often it was chosen; what never was is not the best.';
COMMENT ON COLUMN regret.quality IS 'Mean of the rewards of these requests, as they were decided.';
COMMENT ON COLUMN regret.fixed_quality IS 'Estimate of the mean reward with the best strategy alone.';
COMMENT ON COLUMN regret.regret IS 'The difference, a request; below 0 the choices were better than any strategy alone.';
COMMENT ON COLUMN regret.regret_lower IS 'Lower end of the 95 % interval of the regret, the choice of the best strategy not counted.';
COMMENT ON COLUMN regret.regret_upper IS 'Upper end.';
COMMENT ON COLUMN regret.cost_usd IS 'Mean price of these requests, as they were decided, in US dollars.';
COMMENT ON COLUMN regret.fixed_cost_usd IS 'Estimate of the mean price with the best strategy alone, in US dollars.';
