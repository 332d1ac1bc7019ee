CREATE VIEW profiles AS
SELECT
    event_id,
    occurred_at,
    scope,
    version,
    parent,
    learner,
    kind,
    restored_version,
    beliefs,
    incumbents,
    graph_off,
    optimizations,
    evidence,
    sentence,
    heads,
    partition,
    log_offset,
    logged_at
FROM events.profile_updated;

COMMENT ON VIEW profiles IS 'One row a profile version, as it was published.';
COMMENT ON COLUMN profiles.event_id IS 'Id of the event, computed from its cause.';
COMMENT ON COLUMN profiles.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN profiles.scope IS 'The scope; the key on Kafka.';
COMMENT ON COLUMN profiles.version IS 'From 1, one more with each update.';
COMMENT ON COLUMN profiles.parent IS 'The version that it replaces; 0 for none.';
COMMENT ON COLUMN profiles.learner IS 'Name and version of the learner.';
COMMENT ON COLUMN profiles.kind IS 'learned or rolled_back.';
COMMENT ON COLUMN profiles.restored_version IS 'For a rollback, the version whose content this is.';
COMMENT ON COLUMN profiles.beliefs IS 'In the order content type, band, strategy.';
COMMENT ON COLUMN profiles.incumbents IS 'In the order content type, band.';
COMMENT ON COLUMN profiles.graph_off IS 'Content types without graph lookups.';
COMMENT ON COLUMN profiles.optimizations IS 'What changed against the parent.';
COMMENT ON COLUMN profiles.evidence IS 'What it was computed from.';
COMMENT ON COLUMN profiles.sentence IS 'What is new, in a sentence with numbers.';
COMMENT ON COLUMN profiles.heads IS 'What requests are decided by; NULL in profiles of the first release, and before feature vectors were logged.';
COMMENT ON COLUMN profiles.partition IS 'Partition of the topic.';
COMMENT ON COLUMN profiles.log_offset IS 'Offset in the partition.';
COMMENT ON COLUMN profiles.logged_at IS 'Kafka''s time of the message, UTC.';
