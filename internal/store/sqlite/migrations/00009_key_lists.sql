-- +goose Up

-- Keys are found in an index alone, whatever they are filtered by, where there may be many: those of an organization, and those of a user.
-- What changes with each use of a key is not in it. The names stay, because programs name the index that they want.
DROP INDEX api_keys_by_organization;
CREATE INDEX api_keys_by_organization ON api_keys (organization_id, key_id, key_name, scopes, enabled, expires_at);
DROP INDEX api_keys_by_user;
CREATE INDEX api_keys_by_user ON api_keys (user_id, key_id, key_name, scopes, enabled, expires_at);
