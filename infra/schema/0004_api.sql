-- What the HTTP API needs beyond the log: what a key may do within its role, and who made it.
alter table api_keys
    add column scopes text[] collate "C",
    add column created_by text collate "C" not null default '';
