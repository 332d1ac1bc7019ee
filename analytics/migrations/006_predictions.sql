-- What was predicted of each candidate of a plan, in the order of `probabilities`; NULL for plans of older versions. How the predictions
-- came out is exported slice by slice.
ALTER TABLE outcome_plan ADD COLUMN qualities FLOAT[];      -- expected reward
ALTER TABLE outcome_plan ADD COLUMN costs_usd FLOAT[];      -- expected cost of an answer
INSERT INTO export
SELECT name, slice, NULL, true
FROM (SELECT DISTINCT slice FROM outcome), (VALUES ('judged'), ('calibrated')) given (name);
