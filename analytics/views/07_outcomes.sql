CREATE VIEW outcomes AS
SELECT
    tenant,
    conversation_id,
    request_id,
    workflow,
    scope,
    content_type,
    content_type_confidence,
    complexity,
    band,
    strategy,
    chosen_strategy,
    propensity,
    probabilities,
    demanded,
    pinned,
    routing_id,
    policy,
    profile_version,
    features,
    encoder,
    feature_set,
    step,
    model,
    calls,
    call_cost_usd,
    response_cost_usd,
    cost_usd,
    latency_ms,
    answered,
    response_code,
    reward,
    reward_revision,
    rated,
    evaluator,
    requested_at,
    routed_at,
    responded_at,
    rewarded_at,
    window_start
FROM events.outcome;

COMMENT ON VIEW outcomes IS 'One row a request: plan, calls, response and reward joined. What is null is not known yet.';
COMMENT ON COLUMN outcomes.tenant IS 'Who asked and pays.';
COMMENT ON COLUMN outcomes.conversation_id IS 'The conversation.';
COMMENT ON COLUMN outcomes.request_id IS 'Unique within the conversation.';
COMMENT ON COLUMN outcomes.workflow IS 'The workflow that answers.';
COMMENT ON COLUMN outcomes.scope IS 'The profile''s scope.';
COMMENT ON COLUMN outcomes.content_type IS 'What kind of request it is.';
COMMENT ON COLUMN outcomes.content_type_confidence IS 'In [0, 1].';
COMMENT ON COLUMN outcomes.complexity IS '1 to 10.';
COMMENT ON COLUMN outcomes.band IS 'Complexity band: low (1 to 3), middle (4 to 7), high (8 to 10).';
COMMENT ON COLUMN outcomes.strategy IS 'The strategy that answered; the chosen one while there is no answer.';
COMMENT ON COLUMN outcomes.chosen_strategy IS 'The strategy that was chosen.';
COMMENT ON COLUMN outcomes.propensity IS 'The probability with which it was chosen.';
COMMENT ON COLUMN outcomes.probabilities IS 'Every eligible strategy with its probability.';
COMMENT ON COLUMN outcomes.demanded IS 'Whether the caller demanded the strategy.';
COMMENT ON COLUMN outcomes.pinned IS 'The parts that the workflow stated.';
COMMENT ON COLUMN outcomes.routing_id IS 'Event id of the plan that holds.';
COMMENT ON COLUMN outcomes.policy IS 'Name and version of the policy.';
COMMENT ON COLUMN outcomes.profile_version IS 'Version of the profile that decided; 0 means that nothing was learned yet.';
COMMENT ON COLUMN outcomes.features IS 'The feature vector.';
COMMENT ON COLUMN outcomes.encoder IS 'Name and version of the encoder.';
COMMENT ON COLUMN outcomes.feature_set IS 'Version of the feature set.';
COMMENT ON COLUMN outcomes.step IS 'Index of the plan''s step that answered: 0 unless the chosen strategy failed.';
COMMENT ON COLUMN outcomes.model IS 'The model that answered.';
COMMENT ON COLUMN outcomes.calls IS 'Language-model calls.';
COMMENT ON COLUMN outcomes.call_cost_usd IS 'Price of these calls, in US dollars.';
COMMENT ON COLUMN outcomes.response_cost_usd IS 'Price that the response states, in US dollars.';
COMMENT ON COLUMN outcomes.cost_usd IS 'Price of all calls, in US dollars: the response''s, or the calls'' while there is none.';
COMMENT ON COLUMN outcomes.latency_ms IS 'From the request to its end, in milliseconds.';
COMMENT ON COLUMN outcomes.answered IS 'True answered, false failed, null not ended yet.';
COMMENT ON COLUMN outcomes.response_code IS 'The error code where it failed.';
COMMENT ON COLUMN outcomes.reward IS 'The reward that holds, in [0, 1]; null while there is none.';
COMMENT ON COLUMN outcomes.reward_revision IS 'Its revision.';
COMMENT ON COLUMN outcomes.rated IS 'Whether a user''s feedback is in the reward.';
COMMENT ON COLUMN outcomes.evaluator IS 'Name and version of the rule that computed it.';
COMMENT ON COLUMN outcomes.requested_at IS 'When it was asked, UTC.';
COMMENT ON COLUMN outcomes.routed_at IS 'When it was decided, UTC.';
COMMENT ON COLUMN outcomes.responded_at IS 'When it ended, UTC.';
COMMENT ON COLUMN outcomes.rewarded_at IS 'When the reward was computed, UTC.';
COMMENT ON COLUMN outcomes.window_start IS 'The hour that it counts in, UTC.';
