-- What is exported changes: sums without tenants and tenants' days, service levels by day, percentiles ready made. Plans that do not
-- hold tell when they were logged, so that they are looked for only in files of their time; NULL: not known.
INSERT INTO dropped_file
SELECT path, CAST(epoch_us(now()) AS BIGINT) FROM export
WHERE name IN ('strategy_sums', 'latency_counts', 'service_sums', 'superseded_plan') AND path IS NOT NULL;
DELETE FROM export WHERE name IN ('strategy_sums', 'latency_counts', 'service_sums', 'superseded_plan');
INSERT INTO export
SELECT DISTINCT 'strategy_hours', window_start_us // 86400000000, NULL, true FROM strategy_sums
UNION ALL SELECT DISTINCT 'tenant_days', window_start_us // 86400000000, NULL, true FROM strategy_sums
UNION ALL SELECT DISTINCT 'service_sums', window_start_us // 86400000000, NULL, true FROM service_sums
UNION ALL SELECT DISTINCT 'latency_percentiles', 0, NULL, true FROM latency_counts
UNION ALL SELECT DISTINCT 'superseded_plan', 0, NULL, true FROM superseded_plan;

ALTER TABLE superseded_plan ADD COLUMN logged_at_us BIGINT;
