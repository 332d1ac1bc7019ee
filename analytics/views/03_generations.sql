CREATE VIEW generations AS
SELECT
    completed,
    event_id,
    occurred_at,
    tenant,
    conversation_id,
    request_id,
    routing_id,
    step,
    tries,
    strategy,
    model,
    provider,
    question,
    passages,
    text,
    finish_reason,
    input_tokens,
    output_tokens,
    cpu_seconds,
    cost_usd,
    retrieval_ms,
    latency_ms,
    code,
    error,
    partition,
    log_offset,
    logged_at
FROM (
    SELECT *, true AS completed FROM events.generation_completed
    UNION ALL BY NAME
    SELECT *, false AS completed FROM events.generation_failed
);

COMMENT ON VIEW generations IS 'One row a step of a plan that called a model, all tries together, with its text until the topics forget it (7 days).';
COMMENT ON COLUMN generations.completed IS 'Whether the model answered.';
COMMENT ON COLUMN generations.event_id IS 'Id of the event, computed from its cause.';
COMMENT ON COLUMN generations.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN generations.tenant IS 'Who asks and pays.';
COMMENT ON COLUMN generations.conversation_id IS 'The conversation.';
COMMENT ON COLUMN generations.request_id IS 'The request.';
COMMENT ON COLUMN generations.routing_id IS 'Event id of the plan that was carried out.';
COMMENT ON COLUMN generations.step IS 'Index of the plan''s step, 0 for the chosen strategy.';
COMMENT ON COLUMN generations.tries IS 'How many calls the provider needed, 1 or more.';
COMMENT ON COLUMN generations.strategy IS 'The strategy''s id.';
COMMENT ON COLUMN generations.model IS 'The model''s name.';
COMMENT ON COLUMN generations.provider IS 'The provider''s name.';
COMMENT ON COLUMN generations.question IS 'What was asked, the prompt filled in.';
COMMENT ON COLUMN generations.passages IS 'What the model was given to answer from.';
COMMENT ON COLUMN generations.text IS 'What it answered.';
COMMENT ON COLUMN generations.finish_reason IS 'The provider''s reason to stop.';
COMMENT ON COLUMN generations.input_tokens IS 'Tokens of the prompt, as the provider counted.';
COMMENT ON COLUMN generations.output_tokens IS 'Tokens of the answer, as the provider counted.';
COMMENT ON COLUMN generations.cpu_seconds IS 'CPU time of the call where the provider states it (the embedded models).';
COMMENT ON COLUMN generations.cost_usd IS 'Price of the call, in US dollars.';
COMMENT ON COLUMN generations.retrieval_ms IS 'Time to find the passages, in milliseconds.';
COMMENT ON COLUMN generations.latency_ms IS 'Time of the call with its retries, in milliseconds.';
COMMENT ON COLUMN generations.code IS 'provider_unavailable, provider_rejected or deadline_exceeded.';
COMMENT ON COLUMN generations.error IS 'What the provider said, without secrets; forgotten with the text.';
COMMENT ON COLUMN generations.partition IS 'Partition of the topic.';
COMMENT ON COLUMN generations.log_offset IS 'Offset in the partition.';
COMMENT ON COLUMN generations.logged_at IS 'Kafka''s time of the message, UTC.';
