CREATE VIEW stage_metrics AS
SELECT
    stage,
    worker,
    sequence,
    occurred_at,
    measure.name AS name,
    measure.value AS value
FROM (SELECT stage, worker, sequence, occurred_at, unnest(measures) AS measure FROM events.stage_measured);

COMMENT ON VIEW stage_metrics IS 'One row a measure that a stage reported; the names are those of streams/metrics.py.';
COMMENT ON COLUMN stage_metrics.stage IS 'The role.';
COMMENT ON COLUMN stage_metrics.worker IS 'The process.';
COMMENT ON COLUMN stage_metrics.sequence IS 'Number of the report of this process, from 0.';
COMMENT ON COLUMN stage_metrics.occurred_at IS 'When it was reported, UTC.';
COMMENT ON COLUMN stage_metrics.name IS 'The measure''s name; it ends with its unit.';
COMMENT ON COLUMN stage_metrics.value IS 'In that unit.';
