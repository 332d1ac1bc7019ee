-- The private file: what the consumer must change together, in one transaction a batch.

-- Where the log was read to. A broker with another cluster id has offsets of its own.
CREATE TABLE log_offset (
    cluster VARCHAR NOT NULL,
    topic VARCHAR NOT NULL,             -- without the deployment's prefix
    partition INTEGER NOT NULL,
    next_offset BIGINT NOT NULL
);

-- Parquet segments in force, relative to the analytics folder. `columns` names the set of columns a file was written with.
CREATE TABLE segment (
    path VARCHAR NOT NULL,
    event VARCHAR NOT NULL,             -- event type
    level INTEGER NOT NULL,             -- 0 as written, one more with each merge
    columns VARCHAR NOT NULL,
    event_count BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    first_logged_at_us BIGINT NOT NULL,
    last_logged_at_us BIGINT NOT NULL,
    has_text BOOLEAN NOT NULL           -- false once the text in it was forgotten, or where there never was any
);

-- Files that no list names any more; they are deleted after a grace, for readers that still have them open.
CREATE TABLE dropped_file (path VARCHAR NOT NULL, dropped_at_us BIGINT NOT NULL);

-- Which events were taken in, for as long as a repeat is looked for.
CREATE TABLE seen_event (event_key UUID NOT NULL, logged_at_us BIGINT NOT NULL);

-- One row a request, built up in whatever order its events arrive. NULL: not known yet.
CREATE TABLE outcome (
    request_key UUID NOT NULL,          -- computed from tenant, conversation and request id
    tenant VARCHAR NOT NULL,
    conversation_id VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    workflow VARCHAR,
    scope VARCHAR,                      -- the profile's scope
    content_type VARCHAR,
    content_type_confidence DOUBLE,
    complexity BIGINT,
    band VARCHAR,                       -- low (1 to 3), middle (4 to 7), high (8 to 10)
    strategy VARCHAR,                   -- that answered; the chosen one while there is no answer
    chosen_strategy VARCHAR,            -- that the draw chose
    propensity DOUBLE,                  -- the probability with which it was chosen
    probabilities STRUCT(strategy VARCHAR, probability DOUBLE)[],
    demanded BOOLEAN,                   -- the caller demanded the strategy
    pinned VARCHAR[],                   -- parts that the workflow stated
    routing_id VARCHAR,                 -- event id of the plan that holds: the first in its partition
    policy VARCHAR,
    profile_version BIGINT,
    features DOUBLE[],
    encoder VARCHAR,
    feature_set VARCHAR,
    step BIGINT,                        -- index of the plan's step that answered
    model VARCHAR,
    calls BIGINT NOT NULL,              -- generation events
    call_cost_usd DOUBLE NOT NULL,      -- their price
    response_cost_usd DOUBLE,           -- the price that the response states
    cost_usd DOUBLE NOT NULL,           -- price of all calls: the response's, or the calls' while there is none
    latency_ms DOUBLE,                  -- from the request to its end
    answered BOOLEAN,                   -- true answered, false failed, NULL not ended
    response_code VARCHAR,              -- the error code where it failed
    reward DOUBLE,
    reward_revision BIGINT,             -- the highest one holds
    rated BOOLEAN,                      -- a user's feedback is in the reward
    evaluator VARCHAR,
    rewarded_strategy VARCHAR,          -- the strategy that the reward names
    requested_at_us BIGINT,
    routed_at_us BIGINT,
    responded_at_us BIGINT,
    rewarded_at_us BIGINT,
    window_start_us BIGINT NOT NULL     -- the hour it counts in: that of the request, else of what is known of it
);

-- Sums by hour, recomputed from `outcome` for the hours that a batch touched.
CREATE TABLE strategy_sums (
    window_start_us BIGINT NOT NULL,
    workflow VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    content_type VARCHAR NOT NULL,
    band VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL,
    requests BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    rewarded BIGINT NOT NULL,
    rated BIGINT NOT NULL,
    reward_sum DOUBLE NOT NULL,
    reward_square_sum DOUBLE NOT NULL,
    cost_usd_sum DOUBLE NOT NULL,
    latency_ms_sum DOUBLE NOT NULL,     -- of answered requests
    latency_ms_max DOUBLE NOT NULL,     -- of answered requests
    fallbacks BIGINT NOT NULL           -- answered by a later step than the first
);

-- The exported Parquet file of the outcomes of an hour, and whether `outcome` has changed since.
CREATE TABLE outcome_slice (window_start_us BIGINT NOT NULL, path VARCHAR, stale BOOLEAN NOT NULL);

-- Numbers that make the names of exported files unique.
CREATE SEQUENCE export_number;

-- The exported Parquet file of the sums.
CREATE TABLE exported_sums (path VARCHAR NOT NULL);

-- Every profile: inserted before it is published, so that a crash in between publishes the same bytes again.
CREATE TABLE profile (
    scope VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    parent BIGINT NOT NULL,
    event_id VARCHAR NOT NULL,
    published BOOLEAN NOT NULL,
    payload BLOB NOT NULL,              -- the ProfileUpdated as it stands on Kafka
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (scope, version)
);

-- The operator's orders to the learner, until it has answered them.
CREATE TABLE pending_control (
    partition INTEGER NOT NULL,
    log_offset BIGINT NOT NULL,
    payload BLOB NOT NULL
);

-- Scopes that a rollback holds: the learner publishes nothing for them until learning is resumed.
CREATE TABLE held_scope (
    scope VARCHAR PRIMARY KEY,
    to_version BIGINT NOT NULL,
    held_at_us BIGINT NOT NULL
);
