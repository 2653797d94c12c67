-- Whom an agency trusted, of a finding about that: when it trusts another account, that is another finding.

-- +goose Up
ALTER TABLE finding ADD COLUMN trusts TEXT NOT NULL DEFAULT '';
