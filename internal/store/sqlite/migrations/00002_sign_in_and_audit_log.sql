-- +goose Up

ALTER TABLE users ADD COLUMN password TEXT; -- Argon2id as a PHC string, NULL for none
ALTER TABLE users ADD COLUMN signed_in_at INTEGER;

-- The secrets of sessions, links and remembered devices are kept as SHA-256, as tokens are: they are as hard to guess.

CREATE TABLE sessions (
    session_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    digest       BLOB    NOT NULL UNIQUE,
    user_id      INTEGER NOT NULL REFERENCES users,
    method       INTEGER NOT NULL,
    ip           TEXT    NOT NULL,
    user_agent   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_last_use ON sessions (last_used_at);

CREATE TABLE sign_in_links (
    digest     BLOB    PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_in_links_by_user ON sign_in_links (user_id, created_at);
CREATE INDEX sign_in_links_by_end ON sign_in_links (expires_at);

-- A browser that has signed in once as a user. Its attempts are counted apart, so that nobody else's failed ones lock
-- its owner out.
CREATE TABLE devices (
    digest       BLOB    PRIMARY KEY,
    user_id      INTEGER NOT NULL REFERENCES users,
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_by_user ON devices (user_id, last_used_at);

-- Whom an OpenID Connect provider knows a user as.
CREATE TABLE identities (
    issuer     TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    user_id    INTEGER NOT NULL REFERENCES users,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX identities_by_user ON identities (user_id);

-- Entries refer to rows that may be gone, so there are no foreign keys. Ids have no gaps: the chain gives them.
CREATE TABLE audit_log (
    audit_id         INTEGER PRIMARY KEY,
    occurred_at      INTEGER NOT NULL,
    actor_user_id    INTEGER,
    actor_key_id     INTEGER,
    actor_session_id INTEGER,
    action           TEXT    NOT NULL,
    target_type      TEXT    NOT NULL,
    target_id        INTEGER,
    organization_id  INTEGER,
    ip               TEXT,
    request_id       TEXT,
    outcome          INTEGER NOT NULL,
    code             TEXT,
    before           TEXT, -- JSON objects
    after            TEXT,
    previous_hash    BLOB    NOT NULL,
    hash             BLOB    NOT NULL
) STRICT;

CREATE INDEX audit_log_by_organization ON audit_log (organization_id);
CREATE INDEX audit_log_by_target ON audit_log (target_type, target_id);

-- One row: where the log begins, behind what was deleted because of its age, and where it ends.
CREATE TABLE audit_extent (
    one              INTEGER PRIMARY KEY CHECK (one = 1),
    pruned_id        INTEGER NOT NULL,
    pruned_hash      BLOB    NOT NULL,
    pruned_at        INTEGER,
    last_id          INTEGER NOT NULL,
    last_hash        BLOB    NOT NULL,
    last_at          INTEGER
) STRICT;

INSERT INTO audit_extent VALUES (1, 0, zeroblob(32), NULL, 0, zeroblob(32), NULL);
