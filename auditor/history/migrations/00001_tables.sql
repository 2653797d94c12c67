-- Rows are told apart by ids that count up. An instant is nanoseconds since 1970 in UTC, 0 for none; so is 0 of a run. A hash is the
-- SHA-256 of all else in its row, with the names of its subject in place of their number.

-- +goose Up
CREATE TABLE dictionary (
    id   INTEGER PRIMARY KEY,
    text BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE TABLE judged (
    id        INTEGER PRIMARY KEY,
    baselines TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TABLE run (
    id         INTEGER PRIMARY KEY,
    run_id     TEXT    NOT NULL UNIQUE,
    cause      TEXT    NOT NULL,
    program    TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    read_at    INTEGER NOT NULL,
    complete   INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    judged     INTEGER NOT NULL REFERENCES judged,
    hash       BLOB    NOT NULL
) STRICT;

CREATE TABLE subject (
    id         INTEGER PRIMARY KEY,
    account_id TEXT    NOT NULL,
    agency     TEXT    NOT NULL,
    baseline   TEXT    NOT NULL,
    UNIQUE (account_id, agency, baseline)
) STRICT;

CREATE TABLE evidence (
    id      INTEGER PRIMARY KEY,
    subject INTEGER NOT NULL REFERENCES subject,
    content BLOB    NOT NULL,
    agency  TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    hash    BLOB    NOT NULL
) STRICT;

CREATE TABLE verdict (
    id            INTEGER PRIMARY KEY,
    subject       INTEGER NOT NULL REFERENCES subject,
    from_run      INTEGER NOT NULL,
    until_run     INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    evidence      INTEGER REFERENCES evidence,
    judged        INTEGER NOT NULL,
    read_at       INTEGER NOT NULL,
    unknown_since INTEGER NOT NULL,
    content       BLOB    NOT NULL,
    body          BLOB    NOT NULL,
    hash          BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX verdict_now ON verdict (subject) WHERE until_run = 0;

CREATE TABLE finding (
    id         INTEGER PRIMARY KEY,
    subject    INTEGER NOT NULL REFERENCES subject,
    rule       TEXT    NOT NULL,
    policy     TEXT    NOT NULL,
    policy_id  TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    first_seen INTEGER NOT NULL,
    first_run  INTEGER NOT NULL,
    last_run   INTEGER NOT NULL,
    ended_run  INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    how        TEXT    NOT NULL,
    hash       BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX finding_now ON finding (subject, rule, policy, policy_id, scope) WHERE ended_run = 0;

CREATE TABLE trust (
    subject INTEGER PRIMARY KEY REFERENCES subject,
    id      TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    hash    BLOB    NOT NULL
) STRICT;
