-- +goose Up

-- With this secret, nodes seal what they notify each other of: whoever may connect to the database may notify whatever they like, and
-- only who may read this table can say what is believed. Programs of before believe nothing.
ALTER TABLE change_extent ADD COLUMN secret BYTEA;

UPDATE change_extent SET secret = decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex') WHERE one = 1;
