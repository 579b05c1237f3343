-- +goose Up

-- One row: the oldest version of the schema whose programs can work on this one. A migration that only adds leaves it; one that
-- breaks what programs of before rely on sets it to its own number.
CREATE TABLE schema_compatibility (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    oldest BIGINT  NOT NULL
);

INSERT INTO schema_compatibility VALUES (1, 6);

-- How many changes have waited for the node, and for how long together: for people.
ALTER TABLE nodes ADD COLUMN waits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN waited_ms BIGINT NOT NULL DEFAULT 0;
