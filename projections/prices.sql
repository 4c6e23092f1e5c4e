-- Every version of the price book. `entries` is a list of objects, fields without a value left out.
create table prices (
    version integer not null,
    effective_at timestamptz not null,
    entries jsonb not null,
    published_at timestamptz not null,
    position bigint not null
);
-- keys
alter table prices add primary key (version);
