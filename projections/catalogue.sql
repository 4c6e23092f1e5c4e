-- What the platform published: every version of each plan (`kind` plan, `id` its name), of all features with the costs
-- of token types (kind features, id empty) and of all packages (kind packages, id empty). What was never published has
-- no row and is as the code ships it. `terms` is the event's own content.
create table catalogue (
    kind text collate "C" not null,
    id text collate "C" not null,
    version integer not null,
    terms jsonb not null,
    published_at timestamptz not null,
    position bigint not null
);
-- keys
alter table catalogue add primary key (kind, id, version);
