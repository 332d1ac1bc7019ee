-- Outcomes in slices of 20,000 requests in the order of arrival: what a batch touches is found, and what changed is exported, slice by
-- slice. What a plan states once and nothing changes stands apart, so that a reward does not write it again. Sums are of whole numbers,
-- so that what a batch changes can be taken off and added without a rest, whatever the cut into batches.

-- Files of the old exports are dropped after the grace; everything is exported anew.
INSERT INTO dropped_file
SELECT path, CAST(epoch_us(now()) AS BIGINT) FROM outcome_slice WHERE path IS NOT NULL
UNION ALL SELECT path, CAST(epoch_us(now()) AS BIGINT) FROM exported_sums;
DROP TABLE outcome_slice;
DROP TABLE exported_sums;

CREATE TABLE sliced AS
SELECT (row_number() OVER (ORDER BY window_start_us, request_key) - 1) // 20000 AS slice, * FROM outcome;
DROP TABLE outcome;

CREATE TABLE outcome_plan AS
SELECT slice, request_key, probabilities, pinned, features, encoder, feature_set
FROM sliced WHERE routed_at_us IS NOT NULL ORDER BY slice, request_key;

CREATE TABLE outcome AS
SELECT * EXCLUDE (probabilities, pinned, features, encoder, feature_set) FROM sliced ORDER BY slice, request_key;
DROP TABLE sliced;

-- What is exported: `part` is the slice of `outcome`, the day (since 1970) of `strategy_sums`, and 0 of the others.
CREATE TABLE export (
    name VARCHAR NOT NULL,
    part BIGINT NOT NULL,
    path VARCHAR,                       -- relative to the analytics folder; NULL: not exported yet
    stale BOOLEAN NOT NULL              -- whether the table has changed since
);

-- Plans that do not hold: a request was planned again after a redelivery. The first plan in the partition holds.
CREATE TABLE superseded_plan (event_id VARCHAR NOT NULL);

-- Work on files that a migration leaves to the program.
CREATE TABLE unfinished_migration (step VARCHAR NOT NULL);
INSERT INTO unfinished_migration VALUES ('superseded_plans'), ('sums');

DROP TABLE strategy_sums;
CREATE TABLE strategy_sums (
    window_start_us BIGINT NOT NULL,
    workflow VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    content_type VARCHAR NOT NULL,
    band VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL,
    requests HUGEINT NOT NULL,
    answered HUGEINT NOT NULL,
    failed HUGEINT NOT NULL,
    rewarded HUGEINT NOT NULL,
    rated HUGEINT NOT NULL,
    fallbacks HUGEINT NOT NULL,         -- answered by a later step than the first
    reward_units HUGEINT NOT NULL,      -- millionths
    reward_square_units HUGEINT NOT NULL,
    cost_units HUGEINT NOT NULL,        -- millionths of a millionth of a US dollar
    latency_units HUGEINT NOT NULL,     -- microseconds, of answered requests
    latency_ms_max DOUBLE               -- of answered requests; NULL where there is none
);

-- Rewarded requests of each scope: what the learner learns from. Takes the place of `evidence_count`.
DROP TABLE evidence_count;
CREATE TABLE evidence_sums (
    scope VARCHAR NOT NULL,
    content_type VARCHAR NOT NULL,
    band VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL,
    requests HUGEINT NOT NULL,
    rated HUGEINT NOT NULL,             -- those with a user's feedback in the reward
    reward_units HUGEINT NOT NULL,
    reward_square_units HUGEINT NOT NULL,
    cost_units HUGEINT NOT NULL,
    latency_units HUGEINT NOT NULL,
    last_us BIGINT                      -- when the newest of the rewards was computed
);

-- What the service levels count, by five minutes.
CREATE TABLE service_sums (
    window_start_us BIGINT NOT NULL,
    workflow VARCHAR NOT NULL,
    requests HUGEINT NOT NULL,
    pending HUGEINT NOT NULL,           -- not ended yet
    answerable HUGEINT NOT NULL,        -- ended, and not by a mistake of the caller
    answered HUGEINT NOT NULL,
    planned HUGEINT NOT NULL,           -- ended, with a plan
    in_200_ms HUGEINT NOT NULL,
    in_500_ms HUGEINT NOT NULL,
    in_1000_ms HUGEINT NOT NULL,
    in_2000_ms HUGEINT NOT NULL,
    in_3000_ms HUGEINT NOT NULL,
    in_5000_ms HUGEINT NOT NULL,
    in_10000_ms HUGEINT NOT NULL,
    in_20000_ms HUGEINT NOT NULL,
    in_30000_ms HUGEINT NOT NULL,
    rewarded HUGEINT NOT NULL,          -- answers
    good_50 HUGEINT NOT NULL,
    good_60 HUGEINT NOT NULL,
    good_70 HUGEINT NOT NULL,
    good_75 HUGEINT NOT NULL,
    good_80 HUGEINT NOT NULL,
    good_85 HUGEINT NOT NULL,
    good_90 HUGEINT NOT NULL,
    good_95 HUGEINT NOT NULL,
    newest_us BIGINT                    -- when the newest of the requests was asked
);

-- How many answered requests of all time took how long: bucket b is the latencies in (1.01^(b-1), 1.01^b] milliseconds.
CREATE TABLE latency_counts (
    workflow VARCHAR NOT NULL,
    content_type VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL,
    bucket BIGINT NOT NULL,
    requests HUGEINT NOT NULL
);
