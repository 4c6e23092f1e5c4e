-- One row for each user whose storage ever had an event; bytes. `storage_limit` is the user's own, null for the plan's.
create table storages (
    org text collate "C" not null,
    user_id text collate "C" not null,
    used bigint not null,
    held bigint not null,
    storage_limit bigint,
    version bigint not null,
    position bigint not null,
    updated_at timestamptz not null
) with (fillfactor = 70);
-- keys
alter table storages add primary key (org, user_id);
