-- What one account is asked for, and what forgetting has to look up.

-- +goose Up
CREATE INDEX verdict_of ON verdict (subject);
CREATE INDEX verdict_by ON verdict (evidence);
CREATE INDEX finding_of ON finding (subject);
