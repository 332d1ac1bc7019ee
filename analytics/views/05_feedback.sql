CREATE VIEW feedback AS
SELECT
    event_id,
    occurred_at,
    tenant,
    conversation_id,
    request_id,
    source,
    kind,
    value,
    comment,
    partition,
    log_offset,
    logged_at
FROM events.feedback_given;

COMMENT ON VIEW feedback IS 'One row a raw signal about an answer.';
COMMENT ON COLUMN feedback.event_id IS 'Id of the event, computed from its cause.';
COMMENT ON COLUMN feedback.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN feedback.tenant IS 'Who asked.';
COMMENT ON COLUMN feedback.conversation_id IS 'The conversation.';
COMMENT ON COLUMN feedback.request_id IS 'The request that was answered.';
COMMENT ON COLUMN feedback.source IS 'user (said) or implicit (done).';
COMMENT ON COLUMN feedback.kind IS 'rating 1 to 5, thumb 0 or 1, edit 0 to 1 (share of the text changed), retry 1, abandon 1.';
COMMENT ON COLUMN feedback.value IS 'In the range of its kind.';
COMMENT ON COLUMN feedback.comment IS 'What the user wrote about it.';
COMMENT ON COLUMN feedback.partition IS 'Partition of the topic.';
COMMENT ON COLUMN feedback.log_offset IS 'Offset in the partition.';
COMMENT ON COLUMN feedback.logged_at IS 'Kafka''s time of the message, UTC.';
