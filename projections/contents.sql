-- One row for each stored object; `deleted_at` is null while its bytes count. `sealed` is its encrypted URL.
create table contents (
    org text collate "C" not null,
    id text collate "C" not null,
    user_id text collate "C" not null,
    bytes bigint not null,
    generation_id text collate "C",
    sealed text collate "C",
    created_at timestamptz not null,
    created_position bigint not null,
    deleted_at timestamptz,
    position bigint not null
) with (fillfactor = 90);
-- keys
alter table contents add primary key (org, id);
create index on contents (org, user_id, bytes desc, id) where deleted_at is null;
create index on contents (org, user_id, created_position, id) where deleted_at is null;
create index on contents (org, generation_id) where generation_id is not null;
