-- +goose Up

-- One process has the file, so there are no notifications to seal. The number keeps the schemas of all databases in step.
SELECT 1;
