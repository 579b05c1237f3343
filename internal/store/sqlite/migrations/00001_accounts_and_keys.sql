-- +goose Up

-- Ids are AUTOINCREMENT, so that none is ever given twice, not even when the row with the highest one was deleted.
-- Times are microseconds since 1970 in UTC, NULL for none.

CREATE TABLE users (
    user_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    email          TEXT    NOT NULL,
    email_folded   TEXT    NOT NULL UNIQUE, -- in lower case: addresses are the same without regard to case
    instance_admin INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE organizations (
    organization_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_name TEXT    NOT NULL,
    external_id       TEXT    UNIQUE,
    metadata          TEXT, -- a JSON object, NULL for {}
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;

CREATE TABLE members (
    organization_id INTEGER NOT NULL REFERENCES organizations,
    user_id         INTEGER NOT NULL REFERENCES users,
    role            INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4),
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user_id, organization_id);

CREATE TABLE api_keys (
    key_id          INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id INTEGER NOT NULL REFERENCES organizations,
    user_id         INTEGER NOT NULL REFERENCES users,
    key_name        TEXT    NOT NULL,
    key_hint        TEXT    NOT NULL,
    scopes          INTEGER NOT NULL, -- a bit for each
    enabled         INTEGER NOT NULL,
    expires_at      INTEGER,
    last_used_at    INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    metadata        TEXT -- a JSON object, NULL for {}
) STRICT;

-- One index for each way in which keys are listed, each ending in the key_id that SQLite adds, so that a page is read
-- from its first row to its last wherever it is. Each costs a create 2 to 4 µs of some 60; a list that had to pass
-- over a million keys of somebody else would cost a second.
CREATE INDEX api_keys_by_organization ON api_keys (organization_id);
CREATE INDEX api_keys_by_user ON api_keys (user_id);
CREATE INDEX api_keys_by_member ON api_keys (organization_id, user_id);

-- A key has one token, and for a while another one after it was rotated. The table is its own index: a check finds
-- the row by the digest without a second look-up.
CREATE TABLE tokens (
    digest     BLOB    PRIMARY KEY,
    key_id     INTEGER NOT NULL REFERENCES api_keys,
    expires_at INTEGER -- the end of an old token's grace
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_key ON tokens (key_id);
