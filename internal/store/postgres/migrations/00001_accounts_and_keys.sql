-- +goose Up

-- Times are microseconds since 1970 in UTC, NULL for none; sets of scopes have a bit for each.

CREATE TABLE users (
    user_id        BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email          TEXT    NOT NULL,
    email_folded   TEXT    NOT NULL CONSTRAINT users_email UNIQUE, -- in lower case: addresses are the same without regard to case
    instance_admin BOOLEAN NOT NULL,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL
);

CREATE TABLE organizations (
    organization_id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_name TEXT   NOT NULL,
    external_id       TEXT   CONSTRAINT organizations_external_id UNIQUE,
    metadata          TEXT, -- a JSON object as it is sent, NULL for {}
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL
);

CREATE TABLE members (
    organization_id BIGINT  NOT NULL REFERENCES organizations,
    user_id         BIGINT  NOT NULL REFERENCES users,
    role            INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4),
    created_at      BIGINT  NOT NULL,
    CONSTRAINT members_once PRIMARY KEY (organization_id, user_id)
);

CREATE INDEX members_by_user ON members (user_id, organization_id);

CREATE TABLE api_keys (
    key_id          BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id BIGINT  NOT NULL REFERENCES organizations,
    user_id         BIGINT  NOT NULL REFERENCES users,
    key_name        TEXT    NOT NULL,
    key_hint        TEXT    NOT NULL,
    scopes          INTEGER NOT NULL,
    enabled         BOOLEAN NOT NULL,
    expires_at      BIGINT,
    last_used_at    BIGINT,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    metadata        TEXT
)
-- Room for last_used_at to change in place, without an entry in each index.
WITH (fillfactor = 90);

CREATE INDEX api_keys_by_organization ON api_keys (organization_id, key_id);
CREATE INDEX api_keys_by_user ON api_keys (user_id, key_id);
CREATE INDEX api_keys_by_member ON api_keys (organization_id, user_id, key_id);

CREATE TABLE tokens (
    digest     BYTEA  CONSTRAINT tokens_digest PRIMARY KEY,
    key_id     BIGINT NOT NULL REFERENCES api_keys,
    expires_at BIGINT -- the end of an old token's grace
);

CREATE INDEX tokens_by_key ON tokens (key_id);
