CREATE VIEW quality_falls AS
SELECT
    workflow,
    measure,
    make_timestamp(since_us) AS since,
    make_timestamp(earliest_us) AS earliest,
    make_timestamp(latest_us) AS latest,
    "before" AS quality_before,
    "after" AS quality_after,
    chance,
    requests_before,
    requests_after,
    sentence,
    advice,
    parts,
    occurred_at,
    event_id
FROM events.quality_fell
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY partition, log_offset) = 1;

COMMENT ON VIEW quality_falls IS 'Every fall of quality or satisfaction that a diagnosis published, with what accounts for it and what to do.';
COMMENT ON COLUMN quality_falls.workflow IS 'The workflow.';
COMMENT ON COLUMN quality_falls.measure IS 'quality (the reward, 0 for a failure), or satisfaction (rated answers only).';
COMMENT ON COLUMN quality_falls.since IS 'When it fell, UTC.';
COMMENT ON COLUMN quality_falls.earliest IS 'The earliest that it may have been, UTC.';
COMMENT ON COLUMN quality_falls.latest IS 'The latest, UTC.';
COMMENT ON COLUMN quality_falls.quality_before IS 'The mean before.';
COMMENT ON COLUMN quality_falls.quality_after IS 'The mean after.';
COMMENT ON COLUMN quality_falls.chance IS 'How likely so large a fall would be if nothing had changed.';
COMMENT ON COLUMN quality_falls.requests_before IS 'Requests before it.';
COMMENT ON COLUMN quality_falls.requests_after IS 'Requests after it.';
COMMENT ON COLUMN quality_falls.sentence IS 'The fall and the most likely cause in words.';
COMMENT ON COLUMN quality_falls.advice IS 'What to do, the most likely first: kind, sentence, command.';
COMMENT ON COLUMN quality_falls.parts IS 'What accounts for it: dimension, group, shares and means before and after, within and mix.';
COMMENT ON COLUMN quality_falls.occurred_at IS 'When the newest of the requests was asked, UTC.';
COMMENT ON COLUMN quality_falls.event_id IS 'Id of the event, computed from the workflow, the measure and the moment.';
