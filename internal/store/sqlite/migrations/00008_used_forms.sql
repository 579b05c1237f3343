-- +goose Up

-- Forms of the console that were carried out and must not be again, however often and to however many nodes they are sent. The digest
-- is that of the form's id and of whose it is; of what was typed there is nothing. What a form was about may be gone, so there is no
-- foreign key. Rows go by their age.
CREATE TABLE used_forms (
    digest    BLOB PRIMARY KEY,
    target_id INTEGER NOT NULL, -- the key, user or organization that it has made or changed
    used_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX used_forms_by_age ON used_forms (used_at);
