-- One row for each generation that was refused (blocked attempts). `checks`: every resource that was looked at, as
-- objects with resource, ok, reason, needed, available, limit and subject; `deficit` is that of the first that failed.
create table refusals (
    org text collate "C" not null,
    position bigint not null,
    at timestamptz not null,
    generation_id text collate "C" not null,
    user_id text collate "C" not null,
    operation text collate "C" not null,
    provider text collate "C",
    model text collate "C",
    feature text collate "C",
    reason text collate "C" not null,
    deficit bigint not null,
    checks jsonb not null
);
-- keys
alter table refusals add primary key (org, position);
create index on refusals (org, at);
create index on refusals (org, user_id, position desc);
