CREATE VIEW overrides AS
SELECT
    event_id,
    occurred_at,
    subject,
    name,
    value,
    reason,
    set_by,
    partition,
    log_offset,
    logged_at
FROM events.override_set;

COMMENT ON VIEW overrides IS 'Every emergency override that an operator set or cleared.';
COMMENT ON COLUMN overrides.event_id IS 'Id of the event, computed from its cause.';
COMMENT ON COLUMN overrides.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN overrides.subject IS 'override:NAME; the key on Kafka.';
COMMENT ON COLUMN overrides.name IS 'force_simple_agents, disable_graph_queries or max_chunk_size.';
COMMENT ON COLUMN overrides.value IS 'true, false, a number of characters; null clears it.';
COMMENT ON COLUMN overrides.reason IS 'Why, in the operator''s words.';
COMMENT ON COLUMN overrides.set_by IS 'Who, as the operator''s login says.';
COMMENT ON COLUMN overrides.partition IS 'Partition of the topic.';
COMMENT ON COLUMN overrides.log_offset IS 'Offset in the partition.';
COMMENT ON COLUMN overrides.logged_at IS 'Kafka''s time of the message, UTC.';
