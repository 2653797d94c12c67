-- Before which instant it forgot what had ended, so that it can say from when on it is whole.

-- +goose Up
CREATE TABLE forgot (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    at   INTEGER NOT NULL,
    hash BLOB    NOT NULL
) STRICT;
