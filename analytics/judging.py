"""How the decisions came out: what was predicted beside what was observed, and what each strategy alone would have brought.

In: nothing. Out: the queries of two exports, ``judged`` and ``calibrated``, for one slice of the outcomes. Keeps nothing. Cannot
fail.

Both stand on answered requests with a reward and a plan that was drawn: where a caller demanded the strategy there was no
choice. A request counts for the chosen strategy and its whole plan: where a later step answered, that is what choosing the
strategy brought.

What a strategy alone would have brought of a request is the doubly robust estimate: the prediction that the plan states, and
where the strategy was the chosen one, what that prediction was off by, over the propensity. The predictions were made before
the outcome, and the propensities are exact, so the mean is right however wrong the predictions are; good predictions make it
precise.

    V(s) = mean of q(s) + [a = s] (r - q(s)) / p(a)    (Dudik, Langford, Li, "Doubly robust policy evaluation and learning", 2011)
"""

_DRAWN = """
    SELECT o.window_start_us, coalesce(o.workflow, '') AS workflow, o.chosen_strategy, o.propensity, o.reward, o.cost_usd,
        p.probabilities, p.qualities, p.costs_usd
    FROM (FROM outcome WHERE slice = {part}) o JOIN (FROM outcome_plan WHERE slice = {part}) p USING (request_key)
    WHERE o.answered AND o.reward IS NOT NULL AND o.propensity > 0 AND NOT o.demanded AND p.qualities IS NOT NULL
"""
JUDGED = f"""
    SELECT make_timestamp(window_start_us) AS window_start, workflow, strategy,
        count(*) AS eligible,
        sum(reward) AS reward_sum,
        sum(cost_usd) AS cost_usd_sum,
        sum(fixed_reward) AS fixed_reward_sum,
        sum(fixed_cost_usd) AS fixed_cost_usd_sum,
        sum((fixed_reward - reward) ** 2) AS regret_square_sum,
        count(*) FILTER (is_chosen) AS chosen,
        coalesce(sum(quality) FILTER (is_chosen), 0) AS predicted_reward_sum,
        coalesce(sum(reward) FILTER (is_chosen), 0) AS observed_reward_sum,
        coalesce(sum((reward - quality) ** 2) FILTER (is_chosen), 0) AS residual_square_sum,
        coalesce(sum(expected_cost_usd) FILTER (is_chosen), 0) AS predicted_cost_usd_sum,
        coalesce(sum(cost_usd) FILTER (is_chosen), 0) AS observed_cost_usd_sum
    FROM (
        SELECT *, strategy = chosen_strategy AS is_chosen,
            quality + CASE WHEN strategy = chosen_strategy THEN (reward - quality) / propensity ELSE 0 END AS fixed_reward,
            expected_cost_usd + CASE WHEN strategy = chosen_strategy THEN (cost_usd - expected_cost_usd) / propensity ELSE 0 END
                AS fixed_cost_usd
        FROM (
            SELECT window_start_us, workflow, chosen_strategy, propensity, reward, cost_usd,
                unnest(probabilities).strategy AS strategy, round(unnest(qualities)::DOUBLE, 6) AS quality,
                round(unnest(costs_usd)::DOUBLE, 10) AS expected_cost_usd
            FROM ({_DRAWN})
        )
    )
    GROUP BY ALL
"""  # noqa: S608 - queries of ours
"""By hour, workflow and eligible strategy: what it alone would have brought, and predictions of the requests it was chosen for."""
CALIBRATED = f"""
    SELECT make_timestamp(window_start_us)::DATE AS day, workflow, chosen_strategy AS strategy,
        least(floor(10 * quality), 9)::INTEGER + 1 AS decile,
        count(*) AS requests, sum(quality) AS predicted_reward_sum,
        sum(reward) AS observed_reward_sum, sum(reward ** 2) AS reward_square_sum
    FROM (
        SELECT *, round(
            qualities[list_position(list_transform(probabilities, lambda each: each.strategy), chosen_strategy)]::DOUBLE, 6
        ) AS quality
        FROM ({_DRAWN})
    )
    WHERE quality IS NOT NULL
    GROUP BY ALL
"""  # noqa: S608 - queries of ours
"""By day, workflow, chosen strategy and tenth of the predicted reward (1: up to 0.1): predictions and rewards."""
