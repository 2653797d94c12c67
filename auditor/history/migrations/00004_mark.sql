-- What others of the program want remembered, by name: how far the ledger of repair goes.

-- +goose Up
CREATE TABLE mark (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    hash  BLOB NOT NULL
) STRICT;
