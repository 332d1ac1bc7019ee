CREATE VIEW requests AS
SELECT
    event_id,
    occurred_at,
    tenant,
    conversation_id,
    request_id,
    workflow,
    message,
    history,
    documents,
    variables,
    strategy,
    priority,
    sensitivity,
    deadline_ms,
    stream,
    partition,
    log_offset,
    logged_at
FROM events.request_received;

COMMENT ON VIEW requests IS 'One row a request event as it came, with its text until the topics forget it (7 days).';
COMMENT ON COLUMN requests.event_id IS 'Id of the event, computed from its cause.';
COMMENT ON COLUMN requests.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN requests.tenant IS 'Who asks and pays.';
COMMENT ON COLUMN requests.conversation_id IS 'The conversation; a request without one is its own, and then this is the request id. The key on Kafka.';
COMMENT ON COLUMN requests.request_id IS 'Unique within the conversation; the same id again is the same request, answered once and paid once.';
COMMENT ON COLUMN requests.workflow IS 'Name of the workflow that answers.';
COMMENT ON COLUMN requests.message IS 'What the user wrote, at most 65,536 characters.';
COMMENT ON COLUMN requests.history IS 'Earlier turns, oldest first.';
COMMENT ON COLUMN requests.documents IS 'Documents to answer from, besides the workflow''s sources.';
COMMENT ON COLUMN requests.variables IS 'Values for the other variables of the workflow''s prompt.';
COMMENT ON COLUMN requests.strategy IS 'A strategy that the caller demands by id; null leaves the choice to the system.';
COMMENT ON COLUMN requests.priority IS 'Overrides the workflow''s preferences.priority for this request.';
COMMENT ON COLUMN requests.sensitivity IS 'How far the text may travel: public, internal, or personal (only where the catalogue allows it).';
COMMENT ON COLUMN requests.deadline_ms IS 'How long the caller waits, counted from occurred_at_us; null means the settings'' deadline.';
COMMENT ON COLUMN requests.stream IS 'Whether tokens are published to response-chunks as they arrive.';
COMMENT ON COLUMN requests.partition IS 'Partition of the topic.';
COMMENT ON COLUMN requests.log_offset IS 'Offset in the partition.';
COMMENT ON COLUMN requests.logged_at IS 'Kafka''s time of the message, UTC.';
