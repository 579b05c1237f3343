-- +goose Up

-- What a key is held to beside its scopes, as JSON; NULL for nothing. It is read with the key, so a check costs no other look-up.
ALTER TABLE api_keys ADD COLUMN restrictions TEXT;

-- How much of a key's quota was handed out to nodes in a period; a key of which nothing was has no row. It goes with its key, also
-- where a program that does not know the table deletes that.
CREATE TABLE quotas (
    key_id       BIGINT PRIMARY KEY REFERENCES api_keys ON DELETE CASCADE,
    period_start BIGINT, -- NULL: the quota is never renewed
    used         BIGINT NOT NULL
)
-- Room for a row to change in place.
WITH (fillfactor = 50);
