CREATE VIEW responses AS
SELECT
    answered,
    event_id,
    occurred_at,
    tenant,
    conversation_id,
    request_id,
    workflow,
    text,
    strategy,
    model,
    routing_id,
    generation_id,
    profile_scope,
    profile_version,
    content_type,
    complexity,
    step,
    sources,
    cost_usd,
    latency_ms,
    reasoning,
    code,
    error,
    remedy,
    partition,
    log_offset,
    logged_at
FROM (
    SELECT *, true AS answered FROM events.response_ready
    UNION ALL BY NAME
    SELECT *, false AS answered FROM events.response_failed
);

COMMENT ON VIEW responses IS 'One row a terminal response, with its text until the topics forget it (7 days).';
COMMENT ON COLUMN responses.answered IS 'Whether there is an answer; where not, see code and error.';
COMMENT ON COLUMN responses.event_id IS 'Id of the event, computed from its cause.';
COMMENT ON COLUMN responses.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN responses.tenant IS 'Who asked and pays.';
COMMENT ON COLUMN responses.conversation_id IS 'The conversation.';
COMMENT ON COLUMN responses.request_id IS 'The request.';
COMMENT ON COLUMN responses.workflow IS 'The workflow that answered.';
COMMENT ON COLUMN responses.text IS 'The answer.';
COMMENT ON COLUMN responses.strategy IS 'The strategy that answered.';
COMMENT ON COLUMN responses.model IS 'The model that answered.';
COMMENT ON COLUMN responses.routing_id IS 'Event id of the plan.';
COMMENT ON COLUMN responses.generation_id IS 'Event id of the call that gave the answer.';
COMMENT ON COLUMN responses.profile_scope IS 'The scope whose profile decided.';
COMMENT ON COLUMN responses.profile_version IS 'Its version.';
COMMENT ON COLUMN responses.content_type IS 'The request''s content type.';
COMMENT ON COLUMN responses.complexity IS 'The request''s complexity, 1 to 10.';
COMMENT ON COLUMN responses.step IS 'Index of the plan''s step that answered: 0 unless the chosen strategy failed.';
COMMENT ON COLUMN responses.sources IS 'Ids of the passages given to the model; forgotten with the text.';
COMMENT ON COLUMN responses.cost_usd IS 'Price of all calls for this request, in US dollars.';
COMMENT ON COLUMN responses.latency_ms IS 'From the request''s occurred_at_us to the answer, in milliseconds.';
COMMENT ON COLUMN responses.reasoning IS 'Why it was answered so, in a sentence with numbers; forgotten with the text.';
COMMENT ON COLUMN responses.code IS 'One of the closed catalogue of error codes (docs/errors.md).';
COMMENT ON COLUMN responses.error IS 'What went wrong, in a sentence; forgotten with the text.';
COMMENT ON COLUMN responses.remedy IS 'What the caller can do.';
COMMENT ON COLUMN responses.partition IS 'Partition of the topic.';
COMMENT ON COLUMN responses.log_offset IS 'Offset in the partition.';
COMMENT ON COLUMN responses.logged_at IS 'Kafka''s time of the message, UTC.';
