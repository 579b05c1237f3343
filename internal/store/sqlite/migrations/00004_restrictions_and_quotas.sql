-- +goose Up

-- What a key is held to beside its scopes, as JSON; NULL for nothing. It is read with the key, so a check costs no other look-up.
ALTER TABLE api_keys ADD COLUMN restrictions TEXT;

-- How much of a key's quota was handed out to nodes in a period; a key of which nothing was has no row. It goes with its key, also
-- where a program that does not know the table deletes that.
CREATE TABLE quotas (
    key_id       INTEGER PRIMARY KEY REFERENCES api_keys ON DELETE CASCADE,
    period_start INTEGER, -- NULL: the quota is never renewed
    used         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
