-- +goose Up

-- How many checks of a key had which outcome, in one hour or in the 24 hours of one day: hours become days when they are old.
-- What is counted may be gone, so there are no foreign keys.
CREATE TABLE usage_counts (
    organization_id INTEGER NOT NULL,
    key_id          INTEGER NOT NULL, -- 0: all keys of the organization, those that are gone as well
    first_hour      INTEGER NOT NULL, -- hours since 1970 in UTC
    hours           INTEGER NOT NULL, -- 1 or 24
    outcome         INTEGER NOT NULL, -- 1 VALID, 2 DISABLED, 3 EXPIRED, 4 INSUFFICIENT_SCOPE, 5 IP_NOT_ALLOWED, 6 RATE_LIMITED, 7 QUOTA_EXCEEDED
    checks          INTEGER NOT NULL,
    PRIMARY KEY (organization_id, key_id, first_hour, hours, outcome)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_counts_by_age ON usage_counts (hours, first_hour);

-- Keys, and organizations as key_id 0, that were deleted and whose counts are still to be deleted. That may be many rows, which
-- nobody is to wait for.
CREATE TABLE usage_gone (
    organization_id INTEGER NOT NULL,
    key_id          INTEGER NOT NULL,
    PRIMARY KEY (organization_id, key_id)
) STRICT, WITHOUT ROWID;
