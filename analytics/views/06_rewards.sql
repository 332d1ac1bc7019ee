CREATE VIEW rewards AS
SELECT
    event_id,
    occurred_at,
    tenant,
    conversation_id,
    request_id,
    workflow,
    strategy,
    routing_id,
    revision,
    reward,
    rated,
    parts,
    evaluator,
    cause_id,
    partition,
    log_offset,
    logged_at
FROM events.reward_computed;

COMMENT ON VIEW rewards IS 'One row a computed reward, all revisions; outcomes has the one that holds.';
COMMENT ON COLUMN rewards.event_id IS 'Id of the event, computed from its cause.';
COMMENT ON COLUMN rewards.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN rewards.tenant IS 'Who asked.';
COMMENT ON COLUMN rewards.conversation_id IS 'The conversation.';
COMMENT ON COLUMN rewards.request_id IS 'The request.';
COMMENT ON COLUMN rewards.workflow IS 'The workflow that answered.';
COMMENT ON COLUMN rewards.strategy IS 'The strategy that answered.';
COMMENT ON COLUMN rewards.routing_id IS 'Event id of the plan.';
COMMENT ON COLUMN rewards.revision IS '0 for the first reward, then one more with each feedback.';
COMMENT ON COLUMN rewards.reward IS 'In [0, 1].';
COMMENT ON COLUMN rewards.rated IS 'True where a user''s feedback is in it, false where only automatic scores are.';
COMMENT ON COLUMN rewards.parts IS 'What it is made of.';
COMMENT ON COLUMN rewards.evaluator IS 'Name and version of the rule, reward@1.';
COMMENT ON COLUMN rewards.cause_id IS 'Event id of the feedback or response that led to it.';
COMMENT ON COLUMN rewards.partition IS 'Partition of the topic.';
COMMENT ON COLUMN rewards.log_offset IS 'Offset in the partition.';
COMMENT ON COLUMN rewards.logged_at IS 'Kafka''s time of the message, UTC.';
