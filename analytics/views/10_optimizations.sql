CREATE VIEW optimizations AS
SELECT
    scope,
    version,
    occurred_at,
    change.kind AS kind,
    change.content_type AS content_type,
    change.band AS band,
    change.before AS before,
    change.after AS after,
    change.quality_before AS quality_before,
    change.quality_after AS quality_after,
    change.cost_usd_before AS cost_usd_before,
    change.cost_usd_after AS cost_usd_after,
    change.requests AS requests,
    change.sentence AS sentence
FROM (SELECT scope, version, occurred_at, unnest(optimizations) AS change FROM events.profile_updated);

COMMENT ON VIEW optimizations IS 'Everything that the system changed by itself or on an operator''s order, with its evidence; newest version of a scope last.';
COMMENT ON COLUMN optimizations.scope IS 'The profile''s scope.';
COMMENT ON COLUMN optimizations.version IS 'The profile version that brought it.';
COMMENT ON COLUMN optimizations.occurred_at IS 'When it was published, UTC.';
COMMENT ON COLUMN optimizations.kind IS 'strategy_took_over, strategy_reopened, graph_switched_off, graph_switched_on or rolled_back.';
COMMENT ON COLUMN optimizations.content_type IS 'Where.';
COMMENT ON COLUMN optimizations.band IS 'Complexity band, or nothing where it concerns all.';
COMMENT ON COLUMN optimizations.before IS 'What answered before.';
COMMENT ON COLUMN optimizations.after IS 'What answers now.';
COMMENT ON COLUMN optimizations.quality_before IS 'Expected reward before.';
COMMENT ON COLUMN optimizations.quality_after IS 'Expected reward after.';
COMMENT ON COLUMN optimizations.cost_usd_before IS 'Expected cost before, in US dollars.';
COMMENT ON COLUMN optimizations.cost_usd_after IS 'Expected cost after, in US dollars.';
COMMENT ON COLUMN optimizations.requests IS 'How many requests it rests on.';
COMMENT ON COLUMN optimizations.sentence IS 'The same in words.';
