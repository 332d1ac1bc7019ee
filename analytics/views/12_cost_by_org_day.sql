CREATE VIEW cost_by_org_day AS
SELECT tenant, day, requests, answered, failed, cost_usd FROM events.tenant_days;

COMMENT ON VIEW cost_by_org_day IS 'What each tenant''s requests cost, by day (UTC).';
COMMENT ON COLUMN cost_by_org_day.tenant IS 'Who pays.';
COMMENT ON COLUMN cost_by_org_day.day IS 'The day on which the requests were asked, UTC.';
COMMENT ON COLUMN cost_by_org_day.requests IS 'Requests.';
COMMENT ON COLUMN cost_by_org_day.answered IS 'Of these, answered.';
COMMENT ON COLUMN cost_by_org_day.failed IS 'Of these, failed.';
COMMENT ON COLUMN cost_by_org_day.cost_usd IS 'Price of all calls, in US dollars.';
