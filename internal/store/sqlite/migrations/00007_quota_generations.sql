-- +goose Up

-- How often the key's quota was changed: what a node has as its share is of the quota of one generation. A key without a row is of
-- generation 0, and so is a row that a program writes which does not know the column.
ALTER TABLE quotas ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
