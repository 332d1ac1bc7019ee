CREATE VIEW rollbacks AS
SELECT
    p.occurred_at AS occurred_at,
    'profile' AS kind,
    p.scope AS name,
    p.optimizations[1].before AS before,
    p.optimizations[1].after AS after,
    'operator' AS cause,
    coalesce(o.reason, '') AS reason,
    coalesce(o.ordered_by, '') AS ordered_by,
    p.sentence AS sentence
FROM events.profile_updated p
LEFT JOIN events.rollback_ordered o
    ON o.scope = p.scope AND o.occurred_at = p.occurred_at AND o.to_version = p.restored_version
WHERE p.kind = 'rolled_back'
UNION ALL
SELECT
    occurred_at,
    'experiment',
    experiment.name,
    experiment.kind || ' ' || experiment.version,
    'what was before',
    CASE WHEN stepped_by = '' THEN 'evidence' ELSE 'operator' END,
    reason,
    stepped_by,
    reason
FROM events.experiment_stepped
WHERE state = 'rolled_back';

COMMENT ON VIEW rollbacks IS 'Everything that was taken back, and why: profiles on an operator''s order, experiments by their evidence.';
COMMENT ON COLUMN rollbacks.occurred_at IS 'When it happened, UTC.';
COMMENT ON COLUMN rollbacks.kind IS 'profile or experiment.';
COMMENT ON COLUMN rollbacks.name IS 'The profile''s scope, or the experiment''s name.';
COMMENT ON COLUMN rollbacks.before IS 'What was taken back.';
COMMENT ON COLUMN rollbacks.after IS 'What holds since.';
COMMENT ON COLUMN rollbacks.cause IS 'operator or evidence.';
COMMENT ON COLUMN rollbacks.reason IS 'Why: the operator''s words, or what the evidence said.';
COMMENT ON COLUMN rollbacks.ordered_by IS 'Who ordered it; empty where the evidence did.';
COMMENT ON COLUMN rollbacks.sentence IS 'The same in a sentence.';
