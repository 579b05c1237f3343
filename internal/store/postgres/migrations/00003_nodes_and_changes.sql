-- +goose Up

-- What nodes have to forget: a row for each token that a check can no longer answer for from memory. Numbers rise in the order
-- of commits, because they are given while the turn to write is held.
CREATE TABLE changes (
    change_id BIGINT PRIMARY KEY,
    digest    BYTEA  NOT NULL
);

-- One row: the number of the last change, and of the last one that was deleted because every node has applied it.
CREATE TABLE change_extent (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    pruned_id BIGINT  NOT NULL,
    last_id   BIGINT  NOT NULL
);

INSERT INTO change_extent VALUES (1, 0, 0);

-- The nodes that may answer from memory.
CREATE TABLE nodes (
    node_id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_name  TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    lease_ms   BIGINT NOT NULL, -- how long a renewal lets it answer, by its own clock
    beat       BIGINT NOT NULL, -- the number of the last renewal
    applied_id BIGINT NOT NULL, -- the last change that it has applied
    started_at BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL  -- by the database's clock, for people
);
