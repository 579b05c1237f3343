-- +goose Up

ALTER TABLE users ADD COLUMN password TEXT; -- Argon2id as a PHC string, NULL for none
ALTER TABLE users ADD COLUMN signed_in_at BIGINT;

-- The secrets of sessions, links and remembered devices are kept as SHA-256, as tokens are: they are as hard to guess.

CREATE TABLE sessions (
    session_id   BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest       BYTEA   NOT NULL CONSTRAINT sessions_digest UNIQUE,
    user_id      BIGINT  NOT NULL REFERENCES users,
    method       INTEGER NOT NULL,
    ip           TEXT    NOT NULL,
    user_agent   TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL,
    last_used_at BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_id, session_id);
CREATE INDEX sessions_by_last_use ON sessions (last_used_at);

CREATE TABLE sign_in_links (
    digest     BYTEA  CONSTRAINT sign_in_links_digest PRIMARY KEY,
    user_id    BIGINT NOT NULL REFERENCES users,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sign_in_links_by_user ON sign_in_links (user_id, created_at);
CREATE INDEX sign_in_links_by_end ON sign_in_links (expires_at);

-- A browser that has signed in once as a user. Its attempts are counted apart, so that nobody else's failed ones lock
-- its owner out.
CREATE TABLE devices (
    digest       BYTEA  CONSTRAINT devices_digest PRIMARY KEY,
    user_id      BIGINT NOT NULL REFERENCES users,
    last_used_at BIGINT NOT NULL
);

CREATE INDEX devices_by_user ON devices (user_id, last_used_at);

-- Whom an OpenID Connect provider knows a user as.
CREATE TABLE identities (
    issuer     TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    user_id    BIGINT NOT NULL REFERENCES users,
    created_at BIGINT NOT NULL,
    CONSTRAINT identities_once PRIMARY KEY (issuer, subject)
);

CREATE INDEX identities_by_user ON identities (user_id);

-- Entries refer to rows that may be gone, so there are no foreign keys. Ids have no gaps: the chain gives them.
CREATE TABLE audit_log (
    audit_id         BIGINT  PRIMARY KEY,
    occurred_at      BIGINT  NOT NULL,
    actor_user_id    BIGINT,
    actor_key_id     BIGINT,
    actor_session_id BIGINT,
    action           TEXT    NOT NULL,
    target_type      TEXT    NOT NULL,
    target_id        BIGINT,
    organization_id  BIGINT,
    ip               TEXT,
    request_id       TEXT,
    outcome          INTEGER NOT NULL,
    code             TEXT,
    before           TEXT, -- JSON objects, as they are hashed
    after            TEXT,
    previous_hash    BYTEA   NOT NULL,
    hash             BYTEA   NOT NULL
);

CREATE INDEX audit_log_by_organization ON audit_log (organization_id, audit_id);
CREATE INDEX audit_log_by_target ON audit_log (target_type, target_id, audit_id);

-- One row: where the log begins, behind what was deleted because of its age, and where it ends. Whoever is about to change
-- anything locks it first: it is the turn to write.
CREATE TABLE audit_extent (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    pruned_id   BIGINT  NOT NULL,
    pruned_hash BYTEA   NOT NULL,
    pruned_at   BIGINT,
    last_id     BIGINT  NOT NULL,
    last_hash   BYTEA   NOT NULL,
    last_at     BIGINT
);

INSERT INTO audit_extent VALUES (1, 0, decode(repeat('00', 32), 'hex'), NULL, 0, decode(repeat('00', 32), 'hex'), NULL);
