CREATE VIEW cost_by_org_day AS
SELECT
    tenant,
    CAST(window_start AS DATE) AS day,
    sum(requests)::BIGINT AS requests,
    sum(answered)::BIGINT AS answered,
    sum(failed)::BIGINT AS failed,
    sum(cost_usd_sum) AS cost_usd
FROM events.strategy_sums
GROUP BY ALL;

COMMENT ON VIEW cost_by_org_day IS 'What each tenant''s requests cost, by day (UTC).';
COMMENT ON COLUMN cost_by_org_day.tenant IS 'Who pays.';
COMMENT ON COLUMN cost_by_org_day.day IS 'The day on which the requests were asked, UTC.';
COMMENT ON COLUMN cost_by_org_day.requests IS 'Requests.';
COMMENT ON COLUMN cost_by_org_day.answered IS 'Of these, answered.';
COMMENT ON COLUMN cost_by_org_day.failed IS 'Of these, failed.';
COMMENT ON COLUMN cost_by_org_day.cost_usd IS 'Price of all calls, in US dollars.';
