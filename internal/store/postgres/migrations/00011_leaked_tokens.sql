-- +goose Up

-- Tokens that were ended because they had leaked: whoever finds one again is told that it was one. Key and organization may be gone by
-- then, so there are no foreign keys. Rows stay for good.
CREATE TABLE leaked_tokens (
    digest          BYTEA  CONSTRAINT leaked_tokens_digest PRIMARY KEY,
    key_id          BIGINT NOT NULL, -- whose token it was
    organization_id BIGINT NOT NULL, -- and whose key
    leaked_at       BIGINT NOT NULL
);
