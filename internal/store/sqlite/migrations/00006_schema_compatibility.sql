-- +goose Up

-- One row: the oldest version of the schema whose programs can work on this one. A migration that only adds leaves it; one that
-- breaks what programs of before rely on sets it to its own number.
CREATE TABLE schema_compatibility (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    oldest INTEGER NOT NULL
) STRICT;

INSERT INTO schema_compatibility VALUES (1, 6);
