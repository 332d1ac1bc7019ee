CREATE VIEW plans AS
SELECT
    event_id,
    occurred_at,
    tenant,
    conversation_id,
    request_id,
    workflow,
    priority,
    sensitivity,
    requested_at,
    demanded_strategy,
    steps,
    propensity,
    draw,
    candidates,
    exclusions,
    policy,
    profile_scope,
    profile_version,
    config_hash,
    content_type,
    content_type_confidence,
    complexity,
    features,
    encoder,
    feature_set,
    pinned,
    decided,
    overrides,
    experiment,
    branch,
    branch_share,
    quality_floor,
    floor_met,
    cost_ceiling_usd,
    fallback,
    deadline_at,
    max_answer_characters,
    reasoning,
    steps[1].strategy AS strategy,
    partition,
    log_offset,
    logged_at
FROM events.holding_plan;

COMMENT ON VIEW plans IS 'One row a request: the decision that holds, which is the first in its partition, with its evidence.';
COMMENT ON COLUMN plans.event_id IS 'Id of the event, computed from its cause.';
COMMENT ON COLUMN plans.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN plans.tenant IS 'Who asks and pays.';
COMMENT ON COLUMN plans.conversation_id IS 'The conversation; a request without one is its own, and then this is the request id. The key on Kafka.';
COMMENT ON COLUMN plans.request_id IS 'Unique within the conversation; the same id again is the same request, answered once and paid once.';
COMMENT ON COLUMN plans.workflow IS 'Name of the workflow that answers.';
COMMENT ON COLUMN plans.priority IS 'Overrides the workflow''s preferences.priority for this request.';
COMMENT ON COLUMN plans.sensitivity IS 'How far the text may travel: public, internal, or personal (only where the catalogue allows it).';
COMMENT ON COLUMN plans.requested_at IS 'When the request happened, UTC.';
COMMENT ON COLUMN plans.demanded_strategy IS 'The strategy that the caller demanded by id; null left the choice to the system.';
COMMENT ON COLUMN plans.steps IS 'The chosen strategy first, then the alternatives in the order in which they are tried.';
COMMENT ON COLUMN plans.propensity IS 'The probability with which the chosen strategy was chosen.';
COMMENT ON COLUMN plans.draw IS 'The number in [0, 1) that chose, a function of the request''s identity.';
COMMENT ON COLUMN plans.candidates IS 'Every eligible strategy.';
COMMENT ON COLUMN plans.exclusions IS 'Every other strategy of the catalogue.';
COMMENT ON COLUMN plans.policy IS 'Name and version of the policy: floor-softmax@1, or built-in-rules@1 where nothing was learned or learning is off.';
COMMENT ON COLUMN plans.profile_scope IS 'The scope whose profile was used.';
COMMENT ON COLUMN plans.profile_version IS 'Its version; 0 means nothing was learned yet.';
COMMENT ON COLUMN plans.config_hash IS 'Hash of the workflow, the catalogue and the settings in force.';
COMMENT ON COLUMN plans.content_type IS 'transactional, informational, support, general, or the user''s own.';
COMMENT ON COLUMN plans.content_type_confidence IS 'In [0, 1].';
COMMENT ON COLUMN plans.complexity IS '1 to 10.';
COMMENT ON COLUMN plans.features IS 'The feature vector: what a later policy needs to decide again, without the text.';
COMMENT ON COLUMN plans.encoder IS 'Name and version of the encoder.';
COMMENT ON COLUMN plans.feature_set IS 'Version of the feature set.';
COMMENT ON COLUMN plans.pinned IS 'The parts that the user stated.';
COMMENT ON COLUMN plans.decided IS 'The parts that the system chose.';
COMMENT ON COLUMN plans.overrides IS 'Emergency overrides in force.';
COMMENT ON COLUMN plans.experiment IS 'The experiment that the request is in; nothing where it is in none.';
COMMENT ON COLUMN plans.branch IS 'new or old: the version of the experiment that decided; the probabilities are those of this branch.';
COMMENT ON COLUMN plans.branch_share IS 'Probability with which a conversation gets the new version.';
COMMENT ON COLUMN plans.quality_floor IS 'The floor in force as an absolute reward, in [0, 1].';
COMMENT ON COLUMN plans.floor_met IS 'False where no eligible strategy was known to meet the floor, and the best one answers.';
COMMENT ON COLUMN plans.cost_ceiling_usd IS 'Most that the conversation may cost, in US dollars.';
COMMENT ON COLUMN plans.fallback IS 'Whether the alternatives may be tried.';
COMMENT ON COLUMN plans.deadline_at IS 'When the answer was no longer wanted, UTC.';
COMMENT ON COLUMN plans.max_answer_characters IS 'Longest answer; null means no limit.';
COMMENT ON COLUMN plans.reasoning IS 'A sentence with numbers: why this strategy.';
COMMENT ON COLUMN plans.strategy IS 'The chosen strategy: that of the first step.';
COMMENT ON COLUMN plans.partition IS 'Partition of the topic.';
COMMENT ON COLUMN plans.log_offset IS 'Offset in the partition.';
COMMENT ON COLUMN plans.logged_at IS 'Kafka''s time of the message, UTC.';
