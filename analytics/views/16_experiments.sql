CREATE VIEW experiments AS
SELECT
    experiment.name AS name,
    number,
    occurred_at,
    experiment.workflow AS workflow,
    experiment.kind AS kind,
    experiment.version AS version,
    state,
    share,
    conversations,
    given,
    reason,
    list_filter(evidence, lambda e: e.name = 'quality')[1].old AS quality_old,
    list_filter(evidence, lambda e: e.name = 'quality')[1].new AS quality_new,
    list_filter(evidence, lambda e: e.name = 'quality')[1].lower AS quality_lower,
    list_filter(evidence, lambda e: e.name = 'quality')[1].upper AS quality_upper,
    list_filter(evidence, lambda e: e.name = 'cost_usd')[1].old AS cost_usd_old,
    list_filter(evidence, lambda e: e.name = 'cost_usd')[1].new AS cost_usd_new,
    list_filter(evidence, lambda e: e.name = 'latency_ms')[1].old AS latency_ms_old,
    list_filter(evidence, lambda e: e.name = 'latency_ms')[1].new AS latency_ms_new,
    list_filter(evidence, lambda e: e.name = 'failed')[1].old AS failed_old,
    list_filter(evidence, lambda e: e.name = 'failed')[1].new AS failed_new,
    evidence,
    experiment.shares AS shares,
    experiment.floor AS floor,
    experiment.floor_is_relative AS floor_is_relative,
    stepped_by,
    cause_id,
    event_id,
    row_number() OVER (PARTITION BY experiment.name ORDER BY number DESC) = 1 AS newest
FROM events.experiment_stepped
QUALIFY row_number() OVER (PARTITION BY experiment.name, number ORDER BY partition, log_offset) = 1;

COMMENT ON VIEW experiments IS 'Every step of every experiment with the evidence that it rests on: started, grew, won, stopped, rolled back.';
COMMENT ON COLUMN experiments.name IS 'Its name, used once.';
COMMENT ON COLUMN experiments.number IS 'The step, from 1.';
COMMENT ON COLUMN experiments.occurred_at IS 'When it was taken: when the last of its evidence was known, or it was ordered, UTC.';
COMMENT ON COLUMN experiments.workflow IS 'The workflow whose requests take part.';
COMMENT ON COLUMN experiments.kind IS 'strategy, prompt, workflow or profile.';
COMMENT ON COLUMN experiments.version IS 'A strategy''s id, a prompt version, the name of a workflow, or the version of a profile.';
COMMENT ON COLUMN experiments.state IS 'running, won, stopped, rolled_back or cleared.';
COMMENT ON COLUMN experiments.share IS 'Share of the conversations that get the new version from then on.';
COMMENT ON COLUMN experiments.conversations IS 'Conversations that the evidence rests on.';
COMMENT ON COLUMN experiments.given IS 'Of these, how many got the new version.';
COMMENT ON COLUMN experiments.reason IS 'Why this step; of a rollback its cause.';
COMMENT ON COLUMN experiments.quality_old IS 'Mean reward of the old version.';
COMMENT ON COLUMN experiments.quality_new IS 'Mean reward of the new version.';
COMMENT ON COLUMN experiments.quality_lower IS 'Lower end of the interval of the difference in quality, new less old, that holds at all times.';
COMMENT ON COLUMN experiments.quality_upper IS 'Its upper end.';
COMMENT ON COLUMN experiments.cost_usd_old IS 'Mean cost of the old version, in US dollars.';
COMMENT ON COLUMN experiments.cost_usd_new IS 'Mean cost of the new version, in US dollars.';
COMMENT ON COLUMN experiments.latency_ms_old IS 'Mean latency of the old version, in milliseconds.';
COMMENT ON COLUMN experiments.latency_ms_new IS 'Mean latency of the new version, in milliseconds.';
COMMENT ON COLUMN experiments.failed_old IS 'Share of failures of the old version.';
COMMENT ON COLUMN experiments.failed_new IS 'Share of failures of the new version.';
COMMENT ON COLUMN experiments.evidence IS 'All of it: name, estimate of the difference, lower, upper, and the means of either version.';
COMMENT ON COLUMN experiments.shares IS 'The shares in their order.';
COMMENT ON COLUMN experiments.floor IS 'The quality floor.';
COMMENT ON COLUMN experiments.floor_is_relative IS 'Whether it is a share of the old version''s quality.';
COMMENT ON COLUMN experiments.stepped_by IS 'Who ordered the step; nothing where the evidence did.';
COMMENT ON COLUMN experiments.cause_id IS 'Event id of the order, or of the plan of the last conversation that was looked at.';
COMMENT ON COLUMN experiments.event_id IS 'Id of the event, computed from the experiment and the number.';
COMMENT ON COLUMN experiments.newest IS 'Whether it is the newest step of its experiment: what holds now.';
