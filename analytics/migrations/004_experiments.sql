-- Experiments: what conversations showed of either version, and every step with its evidence.

-- One row a conversation: its first request in the experiment, and what came of it.
CREATE TABLE experiment_outcome (
    experiment VARCHAR NOT NULL,
    conversation UUID NOT NULL,         -- computed from tenant and conversation
    request_key UUID NOT NULL,
    routing_id VARCHAR NOT NULL,        -- event id of the plan that holds
    given BOOLEAN NOT NULL,             -- whether it got the new version
    share DOUBLE NOT NULL,              -- with what probability
    partition INTEGER NOT NULL,
    log_offset BIGINT NOT NULL,
    logged_at_us BIGINT NOT NULL,       -- Kafka's time of the plan
    answered BOOLEAN,                   -- the rest as in `outcome`
    step BIGINT,
    reward DOUBLE,
    cost_usd DOUBLE,
    latency_ms DOUBLE,
    known_at_us BIGINT                  -- when the newest of this was known
);

-- Every step: inserted before it is published, so that a crash in between publishes the same bytes again.
CREATE TABLE experiment_step (
    name VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    published BOOLEAN NOT NULL,
    payload BLOB NOT NULL,              -- the ExperimentStepped as it stands on Kafka
    PRIMARY KEY (name, number)
);

-- The operator's orders, until they are answered.
CREATE TABLE pending_experiment_order (
    log_offset BIGINT NOT NULL,
    payload BLOB NOT NULL
);
