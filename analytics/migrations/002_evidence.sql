-- Rewarded requests of each scope, kept with `outcome` in the same transaction: what the learner compares with the evidence of the
-- newest profile, without reading the outcomes.
CREATE TABLE evidence_count (
    scope VARCHAR NOT NULL,
    requests BIGINT NOT NULL,
    rated BIGINT NOT NULL               -- those with a user's feedback in the reward
);

INSERT INTO evidence_count
SELECT scope, count(*), count(*) FILTER (WHERE rated)
FROM outcome
WHERE scope IS NOT NULL AND answered AND reward IS NOT NULL AND latency_ms IS NOT NULL
    AND content_type IS NOT NULL AND band IS NOT NULL AND strategy IS NOT NULL
GROUP BY scope;

-- Errors, reasoning and sources are text to be forgotten, which older versions kept.
UPDATE segment SET has_text = true WHERE event IN ('GenerationFailed', 'ResponseReady', 'ResponseFailed');
