-- +goose Up

-- Tokens that were ended because they had leaked: whoever finds one again is told that it was one. Key and organization may be gone by
-- then, so there are no foreign keys. Rows stay for good.
CREATE TABLE leaked_tokens (
    digest          BLOB    PRIMARY KEY,
    key_id          INTEGER NOT NULL, -- whose token it was
    organization_id INTEGER NOT NULL, -- and whose key
    leaked_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
