-- +goose Up

-- One process has the file, so there are no other nodes to tell of changes. The number keeps the schemas of all databases
-- in step.
SELECT 1;
